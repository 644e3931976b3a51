package pipeline

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"golang.org/x/sync/errgroup"
	"pgregory.net/rapid"

	"weir/schemas"
)

// A fate is what becomes of a row.
type fate int64

const (
	hard     fate = iota // answered at the end
	easy                 // answered by the first stage
	middling             // answered by the second
	poison               // the second stage fails on it
	late                 // its deadline passes in the first stage
	large                // its prediction is too large until it is bare
	huge                 // until it is anonymous
	bad                  // rejected before any stage
	fates
)

// asked is a query: a row of a record, of a key or none.
type asked struct {
	offset int64
	row    int32
	key    string
	fate   fate
}

// queries makes a batch of what was asked, stamped now.
func queries(rows []asked) arrow.Record {
	b := array.NewRecordBuilder(schemas.Allocator, arrow.NewSchema([]arrow.Field{
		{Name: "x", Type: arrow.PrimitiveTypes.Int64, Nullable: true},
		{Name: schemas.Offset, Type: arrow.PrimitiveTypes.Int64},
		{Name: schemas.Row, Type: arrow.PrimitiveTypes.Int32},
		{Name: schemas.QueryID, Type: arrow.BinaryTypes.String},
		{Name: schemas.Key, Type: arrow.BinaryTypes.Binary, Nullable: true},
		{Name: schemas.Stamp, Type: arrow.FixedWidthTypes.Timestamp_us},
		{Name: schemas.Deadline, Type: arrow.FixedWidthTypes.Timestamp_us, Nullable: true},
		{Name: schemas.StatusColumn, Type: arrow.PrimitiveTypes.Uint8},
	}, nil))
	defer b.Release()
	now := time.Now()
	for _, r := range rows {
		b.Field(0).(*array.Int64Builder).Append(int64(r.fate))
		b.Field(1).(*array.Int64Builder).Append(r.offset)
		b.Field(2).(*array.Int32Builder).Append(r.row)
		b.Field(3).(*array.StringBuilder).Append(fmt.Sprintf("%d/%d%s", r.offset, r.row, map[bool]string{true: " huge"}[r.fate == huge]))
		if r.key == "" {
			b.Field(4).AppendNull()
		} else {
			b.Field(4).(*array.BinaryBuilder).Append([]byte(r.key))
		}
		b.Field(5).(*array.TimestampBuilder).Append(arrow.Timestamp(now.UnixMicro()))
		if r.fate == late {
			b.Field(6).(*array.TimestampBuilder).Append(arrow.Timestamp(now.UnixMicro() + 1))
		} else {
			b.Field(6).AppendNull()
		}
		status := schemas.Open
		if r.fate == bad {
			status = schemas.Rejected
		}
		b.Field(7).(*array.Uint8Builder).Append(uint8(status))
	}
	return b.NewRecord()
}

// source is a row's place in the queries.
type source struct {
	offset int64
	row    int32
}

// A shelf is a topic in which writes take their time. A write may fail, and be stored all the same.
type shelf struct {
	mu     sync.Mutex
	rng    *rand.Rand
	rows   []source
	epochs map[source]int32 // of what earlier owners stored
	writes int
	failAt int // this write fails; 0: none
}

func (s *shelf) pause() {
	s.mu.Lock()
	d := time.Duration(1+s.rng.IntN(5000)) * time.Microsecond
	s.mu.Unlock()
	<-time.After(d)
}

func (s *shelf) Open(context.Context, Partition, Position) (Writer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.epochs = map[source]int32{}
	for _, r := range s.rows {
		s.epochs[r] = 2
	}
	return s, nil
}

func (s *shelf) Close() error       { return nil }
func (s *shelf) Epoch() int32       { return 2 }
func (s *shelf) Position() Position { return Position{0} }
func (s *shelf) Done() RowSet       { return shelved(s.epochs) }

// shelved are rows by the epoch of their prediction.
type shelved map[source]int32

func (s shelved) Has(offset int64, row int32) bool { return s[source{offset, row}] != 0 }

func (s shelved) Epoch(offset int64, row int32) int32 { return s[source{offset, row}] }

func (s *shelf) Write(ctx context.Context, b arrow.Record) error {
	_, err := s.store(ctx, b, false)
	return err
}

func (s *shelf) WriteInOrder(ctx context.Context, b arrow.Record) (int, error) {
	return s.store(ctx, b, true)
}

func (s *shelf) store(ctx context.Context, b arrow.Record, inOrder bool) (int, error) {
	s.pause()
	if err := ctx.Err(); err != nil {
		return 0, err
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	offsets, rows, err := identity(b)
	if err != nil {
		return 0, err
	}
	var refused []int
	for i := range offsets {
		if s.refuses(b, i) {
			refused = append(refused, i)
			if inOrder {
				break
			}
			continue
		}
		s.rows = append(s.rows, source{offsets[i], rows[i]})
	}
	if s.writes++; s.writes == s.failAt {
		return 0, errors.New("the broker's answer was lost")
	}
	if len(refused) > 0 {
		return refused[0], &TooLargeError{Rows: refused, Limit: "1 MiB"}
	}
	return len(offsets), nil
}

// refuses says whether a row is too large: large ones lose the user's columns first, huge ones their key too.
func (s *shelf) refuses(b arrow.Record, row int) bool {
	x, err := schemas.Column[*array.Int64](b, "x")
	if err == nil && fate(x.Value(row)) == large {
		return true
	}
	id, _ := schemas.Column[*array.String](b, schemas.QueryID)
	return strings.HasSuffix(id.Value(row), " huge") && schemas.Has(b, schemas.Key)
}

// A trial is a partition of queries and how it is delivered.
type trial struct {
	rows    []asked
	sizes   []int // of deliveries
	seed    uint64
	failAt  []int // of each owner but the last: the write that fails
	decided bool  // decisions are written too, and are among the writes that fail
	inOrder bool
}

func drawTrial(t *rapid.T) trial {
	c := trial{inOrder: true, seed: rapid.Uint64().Draw(t, "seed"), decided: rapid.Bool().Draw(t, "decided")}
	keys := []string{"", "a", "b", "c"}[:rapid.IntRange(1, 4).Draw(t, "keys")]
	n := rapid.IntRange(1, 60).Draw(t, "rows")
	for offset := int64(3); len(c.rows) < n; offset++ {
		for row := range int32(rapid.IntRange(0, 3).Draw(t, "of a record")) {
			c.rows = append(c.rows, asked{offset, row, rapid.SampledFrom(keys).Draw(t, "key"), fate(rapid.IntRange(0, int(fates)-1).Draw(t, "fate"))})
		}
	}
	c.sizes = rapid.SliceOfN(rapid.IntRange(1, 12), 1, 8).Draw(t, "deliveries")
	c.failAt = rapid.SliceOfN(rapid.IntRange(1, 30), 0, 3).Draw(t, "failures")
	return c
}

// run delivers everything, by one owner after the other as they fail, and gives what lies in the topic.
func (c trial) run(t *testing.T) (got []source) {
	synctest.Test(t, func(t *testing.T) {
		before := schemas.Allocator.InUse()
		rng := rand.New(rand.NewPCG(c.seed, 1))
		predictions, decisions := &shelf{rng: rng}, &shelf{rng: rand.New(rand.NewPCG(c.seed, 2))}
		for _, failAt := range append(c.failAt, 0) {
			predictions.failAt, decisions.failAt = predictions.writes+failAt, decisions.writes+2*failAt
			if failAt == 0 {
				predictions.failAt, decisions.failAt = 0, 0
			}
			outputs := Outputs{Predictions: predictions}
			if c.decided {
				outputs.Decisions = decisions
			}
			err := c.own(t, outputs)
			if failAt == 0 && err != nil {
				t.Errorf("the last owner failed: %v", err)
			}
		}
		got = predictions.rows
		if leak := schemas.Allocator.InUse() - before; leak != 0 {
			t.Errorf("%d bytes of Arrow memory leaked", leak)
		}
	})
	return got
}

// own delivers everything as a source does: two at a time, each from a goroutine that may begin late.
func (c trial) own(t *testing.T, outputs Outputs) error {
	s := &Segment{Name: "main", Objective: time.Second, Outputs: outputs, InOrder: c.inOrder, Stages: []NamedStage{
		{Name: "first", Stage: c.stage(easy, 1)}, {Name: "second", Stage: c.stage(middling, 2)}, {Name: "third", Stage: c.stage(fates, 3)}}}
	open, err := s.Open(t.Context(), Partition{Topic: "t"})
	if err != nil {
		t.Fatal(err)
	}
	g, ctx := errgroup.WithContext(t.Context())
	rng := rand.New(rand.NewPCG(c.seed, 4))
	room := make(chan struct{}, 2)
	after := int64(0)
	for i, rest := 0, c.rows; len(rest) > 0 && ctx.Err() == nil; i++ {
		n := min(c.sizes[i%len(c.sizes)], len(rest))
		for n < len(rest) && rest[n].offset == rest[n-1].offset {
			n++ // a record is in one delivery
		}
		d := Delivery{Rows: queries(rest[:n]), Next: rest[n-1].offset + 1, After: after}
		after, rest = d.Next, rest[n:]
		wait := time.Duration(rng.IntN(3000)) * time.Microsecond
		room <- struct{}{}
		d.Routed = func() { <-room }
		g.Go(func() error {
			defer d.Rows.Release()
			<-time.After(wait)
			return open.Deliver(ctx, d)
		})
	}
	err = g.Wait()
	if l := open.(*owner).line; err == nil && l != nil && len(l.last) != 0 {
		t.Errorf("the line remembers %d keys at the end", len(l.last))
	}
	return errors.Join(err, open.Close())
}

// stage takes its time and answers what has a fate; the second one fails on poison.
func (c trial) stage(ends fate, number uint64) Stage {
	rng, mu := rand.New(rand.NewPCG(c.seed, 10+number)), sync.Mutex{}
	return stageFunc(func(in arrow.Record) (arrow.Record, error) {
		mu.Lock()
		d := time.Duration(2+rng.IntN(4000)) * time.Microsecond
		mu.Unlock()
		<-time.After(d)
		var endings []schemas.Ending
		for i, x := range values(in) {
			switch f := fate(x); {
			case f == poison && number == 2:
				return nil, errors.New("poison")
			case f == ends:
				endings = append(endings, schemas.Ending{Row: i, Status: schemas.Answered})
			}
		}
		return schemas.End(in, endings), nil
	})
}

// disorder gives the rows that lie behind a later row of their key, and those that are not there once.
func (c trial) disorder(got []source) (wrong []string) {
	at, count := map[source]int{}, map[source]int{}
	for i, r := range got {
		if count[r]++; count[r] == 1 {
			at[r] = i
		}
	}
	last := map[string]int{}
	for _, r := range c.rows {
		s := source{r.offset, r.row}
		if count[s] != 1 {
			wrong = append(wrong, fmt.Sprintf("%v is there %d times", s, count[s]))
			continue
		}
		if r.key != "" && at[s] < last[r.key] {
			wrong = append(wrong, fmt.Sprintf("%v lies at %d, behind it an earlier row of key %s at %d", s, at[s], r.key, last[r.key]))
		}
		if r.key != "" {
			last[r.key] = max(last[r.key], at[s])
		}
	}
	if len(got) != len(c.rows) {
		wrong = append(wrong, fmt.Sprintf("%d rows, want %d", len(got), len(c.rows)))
	}
	return wrong
}

// Whatever rows end of and when, however they are delivered and whichever write fails: the predictions of a
// key lie in the order of their queries, each once.
func TestOrder(t *testing.T) {
	rapid.Check(t, func(rt *rapid.T) {
		c := drawTrial(rt)
		if wrong := c.disorder(c.run(t)); len(wrong) > 0 {
			rt.Fatalf("%s", strings.Join(wrong, "\n"))
		}
	})
}

// The same trials without order find disorder: else they would prove nothing.
func TestOrderIsMissed(t *testing.T) {
	found := 0
	rapid.Check(t, func(rt *rapid.T) {
		c := drawTrial(rt)
		c.inOrder, c.failAt = false, nil
		if wrong := c.disorder(c.run(t)); len(wrong) > 0 {
			found++
		}
	})
	if found == 0 {
		t.Error("no trial without order was out of order")
	}
}

// A row that is held back holds back none of another key, and none without a key.
func TestOrderHoldsBackOneKey(t *testing.T) {
	for _, split := range []int{1, 2, 4} {
		synctest.Test(t, func(t *testing.T) {
			topic := &shelf{rng: rand.New(rand.NewPCG(1, 1))}
			release := make(chan struct{})
			s := &Segment{Name: "main", InOrder: true, Outputs: Outputs{Predictions: topic}, Stages: []NamedStage{
				{Name: "first", Stage: endIf(func(x int64) bool { return fate(x) == easy })},
				{Name: "second", Stage: stageFunc(func(in arrow.Record) (arrow.Record, error) {
					<-release
					in.Retain()
					return in, nil
				})},
			}}
			owner, err := s.Open(t.Context(), Partition{Topic: "t"})
			if err != nil {
				t.Fatal(err)
			}
			rows := []asked{{1, 0, "a", hard}, {2, 0, "b", easy}, {3, 0, "a", easy}, {4, 0, "", easy}, {5, 0, "b", bad}}
			var g errgroup.Group
			for from, after := 0, int64(0); from < len(rows); from += split {
				d := Delivery{Rows: queries(rows[from:min(from+split, len(rows))]), Next: rows[min(from+split, len(rows))-1].offset + 1, After: after, Routed: func() {}}
				after = d.Next
				g.Go(func() error {
					defer d.Rows.Release()
					return owner.Deliver(t.Context(), d)
				})
			}
			<-time.After(time.Second)
			topic.mu.Lock()
			now := slices.Clone(topic.rows)
			topic.mu.Unlock()
			slices.SortFunc(now, func(a, b source) int { return int(a.offset - b.offset) })
			if want := []source{{2, 0}, {4, 0}, {5, 0}}; !slices.Equal(now, want) {
				t.Errorf("deliveries of %d: before the hard row is answered %v are there, want %v", split, now, want)
			}
			close(release)
			if err := g.Wait(); err != nil {
				t.Error(err)
			}
			if got := topic.rows[3:]; !slices.Equal(got, []source{{1, 0}, {3, 0}}) {
				t.Errorf("then %v", got)
			}
		})
	}
}

// A delivery that fails takes along those that wait for it, and those that come later.
func TestOrderFails(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		topic := &shelf{rng: rand.New(rand.NewPCG(1, 1)), failAt: 1}
		s := &Segment{Name: "main", InOrder: true, Outputs: Outputs{Predictions: topic}}
		owner, err := s.Open(t.Context(), Partition{Topic: "t"})
		if err != nil {
			t.Fatal(err)
		}
		var g errgroup.Group
		errs := make([]error, 3)
		for i := range errs {
			g.Go(func() error {
				b := queries([]asked{{int64(i), 0, "a", hard}})
				defer b.Release()
				errs[i] = owner.Deliver(t.Context(), Delivery{Rows: b, Next: int64(i) + 1, After: int64(i), Routed: func() {}})
				return nil
			})
		}
		_ = g.Wait()
		for i, err := range errs {
			if err == nil || !strings.Contains(err.Error(), "answer was lost") || strings.Contains(err.Error(), "a row before") != (i > 0) {
				t.Errorf("delivery %d: got %v", i, err)
			}
		}
	})
}

// A segment that passes rows on cannot keep order, nor can one whose writer does not.
func TestOrderRefused(t *testing.T) {
	ordered := &shelf{rng: rand.New(rand.NewPCG(1, 1))}
	for _, c := range []struct {
		outputs Outputs
		want    string
	}{
		{Outputs{Predictions: ordered, Next: ordered}, "cannot pass rows on"},
		{Outputs{Predictions: &memory{}}, "writer cannot"},
	} {
		s := &Segment{Name: "main", InOrder: true, Outputs: c.outputs}
		if _, err := s.Open(t.Context(), Partition{Topic: "t"}); !IsPermanent(err) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want a permanent error with %q", err, c.want)
		}
	}
}
