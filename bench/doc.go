// Command bench measures Weir's speeds, each beside its floor in the same run.
//
//	core 0: broker, generator, collector        core 1: the subject, ours or the floor
//
// The two subjects alternate in short blocks, ours floor floor ours and so on, so that a machine that slows
// down or warms up does the same to both, and the result is their ratio with its spread. What each figure
// means stands in docs/benchmarks.md.
package main
