package schemas

import (
	"fmt"

	json "github.com/goccy/go-json"
)

// Prediction is a prediction as a client sees it. What does not apply is zero.
type Prediction struct {
	QueryID string `json:"query_id"`
	Status  string `json:"status"`
	Late    bool   `json:"late"`
	Reason  struct {
		Code    string `json:"code"`
		Column  string `json:"column"`
		Message string `json:"message"`
	} `json:"reason"`
	Label        Text      `json:"label"`
	Confidence   float32   `json:"confidence"`
	Scores       []float32 `json:"scores"`
	Model        string    `json:"model"`
	ModelVersion string    `json:"model_version"`
	Gates        []struct {
		Name    string  `json:"name"`
		Score   float32 `json:"score"`
		AtLeast float32 `json:"at_least"`
		Version string  `json:"version"`
	} `json:"gates"`
	Columns map[string]any `json:"columns"`
	Source  struct {
		Topic     string `json:"topic"`
		Partition int32  `json:"partition"`
		Offset    int64  `json:"offset"`
		Row       int32  `json:"row"`
	} `json:"source"`
	Ref   string `json:"ref"`
	Trace struct {
		Stamp   string  `json:"stamp"`
		TotalMS float64 `json:"total_ms"`
		Stages  []struct {
			Name   string  `json:"name"`
			WaitMS float64 `json:"wait_ms"`
			RunMS  float64 `json:"run_ms"`
			Batch  int     `json:"batch"`
		} `json:"stages"`
	} `json:"trace"`
}

// Text is a JSON string, or the text of a JSON number: a label without names is its index.
type Text string

// UnmarshalJSON implements json.Unmarshaler.
func (t *Text) UnmarshalJSON(b []byte) error {
	if len(b) > 0 && b[0] != '"' {
		*t = Text(b)
		return nil
	}
	return json.Unmarshal(b, (*string)(t))
}

// DecodePrediction reads the JSON of one prediction.
func DecodePrediction(value []byte) (Prediction, error) {
	var p Prediction
	if err := json.Unmarshal(value, &p); err != nil {
		return p, fmt.Errorf("schemas: decode prediction: %w", err)
	}
	return p, nil
}
