package audit

import (
	"sort"

	"weir/cmd/weir/answers"
)

// A mark is what is known of a row.
type mark uint64

const (
	predicted mark = 1 << 63
	decided   mark = 1 << 62 // by a decision of the prediction's epoch
	pending   mark = 1 << 61 // it waits in a topic between segments
	epochBits      = 45      // the segment and the low 8 bits of its epoch; below them is the digest of what was said
	epochMask      = 1<<16 - 1
	saidBits  mark = 1<<epochBits - 1
)

func markOf(epoch int32, said uint64) mark {
	return predicted | mark(epoch&epochMask)<<epochBits | mark(said)&saidBits
}

func (m mark) epoch() int32 { return int32(m>>epochBits) & epochMask }

const (
	// chunkRows is how many rows, or offsets, begin a new chunk.
	chunkRows = 1 << 16
	// openRows is how many rows and offsets of unfinished chunks a window has at most: 12 bytes each, and orderedRows
	// where order matters, as keys take eight more, and up to forty in a map.
	openRows    = 8 << 20
	orderedRows = 2 << 20
)

// A chunk is what is known of the queries at some neighbouring offsets. A sealed chunk has forgotten all but
// its bounds: each of its rows has one prediction, and its decision.
type chunk struct {
	from, to  int64    // offsets
	first     []uint32 // by offset: the place of its first row in marks; one more at the end
	marks     []mark
	keys      []uint64 // by mark: hash of the query's key, 0 without one; only where order matters
	open      int      // rows without a prediction
	undecided int      // predictions without a decision
	full      bool
}

func newChunk(from int64) *chunk { return &chunk{from: from, to: from, first: []uint32{0}} }

// add appends the rows of the record at an offset. Offsets that hold no query were passed over.
func (c *chunk) add(offset int64, rows int) {
	c.skip(offset)
	for range rows {
		c.marks = append(c.marks, 0)
	}
	c.open += rows
	c.skip(offset + 1)
}

// skip moves the end of the chunk up to an offset.
func (c *chunk) skip(to int64) {
	for ; c.to < to; c.to++ {
		c.first = append(c.first, uint32(len(c.marks)))
	}
}

func (c *chunk) sealed() bool { return c.full && c.first == nil }

// size is what the chunk counts against openRows.
func (c *chunk) size() int { return len(c.marks) + len(c.first) }

// seal forgets what nobody will ask for.
func (c *chunk) seal() bool {
	if !c.full || c.first == nil || c.open > 0 || c.undecided > 0 {
		return false
	}
	c.first, c.marks, c.keys = nil, nil, nil
	return true
}

// at is the mark of a row, nil where there is no such row.
func (c *chunk) at(k key) *mark {
	if i := c.index(k); i >= 0 {
		return &c.marks[i]
	}
	return nil
}

// keyOf is the hash of a row's key, of a row that there is.
func (c *chunk) keyOf(k key) uint64 { return c.keys[c.index(k)] }

// index is a row's place in marks, -1 where there is no such row.
func (c *chunk) index(k key) int {
	i := k.Offset - c.from
	from, to := c.first[i], c.first[i+1]
	if k.Row < 0 || k.Row >= int32(to-from) {
		return -1
	}
	return int(from) + int(k.Row)
}

// each calls f for every row.
func (c *chunk) each(f func(k key, m mark)) {
	for i := range c.first[1:] {
		for j := c.first[i]; j < c.first[i+1]; j++ {
			f(key{Offset: c.from + int64(i), Row: int32(j - c.first[i])}, c.marks[j])
		}
	}
}

// find is the chunk that holds an offset, nil where none does.
func find(chunks []*chunk, offset int64) *chunk {
	i := sort.Search(len(chunks), func(i int) bool { return chunks[i].to > offset })
	if i == len(chunks) || chunks[i].from > offset {
		return nil
	}
	return chunks[i]
}

// key is a row's place in its partition of the queries.
type key = answers.Place
