package sim

import (
	"errors"
	"sync"
)

// ErrFenced refuses a batch of an epoch that has been taken over from.
var ErrFenced = errors.New("sim: fenced off")

// Row is one row in a topic.
type Row struct {
	Offset int64 // of its query, which has one row
	X      int64
	Status uint8
	Epoch  int32 // of its prediction
	By     int64 // the threshold of the process that wrote it
}

// record is one record: its rows, or a marker.
type record struct {
	epoch  int32
	marker bool
	rows   []Row
}

// Log holds topics of one partition each, the epochs of writers, and what groups have committed.
type Log struct {
	mu     sync.Mutex
	topics map[string]*topic
	epochs map[string]int32
	groups map[string]*group
	// Refused counts batches that a fence kept out.
	Refused int
}

type topic struct {
	records []record
	epoch   map[string]int32 // by writer: the newest seen in this partition
}

type group struct {
	generation int
	offset     int64
	mark       []byte
}

// NewLog is an empty log.
func NewLog() *Log {
	return &Log{topics: map[string]*topic{}, epochs: map[string]int32{}, groups: map[string]*group{}}
}

func (l *Log) topic(name string) *topic {
	t := l.topics[name]
	if t == nil {
		t = &topic{epoch: map[string]int32{}}
		l.topics[name] = t
	}
	return t
}

// raise gives a writer its next epoch. Brokers do not yet know of it.
func (l *Log) raise(writer string) int32 {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.epochs[writer]++
	return l.epochs[writer]
}

// append stores a record at the end of a topic, unless the writer has been taken over from there.
func (l *Log) append(name, writer string, r record) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	t := l.topic(name)
	if r.epoch < t.epoch[writer] {
		l.Refused++
		return ErrFenced
	}
	t.epoch[writer] = r.epoch
	t.records = append(t.records, r)
	return nil
}

// read gives the records from an offset on.
func (l *Log) read(name string, from int64) []record {
	l.mu.Lock()
	defer l.mu.Unlock()
	records := l.topic(name).records
	return records[min(max(from, 0), int64(len(records))):]
}

func (l *Log) end(name string) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return int64(len(l.topic(name).records))
}

func (l *Log) group(name string) *group {
	g := l.groups[name]
	if g == nil {
		g = &group{}
		l.groups[name] = g
	}
	return g
}

// join begins a new generation of a group and gives its number and what was committed.
func (l *Log) join(name string) (generation int, offset int64, mark []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.group(name)
	g.generation++
	return g.generation, g.offset, g.mark
}

// commit stores a place, unless the generation has passed.
func (l *Log) commit(name string, generation int, offset int64, mark []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if g := l.group(name); g.generation == generation && offset > g.offset {
		g.offset, g.mark = offset, mark
	}
}

func (l *Log) committed(name string) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.group(name).offset
}
