// Package kafka reads and writes Kafka topics with little delay and without losing a record.
//
//	topic ──► fetch ──► decode ──► Deliver ──► … ──► encode ──► produce ──► topic
//	            ▲                     │ finished
//	            └── room ◄────────────┴──► commit the longest finished prefix
//
// A Client fetches by long polls that the broker answers at the first byte, and produces without linger:
// one request in flight a partition, and whatever waited meanwhile goes into the next. Both put all
// partitions of one leader into one request. A Source joins a consumer group and gives partitions to
// owners, a Sink writes batches. Everything that the broker may recover from is retried until the caller's
// context ends; records that it can never take are told by a *TooLargeError.
//
// Requests go through a client library behind package driver, which sends one and decodes its answer; where it goes,
// and whether it is sent again, is decided here. The package delivers at least once; a record may be written twice when a
// broker's answer is lost.
package kafka
