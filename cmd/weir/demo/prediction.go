package demo

import (
	"encoding/json"

	fastjson "github.com/goccy/go-json"
)

// A Prediction is what the demo reads of one.
type Prediction struct {
	QueryID string          `json:"query_id"`
	Status  string          `json:"status"`
	Late    bool            `json:"late"`
	Label   json.RawMessage `json:"label"`
	Model   string          `json:"model"`
	Ref     string          `json:"ref"`
	Trace   struct {
		Stages []struct {
			Batch int `json:"batch"`
		} `json:"stages"`
	} `json:"trace"`
}

// ParsePrediction reads a prediction as the contract has it.
func ParsePrediction(value []byte) (Prediction, error) {
	var p Prediction
	return p, fastjson.Unmarshal(value, &p)
}

// Feedback is the record that tells the truth about a prediction.
func Feedback(p Prediction, truth json.RawMessage) []byte {
	b, _ := json.Marshal(struct { // strings and checked JSON always have a JSON form
		QueryID string          `json:"query_id"`
		Ref     string          `json:"ref,omitempty"`
		Label   json.RawMessage `json:"label"`
	}{p.QueryID, p.Ref, truth})
	return b
}
