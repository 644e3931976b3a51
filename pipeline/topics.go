package pipeline

import (
	"regexp"
	"slices"
	"strconv"
	"time"

	"weir/schemas"
)

// TopicsSpec describes a pipeline's topics. By default they are named `<pipeline>.queries` and so on.
type TopicsSpec struct {
	// Partitions of the queries topic, default 4; those of the others follow from it.
	Partitions int
	// Replication is how many brokers hold each partition. Default 1.
	Replication int
	// Retention is how long records are kept. Default 24h.
	Retention time.Duration

	Queries, Predictions, Decisions, Feedback, Dead string
	// State tells which version of the pipeline is to run, and what each segment reads; compacted.
	State string
	// Next names the topic that a segment reads where it is cut off from the one before it, by segment.
	Next map[string]string
}

// ownTopics are the last parts of the names of a pipeline's topics, now or in a later version: no segment
// may be called so.
func ownTopics() []string {
	return []string{"queries", "predictions", "decisions", "feedback", "dead",
		"examples", "join", "ids", "learn", "state", "keys", "audit", "capacity"}
}

const (
	minRetention = time.Minute
	maxRetention = 10 * 365 * 24 * time.Hour
)

func (s *Spec) readTopics(n Node) {
	t := &s.Topics
	t.Partitions = n.Get("partitions").IntIn(1, 10_000, 4)
	t.Replication = n.Get("replication").IntIn(1, 100, 1)
	t.Retention = n.Get("retention").Duration(24 * time.Hour)
	if t.Retention < minRetention || t.Retention > maxRetention {
		n.Get("retention").Errorf("%s is out of range; from %s to 3650d", t.Retention, minRetention)
	}
	taken := map[string]Node{}
	t.Queries = s.topic(n.Get("queries"), "queries", taken)
	t.Predictions = s.topic(n.Get("predictions"), "predictions", taken)
	t.Decisions = s.topic(n.Get("decisions"), "decisions", taken)
	t.Feedback = s.topic(n.Get("feedback"), "feedback", taken)
	t.Dead = s.topic(n.Get("dead"), "dead", taken)
	t.State = s.topic(n.Get("state"), "state", taken)
	t.Next = map[string]string{}
	next := n.Get("next")
	for _, e := range next.Entries() {
		s.checkBoundary(e.Value, e.Key, "its topic is that of the queries; name it `topics: {queries: NAME}`")
	}
	for _, name := range s.segmentNames() {
		if len(s.Segments) > 0 && name != s.Segments[0].Name {
			t.Next[name] = s.topic(next.Get(name), name, taken)
		}
	}
}

// topic reads a topic's name, by default the pipeline's with use as its last part. taken holds the names so
// far: of two that are the same, one was given, and that is at fault.
func (s *Spec) topic(n Node, use string, taken map[string]Node) string {
	name := n.String(s.Pipeline + "." + use)
	other, twice := taken[name]
	switch {
	case twice && !n.Exists():
		other.Errorf("topic %s serves %s already; give each its own name", name, n.path)
	case !regexp.MustCompile(`^[a-zA-Z0-9._-]{1,249}$`).MatchString(name) || name == "." || name == "..":
		n.Errorf("%q is no name for a topic; use up to 249 %s", clip(name), topicLetters)
	case twice:
		n.Errorf("topic %s serves %s already; give each its own name", name, other.path)
	}
	taken[name] = n
	return name
}

// TopicDef is a topic to be created.
type TopicDef struct {
	Name                    string
	Partitions, Replication int
	Config                  map[string]string
}

const (
	// Neither batches of many small rows nor the broker's own default may be cut by a low limit on queries.
	minMessage = 1 << 20
	// messageRoom is for what surrounds a query's bytes: key, headers, answer, the batch's own frame.
	messageRoom = 64 << 10
)

// TopicList is every topic of the pipeline, in the order in which a query passes them. Of the topics
// between segments it holds those that the layout cuts, or, for processes that run some segments each,
// all.
func (s *Spec) TopicList(all bool) []TopicDef {
	query := max(s.Limits.Query, minMessage) + messageRoom
	row := query + s.rowBytes()
	list := []TopicDef{s.define(s.Topics.Queries, 1, query)}
	for i, seg := range s.Segments {
		if i > 0 && (all || slices.Contains(s.Layout.Cut, seg.Name)) {
			list = append(list, s.define(s.input(i), s.spread(i), row))
		}
	}
	return append(list,
		s.define(s.Topics.Predictions, 1, row),
		s.define(s.Topics.Decisions, 1, row),
		s.define(s.Topics.Feedback, 1, query),
		s.define(s.Topics.Dead, 1, query+messageRoom), // room for the reason's headers around any query
		TopicDef{Name: s.Topics.State, Partitions: 1, Replication: s.Topics.Replication,
			Config: map[string]string{"cleanup.policy": "compact"}})
}

// define keeps every topic as long as the queries: what a restart skips it must find in the outputs, and a
// segment that is away for a night must find its rows. Segments roll often enough that a record outlives
// its time by a quarter at most.
func (s *Spec) define(name string, spread int, message int64) TopicDef {
	roll := min(max(s.Topics.Retention/4, minRetention), 24*time.Hour)
	return TopicDef{
		Name: name, Partitions: s.Topics.Partitions * spread, Replication: s.Topics.Replication,
		Config: map[string]string{
			"cleanup.policy": "delete",
			// Time in the backlog counts, and only the broker's clock is the same for all.
			"message.timestamp.type": "LogAppendTime",
			"retention.ms":           strconv.FormatInt(s.Topics.Retention.Milliseconds(), 10),
			"segment.ms":             strconv.FormatInt(roll.Milliseconds(), 10),
			"max.message.bytes":      strconv.FormatInt(message, 10),
		},
	}
}

// rowBytes is what the fixed-size columns of a row take in an Arrow batch. A JSON query spells a zero in
// two bytes; here it takes its type's width.
func (s *Spec) rowBytes() int64 {
	var sum int64
	for _, f := range s.Schema.Fields {
		sum += int64(max(1, f.Type.Len)) * elementBytes(f.Type.Kind)
	}
	return sum
}

// elementBytes is the size of one value; what has no fixed size is as long as in the query.
func elementBytes(k schemas.Kind) int64 {
	switch k {
	case schemas.Int8, schemas.Uint8, schemas.Bool:
		return 1
	case schemas.Int16, schemas.Uint16:
		return 2
	case schemas.Int32, schemas.Uint32, schemas.Float32:
		return 4
	case schemas.Int64, schemas.Uint64, schemas.Float64, schemas.Timestamp:
		return 8
	}
	return 0
}
