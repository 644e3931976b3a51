// Package audit reads a pipeline's topics and says what became of each query.
//
//	queries/p ──► which rows there are ──┐
//	predictions/p ──► their first answers ┼──► chunks of rows ──► lost, unknown, pending
//	decisions/p ──► what was decided ────┘         └► suspects, judged by a second look ──► twice, contradictory
//
// It is exact, and its memory is bounded whatever the range: a row takes 8 bytes, and a chunk of rows is
// forgotten once each of them has its prediction and its decision. Where more rows than fit stay open, the
// partition is read in several windows of queries, each with the predictions from the first that belongs to it
// on. What cannot be told from 8 bytes, such as whether two predictions differ, is looked at again by place.
package audit
