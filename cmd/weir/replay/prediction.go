package replay

import (
	"fmt"
	"math"
	"strings"

	json "github.com/goccy/go-json"

	"weir/cmd/weir/answers"
	"weir/cmd/weir/feed"
)

// A prediction is one as its record has it.
type prediction struct {
	QueryID string          `json:"query_id"`
	Status  string          `json:"status"`
	Label   json.RawMessage `json:"label"`
	Reason  struct {
		Code    string `json:"code"`
		Column  string `json:"column"`
		Message string `json:"message"`
	} `json:"reason"`
	Confidence   *float64        `json:"confidence"`
	Scores       []float64       `json:"scores"`
	Model        string          `json:"model"`
	ModelVersion string          `json:"model_version"`
	Gates        []gate          `json:"gates"`
	Columns      json.RawMessage `json:"columns"`
	Trace        struct {
		TotalMS *float64 `json:"total_ms"`
		Stages  []struct {
			Name string `json:"name"`
		} `json:"stages"`
	} `json:"trace"`

	version uint32 // of the spec that answered, where it is signed
	signed  bool
}

// A gate is what a row passed, or did not.
type gate struct {
	Name    string  `json:"name"`
	Score   float64 `json:"score"`
	AtLeast float64 `json:"at_least"`
}

func (g gate) open() bool { return g.Score >= g.AtLeast }

func decode(a *answers.Answer) (*prediction, error) {
	p := &prediction{version: a.Version, signed: a.Signed}
	if err := json.Unmarshal(a.Value, p); err != nil {
		return nil, err
	}
	return p, nil
}

// difference is the first in which two predictions differ, "" if they say the same. Trace and late are no part
// of an answer, a threshold and words for people neither.
func difference(a, b *prediction) Kind {
	switch {
	case a.Status != b.Status || a.Reason.Code != b.Reason.Code:
		return Status
	case feed.Text(a.Label) != feed.Text(b.Label):
		return Label
	case a.Model != b.Model || a.ModelVersion != b.ModelVersion:
		return Model
	case !sameScores(a, b):
		return Scores
	case !sameGates(a.Gates, b.Gates):
		return Gates
	case a.QueryID != b.QueryID || a.Reason.Column != b.Reason.Column || !sameColumns(a.Columns, b.Columns):
		return Other
	}
	return ""
}

// near says whether two numbers differ in their last bits at most.
func near(a, b float64) bool {
	return math.Abs(a-b) <= answers.Tolerance*max(1, math.Abs(a), math.Abs(b))
}

func sameScores(a, b *prediction) bool {
	if (a.Confidence == nil) != (b.Confidence == nil) || len(a.Scores) != len(b.Scores) {
		return false
	}
	if a.Confidence != nil && !near(*a.Confidence, *b.Confidence) {
		return false
	}
	for i := range a.Scores {
		if !near(a.Scores[i], b.Scores[i]) {
			return false
		}
	}
	return true
}

func sameGates(a, b []gate) bool {
	if len(a) != len(b) {
		return false
	}
	for i := range a {
		if a[i].Name != b[i].Name || !near(a[i].Score, b[i].Score) {
			return false
		}
	}
	return true
}

func sameColumns(a, b json.RawMessage) bool {
	if string(a) == string(b) {
		return true
	}
	var x, y any
	return len(a) > 0 && len(b) > 0 && json.Unmarshal(a, &x) == nil && json.Unmarshal(b, &y) == nil && answers.Alike(x, y)
}

// String says in a line what a prediction says.
func (p *prediction) String() string {
	parts := []string{p.Status}
	if p.Reason.Code != "" {
		parts = append(parts, "("+p.Reason.Code+")")
	}
	if label := feed.Text(p.Label); label != "" {
		parts = append(parts, label)
	}
	if p.Model != "" {
		parts = append(parts, "by", p.Model, p.ModelVersion)
	}
	if p.Confidence != nil {
		parts = append(parts, fmt.Sprintf("%.4g", *p.Confidence))
	}
	return strings.Join(parts, " ")
}
