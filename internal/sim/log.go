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
	Writer string
	Epoch  int32 // of its prediction
	By     int64 // the threshold of the process that wrote it
}

// keys are how many there are.
const keys = 4

func (r Row) key() int64 { return r.Offset % keys }

// record is one record: its rows, or a marker.
type record struct {
	writer string
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

// raise gives a writer its next epoch. The topics do not know of it yet. expect, if not 0, is the one that the
// writer believes to have; another one means that it was taken over from meanwhile.
func (l *Log) raise(writer string, expect int32) (int32, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if expect != 0 && l.epochs[writer] != expect {
		l.Refused++
		return 0, ErrFenced
	}
	l.epochs[writer]++
	return l.epochs[writer], nil
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
	t.epoch[writer], r.writer = r.epoch, writer
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

// commit stores a place, and says whether the generation is still the group's.
func (l *Log) commit(name string, generation int, offset int64, mark []byte) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	g := l.group(name)
	if g.generation != generation {
		return false
	}
	if offset > g.offset {
		g.offset, g.mark = offset, mark
	}
	return true
}

func (l *Log) committed(name string) int64 {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.group(name).offset
}
