// Package loadgen offers load as the outside world does: open loop. Arrivals follow a schedule that was
// fixed beforehand and does not wait for answers, so a slow system cannot slow its own examiner down, and
// a latency counts from the moment at which the query should have been sent.
//
//	Poisson ──► Pace ──► send(i, intended time)        answers ──► Latencies ──► p50, p99, p99.9
//
// The package neither sends nor receives anything itself, and starts no goroutine.
package loadgen
