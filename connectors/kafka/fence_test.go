package kafka_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/connectors/kafka"
	"weir/pipeline"
	"weir/schemas"
)

// fenced makes a sink of one message a row behind a fence of its own, as another process would have.
func fenced(c *kafka.Client, name string, topics ...string) []*kafka.Sink {
	f := &kafka.Fence{Client: c, Name: name}
	var sinks []*kafka.Sink
	for _, t := range topics {
		s := &kafka.Sink{Client: c, Topic: t, Encode: joined{1}}
		f.Guard(s, 1)
		sinks = append(sinks, s)
	}
	return sinks
}

func openAt(t testing.TB, s pipeline.Sink, from pipeline.Position) pipeline.Writer {
	t.Helper()
	w, err := s.Open(testContext(t), pipeline.Partition{Topic: "in"}, from)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { w.Close() })
	return w
}

// writeRows writes rows at the given offsets, which are also their values.
func writeRows(t testing.TB, w pipeline.Writer, offsets ...int64) error {
	b := origined(offsets...)
	defer b.Release()
	return w.Write(testContext(t), b)
}

// A writer that was taken over from is refused, even though the new one has not written yet: that is where
// Kafka's epochs alone do not fence. The new one knows what the old one wrote, from its position on.
func TestFence(t *testing.T) {
	conformWithAll(t, func(t *testing.T, addr string) {
		c, other := dial(t, addr, kafka.Options{}), dial(t, addr, kafka.Options{})
		topic, side := newTopic(t, c, 1), newTopic(t, c, 1)
		name := topic
		old := openAt(t, fenced(c, name, topic, side)[0], nil)
		if err := errors.Join(writeRows(t, old, 5, 6), writeRows(t, old, 9)); err != nil {
			t.Fatal(err)
		}
		mark := old.Position()
		if err := writeRows(t, old, 11, 12, 13); err != nil {
			t.Fatal(err)
		}
		fresh := openAt(t, fenced(other, name, topic, side)[0], mark)
		for _, o := range []int64{5, 9, 11, 13, 14} {
			if got, want := fresh.Done().Has(o, 0), o >= 11 && o <= 13; got != want {
				t.Errorf("row %d: known %v, want %v", o, got, want)
			}
		}
		if got, want := fresh.Done().Epoch(12, 0), old.Epoch(); got != want || fresh.Epoch() <= want {
			t.Errorf("epoch of a row %d, want its writer's %d; the new writer's is %d", got, want, fresh.Epoch())
		}
		var refused *kafka.FencedError
		if err := writeRows(t, old, 14); !errors.As(err, &refused) {
			t.Errorf("the old writer: got %v, want to be fenced off", err)
		}
		if err := writeRows(t, fresh, 15); err != nil {
			t.Error(err)
		}
		equal(t, "records", values(consume(t, c, topic, []int64{0}, 7)), "[5 6 9 11 12 13 15]")
	})
}

// A new owner reads what was written from its predecessor's position on, and nothing that lies before.
func TestRecoveryReadsFromTheMark(t *testing.T) {
	conform(t, func(t *testing.T, addr string) {
		c := dial(t, addr, kafka.Options{})
		topic := newTopic(t, c, 1)
		old := openAt(t, fenced(c, topic, topic)[0], nil)
		write := func(from, to int64) {
			for o := from; o < to; o++ {
				if err := writeRows(t, old, o); err != nil {
					t.Fatal(err)
				}
			}
		}
		write(0, 100)
		mark := old.Position()
		write(100, 107)
		s := fenced(c, topic, topic)[0]
		var recovered []string
		s.Events.Recovered = func(topic string, partition int32, records int) {
			recovered = append(recovered, fmt.Sprintf("%s/%d %d", topic, partition, records))
		}
		fresh := openAt(t, s, mark)
		equal(t, "recovered", recovered, []string{topic + "/0 7"})
		if !fresh.Done().Has(100, 0) || !fresh.Done().Has(106, 0) {
			t.Error("rows behind the mark are not known")
		}
	})
}

// Rows of an owner of another version are known as such, and so are rows of another segment, where this one wrote
// none.
func TestFenceTellsVersionsAndSegmentsApart(t *testing.T) {
	conform(t, func(t *testing.T, addr string) {
		c := dial(t, addr, kafka.Options{})
		topic := newTopic(t, c, 1)
		open := func(segment uint8, version uint32) pipeline.Writer {
			f := &kafka.Fence{Segment: segment, Version: version}
			f.Client, f.Name = c, fmt.Sprint(topic, f.Segment)
			s := &kafka.Sink{Client: c, Topic: topic, Encode: joined{1}}
			f.Guard(s, 1)
			return openAt(t, s, nil)
		}
		for i, by := range [][2]uint8{{1, 7}, {1, 8}, {2, 7}, {2, 7}, {1, 7}, {2, 7}} {
			w := open(by[0], uint32(by[1]))
			if err := writeRows(t, w, int64(min(i, 3))); err != nil {
				t.Fatal(err)
			}
			w.Close()
		}
		rows := open(1, 7).Done()
		if !rows.Has(0, 0) || rows.Epoch(0, 0) <= 0 {
			t.Errorf("own row: epoch %d, want its own", rows.Epoch(0, 0))
		}
		if !rows.Has(1, 0) || rows.Epoch(1, 0) != pipeline.OtherVersion {
			t.Errorf("row of another version: epoch %d, want to be told", rows.Epoch(1, 0))
		}
		if !rows.Has(2, 0) || rows.Epoch(2, 0) != pipeline.OtherSegment {
			t.Errorf("row of another segment: epoch %d, want to be told", rows.Epoch(2, 0))
		}
		if rows.Epoch(3, 0) <= 0 {
			t.Errorf("row that another segment wrote too, before and after: epoch %d, want its own", rows.Epoch(3, 0))
		}
	})
}

// The other output of the same take-over is fenced too, though nothing was ever written to it.
func TestFenceCoversAllOutputs(t *testing.T) {
	conform(t, func(t *testing.T, addr string) {
		c := dial(t, addr, kafka.Options{})
		topics := []string{newTopic(t, c, 1), newTopic(t, c, 1)}
		old := openAt(t, fenced(c, topics[0], topics...)[1], nil)
		openAt(t, fenced(c, topics[0], topics...)[0], nil)
		var refused *kafka.FencedError
		if err := writeRows(t, old, 1); !errors.As(err, &refused) {
			t.Errorf("got %v, want to be fenced off", err)
		}
	})
}

// Many writes at once keep count, also across batches that were too large and had to be cut.
func TestFencedWritesKeepCount(t *testing.T) {
	conformWithAll(t, func(t *testing.T, addr string) {
		c := dial(t, addr, kafka.Options{})
		topic := newTopic(t, c, 1, "max.message.bytes", "3000")
		w := openAt(t, fenced(c, topic, topic)[0], nil)
		var wg sync.WaitGroup
		for i := range 200 {
			wg.Go(func() {
				if err := writeRows(t, w, int64(2*i), int64(2*i+1)); err != nil {
					t.Error(err)
				}
			})
		}
		wg.Wait()
		got := values(consume(t, c, topic, []int64{0}, 400))
		slices.SortFunc(got, func(a, b string) int { return strings.Compare(fmt.Sprintf("%5s", a), fmt.Sprintf("%5s", b)) })
		for i, v := range got {
			if v != fmt.Sprint(i) {
				t.Fatalf("row %d is %s", i, v)
			}
		}
	})
}

// A range that retention deleted is a named error, unless the operator accepts it.
func TestFenceMissesDeletedRecords(t *testing.T) {
	conform(t, func(t *testing.T, addr string) {
		c := dial(t, addr, kafka.Options{})
		topic := newTopic(t, c, 1)
		s := fenced(c, topic, topic)[0]
		w := openAt(t, s, nil)
		if err := writeRows(t, w, 1, 2, 3); err != nil {
			t.Fatal(err)
		}
		w.Close()
		deleteRecords(t, addr, topic, 3)
		s = fenced(c, topic, topic)[0]
		_, err := s.Open(testContext(t), pipeline.Partition{Topic: "in"}, pipeline.Position{1})
		var lost *kafka.LostRangeError
		if !errors.As(err, &lost) || !pipeline.IsPermanent(err) || lost.From != 1 || lost.To < 3 {
			t.Fatalf("got %v, want to be told of the lost range", err)
		}
		s.AcceptLoss = true
		if w := openAt(t, s, pipeline.Position{1}); w.Done().Has(1, 0) {
			t.Error("a deleted row is known")
		}
	})
}

// Where no earlier owner was given a record that the new one will be, or the output is one that they did not have,
// nothing is looked for, and so nothing is missed.
func TestFenceLooksForNothing(t *testing.T) {
	conform(t, func(t *testing.T, addr string) {
		c := dial(t, addr, kafka.Options{})
		topic := newTopic(t, c, 1)
		w := openAt(t, fenced(c, topic, topic)[0], nil)
		if err := writeRows(t, w, 1, 2, 3, 4); err != nil {
			t.Fatal(err)
		}
		w.Close()
		deleteRecords(t, addr, topic, 3)
		at := func(begin, end int64) pipeline.Partition {
			return pipeline.Partition{Topic: "in", Begin: begin, End: func(context.Context) (int64, error) { return end, nil }}
		}
		for _, c2 := range []struct {
			what  string
			in    pipeline.Partition
			from  pipeline.Position
			known bool // or an error
		}{
			{"all is committed", at(5, 5), pipeline.Position{1}, true},
			{"all is committed, and where the outputs stood is not known", at(5, 5), nil, true},
			{"there was no such output", at(2, 5), pipeline.Position{pipeline.Unwritten}, true},
			{"more came", at(4, 5), pipeline.Position{1}, false},
			{"more came, and where the outputs stood is not known", at(4, 5), nil, false},
		} {
			s := fenced(c, topic, topic)[0]
			w, err := s.Open(testContext(t), c2.in, c2.from)
			var lost *kafka.LostRangeError
			switch {
			case !c2.known && !errors.As(err, &lost):
				t.Errorf("%s: got %v, want to be told of the lost range", c2.what, err)
			case c2.known && err != nil:
				t.Errorf("%s: %v", c2.what, err)
			case c2.known:
				if w.Done().Has(4, 0) || w.Position()[0] < 6 {
					t.Errorf("%s: a row is known, or the position is %v", c2.what, w.Position())
				}
				w.Close()
			}
		}
	})
}

// Of rows that came a moment ago no answer can have been deleted, whatever retention took of what was written since the
// last commit. That goes by their stamps, so for rows that a segment wrote alone: users stamp queries as they like.
func TestFenceOfFreshRows(t *testing.T) {
	conform(t, func(t *testing.T, addr string) {
		c := dial(t, addr, kafka.Options{})
		cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.RecordPartitioner(kgo.ManualPartitioner()))
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		for _, given := range []struct {
			segment uint8
			age     time.Duration
			fresh   bool
		}{{1, 0, true}, {1, 10 * time.Minute, false}, {0, 0, false}} {
			if given.age > 0 && addr != os.Getenv("WEIR_TEST_KAFKA") {
				continue // the embedded broker stamps records itself
			}
			in, out := newTopic(t, c, 1), newTopic(t, c, 1)
			if err := cl.ProduceSync(testContext(t), &kgo.Record{Topic: in, Timestamp: time.Now().Add(-given.age), Value: []byte("x")}).FirstErr(); err != nil {
				t.Fatal(err)
			}
			open := func(from pipeline.Position) (pipeline.Writer, error) {
				s := fenced(c, out, out)[0]
				s.Fence.Segment = given.segment
				return s.Open(testContext(t), pipeline.Partition{Topic: in, End: func(context.Context) (int64, error) { return 1, nil }}, from)
			}
			w, err := open(nil)
			if err != nil {
				t.Fatal(err)
			}
			if err := errors.Join(writeRows(t, w, 7), writeRows(t, w, 8), writeRows(t, w, 0), w.Close()); err != nil {
				t.Fatal(err)
			}
			deleteRecords(t, addr, out, 3)
			w, err = open(pipeline.Position{1})
			var lost *kafka.LostRangeError
			switch {
			case given.fresh && (err != nil || !w.Done().Has(0, 0)):
				t.Errorf("%+v: %v, want to know the row that is still there", given, err)
			case !given.fresh && !errors.As(err, &lost):
				t.Errorf("%+v: got %v, want to be told of the lost range", given, err)
			}
			if err == nil {
				w.Close()
			}
		}
	})
}

// The markers of take-overs lie in a segment's topic like records, and are no rows that somebody may have answered.
func TestFenceWhereMarkersWait(t *testing.T) {
	conform(t, func(t *testing.T, addr string) {
		c := dial(t, addr, kafka.Options{})
		in, out := newTopic(t, c, 1), newTopic(t, c, 1)
		before, err := fenced(c, in, in)[0].Open(testContext(t), pipeline.Partition{Topic: "queries"}, nil)
		if err != nil {
			t.Fatal(err)
		}
		before.Close()
		ends, err := c.End(testContext(t), in)
		if err != nil || ends[0] == 0 {
			t.Fatalf("the topic ends at %v, error %v; want a marker in it", ends, err)
		}
		at := pipeline.Partition{Topic: in, End: func(context.Context) (int64, error) { return ends[0], nil }}
		w, err := fenced(c, out, out)[0].Open(testContext(t), at, nil)
		if err != nil {
			t.Fatal(err)
		}
		if err := errors.Join(writeRows(t, w, 7), writeRows(t, w, 8), w.Close()); err != nil {
			t.Fatal(err)
		}
		deleteRecords(t, addr, out, 3)
		if w, err = fenced(c, out, out)[0].Open(testContext(t), at, pipeline.Position{1}); err != nil {
			t.Fatal(err)
		}
		w.Close()
	})
}

// origined makes rows at the given offsets; their values are the offsets too.
func origined(offsets ...int64) arrow.Record {
	var lines []string
	for _, o := range offsets {
		lines = append(lines, fmt.Sprint(o))
	}
	return numbered(offsets, lines)
}

// numbered makes a batch in which every row is the first of its record.
func numbered(offsets []int64, values []string) arrow.Record {
	plain := batch(offsets, values)
	defer plain.Release()
	b := array.NewInt32Builder(schemas.Allocator)
	defer b.Release()
	b.AppendValues(make([]int32, len(offsets)), nil)
	rows := b.NewArray()
	defer rows.Release()
	return schemas.With(plain, schemas.Named{Name: schemas.Row, Array: rows})
}

// deleteRecords deletes what lies before an offset, as retention does.
func deleteRecords(t testing.TB, addr, topic string, before int64) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	req := kmsg.NewPtrDeleteRecordsRequest()
	rt := kmsg.NewDeleteRecordsRequestTopic()
	rp := kmsg.NewDeleteRecordsRequestTopicPartition()
	rp.Offset = before
	rt.Topic, rt.Partitions = topic, append(rt.Partitions, rp)
	req.Topics, req.TimeoutMillis = append(req.Topics, rt), 5000
	res, err := req.RequestWith(testContext(t), cl)
	if err != nil || res.Topics[0].Partitions[0].ErrorCode != 0 {
		t.Fatalf("delete records: %v %+v", err, res)
	}
}

// An owner knows every row that an earlier one was told is stored: none is stored after it has looked, however fast
// the earlier one writes. What waits for that is the second question for an identity.
func TestNothingIsStoredAfterTheLook(t *testing.T) {
	conform(t, func(t *testing.T, addr string) {
		c, other := dial(t, addr, kafka.Options{}), dial(t, addr, kafka.Options{})
		var topics []string
		for range 6 {
			topics = append(topics, newTopic(t, c, 1))
		}
		for round := range 60 {
			old := openAt(t, fenced(c, topics[0], topics...)[round%len(topics)], nil)
			begun, stored := make(chan bool), make(chan int64)
			go func() {
				defer close(stored)
				for row := int64(0); writeRows(t, old, row) == nil; row++ {
					if row == 3 {
						close(begun)
					}
					stored <- row
				}
			}()
			var rows []int64
			all := make(chan bool)
			go func() {
				defer close(all)
				for row := range stored {
					rows = append(rows, row)
				}
			}()
			receive(t, "write", begun)
			fresh := openAt(t, fenced(other, topics[0], topics...)[round%len(topics)], nil)
			receive(t, "end of the old owner", all)
			for _, row := range rows {
				if !fresh.Done().Has(row, 0) {
					t.Errorf("round %d: row %d of %d was stored after the new owner had looked", round, row, len(rows))
				}
			}
			fresh.Close()
		}
	})
}
