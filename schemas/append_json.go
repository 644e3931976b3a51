package schemas

import (
	"encoding/base64"
	"math"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/apache/arrow/go/v17/arrow"
	"github.com/apache/arrow/go/v17/arrow/array"
)

// AppendRowJSON appends one row of any record as a JSON object: a null is left out, lists and structs nest,
// binary is base64, a timestamp RFC 3339, NaN and the infinities null, as JSON has none.
func AppendRowJSON(dst []byte, rec arrow.Record, row int) []byte {
	return appendFields(dst, rec.Schema().Fields(), rec.Columns(), row)
}

func appendFields(dst []byte, fields []arrow.Field, columns []arrow.Array, row int) []byte {
	dst = append(dst, '{')
	begin := len(dst)
	for i, a := range columns {
		if a.IsNull(row) {
			continue
		}
		if len(dst) > begin {
			dst = append(dst, ',')
		}
		dst = append(appendQuoted(dst, fields[i].Name), ':')
		dst = appendValue(dst, a, row)
	}
	return append(dst, '}')
}

func appendValue(dst []byte, a arrow.Array, row int) []byte {
	if a.IsNull(row) {
		return append(dst, "null"...)
	}
	switch a := a.(type) {
	case *array.Null:
		return append(dst, "null"...)
	case *array.Boolean:
		return strconv.AppendBool(dst, a.Value(row))
	case *array.Float32:
		return appendFloat(dst, float64(a.Value(row)), 32)
	case *array.Float64:
		return appendFloat(dst, a.Value(row), 64)
	case *array.String:
		return appendQuoted(dst, a.Value(row))
	case *array.LargeString:
		return appendQuoted(dst, a.Value(row))
	case *array.Binary:
		return appendBase64(dst, a.Value(row))
	case *array.LargeBinary:
		return appendBase64(dst, a.Value(row))
	case *array.Timestamp:
		return appendTime(dst, micros(a, row))
	case *array.FixedSizeList:
		return appendList(dst, a, row)
	case *array.List:
		return appendList(dst, a, row)
	case *array.Struct:
		return appendStruct(dst, a, row)
	}
	if v, signed, ok := integerOf(a, row); ok && signed {
		return strconv.AppendInt(dst, int64(v), 10)
	} else if ok {
		return strconv.AppendUint(dst, v, 10)
	}
	return appendQuoted(dst, a.ValueStr(row))
}

func appendList(dst []byte, a array.ListLike, row int) []byte {
	dst = append(dst, '[')
	from, to := a.ValueOffsets(row)
	for i := from; i < to; i++ {
		if i > from {
			dst = append(dst, ',')
		}
		dst = appendValue(dst, a.ListValues(), int(i))
	}
	return append(dst, ']')
}

func appendStruct(dst []byte, a *array.Struct, row int) []byte {
	columns := make([]arrow.Array, a.NumField())
	for i := range columns {
		columns[i] = a.Field(i)
	}
	return appendFields(dst, a.DataType().(*arrow.StructType).Fields(), columns, row)
}

func appendBase64(dst, v []byte) []byte {
	dst = append(dst, '"')
	dst = base64.StdEncoding.AppendEncode(dst, v)
	return append(dst, '"')
}

// appendFloat writes the shortest text that reads back as the same float of that many bits, in
// encoding/json's form.
func appendFloat(dst []byte, f float64, bits int) []byte {
	if math.IsNaN(f) || math.IsInf(f, 0) {
		return append(dst, "null"...)
	}
	abs, form := math.Abs(f), byte('f')
	if abs != 0 {
		if bits == 64 && (abs < 1e-6 || abs >= 1e21) || bits == 32 && (float32(abs) < 1e-6 || float32(abs) >= 1e21) {
			form = 'e'
		}
	}
	dst = strconv.AppendFloat(dst, f, form, -1, bits)
	if n := len(dst); form == 'e' && n >= 4 && dst[n-4] == 'e' && dst[n-3] == '-' && dst[n-2] == '0' {
		dst[n-2] = dst[n-1] // e-09 is e-9
		dst = dst[:n-1]
	}
	return dst
}

// appendMillis writes microseconds as milliseconds with up to three decimals.
func appendMillis(dst []byte, us int64) []byte {
	if us < 0 {
		dst, us = append(dst, '-'), -us
	}
	dst = strconv.AppendInt(dst, us/1000, 10)
	if us %= 1000; us == 0 {
		return dst
	}
	dst = append(dst, '.', byte('0'+us/100), byte('0'+us/10%10), byte('0'+us%10))
	for dst[len(dst)-1] == '0' {
		dst = dst[:len(dst)-1]
	}
	return dst
}

// appendTime writes microseconds since 1970 as RFC 3339 in quotes, with as many decimals as it needs.
func appendTime(dst []byte, us int64) []byte {
	dst = append(dst, '"')
	dst = time.UnixMicro(us).UTC().AppendFormat(dst, time.RFC3339Nano)
	return append(dst, '"')
}

const hexDigits = "0123456789abcdef"

// appendQuoted writes a JSON string as encoding/json does without its escapes for HTML.
func appendQuoted(dst []byte, s string) []byte {
	dst = append(dst, '"')
	from := 0
	for i := 0; i < len(s); {
		c := s[i]
		if c < utf8.RuneSelf {
			if plain[c] {
				i++
				continue
			}
			dst = appendEscape(append(dst, s[from:i]...), c)
			i++
			from = i
			continue
		}
		r, n := utf8.DecodeRuneInString(s[i:])
		switch {
		case r == utf8.RuneError && n == 1:
			dst = append(append(dst, s[from:i]...), `\ufffd`...)
			from = i + n
		case r == '\u2028' || r == '\u2029':
			dst = append(append(dst, s[from:i]...), `\u202`...)
			dst = append(dst, hexDigits[r&0xf])
			from = i + n
		}
		i += n
	}
	return append(append(dst, s[from:]...), '"')
}

func appendEscape(dst []byte, c byte) []byte {
	switch c {
	case '"', '\\':
		return append(dst, '\\', c)
	case '\b':
		return append(dst, '\\', 'b')
	case '\f':
		return append(dst, '\\', 'f')
	case '\n':
		return append(dst, '\\', 'n')
	case '\r':
		return append(dst, '\\', 'r')
	case '\t':
		return append(dst, '\\', 't')
	}
	return append(dst, '\\', 'u', '0', '0', hexDigits[c>>4], hexDigits[c&0xf])
}

// appendStamp writes microseconds since 1970 as RFC 3339 with milliseconds, in quotes. Package time takes
// three times as long for a layout that it does not know by heart.
func appendStamp(dst []byte, us int64) []byte {
	t := time.UnixMicro(us).UTC()
	year, month, day := t.Date()
	if year < 0 || year > 9999 {
		return append(t.AppendFormat(append(dst, '"'), "2006-01-02T15:04:05.000Z07:00"), '"')
	}
	hour, minute, second := t.Clock()
	milli := t.Nanosecond() / 1e6
	pair := func(n int) (byte, byte) { return byte('0' + n/10), byte('0' + n%10) }
	at := [26]byte([]byte(`"yyyy-mm-ddThh:mm:ss.000Z"`))
	at[1], at[2] = pair(year / 100)
	at[3], at[4] = pair(year % 100)
	at[6], at[7] = pair(int(month))
	at[9], at[10] = pair(day)
	at[12], at[13] = pair(hour)
	at[15], at[16] = pair(minute)
	at[18], at[19] = pair(second)
	at[21] = byte('0' + milli/100)
	at[22], at[23] = pair(milli % 100)
	return append(dst, at[:]...)
}
