package schemas

import (
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"
	"unicode"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
)

// A text table is a record that a person can read and write:
//
//	query_id  amount  pixels:fixed_list<uint8>[3]  _status
//	a         -3      [1 2 3]                      open
//	"b c"     null    [4 5 6]                      answered
//
// The first line names the columns; a type stands behind a colon where it is not the usual one: that of
// Weir's own columns, string for query_id, bool for true and false, float32 for numbers,
// fixed_list<float32>[n] for lists of n, else string. Cells are parted by spaces; a string with spaces, or
// one that reads as something else, is quoted as in Go.

// ParseTable reads a text table. The caller owns the record.
func ParseTable(text string) (arrow.Record, error) {
	var lines [][]string
	for i, line := range strings.Split(text, "\n") {
		cells, err := splitCells(line)
		if err != nil {
			return nil, fmt.Errorf("schemas: table line %d: %w", i+1, err)
		}
		if len(cells) == 0 {
			continue
		}
		if len(lines) > 0 && len(cells) != len(lines[0]) {
			return nil, fmt.Errorf("schemas: table line %d: %d cells, the header has %d", i+1, len(cells), len(lines[0]))
		}
		lines = append(lines, cells)
	}
	if len(lines) == 0 {
		return nil, fmt.Errorf("schemas: table: no header")
	}
	return buildTable(lines[0], lines[1:])
}

func buildTable(header []string, rows [][]string) (arrow.Record, error) {
	fields := make([]arrow.Field, len(header))
	arrays := make([]arrow.Array, 0, len(header))
	var err error
	for i, head := range header {
		name, spelled, typed := strings.Cut(head, ":")
		cells := make([]string, len(rows))
		for r := range rows {
			cells[r] = rows[r][i]
		}
		var a arrow.Array
		if a, err = buildColumn(name, spelled, typed, cells); err != nil {
			err = fmt.Errorf("schemas: table column %q: %w", name, err)
			break
		}
		fields[i] = field(name, a.DataType())
		arrays = append(arrays, a)
	}
	if err != nil {
		for _, a := range arrays {
			a.Release()
		}
		return nil, err
	}
	return ownedRecord(arrow.NewSchema(fields, nil), arrays, len(rows)), nil
}

func buildColumn(name, spelled string, typed bool, cells []string) (arrow.Array, error) {
	t := usualType(name, cells)
	if typed {
		if spelled == "null" {
			return array.NewNull(len(cells)), nil
		}
		var err error
		if t, err = ParseType(spelled); err != nil {
			return nil, err
		}
	}
	b := newBuilder(t)
	for row, cell := range cells {
		if cell == "null" {
			b.appendNull()
		} else if err := b.appendCell(name, cell); err != nil {
			b.finish().Release()
			return nil, fmt.Errorf("row %d: %w", row, err)
		}
	}
	return b.finish(), nil
}

// splitCells parts a line at spaces outside of quotes and brackets.
func splitCells(line string) (cells []string, err error) {
	for {
		line = strings.TrimLeftFunc(line, unicode.IsSpace)
		if line == "" {
			return cells, nil
		}
		end := strings.IndexFunc(line, unicode.IsSpace)
		switch line[0] {
		case '"':
			q, err := strconv.QuotedPrefix(line)
			if err != nil {
				return nil, fmt.Errorf("a quoted string does not end: %s", line)
			}
			end = len(q)
		case '[':
			if end = strings.IndexByte(line, ']') + 1; end == 0 {
				return nil, fmt.Errorf("a list does not end: %s", line)
			}
		}
		if end < 0 {
			end = len(line)
		}
		cells, line = append(cells, line[:end]), line[end:]
	}
}

// usualType is the type of a column without a written one.
func usualType(name string, cells []string) Type {
	if t, ok := ownType(name); ok {
		return t
	}
	if name == "query_id" {
		return Type{Kind: String}
	}
	var t Type
	for _, c := range cells {
		if c == "null" {
			continue
		}
		u := cellType(c)
		if t.Kind != 0 && t != u {
			return Type{Kind: String}
		}
		t = u
	}
	if t.Kind == 0 {
		return Type{Kind: String}
	}
	return t
}

func cellType(c string) Type {
	if c[0] == '[' {
		return Type{Kind: Float32, Len: max(1, len(strings.Fields(c[1:len(c)-1])))}
	}
	if c == "true" || c == "false" {
		return Type{Kind: Bool}
	}
	if _, err := strconv.ParseFloat(c, 64); err == nil {
		return Type{Kind: Float32}
	}
	return Type{Kind: String}
}

// ownType is the type of one of Weir's own columns.
func ownType(name string) (Type, bool) {
	for i, own := range ownNames {
		if own == name {
			return Type{Kind: ownKinds[i]}, true
		}
	}
	switch name {
	case Label, Model, ModelVersion:
		return Type{Kind: String}, true
	case Confidence:
		return Type{Kind: Float32}, true
	case Late:
		return Type{Kind: Bool}, true
	case Total:
		return Type{Kind: Int64}, true
	}
	if strings.HasPrefix(name, RanPrefix) || strings.HasPrefix(name, GatePrefix) {
		k, ok := familyKinds[name[strings.LastIndexByte(name, '.'):]]
		return Type{Kind: k}, ok
	}
	if strings.HasPrefix(name, HeaderPrefix) {
		return Type{Kind: Binary}, true
	}
	return Type{}, false
}

var familyKinds = map[string]Kind{
	RanModel: String, RanVersion: String, RanLabel: String, RanWait: Int64, RanRun: Int64, RanBatch: Int32,
	GateScore: Float32, GateAtLeast: Float32,
}

// appendCell parses one cell that is not null.
func (b *builder) appendCell(name, cell string) error {
	if b.typ.Tensor() {
		return b.appendTensorCell(cell)
	}
	switch b.typ.Kind {
	case Bool:
		v, err := strconv.ParseBool(cell)
		if err == nil {
			b.appendBool(v)
		}
		return err
	case String, Binary:
		if cell[0] == '"' {
			var err error
			if cell, err = strconv.Unquote(cell); err != nil {
				return err
			}
		}
		b.appendString(cell)
		return nil
	case Timestamp:
		v, err := time.Parse(time.RFC3339Nano, cell)
		if err == nil {
			b.appendInt64(v.UnixMicro())
		}
		return err
	}
	if s, ok := ParseStatus(cell); ok && name == StatusColumn {
		b.appendUint8(uint8(s))
		return nil
	}
	if err := putText(b.slot(), b.typ.Kind, cell); err != nil {
		return err
	}
	b.done(true)
	return nil
}

func (b *builder) appendTensorCell(cell string) error {
	if cell[0] != '[' {
		return fmt.Errorf("%q is no list", cell)
	}
	items := strings.Fields(cell[1 : len(cell)-1])
	if len(items) != b.typ.Len {
		return fmt.Errorf("%d numbers, the type says %d", len(items), b.typ.Len)
	}
	slot, width := b.slot(), b.typ.Kind.width()
	for i, item := range items {
		if err := putText(slot[i*width:(i+1)*width], b.typ.Kind, item); err != nil {
			return err
		}
	}
	b.done(true)
	return nil
}

// putText writes a number given as text.
func putText(dst []byte, k Kind, s string) error {
	bits := 8 * k.width()
	switch {
	case k == Float32:
		f, err := strconv.ParseFloat(s, 32)
		putUint(dst, uint64(math.Float32bits(float32(f))))
		return err
	case k == Float64:
		f, err := strconv.ParseFloat(s, 64)
		putUint(dst, math.Float64bits(f))
		return err
	case k >= Uint8:
		u, err := strconv.ParseUint(s, 10, bits)
		putUint(dst, u)
		return err
	}
	i, err := strconv.ParseInt(s, 10, bits)
	putUint(dst, uint64(i))
	return err
}

// FormatTable writes a record as a text table that ParseTable reads back. A column of a type that tables
// cannot spell shows Arrow's name for it and its values as JSON.
func FormatTable(rec arrow.Record) string {
	n := int(rec.NumRows())
	grid := make([][]string, n+1)
	for i, a := range rec.Columns() {
		cells := make([]string, n)
		for row := range n {
			cells[row] = formatCell(a, rec.ColumnName(i), row)
		}
		grid[0] = append(grid[0], formatHead(rec.ColumnName(i), a.DataType(), cells))
		for row, c := range cells {
			grid[row+1] = append(grid[row+1], c)
		}
	}
	return layout(grid)
}

// layout pads all cells but the last of a line.
func layout(grid [][]string) string {
	widths := make([]int, len(grid[0]))
	for _, line := range grid {
		for i, c := range line {
			widths[i] = max(widths[i], len([]rune(c)))
		}
	}
	var b strings.Builder
	for _, line := range grid {
		for i, c := range line {
			b.WriteString(c)
			if i+1 < len(line) {
				b.WriteString(strings.Repeat(" ", widths[i]-len([]rune(c))+2))
			}
		}
		b.WriteByte('\n')
	}
	return b.String()
}

func formatHead(name string, dt arrow.DataType, cells []string) string {
	if usual := usualType(name, cells); arrow.TypeEqual(usual.Arrow(), dt) {
		return name
	}
	if t, ok := typeOf(dt); ok {
		return name + ":" + t.String()
	}
	return name + ":" + strings.ReplaceAll(dt.String(), " ", "")
}

// typeOf is the schema type of an Arrow type.
func typeOf(dt arrow.DataType) (Type, bool) {
	list, tensor := dt.(*arrow.FixedSizeListType)
	if tensor {
		dt = list.Elem()
	}
	for k := Bool; k <= Timestamp; k++ {
		if !arrow.TypeEqual(kindArrow[k], dt) {
			continue
		}
		if !tensor {
			return Type{Kind: k}, true
		}
		return Type{Kind: k, Len: int(list.Len())}, k.Numeric()
	}
	return Type{}, false
}

func formatCell(a arrow.Array, name string, row int) string {
	if a.IsNull(row) || a.DataType().ID() == arrow.NULL {
		return "null"
	}
	switch a := a.(type) {
	case *array.Uint8:
		if name == StatusColumn {
			return Status(a.Value(row)).String()
		}
	case *array.Float32:
		return strconv.FormatFloat(float64(a.Value(row)), 'g', -1, 32)
	case *array.Float64:
		return strconv.FormatFloat(a.Value(row), 'g', -1, 64)
	case *array.String:
		return formatText(a.Value(row))
	case *array.Binary:
		return formatText(string(a.Value(row)))
	case *array.Timestamp:
		return time.UnixMicro(micros(a, row)).UTC().Format(time.RFC3339Nano)
	case *array.FixedSizeList:
		from, to := a.ValueOffsets(row)
		items := make([]string, 0, to-from)
		for i := from; i < to; i++ {
			items = append(items, formatCell(a.ListValues(), "", int(i)))
		}
		return "[" + strings.Join(items, " ") + "]"
	}
	return string(appendValue(nil, a, row))
}

// formatText is a string as it may stand in a cell.
func formatText(s string) string {
	if s == "" || s == "null" || s[0] == '"' || s[0] == '[' || s[0] == '#' || s == "----" || strconv.Quote(s) != `"`+s+`"` || strings.ContainsFunc(s, unicode.IsSpace) {
		return strconv.Quote(s)
	}
	return s
}
