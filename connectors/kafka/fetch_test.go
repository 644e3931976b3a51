package kafka

import (
	"context"
	"fmt"
	"testing"
	"time"

	"weir/connectors/kafka/driver"
	"weir/schemas"
)

// A cursor is in no poll while two of its answers wait for their reader.
func TestCursorPauses(t *testing.T) {
	f := newFetcher(context.Background(), nil, "t", &Events{})
	out := make(chan chunk, chunksAhead)
	c := newCursor(0, 0, out)
	answer := driver.Fetched{Batches: encoded(time.Now(), schemas.Message{Value: []byte("a")})}
	for i, full := range []bool{false, true} {
		if err := f.take(c, &answer, 0); err != nil {
			t.Fatal(err)
		}
		answer.Batches = edit(answer.Batches, func(b []byte) { b[7]++ }) // the next offset
		check(t, fmt.Sprint("full after ", i+1), fmt.Sprint(f.full(c)), fmt.Sprint(full))
	}
}

// A partition that becomes ready while a poll is out gets one of its own at once; when polls end together,
// they become one.
func TestPolls(t *testing.T) {
	f := newFetcher(context.Background(), nil, "t", &Events{})
	cs := func(ids ...int32) (out []*cursor) {
		for _, id := range ids {
			out = append(out, newCursor(id, 0, nil))
		}
		return out
	}
	ids := func(cs []*cursor) (out []int32) {
		for _, c := range cs {
			out = append(out, c.partition)
		}
		return out
	}
	now := time.Unix(0, 0)
	first, got, wait := f.begin(now, 0, nil, cs(1, 2))
	check(t, "the first poll", fmt.Sprint(ids(got), wait), "[1 2] 500ms")
	now = now.Add(100 * time.Millisecond)
	second, got, wait := f.begin(now, 0, nil, cs(3))
	check(t, "the second poll ends with the first", fmt.Sprint(ids(got), wait), "[3] 400ms")
	third, _, _ := f.begin(now, 0, nil, cs(4))
	fourth, _, wait := f.begin(now, 0, nil, cs(5))
	check(t, "the last poll allowed", fmt.Sprint(fourth != nil, wait), "true 20ms")
	if p, _, _ := f.begin(now, 0, nil, cs(6)); p != nil {
		t.Error("a fifth poll")
	}
	gone := cs(7)
	f.drop(gone[0])
	fourth, got, _ = f.begin(now, 0, fourth, append(gone, cs(5)...))
	check(t, "what waited is taken along", fmt.Sprint(ids(got)), "[5 6]")
	// The second ends when the first is about to: it waits for that.
	first.due, second.due, third.due, fourth.due = now.Add(2*time.Millisecond), now, now.Add(time.Hour), now.Add(time.Hour)
	if p, _, _ := f.begin(now, 0, second, cs(3)); p != nil {
		t.Error("polls that end together stay apart")
	}
	first.due = now // it has just returned
	_, got, _ = f.begin(now, 0, first, cs(1, 2))
	check(t, "together", fmt.Sprint(ids(got)), "[1 2 3]")
}
