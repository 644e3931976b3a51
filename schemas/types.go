package schemas

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/apache/arrow/go/v17/arrow"
)

// Kind is the type of one value, or of one element of a tensor.
type Kind uint8

// The kinds that a user's schema may name. The zero Kind is no kind.
const (
	Bool Kind = iota + 1
	Int8
	Int16
	Int32
	Int64
	Uint8
	Uint16
	Uint32
	Uint64
	Float32
	Float64
	String
	Binary
	Timestamp
)

var kindNames = [...]string{
	Bool: "bool", Int8: "int8", Int16: "int16", Int32: "int32", Int64: "int64",
	Uint8: "uint8", Uint16: "uint16", Uint32: "uint32", Uint64: "uint64",
	Float32: "float32", Float64: "float64", String: "string", Binary: "binary", Timestamp: "timestamp",
}

var kindArrow = [...]arrow.DataType{
	Bool: arrow.FixedWidthTypes.Boolean,
	Int8: arrow.PrimitiveTypes.Int8, Int16: arrow.PrimitiveTypes.Int16,
	Int32: arrow.PrimitiveTypes.Int32, Int64: arrow.PrimitiveTypes.Int64,
	Uint8: arrow.PrimitiveTypes.Uint8, Uint16: arrow.PrimitiveTypes.Uint16,
	Uint32: arrow.PrimitiveTypes.Uint32, Uint64: arrow.PrimitiveTypes.Uint64,
	Float32: arrow.PrimitiveTypes.Float32, Float64: arrow.PrimitiveTypes.Float64,
	String: arrow.BinaryTypes.String, Binary: arrow.BinaryTypes.Binary,
	Timestamp: arrow.FixedWidthTypes.Timestamp_us,
}

// String is the kind as a schema spells it.
func (k Kind) String() string {
	if k == 0 || int(k) >= len(kindNames) {
		return "invalid"
	}
	return kindNames[k]
}

// Numeric says that a tensor may be made of this kind.
func (k Kind) Numeric() bool { return k >= Int8 && k <= Float64 }

// Float says that values of this kind may be NaN.
func (k Kind) Float() bool { return k == Float32 || k == Float64 }

// width is the size of a value in bytes, 0 for bool, string and binary.
func (k Kind) width() int {
	switch k {
	case Int8, Uint8:
		return 1
	case Int16, Uint16:
		return 2
	case Int32, Uint32, Float32:
		return 4
	case Int64, Uint64, Float64, Timestamp:
		return 8
	}
	return 0
}

// MaxTensor bounds the elements of a tensor: 16 Mi.
const MaxTensor = 1 << 24

// Type is the type of a column.
type Type struct {
	Kind Kind
	// Len is the number of elements of a tensor, 0 for a single value.
	Len int
	// Null and NaN allow what is otherwise a reason to reject a query. NaN allows infinities too.
	Null, NaN bool
}

// ParseType reads a type as a schema spells it, e.g. float32 or fixed_list<uint8>[784]. An unknown name is
// answered with the nearest known one.
func ParseType(s string) (Type, error) {
	name := strings.TrimSpace(s)
	if inner, ok := strings.CutPrefix(name, "fixed_list"); ok {
		return parseTensor(name, inner)
	}
	kind, err := parseKind(name)
	return Type{Kind: kind}, err
}

func parseKind(name string) (Kind, error) {
	for k := Bool; k <= Timestamp; k++ {
		if kindNames[k] == name {
			return k, nil
		}
	}
	known := append([]string{"fixed_list<T>[n]"}, kindNames[Bool:]...)
	if near := Nearest(name, known); near != "" {
		return 0, fmt.Errorf("schemas: unknown type %q: did you mean %s?", name, near)
	}
	return 0, fmt.Errorf("schemas: unknown type %q: known are %s", name, strings.Join(known, ", "))
}

func parseTensor(name, inner string) (Type, error) {
	elem, rest, ok := strings.Cut(strings.TrimPrefix(inner, "<"), ">")
	count, closed := strings.CutSuffix(strings.TrimPrefix(rest, "["), "]")
	if !ok || !closed || inner[0] != '<' || rest[0] != '[' {
		return Type{}, fmt.Errorf("schemas: type %q: a tensor is spelled fixed_list<float32>[3]", name)
	}
	kind, err := parseKind(strings.TrimSpace(elem))
	if err != nil {
		return Type{}, err
	}
	if !kind.Numeric() {
		return Type{}, fmt.Errorf("schemas: type %q: a tensor is made of numbers, not of %s", name, kind)
	}
	n, err := strconv.Atoi(strings.TrimSpace(count))
	if err != nil || n < 1 || n > MaxTensor {
		return Type{}, fmt.Errorf("schemas: type %q: the length must be from 1 to %d", name, MaxTensor)
	}
	return Type{Kind: kind, Len: n}, nil
}

// String is the inverse of ParseType; Null and NaN do not show.
func (t Type) String() string {
	if t.Len > 0 {
		return "fixed_list<" + t.Kind.String() + ">[" + strconv.Itoa(t.Len) + "]"
	}
	return t.Kind.String()
}

// Tensor says that a value of the type is a list of numbers.
func (t Type) Tensor() bool { return t.Len > 0 }

// Arrow is the column's type in memory and on the wire. A tensor is a fixed-size list without nulls inside.
func (t Type) Arrow() arrow.DataType {
	if t.Kind == 0 || int(t.Kind) >= len(kindArrow) {
		return arrow.Null
	}
	if t.Len > 0 {
		return arrow.FixedSizeListOf(int32(t.Len), kindArrow[t.Kind])
	}
	return kindArrow[t.Kind]
}

// Field is one column of a user's schema.
type Field struct {
	Name string
	Type Type
}

// Schema is what the queries of a pipeline hold.
type Schema struct {
	Fields []Field
	// RejectUnknown refuses a query that has a column which the schema lacks. By default such a column
	// is ignored and counted.
	RejectUnknown bool
}

// Validate reports every fault of the schema at once, nil without one.
func (s Schema) Validate() []error {
	var faults []error
	seen := map[string]bool{}
	for _, f := range s.Fields {
		switch {
		case f.Name == "":
			faults = append(faults, fmt.Errorf("schemas: a column has no name"))
		case Reserved(f.Name):
			faults = append(faults, fmt.Errorf("schemas: column %q: names that begin with _ are Weir's own", f.Name))
		case reservedField(f.Name) != 0:
			faults = append(faults, fmt.Errorf("schemas: column %q: the name is a reserved field of every query", f.Name))
		case seen[f.Name]:
			faults = append(faults, fmt.Errorf("schemas: column %q stands twice", f.Name))
		}
		seen[f.Name] = true
		if f.Type.Kind == 0 || f.Type.Kind > Timestamp || f.Type.Len < 0 || f.Type.Len > MaxTensor {
			faults = append(faults, fmt.Errorf("schemas: column %q has no valid type", f.Name))
		}
	}
	return faults
}
