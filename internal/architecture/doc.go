// Package architecture holds the rules of this repository's house as tests: who may import whom, where
// goroutines, clocks and state may live, what the deployment files may name, and that each dependency has
// its reason.
//
//	source tree ──► rule ──► finding: file:line: what is wrong
//
// Each rule is also run on a small bad source, so that a rule that finds nothing any more is itself found.
// The rules read syntax alone: they need no build, no network and no second pass over the tree.
package architecture
