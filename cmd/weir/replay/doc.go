// Package replay runs a pipeline over recorded queries and compares its answers with the recorded ones.
//
//	queries/p ──► pace ──► deliveries ──► the candidate's segment ──► predictions of its own
//	                                                                       │
//	predictions/p ──► where each span of queries was answered ──► compare, chunk by chunk ──► same, or why not
//
// The live topics are only read, and no group is joined. Rows meet by their place in the queries topic. A
// difference is explained if something that is recorded accounts for it: the deadline's cut, a model's version, a
// threshold, the last bits of a score at a threshold, a model's failure, or another spec. What is left contradicts
// the third law, by which an answer depends on nothing else.
//
// Memory is bounded whatever the range: a partition holds a chunk or two of answers, and for every span of
// queries the few places where their predictions lie.
package replay
