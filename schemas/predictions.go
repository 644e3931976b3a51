package schemas

import (
	"fmt"
	"slices"
	"strconv"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
)

// PredictionOptions say how predictions look.
type PredictionOptions struct {
	// Topic of the queries, for a prediction's source.
	Topic string
	// Columns are carried into the prediction's "columns".
	Columns []string
	// Headers are the names of Kafka headers that were carried with the query.
	Headers []string
	// Arrow asks for a record a batch instead of a JSON record a query.
	Arrow bool
}

// NewPredictions returns the encoder of the predictions topic: one JSON record a row with the query's key,
// or, with Arrow, an Arrow stream a batch with the same fields as columns.
func NewPredictions(opt PredictionOptions) Encoder {
	if opt.Arrow {
		return arrowPredictions{opt}
	}
	return jsonPredictions{opt, append(appendQuoted([]byte(`,"source":{"topic":`), opt.Topic), `,"partition":`...)}
}

type jsonPredictions struct {
	opt    PredictionOptions
	source []byte // what a source begins with
}

// Encode implements Encoder. All values and keys lie in one block: an allocation a batch, not a row.
func (p jsonPredictions) Encode(rec arrow.Record) ([]Message, error) {
	a, err := answersOf(rec)
	if err != nil {
		return nil, fmt.Errorf("predictions: %w", err)
	}
	carried, headers := p.columns(rec)
	n := int(rec.NumRows())
	msgs := make([]Message, n)
	ends := make([][2]int, n) // of key and value in block
	block := make([]byte, 0, 1024)
	for row := range n {
		if a.key != nil && a.key.IsValid(row) {
			block = append(block, a.key.Value(row)...)
		}
		ends[row][0] = len(block)
		block = p.appendRow(block, &a, carried, row)
		ends[row][1] = len(block)
		if row == 0 { // the others are about as long
			block = slices.Grow(block, (n-1)*(len(block)+len(block)/8))
		}
	}
	kind := []Header{{ContentType, []byte(JSON)}}
	from := 0
	for row, end := range ends {
		msgs[row] = Message{Value: block[end[0]:end[1]:end[1]], Headers: kind, Row: row, Rows: 1}
		if a.key != nil && a.key.IsValid(row) {
			msgs[row].Key = block[from:end[0]:end[0]]
		}
		if len(headers) > 0 {
			msgs[row].Headers = p.headers(kind, headers, row)
		}
		from = end[1]
	}
	return msgs, nil
}

// columns finds what is carried: columns by p.opt.Columns and headers by p.opt.Headers, nil where absent.
func (p jsonPredictions) columns(rec arrow.Record) (carried []arrow.Array, headers []*array.Binary) {
	carried = make([]arrow.Array, len(p.opt.Columns))
	for i, name := range p.opt.Columns {
		if j := index(rec, name); j >= 0 {
			carried[i] = rec.Column(j)
		}
	}
	for _, name := range p.opt.Headers {
		col, _ := Column[*array.Binary](rec, HeaderColumn(name)) // absent where rows could not be decoded
		headers = append(headers, col)
	}
	return carried, headers
}

func (p jsonPredictions) headers(kind []Header, cols []*array.Binary, row int) []Header {
	out := kind[:1:1]
	for i, col := range cols {
		if col != nil && col.IsValid(row) {
			out = append(out, Header{p.opt.Headers[i], append([]byte(nil), col.Value(row)...)})
		}
	}
	return out
}

// appendRow writes one prediction, its fields in the order of the contract.
func (p jsonPredictions) appendRow(b []byte, a *answers, carried []arrow.Array, row int) []byte {
	status := Status(a.status.Value(row))
	b = appendQuoted(append(b, `{"query_id":`...), a.queryID.Value(row))
	b = appendQuoted(append(b, `,"status":`...), status.String())
	b = strconv.AppendBool(append(b, `,"late":`...), a.late != nil && a.late.IsValid(row) && a.late.Value(row))
	b = appendReason(b, a, row)
	if status.answered() {
		b = appendAnswer(b, a, row)
	}
	b = appendGates(b, a.gates, row)
	b = p.appendColumns(b, carried, row)
	b = p.appendSource(b, a, row)
	if status != Rejected {
		b = appendTrace(b, a, row)
	}
	return append(b, '}')
}

func appendReason(b []byte, a *answers, row int) []byte {
	code, ok := text(a.code, row)
	if !ok {
		return b
	}
	b = appendQuoted(append(b, `,"reason":{"code":`...), code)
	b = appendTextField(b, `,"column":`, a.column, row)
	b = appendTextField(b, `,"message":`, a.message, row)
	return append(b, '}')
}

func appendTextField(b []byte, field string, a *array.String, row int) []byte {
	if v, ok := text(a, row); ok {
		b = appendQuoted(append(b, field...), v)
	}
	return b
}

func appendAnswer(b []byte, a *answers, row int) []byte {
	if !a.label.null(row) {
		b = appendLabel(append(b, `,"label":`...), a.label, row)
	}
	if a.confidence != nil && a.confidence.IsValid(row) {
		b = appendFloat(append(b, `,"confidence":`...), float64(a.confidence.Value(row)), 32)
	}
	if s := a.scores.row(row); s != nil {
		b = appendScores(append(b, `,"scores":`...), s)
	}
	b = appendTextField(b, `,"model":`, a.model, row)
	return appendTextField(b, `,"model_version":`, a.version, row)
}

func appendLabel(b []byte, l labels, row int) []byte {
	if l.text != nil {
		return appendQuoted(b, l.text.Value(row))
	}
	return strconv.AppendInt(b, int64(l.index.Value(row)), 10)
}

func appendScores(b []byte, s []float32) []byte {
	b = append(b, '[')
	for i, f := range s {
		if i > 0 {
			b = append(b, ',')
		}
		b = appendFloat(b, float64(f), 32)
	}
	return append(b, ']')
}

func appendGates(b []byte, gates []gateColumns, row int) []byte {
	open := byte('[')
	for _, g := range gates {
		if g.score == nil || g.score.IsNull(row) {
			continue
		}
		if open == '[' {
			b = append(b, `,"gates":`...)
		}
		b = append(b, open)
		open = ','
		b = appendQuoted(append(b, `{"name":`...), g.name)
		b = appendFloat(append(b, `,"score":`...), float64(g.score.Value(row)), 32)
		if g.atLeast != nil && g.atLeast.IsValid(row) {
			b = appendFloat(append(b, `,"at_least":`...), float64(g.atLeast.Value(row)), 32)
		}
		b = append(appendTextField(b, `,"version":`, g.version, row), '}')
	}
	if open == ',' {
		b = append(b, ']')
	}
	return b
}

func (p jsonPredictions) appendColumns(b []byte, carried []arrow.Array, row int) []byte {
	open := byte('{')
	for i, a := range carried {
		if a == nil || a.IsNull(row) {
			continue
		}
		if open == '{' {
			b = append(b, `,"columns":`...)
		}
		b = append(b, open)
		open = ','
		b = append(appendQuoted(b, p.opt.Columns[i]), ':')
		b = appendValue(b, a, row)
	}
	if open == ',' {
		b = append(b, '}')
	}
	return b
}

func (p jsonPredictions) appendSource(b []byte, a *answers, row int) []byte {
	b = strconv.AppendInt(append(b, p.source...), int64(a.partition.Value(row)), 10)
	b = strconv.AppendInt(append(b, `,"offset":`...), a.offset.Value(row), 10)
	b = strconv.AppendInt(append(b, `,"row":`...), int64(a.row.Value(row)), 10)
	b = appendRef(append(b, `},"ref":"`...), a, row)
	return append(b, '"')
}

func appendRef(b []byte, a *answers, row int) []byte {
	b = strconv.AppendInt(b, int64(a.partition.Value(row)), 10)
	b = strconv.AppendInt(append(b, '.'), a.offset.Value(row), 10)
	return strconv.AppendInt(append(b, '.'), int64(a.row.Value(row)), 10)
}

func appendTrace(b []byte, a *answers, row int) []byte {
	open := byte('{')
	field := func(name string) {
		if open == '{' {
			b = append(b, `,"trace":`...)
		}
		b = append(append(b, open), name...)
		open = ','
	}
	if a.stamp != nil && a.stamp.IsValid(row) {
		field(`"stamp":`)
		b = appendStamp(b, micros(a.stamp, row))
	}
	if a.total != nil && a.total.IsValid(row) {
		field(`"total_ms":`)
		b = appendMillis(b, a.total.Value(row))
	}
	list := byte('[')
	for i := range a.ran {
		r := &a.ran[i]
		if r.model == nil || r.model.IsNull(row) {
			continue
		}
		if list == '[' {
			field(`"stages":`)
		}
		b = append(b, list)
		list = ','
		b = appendRan(b, r, row)
	}
	if list == ',' {
		b = append(b, ']')
	}
	if open == ',' {
		b = append(b, '}')
	}
	return b
}

func appendRan(b []byte, r *ranColumns, row int) []byte {
	b = appendQuoted(append(b, `{"name":`...), r.name)
	if r.wait != nil && r.wait.IsValid(row) {
		b = appendMillis(append(b, `,"wait_ms":`...), r.wait.Value(row))
	}
	if r.run != nil && r.run.IsValid(row) {
		b = appendMillis(append(b, `,"run_ms":`...), r.run.Value(row))
	}
	if r.batch != nil && r.batch.IsValid(row) {
		b = strconv.AppendInt(append(b, `,"batch":`...), int64(r.batch.Value(row)), 10)
	}
	return append(b, '}')
}
