package schemas

import (
	"sync"
	"testing"

	"github.com/apache/arrow/go/v17/arrow/array"
)

// Columns of changing lengths and values from several goroutines say what was asked for, and pin nothing of
// the Allocator's.
func TestRepeated(t *testing.T) {
	noLeak(t)
	var texts Repeated[string]
	var numbers Repeated[float32]
	var wg sync.WaitGroup
	for g := range 4 {
		wg.Go(func() {
			for n := range 200 {
				v := []string{"light", "heavy", ""}[(g+n)/50%3]
				a, b := texts.Rows(v, n).(*array.String), numbers.Rows(float32(len(v)), n).(*array.Float32)
				if a.Len() != n || b.Len() != n || a.NullN()+b.NullN() != 0 {
					t.Errorf("got %d and %d rows, want %d", a.Len(), b.Len(), n)
				}
				for row := range n {
					if a.Value(row) != v || b.Value(row) != float32(len(v)) {
						t.Errorf("row %d of %d: got %q, %v, want %q", row, n, a.Value(row), b.Value(row), v)
						break
					}
				}
				a.Release()
				b.Release()
			}
		})
	}
	wg.Wait()
}
