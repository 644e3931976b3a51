// Package schemas knows what Weir's columns mean and how rows look on the wire.
//
//	Kafka record ──► Decoder ──► arrow.Record ──► stages ──► Encoder ──► Message
//	 JSON, Arrow      Queries                               Predictions, Decisions,
//	                  Rows                                  Next, Dead
//
// A decoder never fails: what cannot be decoded becomes a rejected row that says why and where, and its
// neighbours are untouched. Arrow bytes from outside are read only by DecodeIPC, which trusts nothing.
// The package reads no clock, starts no goroutine and knows neither Kafka nor models.
package schemas
