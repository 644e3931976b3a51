package drivertest

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"weir/connectors/kafka/driver"
)

// produceCases are what the contract says of Produce.
func produceCases(t *testing.T, w *world) {
	t.Run("several partitions", func(t *testing.T) { producesSeveral(t, w) })
	t.Run("faults stay in their partition", func(t *testing.T) { produceFaults(t, w) })
	t.Run("a batch sent again", func(t *testing.T) { producesAgain(t, w) })
	t.Run("the broker's stamp", func(t *testing.T) { stamps(t, w) })
}

func producesSeveral(t *testing.T, w *world) {
	c := w.dial(t)
	one, two := c.topic(2), c.topic(1)
	c.store(one, 1, "first", "second")
	var batches []driver.Batch
	want := map[driver.Place]int64{{Topic: one, Partition: 0}: 0, {Topic: two, Partition: 0}: 0, {Topic: one, Partition: 1}: 2}
	for p := range want {
		batches = append(batches, driver.Batch{Place: p, Raw: encode(batch{values: []string{p.Topic, "x"}})})
	}
	for _, s := range must[[]driver.Stored](t)(c.Produce(testContext(t), c.leader(one), batches)) {
		base, asked := want[s.Place]
		if !asked || s.Err != nil || s.Base != base {
			t.Errorf("%v: got base offset %d, error %v, want %d", s.Place, s.Base, s.Err, base)
		}
		delete(want, s.Place)
	}
	equal(t, "partitions without an answer", want, "map[]")
	equal(t, "records", values(t, c.read(two, false).Batches), fmt.Sprintf("[%s x]", two))
}

func produceFaults(t *testing.T, w *world) {
	c := w.dial(t)
	topic := c.topic(2, "max.message.bytes", "2000")
	stored := must[[]driver.Stored](t)(c.Produce(testContext(t), c.leader(topic), []driver.Batch{
		{Place: driver.Place{Topic: topic, Partition: 0}, Raw: encode(batch{values: []string{strings.Repeat("x", 5000)}})},
		{Place: driver.Place{Topic: topic, Partition: 1}, Raw: encode(batch{values: []string{"fits"}})},
		{Place: driver.Place{Topic: topic, Partition: 9}, Raw: encode(batch{values: []string{"nowhere"}})},
		{Place: driver.Place{Topic: topic + ".none", Partition: 0}, Raw: encode(batch{values: []string{"nowhere"}})}}))
	equal(t, "answers", len(stored), 4)
	for _, s := range stored {
		switch s.Place {
		case driver.Place{Topic: topic, Partition: 0}:
			coded(t, "a batch that is too large", s.Err, driver.MessageTooLarge, driver.RecordListTooLarge)
		case driver.Place{Topic: topic, Partition: 1}:
			if s.Err != nil || s.Base != 0 {
				t.Errorf("beside two that fail: %v", s)
			}
		default:
			coded(t, fmt.Sprint(s.Place), s.Err, driver.UnknownTopicOrPartition)
		}
	}
}

// A batch that bears an identity and a number is stored once, and the next has to have the next number.
func producesAgain(t *testing.T, w *world) {
	c := w.dial(t)
	topic := c.topic(1)
	is := c.identify(unique(t), driver.NoIdentity())
	first := encode(batch{values: []string{"a", "b"}, is: &is})
	base := must[int64](t)(c.write(topic, 0, first))
	must[int64](t)(c.write(topic, 0, encode(batch{values: []string{"c"}, is: &is, sequence: 2})))
	if again, err := c.write(topic, 0, first); err != nil {
		coded(t, "a batch sent again", err, driver.DuplicateSequenceNumber)
	} else if again != base && again != -1 {
		t.Errorf("a batch sent again: base offset %d, want %d", again, base)
	}
	_, err := c.write(topic, 0, encode(batch{values: []string{"e"}, is: &is, sequence: 4}))
	coded(t, "a gap", err, driver.OutOfOrderSequenceNumber)
	equal(t, "records", values(t, c.read(topic, false).Batches), "[a b c]")
}

func stamps(t *testing.T, w *world) {
	c := w.dial(t)
	topic := c.topic(1, "message.timestamp.type", "LogAppendTime")
	must[int64](t)(c.write(topic, 0, encode(batch{values: []string{"a"}, stamp: 1000})))
	got := decode(t, c.read(topic, false).Batches)
	if len(got) != 1 {
		t.Fatalf("%d batches, want one", len(got))
	}
	if age := time.Since(time.UnixMilli(got[0].MaxTimestamp)); age < -time.Minute || age > time.Minute {
		t.Errorf("stamped %v ago, want now", age)
	}
	const logAppendTime = 1 << 3
	if got[0].Attributes&logAppendTime == 0 && !w.differs(t, "a batch does not say that its stamp is the broker's, and so each record has it too") {
		t.Errorf("attributes %x, want log append time", got[0].Attributes)
	}
}
