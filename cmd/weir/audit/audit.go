package audit

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"weir/cmd/weir/answers"
	"weir/connectors/kafka"
	"weir/schemas"
)

// Options of an audit. Client, the topics, Group and NewDecoder are needed.
type Options struct {
	Client                          *kafka.Client
	Queries, Predictions, Decisions string
	// Group is the consumer group that reads the queries.
	Group string
	// Next are the topics between segments, in the order in which a query passes them.
	Next []Next
	// Order says that the predictions of a key are to be in the order of its queries.
	Order bool
	// NewDecoder makes a decoder of the queries.
	NewDecoder func() schemas.Decoder
	// From and To are the range, by the queries' stamps. To: Latest is now.
	From, To kafka.Start
	// All asks to be told of every finding, not only of the first Listed of each kind.
	All bool
	// Found is told of findings, in order within a partition. An error ends the audit.
	Found func(Finding) error
	// Progress is told how far the audit is with a partition, in queries' offsets. May be nil.
	Progress func(partition int32, done, of int64)

	openRows int // for tests; 0: the default
}

// Listed is how many findings of a kind are told where not all are asked for.
const Listed = 20

// Next is a topic between two segments.
type Next struct {
	Topic, Group string
	// Spread is how many partitions it has for each of the queries.
	Spread int
}

// Kind of a finding.
type Kind string

// What an audit may find. A query is Lost if it has no prediction, although the pipeline has committed it. It
// is answered Twice if it has several predictions, and Contradictory if they differ in more than trace and
// late, or if a decision of its prediction's epoch says something else. It is OutOfOrder if its prediction lies
// behind that of a later query of its key, which is looked for only where order is asked for. A prediction is Unknown if the range
// holds no query at its source, and Unreadable if it cannot be decoded.
const (
	Lost          Kind = "lost"
	Twice         Kind = "twice"
	Contradictory Kind = "contradictory"
	OutOfOrder    Kind = "out_of_order"
	Unknown       Kind = "unknown"
	Unreadable    Kind = "unreadable"
)

// Words are the kind as people read it.
func (k Kind) Words() string { return strings.ReplaceAll(string(k), "_", " ") }

// Kinds are all kinds of findings.
var Kinds = [...]Kind{Lost, Twice, Contradictory, OutOfOrder, Unknown, Unreadable}

// A Finding is a query, or a record, with which something is wrong.
type Finding struct {
	Kind      Kind   `json:"finding"`
	QueryID   string `json:"query_id,omitempty"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	Row       int32  `json:"row"`
	// At are the offsets of the predictions concerned, in the same partition of their topic; the first few.
	At []int64 `json:"predictions,omitempty"`
	// Why says more, for people.
	Why string `json:"why,omitempty"`
}

// A Report counts what became of the queries of a range.
type Report struct {
	// Accepted are the queries: rows, not records.
	Accepted int64 `json:"accepted"`
	// Final are those with a prediction, by the status of their first.
	Final map[string]int64 `json:"final"`
	// Pending have no prediction yet: they lie above what their segment has committed.
	Pending int64 `json:"pending"`
	// Undecided have a prediction and no decision of its epoch.
	Undecided int64 `json:"undecided"`
	// Findings, by kind.
	Findings map[Kind]int64 `json:"findings"`
	// Skipped tells of a beginning that could not be audited, because its predictions were deleted.
	Skipped string `json:"skipped,omitempty"`

	windows int // that were read, for tests
}

// Clean says that nothing was found.
func (r *Report) Clean() bool {
	for _, n := range r.Findings {
		if n > 0 {
			return false
		}
	}
	return true
}

// audit is one Run.
type audit struct {
	Options
	report   Report
	snapshot snapshot
	told     map[Kind]int
}

// snapshot is where everything stood when the audit began. Its parts are asked for in the order in which a
// query passes them: what was committed at a place has gone on from there, and is found further down.
type snapshot struct {
	from, to  []int64 // queries
	committed []int64
	next      []backlog
	predicted [2][]int64 // first and end of the predictions
	decided   [2][]int64
}

// backlog is what waits in a topic between segments.
type backlog struct {
	Next
	committed, end []int64
}

// Run audits a range of a pipeline's queries.
func Run(ctx context.Context, o Options) (*Report, error) {
	a := &audit{Options: o, told: map[Kind]int{}, report: Report{Final: map[string]int64{}, Findings: map[Kind]int64{}}}
	if a.openRows == 0 {
		a.openRows = openRows
		if a.Order {
			a.openRows = orderedRows
		}
	}
	for _, k := range Kinds {
		if k != OutOfOrder || a.Order {
			a.report.Findings[k] = 0
		}
	}
	if err := a.look(ctx); err != nil {
		return nil, err
	}
	for p := range a.snapshot.from {
		if err := newPartition(a, int32(p)).run(ctx); err != nil {
			return nil, err
		}
	}
	return &a.report, nil
}

// look takes the snapshot.
func (a *audit) look(ctx context.Context) (err error) {
	s := &a.snapshot
	if s.to, err = a.Client.Offsets(ctx, a.Queries, a.To); err != nil {
		return err
	}
	if s.from, err = a.Client.Offsets(ctx, a.Queries, a.From); err != nil {
		return err
	}
	if s.committed, err = a.Client.Committed(ctx, a.Group, a.Queries); err != nil {
		return err
	}
	for _, n := range a.Next {
		b := backlog{Next: n}
		b.committed, err = a.Client.Committed(ctx, n.Group, n.Topic)
		var unknown *kafka.UnknownTopicError
		if errors.As(err, &unknown) {
			continue
		}
		if err == nil {
			b.end, err = a.Client.End(ctx, n.Topic)
		}
		if err != nil {
			return err
		}
		s.next = append(s.next, b)
	}
	for _, out := range []struct {
		topic string
		at    *[2][]int64
	}{{a.Predictions, &s.predicted}, {a.Decisions, &s.decided}} {
		if out.at[0], err = a.Client.Offsets(ctx, out.topic, kafka.Earliest); err != nil {
			return err
		}
		if out.at[1], err = a.Client.End(ctx, out.topic); err != nil {
			return err
		}
		if len(out.at[0]) < len(s.from) {
			return fmt.Errorf("audit: topic %s has %d partitions, the queries have %d", out.topic, len(out.at[0]), len(s.from))
		}
	}
	return a.skipDeleted(ctx)
}

// skipDeleted moves the beginning behind queries whose predictions may have been deleted: to the stamp of the
// first prediction that is left.
func (a *audit) skipDeleted(ctx context.Context) error {
	s := &a.snapshot
	for p := range s.from {
		first := s.predicted[0][p]
		if first == 0 {
			continue
		}
		kept, err := answers.Kept(ctx, a.Client, a.Queries, a.Predictions, int32(p), first, s.predicted[1][p])
		if err != nil {
			return err
		}
		if kept > s.from[p] {
			s.from[p] = kept
			a.report.Skipped = fmt.Sprintf("older predictions were deleted (retention): partition %d begins at %s/%d/%d", p, a.Queries, p, kept)
		}
	}
	return nil
}

// found counts a finding, and tells of it.
func (a *audit) found(f Finding) error {
	a.report.Findings[f.Kind]++
	return a.tell(f)
}

// wants says whether a finding of that kind would be told.
func (a *audit) wants(k Kind) bool { return a.All || a.told[k] < Listed }

// tell tells of a finding that was counted.
func (a *audit) tell(f Finding) error {
	if !a.wants(f.Kind) {
		return nil
	}
	a.told[f.Kind]++
	f.Topic = a.Queries
	return a.Found(f)
}

// Statuses are the statuses of a report, in order.
func (r *Report) Statuses() []string { return slices.Sorted(maps.Keys(r.Final)) }
