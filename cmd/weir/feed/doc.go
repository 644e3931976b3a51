// Package feed brings lines of files into topics: it reads NDJSON, plain or gzipped, and publishes
// records with as many requests as there are partitions in flight.
//
//	file ──► Lines ──► Publisher ──► partition 0: whatever waited, one request at a time
//	                              └► partition 1: …
//
// A Publisher keeps the order of a partition. It never drops a record: Send blocks once too much waits,
// and Close returns only after the broker has stored everything.
package feed
