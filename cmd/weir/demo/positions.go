package demo

import (
	"sync"

	"weir/schemas"
)

// positions follows how far the partitions of a topic are read.
type positions struct {
	mu      sync.Mutex
	next    []int64
	goal    []int64       // nil until somebody waits
	reached chan struct{} // closed once next is at goal in every partition
}

func newPositions(from []int64) *positions {
	return &positions{next: append([]int64(nil), from...)}
}

// saw notes a record.
func (p *positions) saw(r schemas.Record) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if int(r.Partition) < len(p.next) {
		p.next[r.Partition] = r.Offset + 1
	}
	p.check()
}

// reach gives a channel that closes once every partition is read up to goal. It is called once.
func (p *positions) reach(goal []int64) <-chan struct{} {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.goal, p.reached = goal, make(chan struct{})
	p.check()
	return p.reached
}

func (p *positions) check() {
	if p.goal == nil {
		return
	}
	for i, next := range p.next {
		if i < len(p.goal) && next < p.goal[i] {
			return
		}
	}
	close(p.reached)
	p.goal = nil
}
