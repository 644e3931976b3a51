package schemas

import (
	"fmt"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
	"github.com/apache/arrow/go/v17/arrow/memory"
)

// DecisionOptions say how decisions look.
type DecisionOptions struct {
	// Topic of the queries, for a decision's source.
	Topic string
	// Schema is the pipeline's: its single values are kept by value, its tensors lie at the source.
	Schema Schema
}

// decisions encodes what was decided for each query, for learning and replay. Its schema depends on the
// options alone, whatever columns a batch has, so that all records of the topic concatenate. A label is
// text even where the model has no names for its indexes.
type decisions struct {
	opt     DecisionOptions
	schema  *arrow.Schema
	tensors []string
	small   []Field
	streams streams
}

// Places of the fields in a decision.
const (
	decisionQueryID = iota
	decisionSource
	decisionStamp
	decisionStatus
	decisionLate
	decisionEpoch
	decisionTensors
	decisionSelected
	decisionShown
	decisionRan
	decisionGates
	decisionAudit
	decisionFeatures // last, and absent where the schema has tensors only
)

// NewDecisions returns the encoder of the decisions topic: an Arrow stream a batch.
func NewDecisions(opt DecisionOptions) Encoder {
	d := &decisions{opt: opt}
	text, flag := arrow.BinaryTypes.String, arrow.FixedWidthTypes.Boolean
	fields := []arrow.Field{
		decisionQueryID:  field("query_id", text),
		decisionSource:   field("source", sourceType),
		decisionStamp:    field("stamp", arrow.FixedWidthTypes.Timestamp_us),
		decisionStatus:   field("status", text),
		decisionLate:     field("late", flag),
		decisionEpoch:    field("epoch", arrow.PrimitiveTypes.Int32),
		decisionTensors:  field("tensors", arrow.ListOf(text)),
		decisionSelected: field("selected", text),
		decisionShown:    field("shown", text),
		decisionRan:      field("ran", arrow.ListOf(ranType)),
		decisionGates:    field("gates", arrow.ListOf(gateType)),
		decisionAudit:    field("audit", flag),
	}
	var features []arrow.Field
	for _, f := range opt.Schema.Fields {
		if f.Type.Tensor() {
			d.tensors = append(d.tensors, f.Name)
			continue
		}
		d.small = append(d.small, f)
		features = append(features, field(f.Name, f.Type.Arrow()))
	}
	if len(features) > 0 {
		fields = append(fields, field("features", arrow.StructOf(features...)))
	}
	d.schema = arrow.NewSchema(fields, nil)
	return d
}

// Encode implements Encoder.
func (d *decisions) Encode(rec arrow.Record) ([]Message, error) {
	a, err := answersOf(rec)
	if err != nil {
		return nil, fmt.Errorf("decisions: %w", err)
	}
	out := d.build(rec, &a)
	defer out.Release()
	return d.streams.encodeSplit(out, func([]byte) []Header { return []Header{{ContentType, []byte(ArrowStream)}} })
}

// build lays the batch's own columns out as decisions: what a decision says in a struct or a list is a column
// already, so that hardly anything is copied, and nothing is made for a row.
func (d *decisions) build(rec arrow.Record, a *answers) arrow.Record {
	n := int(rec.NumRows())
	fields := d.schema.Fields()
	cols := make([]arrow.Array, len(fields))
	if len(d.small) > 0 {
		cols[decisionFeatures] = d.features(rec, fields[decisionFeatures].Type)
	}
	cols[decisionQueryID] = shared(a.queryID)
	cols[decisionSource] = sources(d.opt.Topic, a, n)
	cols[decisionStamp] = orNulls(a.stamp, arrow.FixedWidthTypes.Timestamp_us, n)
	cols[decisionStatus] = statusTexts(a.status)
	cols[decisionLate] = orFalse(a.late, n)
	cols[decisionEpoch] = epochs(a.epoch, n)
	cols[decisionTensors] = repeatedList(fields[decisionTensors].Type, d.tensors, n)
	cols[decisionSelected] = orNulls(a.model, arrow.BinaryTypes.String, n)
	cols[decisionShown] = shared(cols[decisionSelected])
	cols[decisionRan] = ranLists(fields[decisionRan].Type, a.ran, n)
	cols[decisionGates] = gateLists(fields[decisionGates].Type, a.gates, n)
	cols[decisionAudit] = orFalse(nil, n)
	return ownedRecord(d.schema, cols, n)
}

// epochs are those of the rows' predictions, 0 where no fence gives one.
func epochs(a *array.Int32, n int) arrow.Array {
	if a == nil || a.NullN() > 0 {
		return zeros(arrow.PrimitiveTypes.Int32, n)
	}
	return shared(a)
}

// features is the struct of the single values; its arrays are the batch's own.
func (d *decisions) features(rec arrow.Record, t arrow.DataType) arrow.Array {
	n := int(rec.NumRows())
	children := make([]arrow.Array, len(d.small))
	for i, f := range d.small {
		at := index(rec, f.Name)
		// A column that no later segment needs was left behind at a cut; one of another type was replaced.
		if at < 0 || !arrow.TypeEqual(rec.Column(at).DataType(), f.Type.Arrow()) {
			children[i] = Nulls(f.Type.Arrow(), n)
			continue
		}
		children[i] = shared(rec.Column(at))
	}
	return assemble(t, n, []*memory.Buffer{nil}, children, 0)
}

// ForDecisions is rec without Weir's own columns that no decision holds. Decisions wait for others to be
// joined with them, which copies every column.
func ForDecisions(rec arrow.Record) arrow.Record {
	return Select(rec, func(name string) bool {
		switch name {
		case Key, Deadline, EventTime, ReasonCode, ReasonColumn, ReasonMessage, Raw, Label, Scores, Confidence, ModelVersion, Total:
			return false
		}
		if strings.HasPrefix(name, RanPrefix) {
			return !strings.HasSuffix(name, RanWait) && !strings.HasSuffix(name, RanRun) && !strings.HasSuffix(name, RanBatch)
		}
		return !strings.HasPrefix(name, HeaderPrefix)
	})
}
