// Package broker is an embedded Kafka-compatible broker: one process, one port, one data directory, nothing
// to install. It serves the demo, tests and single machines.
//
//	Open ──► lock the directory ──► load it ──► listen on 127.0.0.1 ──► clean every 10 s ──► Close
//
// Every record is stamped with the time at which it came, as in a topic of log append time. Topics, records,
// consumer groups and their offsets survive a kill -9. A record is acknowledged once it is in the page cache, as
// with Kafka's default: a machine that loses power may lose the last ones. It has no replicas and no
// authentication, and therefore listens on this machine alone.
package broker
