// Package floor is the loop that a good engineer writes by hand for one pipeline and nothing else: what a
// framework is measured against.
//
//	fetch ──► decode ──► light ──► sure enough ──► JSON ──► produce
//	                          └──► heavy ───────────┘
//
// A second loop may lie between the models, with a topic of raw pixels (Loop.Next). It has the parser, the models and the connections that the pipeline has, and none of its stages, records,
// statuses, deadlines, metrics, decisions or retries. An error ends it.
package floor
