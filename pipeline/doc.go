// Package pipeline carries batches of queries through stages, from a topic to a topic.
//
//	source ──► deliver ──► stage ──► stage ──► … ──► next segment's topic, or the rest as answered
//	                 │         └ final rows leave at once ──► predictions, decisions
//	                 └ rejected rows ──► dead, predictions
//
// A pipeline is a YAML file (Load) or Go values (Segment). Stages compose into segments; a segment runs
// from one topic to the next, so that the same stages run fused in one process or spread over many.
//
// The call stack is the acknowledgement: Deliver returns nil only when every row of the batch is durable
// downstream, and the source commits no further than that. A row that a stage cannot process ends with a
// status and a reason; it never stops its neighbours.
//
// This package opens no connection, loads no model and starts no goroutine that outlives a call.
package pipeline
