package pipeline

import (
	"encoding/binary"
	"errors"
	"slices"
	"sync"
)

// outputCount is the number of outputs that a mark speaks of, in the order of positions.
const outputCount = 4

// positions of all outputs of a segment: predictions, next, dead, decisions; nil for one that it lacks.
type positions [outputCount]Position

// marks remembers where the outputs stood when each delivery began, because that is the only place below
// which no row of the delivery can lie. The positions at commit time would be wrong: a delivery further
// ahead may have written before the commit, and a scan that starts there would miss its rows.
//
// Nor is it enough to remember one's own deliveries. An earlier owner may have finished rows far ahead, which
// this one will skip and not write again; whoever comes next must find them too. They lie from where this
// owner began to look, so until everything that an earlier owner can have read is committed, so does the mark.
type marks struct {
	mu      sync.Mutex
	entries []*markEntry // in the order of begin
}

type markEntry struct {
	next int64 // offset behind the delivery
	at   positions
}

// begin notes a delivery that ends before next, in offsets of the segment's input, and before which the outputs
// stood at.
func (m *marks) begin(next int64, at positions) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.entries = append(m.entries, &markEntry{next, at})
}

// inherit notes that earlier owners may have written rows below end, from the positions at on.
func (m *marks) inherit(end int64, at positions) { m.begin(end, at) }

// before gives the positions below which no row at or above next was written; now is where the outputs
// stand. It forgets the deliveries that lie below next, as commits only go up.
func (m *marks) before(next int64, now positions) positions {
	m.mu.Lock()
	defer m.mu.Unlock()
	kept := m.entries[:0]
	for _, e := range m.entries {
		if e.next > next {
			kept = append(kept, e)
			now = now.min(e.at)
		}
	}
	clear(m.entries[len(kept):])
	m.entries = kept
	return now
}

// min is the lower position of each output partition; -1, unknown, is the lowest.
func (p positions) min(q positions) positions {
	var out positions
	for i := range p {
		switch a, b := p[i], q[i]; {
		case len(a) == len(b):
			for j := range a {
				out[i] = append(out[i], min(a[j], b[j]))
			}
		case len(a) > 0:
			out[i] = unknown(len(a))
		default:
			out[i] = unknown(len(b))
		}
	}
	return out
}

func unknown(partitions int) Position { return slices.Repeat(Position{-1}, partitions) }

// within is p, or unknown where it lies behind the end of an output: that was made anew, and what p spoke of is gone.
func (p Position) within(end Position) Position {
	for i := range p {
		if i < len(end) && p[i] > end[i] {
			return unknown(len(p))
		}
	}
	return p
}

// markVersion is that of the encoding. In version 1 an output without positions was one of which nothing is known, too.
const markVersion = 2

// encode gives a version byte, then for each output the number of positions and the positions, as varints.
func (p positions) encode() []byte {
	b := []byte{markVersion}
	for _, at := range p {
		b = binary.AppendUvarint(b, uint64(len(at)))
		for _, v := range at {
			b = binary.AppendVarint(b, v)
		}
	}
	return b
}

var errMark = errors.New("pipeline: the commit's metadata is not a mark of this version")

// decodeMark is the inverse of encode. An empty mark knows nothing and is legal, and so is one of version 1.
func decodeMark(b []byte) (positions, error) {
	var p positions
	if len(b) == 0 {
		return p, nil
	}
	version := b[0]
	if version == 0 || version > markVersion {
		return p, errMark
	}
	b = b[1:]
	for i := range p {
		count, n := binary.Uvarint(b)
		if n <= 0 || count > uint64(len(b)) {
			return positions{}, errMark
		}
		b = b[n:]
		for range count {
			v, n := binary.Varint(b)
			if n <= 0 {
				return positions{}, errMark
			}
			p[i], b = append(p[i], v), b[n:]
		}
		if version == 1 && count == 0 {
			p[i] = unknown(1)
		}
	}
	if len(b) != 0 {
		return positions{}, errMark
	}
	return p, nil
}
