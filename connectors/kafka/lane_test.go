package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"weir/schemas"
)

func queue(l *lane, values ...string) *sending {
	s := &sending{base: -1, done: make(chan struct{}), open: len(values)}
	for _, v := range values {
		s.msgs = append(s.msgs, schemas.Message{Value: []byte(v)})
	}
	l.add(s)
	return s
}

// sent returns the values of the lane's next batch.
func sent(t *testing.T, l *lane) (out []string) {
	t.Helper()
	b := l.take(time.Now())
	if b == nil {
		return nil
	}
	err := eachRecord(0, b.raw, 0, func(r *schemas.Record) error {
		out = append(out, string(r.Value[:1]))
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func expect(t *testing.T, l *lane, want string) {
	t.Helper()
	if got := strings.Join(sent(t, l), ""); got != want {
		t.Fatalf("sent %q, want %q", got, want)
	}
}

func settled(t *testing.T, l *lane, s *sending) string {
	t.Helper()
	select {
	case <-s.done:
	default:
		return "open"
	}
	base, err := l.await(context.Background(), s)
	var large *TooLargeError
	if errors.As(err, &large) {
		return fmt.Sprint(base, large.Messages)
	}
	return fmt.Sprint(base, err)
}

func check(t *testing.T, what, got, want string) {
	t.Helper()
	if got != want {
		t.Errorf("%s: got %s, want %s", what, got, want)
	}
}

// What waits while a batch is in flight leaves in the next one, together.
func TestLaneJoinsWhatWaits(t *testing.T) {
	l := newLane(place{}, writer{-1, -1, -1})
	a := queue(l, "a")
	expect(t, l, "a")
	b, c := queue(l, "b", "B"), queue(l, "c")
	l.acknowledge(7)
	check(t, "a", settled(t, l, a), "7 <nil>")
	expect(t, l, "bBc")
	check(t, "b", settled(t, l, b), "open")
	l.acknowledge(20)
	check(t, "b", settled(t, l, b), "20 <nil>")
	check(t, "c", settled(t, l, c), "22 <nil>")
	expect(t, l, "")
	if l.busy {
		t.Error("busy with nothing to send")
	}
}

// A batch whose answer was lost is sent again byte by byte, without what came later.
func TestLaneRepeatsTheSameBytes(t *testing.T) {
	l := newLane(place{}, writer{-1, -1, -1})
	a := queue(l, "a")
	first := l.take(time.UnixMilli(1))
	queue(l, "b")
	if again := l.take(time.UnixMilli(2)); again != first {
		t.Error("another batch was made")
	}
	// Once nobody waits for it any more, the next one leaves.
	l.leave(a)
	expect(t, l, "b")
}

func TestLaneHalvesUntilOneRecordIsLeft(t *testing.T) {
	l := newLane(place{}, writer{-1, -1, -1})
	long := strings.Repeat("2", 3000)
	a, b := queue(l, "1", long, "3"), queue(l, "4")
	expect(t, l, "1234")
	queue(l, "5") // arrives meanwhile and keeps its place
	l.shrink()
	expect(t, l, "1")
	l.acknowledge(0)
	expect(t, l, "2")
	l.shrink()
	check(t, "a", settled(t, l, a), "open")
	expect(t, l, "345")
	l.acknowledge(1)
	check(t, "a", settled(t, l, a), "0 [1]")
	check(t, "b", settled(t, l, b), "2 <nil>")
}

func TestLaneSplitsAtTheLimit(t *testing.T) {
	l := newLane(place{}, writer{-1, -1, -1})
	mb := strings.Repeat("x", 500<<10)
	a := queue(l, mb, mb, "y")
	expect(t, l, "x")
	l.acknowledge(0)
	expect(t, l, "xy")
	l.acknowledge(1)
	check(t, "a", settled(t, l, a), "0 <nil>")
}

// What no broker takes is refused before it is sent; its neighbours are sent.
func TestLaneRefusesTheImpossible(t *testing.T) {
	l := newLane(place{}, writer{-1, -1, -1})
	s := queue(l, "1", "", "3", "")
	s.msgs[1].Value, s.msgs[3].Value = make([]byte, recordBytes), make([]byte, recordBytes)
	expect(t, l, "1")
	l.acknowledge(5)
	expect(t, l, "3")
	l.acknowledge(6)
	expect(t, l, "")
	check(t, "the call", settled(t, l, s), "5 [1 3]")
}

func TestLaneFails(t *testing.T) {
	l := newLane(place{}, writer{-1, -1, -1})
	boom := errors.New("boom")
	a, b := queue(l, "a"), queue(l, "b")
	l.limit = 1
	expect(t, l, "a")
	l.fail(boom, false)
	check(t, "a", settled(t, l, a), "-1 boom")
	expect(t, l, "b")
	c := queue(l, "c")
	l.fail(boom, true)
	check(t, "b", settled(t, l, b), "-1 boom")
	check(t, "c", settled(t, l, c), "-1 boom")
	if !l.add(&sending{}) {
		t.Error("a lane that failed is not driven again")
	}
}
