// Package sim is a cluster in memory and virtual time, in which pipelines crash, freeze and come back.
//
//	World ── seed ──► processes that die, freeze and wake ──► Log ──► Judge: lost, twice, contradictory, disordered
//
// The log fences as Kafka does, not as strictly as an embedded broker might: an older epoch is refused in a
// partition only from the newer one's first batch or marker there. A write that was under way when its process
// died may still arrive later. Everything random is drawn from one seed, and time is that of the
// testing/synctest bubble in which a world must run, so that thousands of seeds take seconds.
//
// What runs in it is the real pipeline.Segment; topics, groups and processes are simulated.
package sim
