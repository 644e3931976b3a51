package replay

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apache/arrow/go/v17/arrow/array"
	"go.uber.org/goleak"

	"weir/pipeline"
	"weir/schemas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var schema = schemas.Schema{Fields: []schemas.Field{{Name: "x", Type: schemas.Type{Kind: schemas.Float32}}}}

// queries is a decoder whose queries have a hard deadline of 5 ms.
func queries() schemas.Decoder {
	return schemas.NewQueries(schemas.QueryOptions{Schema: schema, Topic: "p.queries", Deadline: 5 * time.Millisecond})
}

// A diary is an owner that writes down what it is given, and when.
type diary struct {
	t     *testing.T
	began time.Time
	takes time.Duration // a delivery

	mu       sync.Mutex
	lines    []string        // when: offsets; the first row's stamp and deadline where it has one
	after    map[int64]int64 // of each delivery's end: that of the one before it
	flying   int
	together int // the most deliveries at once
}

// Deliver implements pipeline.Owner.
func (d *diary) Deliver(_ context.Context, in pipeline.Delivery) error {
	d.mu.Lock()
	d.lines = append(d.lines, d.line(in))
	d.after[in.Next] = in.After
	d.flying++
	d.together = max(d.together, d.flying)
	d.mu.Unlock()
	if d.takes > 0 {
		done := time.NewTimer(d.takes)
		<-done.C
	}
	d.mu.Lock()
	d.flying--
	d.mu.Unlock()
	in.Routed()
	return nil
}

func (d *diary) line(in pipeline.Delivery) string {
	offsets, err := schemas.Column[*array.Int64](in.Rows, schemas.Offset)
	if err != nil {
		d.t.Error(err)
		return ""
	}
	n := offsets.Len()
	text := fmt.Sprintf("%v: %d-%d", time.Since(d.began), offsets.Value(0), offsets.Value(n-1))
	since := func(name string) {
		if c, err := schemas.Column[*array.Timestamp](in.Rows, name); err != nil {
			d.t.Error(err)
		} else if c.IsValid(0) {
			text += fmt.Sprintf(" %s %v", strings.TrimPrefix(name, "_"), time.UnixMicro(int64(c.Value(0))).Sub(d.began))
		}
	}
	since(schemas.Stamp)
	since(schemas.Deadline)
	return text
}

// Mark and Close implement pipeline.Owner.
func (d *diary) Mark(int64) []byte { return nil }
func (d *diary) Close() error      { return nil }

// drive feeds records, stamped so long after the first, to a diary. It gives the chunks as well: from, to, rows.
func drive(t *testing.T, speed float64, takes time.Duration, stamps []time.Duration) (*diary, []string) {
	before := schemas.Allocator.InUse()
	recorded := time.Date(2026, 11, 24, 9, 0, 0, 0, time.UTC)
	d := &diary{t: t, began: time.Now(), takes: takes, after: map[int64]int64{}}
	chunks := make(chan *chunk, len(stamps))
	f := newFeeder(pace{speed, recorded, d.began}, func(offset int64) int { return int(offset / 1000) }, queries(), d, chunks)
	for i, after := range stamps {
		r := schemas.Record{Offset: int64(i), Time: recorded.Add(after), Value: []byte(`{"x":1}`)}
		if err := f.take(t.Context(), &r); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.end(t.Context(), int64(len(stamps))); err != nil {
		t.Fatal(err)
	}
	f.join()
	close(chunks)
	var lines []string
	for c := range chunks {
		if err := c.flights.Wait(); err != nil {
			t.Error(err)
		}
		lines = append(lines, fmt.Sprint(c.from, c.to, c.rows))
	}
	if leak := schemas.Allocator.InUse() - before; leak != 0 {
		t.Errorf("%d bytes leaked", leak)
	}
	return d, lines
}

func TestPace(t *testing.T) {
	ms := func(after ...time.Duration) []time.Duration {
		for i := range after {
			after[i] *= time.Millisecond
		}
		return after
	}
	for _, c := range []struct {
		name   string
		speed  float64
		stamps []time.Duration
		want   []string
	}{
		{"as recorded", 1, ms(0, 10, 10, 30), []string{
			"0s: 0-0 stamp 0s deadline 5ms", "10ms: 1-2 stamp 10ms deadline 15ms", "30ms: 3-3 stamp 30ms deadline 35ms"}},
		{"ten times as fast", 10, ms(0, 100, 300), []string{
			"0s: 0-0 stamp 0s deadline 5ms", "10ms: 1-1 stamp 10ms deadline 15ms", "30ms: 2-2 stamp 30ms deadline 35ms"}},
		{"half as fast", 0.5, ms(0, 10), []string{"0s: 0-0 stamp 0s deadline 5ms", "20ms: 1-1 stamp 20ms deadline 25ms"}},
		{"out of order, and before the first", 1, ms(10, 5, -5, 20), []string{
			"10ms: 0-2 stamp 10ms deadline 15ms", "20ms: 3-3 stamp 20ms deadline 25ms"}},
		{"flat out, without deadlines", 0, ms(0, 10, 1000), []string{"0s: 0-2 stamp 0s"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				d, _ := drive(t, c.speed, 0, c.stamps)
				if !slices.Equal(d.lines, c.want) {
					t.Errorf("got\n%s\nwant\n%s", strings.Join(d.lines, "\n"), strings.Join(c.want, "\n"))
				}
			})
		})
	}
}

// A slow candidate is given as much as may be in flight, and its budget runs from when a query was due.
func TestFeederBounds(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d, chunks := drive(t, 0, time.Second, make([]time.Duration, 2500))
		if d.together != inFlight || len(d.lines) != 4+4+2 { // a chunk's last delivery is a smaller one
			t.Errorf("%d deliveries, %d together, want 10 and %d", len(d.lines), d.together, inFlight)
		}
		if want := map[int64]int64{256: 0, 512: 256, 768: 512, 1000: 768, 1256: 1000, 1512: 1256, 1768: 1512, 2000: 1768, 2256: 2000, 2500: 2256}; !maps.Equal(d.after, want) {
			t.Errorf("deliveries follow each other as %v, want %v", d.after, want)
		}
		if want := []string{"0 1000 1000", "1000 2000 1000", "2000 2500 500"}; !slices.Equal(chunks, want) {
			t.Errorf("chunks %q, want %q", chunks, want)
		}
	})
	synctest.Test(t, func(t *testing.T) {
		var stamps []time.Duration
		for i := range inFlight + 1 {
			stamps = append(stamps, time.Duration(i)*time.Millisecond)
		}
		d, _ := drive(t, 1, time.Second, stamps)
		if want := "1s: 4-4 stamp 4ms deadline 9ms"; d.lines[inFlight] != want {
			t.Errorf("got %q, want %q", d.lines[inFlight], want)
		}
	})
}

// A wait ends with its context.
func TestUntil(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := until(ctx, time.Now().Add(time.Hour)); err != context.Canceled {
		t.Errorf("got %v", err)
	}
}
