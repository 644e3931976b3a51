package schemas

import (
	"slices"
	"sync"
	"testing"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"pgregory.net/rapid"
)

// A slice that was settled has all its nulls counted, rightly, and may be read by two at once.
func TestSettle(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rec, _ := drawRecord(t)
		defer rec.Release()
		n := int(rec.NumRows())
		from := rapid.IntRange(0, n).Draw(t, "from")
		to := rapid.IntRange(from, n).Draw(t, "to")
		part := rec.NewSlice(int64(from), int64(to))
		defer part.Release()
		Settle(part)
		for i, c := range part.Columns() {
			nulls := 0
			for row := range c.Len() {
				if c.IsNull(row) {
					nulls++
				}
			}
			if got := c.Data().NullN(); got != nulls || uncounted(c.Data()) {
				t.Errorf("column %s: %d nulls are noted, want %d, and none unknown below", part.ColumnName(i), got, nulls)
			}
		}
		var readers sync.WaitGroup
		for range 2 {
			readers.Go(func() {
				for _, c := range part.Columns() {
					c.NullN()
					if list, ok := c.(array.ListLike); ok {
						list.ListValues().NullN()
					}
				}
			})
		}
		readers.Wait()
	})
}

func uncounted(data arrow.ArrayData) bool {
	return data.NullN() < 0 || slices.ContainsFunc(data.Children(), uncounted)
}
