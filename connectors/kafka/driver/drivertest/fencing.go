package drivertest

import (
	"testing"

	"pgregory.net/rapid"

	"weir/connectors/kafka/driver"
)

// Step is one act among the writers of a name, each of which took over from the one before.
type Step struct {
	// New brings another writer. Mark has its marker go to both partitions before it begins, else its epoch is only
	// raised.
	New, Mark bool
	// Writer, of those there are modulo their number, writes to Partition 0 or 1 where the step is not New.
	Writer, Partition int
}

// History draws the steps of a few writers.
func History() *rapid.Generator[[]Step] {
	step := rapid.Custom(func(t *rapid.T) Step {
		return Step{New: rapid.IntRange(0, 3).Draw(t, "new") == 0, Mark: rapid.Bool().Draw(t, "mark"),
			Writer: rapid.IntRange(0, 5).Draw(t, "writer"), Partition: rapid.IntRange(0, 1).Draw(t, "partition")}
	})
	return rapid.SliceOfN(step, 1, 20)
}

// Writers are the writers of one name in a log.
type Writers interface {
	// Begin brings the next writer; the first is number 0.
	Begin(mark bool)
	// Write says whether the log took a batch.
	Write(writer, partition int) bool
}

// Fences holds a log to Kafka's law: a partition refuses an epoch from the first batch or marker of a later one on that
// it has seen, and not before. A log that is early refuses it everywhere as soon as there is a later one.
func Fences(t interface {
	Helper()
	Fatalf(string, ...any)
}, history []Step, log Writers, early bool) {
	t.Helper()
	log.Begin(false)
	epochs, newest, seen := []int{0}, 0, [2]int{}
	for i, s := range history {
		if s.New {
			log.Begin(s.Mark)
			newest++
			if s.Mark { // its marker has an epoch of its own
				seen = [2]int{newest, newest}
				newest++
			}
			epochs = append(epochs, newest)
			continue
		}
		writer := s.Writer % len(epochs)
		want := epochs[writer] >= seen[s.Partition] && (!early || epochs[writer] == newest)
		if got := log.Write(writer, s.Partition); got != want {
			t.Fatalf("step %d of %+v: writer %d at partition %d: taken %v, want %v", i, history, writer, s.Partition, got, want)
		}
		if want {
			seen[s.Partition] = epochs[writer]
		}
	}
}

// histories is how many are tried on a broker.
const histories = 10

func fences(t *testing.T, w *world) {
	early := w.differs(t, "an epoch is refused before the partition has seen the newer one")
	c := w.dial(t)
	topic := c.topic(2)
	for i := range histories {
		Fences(t, History().Example(i), &writers{cluster: c, topic: topic, name: unique(t), next: map[stream]int32{}}, early)
	}
}

// writers write through a driver, and count their batches as the broker does.
type writers struct {
	*cluster
	topic, name string
	all         []driver.Identity
	next        map[stream]int32
}

// A stream is a writer's batches in a partition.
type stream struct{ writer, partition int }

// Begin implements Writers.
func (w *writers) Begin(mark bool) {
	w.t.Helper()
	is := w.identify(w.name, driver.NoIdentity())
	if mark {
		w.mark(w.name, is, driver.Place{Topic: w.topic, Partition: 0}, driver.Place{Topic: w.topic, Partition: 1})
		is = w.identify(w.name, is)
	}
	w.all = append(w.all, is)
}

// Write implements Writers.
func (w *writers) Write(writer, partition int) bool {
	w.t.Helper()
	at := stream{writer, partition}
	_, err := w.write(w.topic, int32(partition), encode(batch{values: []string{"x"}, is: &w.all[writer], sequence: w.next[at]}))
	if err != nil {
		coded(w.t, "a refusal", err, refused...)
		return false
	}
	w.next[at]++
	return true
}
