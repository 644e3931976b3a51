package schemas

import (
	"fmt"

	"github.com/apache/arrow/go/v17/arrow"
)

// maxFields and maxNesting bound the columns of a foreign stream.
const (
	maxFields  = 4096
	maxNesting = 8
)

// Arrow's numbers of types in a Field.
const (
	typeNull          = 1
	typeInt           = 2
	typeFloat         = 3
	typeBinary        = 4
	typeUtf8          = 5
	typeBool          = 6
	typeDate          = 8
	typeTimestamp     = 10
	typeList          = 12
	typeStruct        = 13
	typeFixedSizeList = 16
	typeLargeBinary   = 19
	typeLargeUtf8     = 20
)

func parseSchema(f frame, t table) (*arrow.Schema, error) {
	if t.short(0) != 0 {
		return nil, f.fail("a big-endian stream")
	}
	left := maxFields
	fields, err := parseFields(f, t, 1, 0, &left)
	if err != nil {
		return nil, err
	}
	return arrow.NewSchema(fields, nil), nil
}

// parseFields reads the vector of fields i of t.
func parseFields(f frame, t table, i, depth int, left *int) ([]arrow.Field, error) {
	at, n := t.vector(i, 4)
	if *left -= n; *left < 0 || depth > maxNesting {
		return nil, f.fail("more than %d columns, or nested deeper than %d", maxFields, maxNesting)
	}
	fields := make([]arrow.Field, 0, n)
	seen := make(map[string]bool, n)
	for j := range n {
		field, err := parseField(f, table{t.flat, t.follow(at + 4*j)}, depth, left)
		if err != nil {
			return nil, err
		}
		if t.fault {
			return nil, f.fail("an offset of the schema leads outside of it")
		}
		if seen[field.Name] {
			return nil, f.fail("two columns are named %q", field.Name)
		}
		seen[field.Name] = true
		fields = append(fields, field)
	}
	return fields, nil
}

func parseField(f frame, t table, depth int, left *int) (arrow.Field, error) {
	field := arrow.Field{Name: t.string(0), Nullable: t.byte(1) != 0}
	if t.field(4) != 0 {
		return field, f.fail("column %q is dictionary-encoded; send its values", field.Name)
	}
	children, err := parseFields(f, t, 5, depth+1, left)
	if err != nil {
		return field, err
	}
	if field.Type, err = parseFieldType(t.byte(2), t.table(3), children); err != nil {
		return field, f.fail("column %q: %v", field.Name, err)
	}
	return field, nil
}

func parseFieldType(kind uint8, t table, children []arrow.Field) (arrow.DataType, error) {
	switch want := wantChildren(kind); {
	case want >= 0 && len(children) != want:
		return nil, fmt.Errorf("%d children where %d should be", len(children), want)
	}
	switch kind {
	case typeNull:
		return arrow.Null, nil
	case typeInt:
		return intType(t.int(0), t.byte(1) != 0)
	case typeFloat:
		switch t.short(0) {
		case 0:
			return arrow.FixedWidthTypes.Float16, nil
		case 1:
			return arrow.PrimitiveTypes.Float32, nil
		case 2:
			return arrow.PrimitiveTypes.Float64, nil
		}
	case typeBinary:
		return arrow.BinaryTypes.Binary, nil
	case typeUtf8:
		return arrow.BinaryTypes.String, nil
	case typeLargeBinary:
		return arrow.BinaryTypes.LargeBinary, nil
	case typeLargeUtf8:
		return arrow.BinaryTypes.LargeString, nil
	case typeBool:
		return arrow.FixedWidthTypes.Boolean, nil
	case typeDate:
		if t.field(0) != 0 && t.short(0) == 0 {
			return arrow.FixedWidthTypes.Date32, nil
		}
		return arrow.FixedWidthTypes.Date64, nil
	case typeTimestamp:
		if unit := t.short(0); unit >= 0 && unit <= 3 {
			return &arrow.TimestampType{Unit: arrow.TimeUnit(unit), TimeZone: t.string(1)}, nil
		}
	case typeList:
		return arrow.ListOfField(children[0]), nil
	case typeStruct:
		return arrow.StructOf(children...), nil
	case typeFixedSizeList:
		if n := t.int(0); n >= 1 && n <= MaxTensor {
			return arrow.FixedSizeListOfField(n, children[0]), nil
		}
	}
	return nil, fmt.Errorf("its type (number %d) is not taken", kind)
}

// wantChildren is how many children a type has, -1 for any.
func wantChildren(kind uint8) int {
	switch kind {
	case typeList, typeFixedSizeList:
		return 1
	case typeStruct:
		return -1
	}
	return 0
}

func intType(bits int32, signed bool) (arrow.DataType, error) {
	kinds := map[int32][2]Kind{8: {Uint8, Int8}, 16: {Uint16, Int16}, 32: {Uint32, Int32}, 64: {Uint64, Int64}}
	pair, ok := kinds[bits]
	if !ok {
		return nil, fmt.Errorf("an integer of %d bits", bits)
	}
	if signed {
		return kindArrow[pair[1]], nil
	}
	return kindArrow[pair[0]], nil
}
