package kafka

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"weir/schemas"
)

// OriginHeader names the header that says which rows a record holds: their places in the queries topic, and
// the epoch of the prediction that they belong to. A new owner reads it to find what its predecessor wrote.
//
// The value is the version of who wrote it (Fence.Version), then a list of runs of neighbouring rows, each of four
// varints: the epoch, the offset of the first
// row less that of the run before, its row, and a count. A positive count goes up in offsets, one row a
// record; a negative one in rows of one record. A record of a single row takes 10 to 20 bytes.
const OriginHeader = "weir-src"

// origins are the columns that a record's origin is made of.
type origins struct {
	offsets []int64
	rows    []int32
	epochs  *array.Int32 // nil: epoch for every row
	epoch   int32
}

func originsOf(rec arrow.Record, epoch int32) (origins, error) {
	offsets, err := schemas.Column[*array.Int64](rec, schemas.Offset)
	if err != nil {
		return origins{}, err
	}
	rows, err := schemas.Column[*array.Int32](rec, schemas.Row)
	if err != nil {
		return origins{}, err
	}
	o := origins{offsets.Int64Values(), rows.Int32Values(), nil, epoch}
	o.epochs, _ = schemas.Column[*array.Int32](rec, schemas.Epoch)
	return o, nil
}

func (o *origins) epochAt(i int) int32 {
	if o.epochs == nil || o.epochs.IsNull(i) {
		return o.epoch
	}
	return o.epochs.Value(i)
}

// append adds the version and the runs of the rows from, from+1, … to-1.
func (o *origins) append(b []byte, version uint32, from, to int) []byte {
	b = binary.AppendUvarint(b, uint64(version))
	last := int64(0)
	for from < to {
		n := o.run(from, to)
		b = binary.AppendVarint(b, int64(o.epochAt(from)))
		b = binary.AppendVarint(b, o.offsets[from]-last)
		b = binary.AppendVarint(b, int64(o.rows[from]))
		b = binary.AppendVarint(b, int64(n))
		last = o.offsets[from]
		if n < 0 {
			n = -n
		}
		from += n
	}
	return b
}

// run counts the rows from a place on that are neighbours: positive in offsets, negative in rows.
func (o *origins) run(from, to int) int {
	byOffset, byRow := 1, 1
	for i := from + 1; i < to && o.epochAt(i) == o.epochAt(from); i++ {
		step := i - from
		up := o.offsets[i] == o.offsets[from]+int64(step) && o.rows[i] == o.rows[from]
		across := o.offsets[i] == o.offsets[from] && o.rows[i] == o.rows[from]+int32(step)
		switch {
		case up && byOffset == step:
			byOffset++
		case across && byRow == step:
			byRow++
		default:
			return longer(byOffset, byRow)
		}
	}
	return longer(byOffset, byRow)
}

func longer(byOffset, byRow int) int {
	if byRow > byOffset {
		return -byRow
	}
	return byOffset
}

var errOrigin = errors.New("the header " + OriginHeader + " is malformed")

// originRows bounds what one record may claim to hold.
const originRows = 1 << 20

// versionOf splits a header into the version of its writer and the runs.
func versionOf(b []byte) (version uint32, runs []byte, err error) {
	v, n := binary.Uvarint(b)
	if n <= 0 || v > math.MaxUint32 {
		return 0, nil, errOrigin
	}
	return uint32(v), b[n:], nil
}

// eachOrigin calls each for the rows that a header's runs name.
func eachOrigin(b []byte, each func(offset int64, row, epoch int32)) error {
	var last, total int64
	for len(b) > 0 {
		var v [4]int64
		for i := range v {
			n := 0
			if v[i], n = binary.Varint(b); n <= 0 {
				return errOrigin
			}
			b = b[n:]
		}
		epoch, offset, row, count := int32(v[0]), last+v[1], int32(v[2]), v[3]
		last = offset
		size := max(count, -count)
		if total += size; size <= 0 || total > originRows {
			return fmt.Errorf("%w: it claims %d rows", errOrigin, total)
		}
		for i := range size {
			if count > 0 {
				each(offset+i, row, epoch)
			} else {
				each(offset, row+int32(i), epoch)
			}
		}
	}
	return nil
}
