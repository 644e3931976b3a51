package floor

import (
	"fmt"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"

	"weir/schemas"
)

// full encodes what the pipeline writes: what its outputs cost, without its stages.
type full struct {
	predictions, decisions schemas.Encoder
}

func newFull(topic string, schema schemas.Schema) full {
	return full{schemas.NewPredictions(schemas.PredictionOptions{Topic: topic}),
		schemas.NewDecisions(schemas.DecisionOptions{Topic: topic, Schema: schema})}
}

// encode gives the rows' predictions and decisions. One model stands for all that ran, and the times of the
// trace are made up: they take as many bytes as measured ones.
func (f full) encode(rec arrow.Record, a Answers, labels []string) (predictions, decisions []schemas.Message, err error) {
	answered := withAnswers(rec, a, labels)
	defer answered.Release()
	if predictions, err = f.predictions.Encode(answered); err != nil {
		return nil, nil, fmt.Errorf("floor: %w", err)
	}
	if decisions, err = f.decisions.Encode(answered); err != nil {
		return nil, nil, fmt.Errorf("floor: %w", err)
	}
	return predictions, decisions, nil
}

func withAnswers(rec arrow.Record, a Answers, labels []string) arrow.Record {
	b := array.NewRecordBuilder(schemas.Allocator, arrow.NewSchema([]arrow.Field{
		{Name: schemas.StatusColumn, Type: arrow.PrimitiveTypes.Uint8},
		{Name: schemas.Late, Type: arrow.FixedWidthTypes.Boolean},
		{Name: schemas.Total, Type: arrow.PrimitiveTypes.Int64},
		{Name: schemas.Label, Type: arrow.BinaryTypes.String},
		{Name: schemas.Scores, Type: arrow.FixedSizeListOf(int32(a.Classes), arrow.PrimitiveTypes.Float32)},
		{Name: schemas.Confidence, Type: arrow.PrimitiveTypes.Float32},
		{Name: schemas.Model, Type: arrow.BinaryTypes.String},
		{Name: schemas.ModelVersion, Type: arrow.BinaryTypes.String},
		{Name: schemas.Ran("light", schemas.RanWait), Type: arrow.PrimitiveTypes.Int64},
		{Name: schemas.Ran("light", schemas.RanRun), Type: arrow.PrimitiveTypes.Int64},
		{Name: schemas.Ran("light", schemas.RanBatch), Type: arrow.PrimitiveTypes.Int32},
	}, nil))
	defer b.Release()
	rows := len(a.Best)
	b.Reserve(rows)
	scores := b.Field(4).(*array.FixedSizeListBuilder)
	for i, best := range a.Best {
		b.Field(0).(*array.Uint8Builder).Append(uint8(schemas.Answered))
		b.Field(1).(*array.BooleanBuilder).Append(false)
		b.Field(2).(*array.Int64Builder).Append(2410)
		b.Field(3).(*array.StringBuilder).Append(labels[best])
		scores.Append(true)
		b.Field(5).(*array.Float32Builder).Append(a.Row(i)[best])
		b.Field(6).(*array.StringBuilder).Append("light")
		b.Field(7).(*array.StringBuilder).Append("5f1c02d9a4b7")
		b.Field(8).(*array.Int64Builder).Append(400)
		b.Field(9).(*array.Int64Builder).Append(210)
		b.Field(10).(*array.Int32Builder).Append(int32(rows))
	}
	scores.ValueBuilder().(*array.Float32Builder).AppendValues(a.Scores, nil)
	answers := b.NewRecord()
	defer answers.Release()
	var columns []schemas.Named
	for i, c := range answers.Columns() {
		columns = append(columns, schemas.Named{Name: answers.ColumnName(i), Array: c})
	}
	for _, same := range []struct {
		ran string
		of  int
	}{{schemas.RanModel, 6}, {schemas.RanVersion, 7}, {schemas.RanLabel, 3}, {schemas.RanScores, 4}} {
		columns = append(columns, schemas.Named{Name: schemas.Ran("light", same.ran), Array: answers.Column(same.of)})
	}
	return schemas.With(rec, columns...)
}
