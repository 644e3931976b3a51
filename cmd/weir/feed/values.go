package feed

import (
	"bytes"
	"encoding/json"
	"unicode/utf8"

	"weir/schemas"
)

// Values gives a record's value as JSON values: one for most records, one a row for a batch in Arrow. Text
// that is not JSON becomes a JSON string, other bytes an object with the one field base64; a null record is
// null. It fails on damaged Arrow.
func Values(r schemas.Record) ([]json.RawMessage, error) {
	switch {
	case r.Value == nil:
		return []json.RawMessage{json.RawMessage("null")}, nil
	case isArrow(r):
		return arrowRows(r.Value)
	case json.Valid(r.Value):
		var b bytes.Buffer
		err := json.Compact(&b, r.Value)
		return []json.RawMessage{b.Bytes()}, err
	case utf8.Valid(r.Value):
		s, err := json.Marshal(string(r.Value))
		return []json.RawMessage{s}, err
	default:
		s, err := json.Marshal(map[string][]byte{"base64": r.Value})
		return []json.RawMessage{s}, err
	}
}

// isArrow goes by the content type, and without one by the mark that every Arrow stream begins with.
func isArrow(r schemas.Record) bool {
	for _, h := range r.Headers {
		if h.Key == schemas.ContentType {
			return string(h.Value) == schemas.ArrowStream
		}
	}
	return bytes.HasPrefix(r.Value, []byte{0xff, 0xff, 0xff, 0xff})
}

func arrowRows(value []byte) ([]json.RawMessage, error) {
	batches, err := schemas.DecodeIPC(value, schemas.Limits{})
	if err != nil {
		return nil, err
	}
	var rows []json.RawMessage
	for _, b := range batches {
		for row := range int(b.NumRows()) {
			rows = append(rows, schemas.AppendRowJSON(nil, b, row))
		}
		b.Release()
	}
	return rows, nil
}
