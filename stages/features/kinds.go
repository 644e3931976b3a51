package features

import (
	"weir/pipeline"
	"weir/schemas"
)

// Kinds are the stages of this package for a spec:
//
//	cast:  {column: NAME, to: float32, as: NAME}
//	scale: {column: NAME, subtract: 0, divide: 255, as: NAME}
func Kinds() []pipeline.Kind {
	return []pipeline.Kind{{Name: "cast", Build: buildCast}, {Name: "scale", Build: buildScale}}
}

func buildCast(n pipeline.Node) (pipeline.Stage, error) {
	s := Cast{Column: n.Need("column").Column(), As: n.Get("as").String("")}
	to := n.Need("to")
	t, err := schemas.ParseType(to.String())
	if err != nil || t.Tensor() || !t.Kind.Numeric() {
		to.Errorf("want a numeric type, e.g. float32; a tensor's elements are cast, its length stays")
		return s, nil
	}
	s.To = t.Kind
	adds(n, s.Column, s.As, t.Kind)
	return s, nil
}

func buildScale(n pipeline.Node) (pipeline.Stage, error) {
	s := Scale{
		Column: n.Need("column").Column(), As: n.Get("as").String(""),
		Subtract: n.Get("subtract").Float(0), Divide: n.Get("divide").Float(1),
	}
	if s.Divide == 0 {
		n.Get("divide").Errorf("nothing can be divided by 0")
	}
	adds(n, s.Column, s.As, schemas.Float32)
	return s, nil
}

// adds tells later stages of the column that is added or replaced.
func adds(n pipeline.Node, column, as string, kind schemas.Kind) {
	field, ok := n.Field(column)
	if !ok {
		return // a fault already
	}
	if as != "" && schemas.Reserved(as) {
		n.Get("as").Errorf("column names with a leading underscore are Weir's own")
	}
	field.Name, field.Type.Kind = name(as, column), kind
	n.Adds(field)
}

// Columns implements pipeline.Reader.
func (s Cast) Columns() []string { return []string{s.Column} }

// Columns implements pipeline.Reader.
func (s Scale) Columns() []string { return []string{s.Column} }
