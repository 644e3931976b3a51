package pipeline

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"go.uber.org/goleak"

	"weir/schemas"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// batch makes rows with the given values of x, at offsets from first on, stamped at second 100.
func batch(t *testing.T, first int64, x ...int64) arrow.Record {
	t.Helper()
	b := array.NewRecordBuilder(schemas.Allocator, arrow.NewSchema([]arrow.Field{
		{Name: "x", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
		{Name: schemas.Offset, Type: arrow.PrimitiveTypes.Int64},
		{Name: schemas.Row, Type: arrow.PrimitiveTypes.Int32},
		{Name: schemas.QueryID, Type: arrow.BinaryTypes.String},
		{Name: schemas.Stamp, Type: arrow.FixedWidthTypes.Timestamp_us},
		{Name: schemas.Deadline, Type: arrow.FixedWidthTypes.Timestamp_us, Nullable: true},
		{Name: schemas.StatusColumn, Type: arrow.PrimitiveTypes.Uint8},
		{Name: schemas.Raw, Type: arrow.BinaryTypes.Binary, Nullable: true},
	}, nil))
	defer b.Release()
	for i, v := range x {
		b.Field(0).(*array.Int64Builder).Append(v)
		b.Field(1).(*array.Int64Builder).Append(first + int64(i))
		b.Field(2).(*array.Int32Builder).Append(0)
		b.Field(3).(*array.StringBuilder).Append(fmt.Sprint("q", v))
		b.Field(4).(*array.TimestampBuilder).Append(arrow.Timestamp(stamp.UnixMicro()))
		if v >= 1000 { // a deadline of so many microseconds
			b.Field(5).(*array.TimestampBuilder).Append(arrow.Timestamp(stamp.UnixMicro() + v))
		} else {
			b.Field(5).AppendNull()
		}
		if v < 0 { // so many undecodable bytes
			b.Field(6).(*array.Uint8Builder).Append(uint8(schemas.Rejected))
			b.Field(7).(*array.BinaryBuilder).Append(make([]byte, -v))
		} else {
			b.Field(6).(*array.Uint8Builder).Append(0)
			b.Field(7).AppendNull()
		}
	}
	return b.NewRecord()
}

var stamp = time.Unix(100, 0)

// stageFunc ends or fails rows by their x.
type stageFunc func(in arrow.Record) (arrow.Record, error)

func (f stageFunc) Process(_ context.Context, in arrow.Record) (arrow.Record, error) { return f(in) }

func values(in arrow.Record) []int64 {
	c, err := schemas.Column[*array.Int64](in, "x")
	if err != nil {
		panic(err)
	}
	return c.Int64Values()
}

// endIf answers the rows that match.
func endIf(match func(x int64) bool) stageFunc {
	return func(in arrow.Record) (arrow.Record, error) {
		var ends []schemas.Ending
		for i, x := range values(in) {
			if match(x) {
				ends = append(ends, schemas.Ending{Row: i, Status: schemas.Answered})
			}
		}
		return schemas.End(in, ends), nil
	}
}

// memory is an output topic in memory. It takes no row whose x is in large unless the row is bare.
type memory struct {
	mu    sync.Mutex
	lines []string
	next  int64
	large []int64
	// maxRaw, if not 0, bounds the original bytes of a row, and lines tell how many those are.
	maxRaw int
	done   map[int64]int32
	fail   error
	gate   chan struct{} // if not nil: writes wait for it
	wrote  chan string   // if not nil: told of every line
}

func (m *memory) Open(context.Context, Partition, Position) (Writer, error) { return m, nil }
func (m *memory) Close() error                                              { return nil }
func (m *memory) Epoch() int32                                              { return 2 }
func (m *memory) Done() RowSet                                              { return memoryRows{m} }

// memoryRows are the rows that an earlier owner wrote, in the epoch that done tells.
type memoryRows struct{ *memory }

func (m memoryRows) Has(offset int64, _ int32) bool    { return m.done[offset] != 0 }
func (m memoryRows) Epoch(offset int64, _ int32) int32 { return m.done[offset] }

func (m *memory) Position() Position {
	m.mu.Lock()
	defer m.mu.Unlock()
	return Position{m.next}
}

func (m *memory) Write(ctx context.Context, b arrow.Record) error {
	if m.gate != nil {
		select {
		case <-m.gate:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.fail != nil {
		return m.fail
	}
	var tooLarge *TooLargeError
	for i := range int(b.NumRows()) {
		raw := rawLen(b, i)
		if schemas.Has(b, "x") && slices.Contains(m.large, values(b)[i]) || m.maxRaw > 0 && raw > m.maxRaw {
			if tooLarge == nil {
				tooLarge = &TooLargeError{Limit: "1 MiB"}
			}
			tooLarge.Rows = append(tooLarge.Rows, i)
			continue
		}
		line := show(b, i)
		if m.maxRaw > 0 {
			line += fmt.Sprint(" raw=", raw)
		}
		m.lines = append(m.lines, line)
		m.next++
		if m.wrote != nil {
			m.wrote <- line
		}
	}
	if tooLarge != nil {
		return tooLarge
	}
	return nil
}

func rawLen(b arrow.Record, row int) int {
	raw, err := schemas.Column[*array.Binary](b, schemas.Raw)
	if err != nil {
		return 0
	}
	return len(raw.Value(row))
}

func show(b arrow.Record, row int) string {
	offsets, _, _ := identity(b)
	status, _ := schemas.Column[*array.Uint8](b, schemas.StatusColumn)
	parts := []string{fmt.Sprint(offsets[row]), schemas.Status(status.Value(row)).String()}
	if code, err := schemas.Column[*array.String](b, schemas.ReasonCode); err == nil && code.IsValid(row) {
		message, _ := schemas.Column[*array.String](b, schemas.ReasonMessage)
		parts = append(parts, code.Value(row), message.Value(row))
	}
	if late, err := schemas.Column[*array.Boolean](b, schemas.Late); err == nil && late.Value(row) {
		parts = append(parts, "late")
	}
	if epoch, err := schemas.Column[*array.Int32](b, schemas.Epoch); err == nil && epoch.Value(row) != 2 {
		parts = append(parts, fmt.Sprint("epoch ", epoch.Value(row)))
	}
	return strings.Join(parts, " ")
}

type outputs struct{ predictions, next, dead, decisions memory }

// open opens a segment of the given stages over outputs in memory, at 5 ms after the rows' stamp.
func open(t *testing.T, o *outputs, withNext bool, stages ...Stage) Owner {
	t.Helper()
	s := &Segment{Name: "main", Objective: 10 * time.Millisecond, Now: func() time.Time { return stamp.Add(5 * time.Millisecond) },
		Outputs: Outputs{Predictions: &o.predictions, Dead: &o.dead, Decisions: &o.decisions}}
	if withNext {
		s.Outputs.Next = &o.next
	}
	for i, st := range stages {
		s.Stages = append(s.Stages, NamedStage{Name: fmt.Sprint("s", i), Stage: st})
	}
	owner, err := s.Open(t.Context(), Partition{Topic: "t.queries"})
	if err != nil {
		t.Fatal(err)
	}
	return owner
}

func deliver(t *testing.T, owner Owner, b arrow.Record) error {
	t.Helper()
	calls := 0
	err := owner.Deliver(t.Context(), Delivery{Rows: b, Next: 100, Routed: func() { calls++ }})
	if calls != 1 {
		t.Errorf("routed was called %d times, want once", calls)
	}
	return err
}

func wantLines(t *testing.T, name string, m *memory, want ...string) {
	t.Helper()
	got := slices.Sorted(slices.Values(m.lines))
	slices.Sort(want)
	if !slices.Equal(got, want) {
		t.Errorf("%s:\n got  %q\n want %q", name, got, want)
	}
}

// noLeak fails if Arrow memory is still held at the end of the test.
func noLeak(t *testing.T) {
	before := schemas.Allocator.InUse()
	t.Cleanup(func() {
		if after := schemas.Allocator.InUse(); after != before {
			t.Errorf("%d bytes of Arrow memory leaked", after-before)
		}
	})
}

func TestDeliverRoutesRows(t *testing.T) {
	noLeak(t)
	var o outputs
	owner := open(t, &o, false, endIf(func(x int64) bool { return x < 3 }))
	b := batch(t, 10, 1, 5, -1, 2)
	defer b.Release()
	if err := deliver(t, owner, b); err != nil {
		t.Fatal(err)
	}
	all := []string{"10 answered", "11 answered", "12 rejected", "13 answered"}
	wantLines(t, "predictions", &o.predictions, all...)
	wantLines(t, "decisions", &o.decisions, all...)
	wantLines(t, "dead", &o.dead, "12 rejected")
}

func TestDeliverSendsOpenRowsOn(t *testing.T) {
	noLeak(t)
	var o outputs
	owner := open(t, &o, true, endIf(func(x int64) bool { return x < 3 }))
	b := batch(t, 10, 1, 5)
	defer b.Release()
	if err := deliver(t, owner, b); err != nil {
		t.Fatal(err)
	}
	wantLines(t, "predictions", &o.predictions, "10 answered")
	wantLines(t, "next", &o.next, "11 open")
}

// An easy row is durable while the next stage still works on a hard one.
func TestDeliverWritesEasyRowsFirst(t *testing.T) {
	noLeak(t)
	var o outputs
	o.predictions.wrote = make(chan string, 2)
	var first string
	slow := stageFunc(func(in arrow.Record) (arrow.Record, error) {
		first = <-o.predictions.wrote
		in.Retain()
		return in, nil
	})
	b := batch(t, 0, 1, 5)
	defer b.Release()
	if err := deliver(t, open(t, &o, false, endIf(func(x int64) bool { return x == 1 }), slow), b); err != nil {
		t.Fatal(err)
	}
	if first != "0 answered" {
		t.Errorf("first write: got %q, want the easy row", first)
	}
}

// A delivery is routed while its decisions still linger, and done only after them.
func TestDeliverRoutedBeforeDecisions(t *testing.T) {
	noLeak(t)
	var o outputs
	o.decisions.gate = make(chan struct{})
	owner := open(t, &o, false)
	b := batch(t, 0, 1)
	defer b.Release()
	err := owner.Deliver(t.Context(), Delivery{Rows: b, Next: 1, Routed: func() {
		wantLines(t, "predictions at routed", &o.predictions, "0 answered")
		wantLines(t, "decisions at routed", &o.decisions)
		close(o.decisions.gate)
	}})
	if err != nil {
		t.Fatal(err)
	}
	wantLines(t, "decisions", &o.decisions, "0 answered")
}

func TestDeliverIsolatesFailures(t *testing.T) {
	boom := func(f func()) stageFunc {
		return func(in arrow.Record) (arrow.Record, error) {
			if slices.Contains(values(in), 3) {
				f()
				return nil, errors.New("bad row")
			}
			in.Retain()
			return in, nil
		}
	}
	reversed := stageFunc(func(in arrow.Record) (arrow.Record, error) {
		return schemas.Take(in, []int{1, 0}[2-min(in.NumRows(), 2):]), nil
	})
	for name, test := range map[string]struct {
		stage Stage
		want  []string
	}{
		"error": {boom(func() {}), []string{"1 answered", "2 answered", "3 failed stage_failed stage s0: bad row", "4 answered"}},
		"panic": {boom(func() { panic("bug") }), []string{"1 answered", "2 answered", "3 failed stage_failed stage s0: panic: bug", "4 answered"}},
		"order": {reversed, []string{"1 answered", "2 answered", "3 answered", "4 answered"}}, // alone, no row can be out of order
	} {
		t.Run(name, func(t *testing.T) {
			noLeak(t)
			var o outputs
			b := batch(t, 1, 1, 2, 3, 4)
			defer b.Release()
			if err := deliver(t, open(t, &o, false, test.stage), b); err != nil {
				t.Fatal(err)
			}
			wantLines(t, "predictions", &o.predictions, test.want...)
		})
	}
}

func TestDeliverStopsOnPermanentError(t *testing.T) {
	gone := Permanent(errors.New("model gone"))
	for name, stage := range map[string]stageFunc{
		"at once": func(arrow.Record) (arrow.Record, error) { return nil, gone },
		"in a half": func(in arrow.Record) (arrow.Record, error) {
			if in.NumRows() > 1 {
				return nil, errors.New("bad row")
			}
			return nil, gone
		},
	} {
		t.Run(name, func(t *testing.T) {
			noLeak(t)
			var o outputs
			b := batch(t, 0, 1, 2)
			defer b.Release()
			err := deliver(t, open(t, &o, false, stage), b)
			if !IsPermanent(err) || !strings.Contains(err.Error(), "model gone") {
				t.Errorf("got %v, want a permanent error that names the cause", err)
			}
		})
	}
}

func TestDeliverReportsWriteErrors(t *testing.T) {
	for name, broken := range map[string]func(*outputs) *memory{
		"predictions": func(o *outputs) *memory { return &o.predictions },
		"decisions":   func(o *outputs) *memory { return &o.decisions },
		"dead":        func(o *outputs) *memory { return &o.dead },
	} {
		t.Run(name, func(t *testing.T) {
			noLeak(t)
			var o outputs
			broken(&o).fail = errors.New("broker gone")
			b := batch(t, 0, 1, -1)
			defer b.Release()
			err := deliver(t, open(t, &o, false), b)
			if err == nil || !strings.Contains(err.Error(), name) || !strings.Contains(err.Error(), "broker gone") {
				t.Errorf("got %v, want an error that names the output and the cause", err)
			}
		})
	}
}

// The clock stands 5 ms after the stamp.
func TestDeliverHardDeadline(t *testing.T) {
	noLeak(t)
	var o outputs
	asked := 0
	stage := stageFunc(func(in arrow.Record) (arrow.Record, error) {
		asked += int(in.NumRows())
		in.Retain()
		return in, nil
	})
	b := batch(t, 0, 4000, 9000, 1)
	defer b.Release()
	if err := deliver(t, open(t, &o, false, stage), b); err != nil {
		t.Fatal(err)
	}
	wantLines(t, "predictions", &o.predictions,
		"0 expired deadline the hard deadline passed before a model answered late", "1 answered", "2 answered")
	if asked != 2 {
		t.Errorf("the stage saw %d rows, want 2: an expired row never reaches it", asked)
	}
}

func TestDeliverMarksLate(t *testing.T) {
	noLeak(t)
	var o outputs
	owner := open(t, &o, false).(*owner)
	owner.now = func() time.Time { return stamp.Add(11 * time.Millisecond) }
	b := batch(t, 0, 1)
	defer b.Release()
	if err := deliver(t, owner, b); err != nil {
		t.Fatal(err)
	}
	wantLines(t, "predictions", &o.predictions, "0 answered late")
}

func TestDeliverShrinksWhatIsTooLarge(t *testing.T) {
	noLeak(t)
	var o outputs
	o.predictions.large, o.decisions.large, o.dead.maxRaw = []int64{7}, []int64{7}, 70_000
	b := batch(t, 0, 6, 7, -1, -100_000)
	defer b.Release()
	if err := deliver(t, open(t, &o, false), b); err != nil {
		t.Fatal(err)
	}
	wantLines(t, "predictions", &o.predictions, "0 answered", "2 rejected", "3 rejected",
		"1 failed too_large the record is larger than the predictions topic takes: 1 MiB")
	wantLines(t, "decisions", &o.decisions, "0 answered", "2 rejected", "3 rejected",
		"1 failed too_large the record is larger than the decisions topic takes: 1 MiB")
	wantLines(t, "dead", &o.dead, "2 rejected raw=1",
		"3 rejected too_large the record is larger than the dead topic takes: 1 MiB raw=65536")
}

func TestDeliverEndsWhatNextCannotTake(t *testing.T) {
	noLeak(t)
	var o outputs
	o.next.large = []int64{7}
	b := batch(t, 0, 6, 7)
	defer b.Release()
	if err := deliver(t, open(t, &o, true), b); err != nil {
		t.Fatal(err)
	}
	wantLines(t, "next", &o.next, "0 open")
	wantLines(t, "predictions", &o.predictions, "1 failed too_large the record is larger than the next topic takes: 1 MiB")
	wantLines(t, "decisions", &o.decisions, "1 failed too_large the record is larger than the next topic takes: 1 MiB")
}

// A new owner writes no row again that its predecessor wrote; a lost decision alone is made up for, and one
// that belongs to another epoch's prediction is lost. It is not made up for by an owner that answers differently, nor where
// another segment answered.
func TestDeliverSkipsFinishedRows(t *testing.T) {
	noLeak(t)
	var o outputs
	o.predictions.done = map[int64]int32{0: 1, 1: 1, 4: 2, 5: OtherVersion, 6: OtherSegment}
	o.decisions.done = map[int64]int32{0: 1, 4: 1}
	o.next.done = map[int64]int32{2: 1}
	b := batch(t, 0, 1, 1, 9, 9, 1, 1, 1)
	defer b.Release()
	if err := deliver(t, open(t, &o, true, endIf(func(x int64) bool { return x == 1 })), b); err != nil {
		t.Fatal(err)
	}
	wantLines(t, "predictions", &o.predictions)
	wantLines(t, "decisions", &o.decisions, "1 answered epoch 1", "4 answered")
	wantLines(t, "next", &o.next, "3 open")
}
