package schemas

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
)

// answers is a batch seen as predictions and decisions: the columns that say what was answered and why,
// found once. A column that the batch lacks is nil, and all its rows are null.
type answers struct {
	partition, row        *array.Int32
	offset                *array.Int64
	queryID               *array.String
	key                   *array.Binary
	stamp                 *array.Timestamp
	status                *array.Uint8
	code, column, message *array.String
	label                 labels
	scores                scores
	confidence            *array.Float32
	model, version        *array.String
	late                  *array.Boolean
	total                 *array.Int64
	epoch                 *array.Int32
	ran                   []ranColumns
	gates                 []gateColumns
}

// ranColumns is what one predict stage left.
type ranColumns struct {
	name           string
	model, version *array.String
	label          labels
	scores         scores
	wait, run      *array.Int64
	batch          *array.Int32
}

// gateColumns is what one gate left.
type gateColumns struct {
	name           string
	score, atLeast *array.Float32
	version        *array.String
}

// labels is a label column: strings, or indexes where the model has no labels.
type labels struct {
	text  *array.String
	index *array.Int32
}

func (l labels) null(row int) bool {
	return (l.text == nil || l.text.IsNull(row)) && (l.index == nil || l.index.IsNull(row))
}

// scores is a list column of float32.
type scores struct {
	list   array.ListLike
	values *array.Float32
}

func (s scores) row(row int) []float32 {
	if s.list == nil || s.list.IsNull(row) {
		return nil
	}
	from, to := s.list.ValueOffsets(row)
	return s.values.Float32Values()[from:to]
}

// answersOf finds the columns. Identity and status must be there; the others only have the right type.
func answersOf(rec arrow.Record) (a answers, err error) {
	f := finder{rec: rec}
	a.partition = find[*array.Int32](&f, Partition)
	a.offset = find[*array.Int64](&f, Offset)
	a.row = find[*array.Int32](&f, Row)
	a.queryID = find[*array.String](&f, QueryID)
	a.status = find[*array.Uint8](&f, StatusColumn)
	f.optional = true
	a.key = find[*array.Binary](&f, Key)
	a.stamp = find[*array.Timestamp](&f, Stamp)
	a.code = find[*array.String](&f, ReasonCode)
	a.column = find[*array.String](&f, ReasonColumn)
	a.message = find[*array.String](&f, ReasonMessage)
	a.label = f.labels(Label)
	a.scores = f.scores(Scores)
	a.confidence = find[*array.Float32](&f, Confidence)
	a.model = find[*array.String](&f, Model)
	a.version = find[*array.String](&f, ModelVersion)
	a.late = find[*array.Boolean](&f, Late)
	a.total = find[*array.Int64](&f, Total)
	a.epoch = find[*array.Int32](&f, Epoch)
	fields, _ := fieldsOf(rec)
	for _, field := range fields {
		if name, ok := member(field.Name, RanPrefix, RanModel); ok {
			a.ran = append(a.ran, f.ran(name))
		}
		if name, ok := member(field.Name, GatePrefix, GateScore); ok {
			a.gates = append(a.gates, f.gate(name))
		}
	}
	return a, f.err
}

// member is the middle of a column's name of a family.
func member(name, prefix, suffix string) (string, bool) {
	rest, ok := strings.CutPrefix(name, prefix)
	if !ok {
		return "", false
	}
	return strings.CutSuffix(rest, suffix)
}

// finder finds columns and keeps the first error.
type finder struct {
	rec      arrow.Record
	optional bool
	err      error
}

func find[T arrow.Array](f *finder, name ...string) T {
	var none T
	i := indexOf(f.rec, name)
	if i < 0 && f.optional || i >= 0 && f.rec.Column(i).DataType().ID() == arrow.NULL {
		return none
	}
	if i >= 0 {
		if col, ok := f.rec.Column(i).(T); ok {
			return col
		}
	}
	col, err := Column[T](f.rec, strings.Join(name, ""))
	if err != nil && f.err == nil {
		f.err = err
	}
	return col
}

// indexOf is index of a name in parts. To put the names of a batch's columns together costs more than to
// encode a row.
func indexOf(rec arrow.Record, name []string) int {
	fields, _ := fieldsOf(rec)
	for i := range fields {
		rest, ok := fields[i].Name, true
		for _, part := range name {
			if rest, ok = strings.CutPrefix(rest, part); !ok {
				break
			}
		}
		if ok && rest == "" {
			return i
		}
	}
	return -1
}

func (f *finder) ran(name string) ranColumns {
	return ranColumns{
		name:    name,
		model:   find[*array.String](f, RanPrefix, name, RanModel),
		version: find[*array.String](f, RanPrefix, name, RanVersion),
		label:   f.labels(RanPrefix, name, RanLabel),
		scores:  f.scores(RanPrefix, name, RanScores),
		wait:    find[*array.Int64](f, RanPrefix, name, RanWait),
		run:     find[*array.Int64](f, RanPrefix, name, RanRun),
		batch:   find[*array.Int32](f, RanPrefix, name, RanBatch),
	}
}

func (f *finder) gate(name string) gateColumns {
	return gateColumns{
		name:    name,
		score:   find[*array.Float32](f, GatePrefix, name, GateScore),
		atLeast: find[*array.Float32](f, GatePrefix, name, GateAtLeast),
		version: find[*array.String](f, GatePrefix, name, GateVersion),
	}
}

func (f *finder) labels(name ...string) labels {
	if i := indexOf(f.rec, name); i >= 0 && f.rec.Column(i).DataType().ID() == arrow.INT32 {
		return labels{index: find[*array.Int32](f, name...)}
	}
	return labels{text: find[*array.String](f, name...)}
}

func (f *finder) scores(name ...string) (s scores) {
	i := indexOf(f.rec, name)
	if i < 0 || f.rec.Column(i).DataType().ID() == arrow.NULL {
		return s
	}
	list, ok := f.rec.Column(i).(array.ListLike)
	if !ok {
		f.fail(f.rec.ColumnName(i), "is no list")
		return s
	}
	values, ok := list.ListValues().(*array.Float32)
	if !ok {
		f.fail(f.rec.ColumnName(i), "holds no float32")
		return s
	}
	return scores{list, values}
}

func (f *finder) fail(name, what string) {
	if f.err == nil {
		f.err = fmt.Errorf("schemas: column %q %s", name, what)
	}
}

// text is a string column's value.
func text(a *array.String, row int) (string, bool) {
	if a == nil || a.IsNull(row) {
		return "", false
	}
	return a.Value(row), true
}

// answered says that label and scores stand with the status.
func (s Status) answered() bool { return s == Answered || s == Degraded || s == Defaulted }

func (l labels) string(row int) string {
	if l.text != nil {
		return l.text.Value(row)
	}
	return strconv.Itoa(int(l.index.Value(row)))
}
