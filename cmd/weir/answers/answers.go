package answers

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	json "github.com/goccy/go-json"
	"github.com/zeebo/xxh3"

	"weir/cmd/weir/feed"
	"weir/connectors/kafka"
	"weir/schemas"
)

// A Place is that of a query's row in its partition of the queries topic.
type Place struct {
	Offset int64
	Row    int32
}

// An Answer is a prediction, or what a decision says of it.
type Answer struct {
	Place
	// Topic and Partition are those of the query.
	Topic     string
	Partition int32
	// Epoch is that of the prediction's writer, 0 where no fence gave one.
	Epoch int32
	// Version tells which spec answered (kafka.Fence.Version). Signed is false where the record does not say.
	Version uint32
	Signed  bool

	ID, Status string
	// Said is a digest of the status and, where a model answered, of the model and its label.
	Said uint64
	// Value is all of a prediction, as JSON.
	Value json.RawMessage
	// Ran are the versions of the models that a decision says were asked, by name; where Ran read it.
	Ran map[string]string
}

var errPlace = errors.New("its header " + kafka.OriginHeader + " names other rows than it holds")

// Predictions reads a record of the predictions topic.
func Predictions(r *schemas.Record) ([]Answer, error) {
	values := []json.RawMessage{r.Value}
	if len(r.Value) == 0 || r.Value[0] != '{' {
		var err error
		if values, err = feed.Values(*r); err != nil {
			return nil, err
		}
	}
	out := make([]Answer, len(values))
	for i, v := range values {
		var p struct {
			QueryID      string          `json:"query_id"`
			Status       string          `json:"status"`
			Label        json.RawMessage `json:"label"`
			Model        string          `json:"model"`
			ModelVersion string          `json:"model_version"`
			Source       struct {
				Topic     string `json:"topic"`
				Partition int32  `json:"partition"`
				Offset    int64  `json:"offset"`
				Row       int32  `json:"row"`
			} `json:"source"`
		}
		if err := json.Unmarshal(v, &p); err != nil {
			return nil, err
		}
		out[i] = Answer{
			Place: Place{p.Source.Offset, p.Source.Row}, Partition: p.Source.Partition, Topic: p.Source.Topic,
			ID: p.QueryID, Status: p.Status, Said: digest(p.Status, p.Model, p.ModelVersion, feed.Text(p.Label)), Value: v,
		}
	}
	return out, sign(r, out)
}

// sign gives each answer what the record's header says of its writer.
func sign(r *schemas.Record, out []Answer) error {
	version, known := kafka.OriginVersion(r)
	for i := range out {
		out[i].Version, out[i].Signed = version, known
	}
	i := 0
	signed, err := kafka.Origins(r, func(offset int64, row, epoch int32) {
		if i < len(out) && out[i].Place == (Place{offset, row}) {
			out[i].Epoch = epoch
			i++
		}
	})
	if err == nil && signed && i < len(out) {
		err = errPlace
	}
	return err
}

// digest is the same for a prediction and for the decision that led to it.
func digest(status, model, version, label string) uint64 {
	if status != schemas.Answered.String() && status != schemas.Degraded.String() {
		model, version, label = "", "", "" // a decision tells of the models that ran, though none answered
	}
	return xxh3.HashString(strings.Join([]string{status, model, version, label}, "\x00"))
}

// Decisions reads a record of the decisions topic.
func Decisions(r *schemas.Record) ([]Answer, error) { return decisions(r, false) }

// Ran is Decisions with the models that ran, which cost as much again.
func Ran(r *schemas.Record) ([]Answer, error) { return decisions(r, true) }

func decisions(r *schemas.Record, ran bool) (out []Answer, err error) {
	batches, err := schemas.DecodeIPC(r.Value, schemas.Limits{})
	for _, b := range batches {
		if err == nil {
			out, err = appendDecisions(out, b, ran)
		}
		b.Release()
	}
	return out, err
}

// decisionColumns are those of a decision that tell whether it fits its prediction.
type decisionColumns struct {
	id, status, shown     *array.String
	epoch                 *array.Int32
	topic                 *array.String
	partition, row        *array.Int32
	offset                *array.Int64
	ran                   *array.List
	model, version, label *array.String
}

var errDecisions = errors.New("no batch of decisions")

func decisionColumnsOf(b arrow.Record) (c decisionColumns, err error) {
	column := func(name string) arrow.Array {
		for i, f := range b.Schema().Fields() {
			if f.Name == name {
				return b.Column(i)
			}
		}
		return nil
	}
	c.id, _ = column("query_id").(*array.String)
	c.status, _ = column("status").(*array.String)
	c.shown, _ = column("shown").(*array.String)
	c.epoch, _ = column("epoch").(*array.Int32)
	c.ran, _ = column("ran").(*array.List)
	source, _ := column("source").(*array.Struct)
	if source == nil || source.NumField() != 4 || c.ran == nil {
		return c, errDecisions
	}
	c.topic, _ = source.Field(0).(*array.String)
	c.partition, _ = source.Field(1).(*array.Int32)
	c.offset, _ = source.Field(2).(*array.Int64)
	c.row, _ = source.Field(3).(*array.Int32)
	if ran, ok := c.ran.ListValues().(*array.Struct); ok && ran.NumField() > 3 {
		c.model, _ = ran.Field(0).(*array.String)
		c.version, _ = ran.Field(1).(*array.String)
		c.label, _ = ran.Field(3).(*array.String)
	}
	for _, missing := range []bool{c.id == nil, c.status == nil, c.shown == nil, c.epoch == nil, c.topic == nil,
		c.partition == nil, c.offset == nil, c.row == nil, c.model == nil, c.version == nil, c.label == nil} {
		if missing {
			return c, errDecisions
		}
	}
	return c, nil
}

// versions are those of the models from one place to another, by name.
func (c *decisionColumns) versions(from, to int) map[string]string {
	m := make(map[string]string, to-from)
	for j := from; j < to; j++ {
		m[strings.Clone(c.model.Value(j))] = strings.Clone(c.version.Value(j)) // Arrow's memory is used again
	}
	return m
}

func appendDecisions(out []Answer, b arrow.Record, ran bool) ([]Answer, error) {
	c, err := decisionColumnsOf(b)
	if err != nil {
		return nil, err
	}
	for i := range int(b.NumRows()) {
		a := Answer{
			Place: Place{c.offset.Value(i), c.row.Value(i)}, Partition: c.partition.Value(i), Topic: strings.Clone(c.topic.Value(i)),
			ID: strings.Clone(c.id.Value(i)), Status: strings.Clone(c.status.Value(i)),
		}
		if c.epoch.IsValid(i) {
			a.Epoch = c.epoch.Value(i)
		}
		version, label := "", ""
		from, to := c.ran.ValueOffsets(i)
		for j := int(from); j < int(to); j++ {
			if c.model.Value(j) == c.shown.Value(i) {
				version, label = c.version.Value(j), c.label.Value(j)
			}
		}
		if ran {
			a.Ran = c.versions(int(from), int(to))
		}
		a.Said = digest(a.Status, c.shown.Value(i), version, label)
		out = append(out, a)
	}
	return out, nil
}

// Content is a prediction without what differs from run to run: trace and late.
func Content(value json.RawMessage) (map[string]any, error) {
	var fields map[string]any
	d := json.NewDecoder(bytes.NewReader(value))
	if err := d.Decode(&fields); err != nil {
		return nil, fmt.Errorf("answers: %w", err)
	}
	delete(fields, "trace")
	delete(fields, "late")
	return fields, nil
}

// Tolerance of numbers, relative above 1: a runtime's last bits depend on the batch that a row is in.
const Tolerance = 1e-5

// Alike compares values of two predictions, as JSON decodes them.
func Alike(a, b any) bool {
	switch a := a.(type) {
	case float64:
		b, ok := b.(float64)
		return ok && math.Abs(a-b) <= Tolerance*max(1, math.Abs(a))
	case []any:
		b, ok := b.([]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for i := range a {
			if !Alike(a[i], b[i]) {
				return false
			}
		}
		return true
	case map[string]any:
		b, ok := b.(map[string]any)
		if !ok || len(a) != len(b) {
			return false
		}
		for k, v := range a {
			if other, ok := b[k]; !ok || !Alike(v, other) {
				return false
			}
		}
		return true
	}
	return a == b
}
