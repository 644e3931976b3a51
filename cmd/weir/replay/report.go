package replay

import (
	"encoding/json"
	"time"

	"weir/internal/loadgen"
)

// Kind of a difference: the first of these in which two predictions differ. Absent is a query that the replay did
// not answer.
type Kind string

// Model is another model or another version of it; Scores differ by more than answers.Tolerance; Gates are the
// scores at gates, not their thresholds; Other are the id, the carried columns and a reason's column.
const (
	Status Kind = "status"
	Label  Kind = "label"
	Model  Kind = "model"
	Scores Kind = "scores"
	Gates  Kind = "gates"
	Other  Kind = "other"
	Absent Kind = "absent"
)

// Kinds are all kinds of differences.
var Kinds = [...]Kind{Status, Label, Model, Scores, Gates, Other, Absent}

// Cause of a difference, "" if it is not explained.
type Cause string

// Deadline is the hard deadline's cut; Version is a model's; Rounding is a score whose last bits decide, at a
// threshold or between two labels; Failure is a recorded failure of a model; Spec is another spec than the
// candidate's, where nothing more can be told.
const (
	Deadline  Cause = "deadline"
	Threshold Cause = "threshold"
	Version   Cause = "version"
	Rounding  Cause = "rounding"
	Failure   Cause = "failure"
	Spec      Cause = "spec"
)

// Causes are all causes.
var Causes = [...]Cause{Deadline, Threshold, Version, Rounding, Failure, Spec}

// Listed is how many findings of a kind and cause are told where not all are asked for.
const Listed = 20

// A Finding is a query that was answered in another way, or was not answered when it was recorded.
type Finding struct {
	// Kind is empty for a query without a recorded prediction.
	Kind      Kind   `json:"difference,omitempty"`
	Cause     Cause  `json:"explained,omitempty"`
	QueryID   string `json:"query_id,omitempty"`
	Topic     string `json:"topic"`
	Partition int32  `json:"partition"`
	Offset    int64  `json:"offset"`
	Row       int32  `json:"row"`
	// Recorded and Replayed are the predictions; nil is none.
	Recorded json.RawMessage `json:"recorded,omitempty"`
	Replayed json.RawMessage `json:"replayed,omitempty"`
	// Was and Is say in a line what they say, for people; Why is the cause in words.
	Was string `json:"-"`
	Is  string `json:"-"`
	Why string `json:"why,omitempty"`
}

// A Side is what the recorded or the replayed predictions have in common, of those that were compared.
type Side struct {
	// Reached is how many rows a predict stage saw, by the stage's name.
	Reached map[string]int64 `json:"reached"`
	// P50 and P99 are times from stamp to answer, in milliseconds; 0 in a replay that kept no pace.
	P50 float64 `json:"p50_ms,omitempty"`
	P99 float64 `json:"p99_ms,omitempty"`

	took *loadgen.Latencies
}

func newSide() Side { return Side{Reached: map[string]int64{}, took: loadgen.NewLatencies()} }

// add counts a prediction.
func (s *Side) add(p *prediction) {
	for _, st := range p.Trace.Stages {
		s.Reached[st.Name]++
	}
	if p.Trace.TotalMS != nil {
		s.took.Record(time.Duration(*p.Trace.TotalMS * float64(time.Millisecond)))
	}
}

// end works the quantiles out.
func (s *Side) end() {
	ms := func(q float64) float64 { return float64(s.took.Quantile(q)) / float64(time.Millisecond) }
	s.P50, s.P99 = ms(0.5), ms(0.99)
}

// A Report says how a replay's answers compare with the recorded ones.
type Report struct {
	// Queries that were replayed: rows, not records. Unanswered of them have no recorded prediction.
	Queries    int64 `json:"queries"`
	Unanswered int64 `json:"unanswered"`
	// Same say the same, Different something else. Agreed have the same status and label.
	Same      int64          `json:"same"`
	Different map[Kind]int64 `json:"different"`
	Agreed    int64          `json:"agreed"`
	// Explained differences, by cause; the others.
	Explained   map[Cause]int64 `json:"explained"`
	Unexplained int64           `json:"unexplained"`
	// Recorded and Replayed are the two sides.
	Recorded Side `json:"recorded"`
	Replayed Side `json:"replayed"`
	// Took is how long the replay ran, in seconds.
	Took  float64  `json:"seconds"`
	Notes []string `json:"notes,omitempty"`
}

func newReport(notes []string) *Report {
	r := &Report{Different: map[Kind]int64{}, Explained: map[Cause]int64{}, Recorded: newSide(), Replayed: newSide(), Notes: notes}
	for _, k := range Kinds {
		r.Different[k] = 0
	}
	for _, c := range Causes {
		r.Explained[c] = 0
	}
	return r
}

// Compared are the queries that both sides answered.
func (r *Report) Compared() int64 { return r.Queries - r.Unanswered - r.Different[Absent] }

// Agreement is the share of the compared queries whose status and label are the same, in percent.
func (r *Report) Agreement() float64 {
	if r.Compared() == 0 {
		return 0
	}
	return 100 * float64(r.Agreed) / float64(r.Compared())
}
