package schemas

import (
	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/bitutil"
)

// Settle makes a record safe for several readers at once. Arrow counts the nulls of a slice when it is first
// asked for them, and notes the count without a lock: two readers would race. Settle counts them all.
func Settle(rec arrow.Record) {
	for _, c := range rec.Columns() {
		settle(c.Data())
	}
}

func settle(data arrow.ArrayData) {
	if d, ok := data.(*array.Data); ok && d.NullN() < 0 {
		nulls := 0
		if valid := d.Buffers()[0]; valid != nil {
			nulls = d.Len() - bitutil.CountSetBits(valid.Bytes(), d.Offset(), d.Len())
		}
		d.SetNullN(nulls)
	}
	for _, child := range data.Children() {
		settle(child)
	}
}
