package feed

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
)

// Fields calls each for the fields of one JSON object, in their order; a repeated name comes repeatedly.
// The values are only valid during the call.
func Fields(object []byte, each func(name string, value json.RawMessage)) error {
	d := json.NewDecoder(bytes.NewReader(object))
	open, err := d.Token()
	if err != nil {
		return fmt.Errorf("not JSON: %w", err)
	}
	if open != json.Delim('{') {
		return fmt.Errorf("not a JSON object but %.20q", object)
	}
	for d.More() {
		name, err := d.Token()
		if err != nil {
			return fmt.Errorf("not JSON: %w", err)
		}
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return fmt.Errorf("not JSON: field %q: %w", name, err)
		}
		each(name.(string), value)
	}
	if _, err := d.Token(); err != nil {
		return fmt.Errorf("not JSON: %w", err)
	}
	if _, err := d.Token(); err != io.EOF {
		return errors.New("more than one JSON object on the line")
	}
	return nil
}

// AppendField adds a field to a JSON object that is being written: an opening brace and the fields so far.
func AppendField(object []byte, name string, value json.RawMessage) []byte {
	if len(object) > 1 {
		object = append(object, ',')
	}
	quoted, _ := json.Marshal(name) // a string always has a JSON form
	return append(append(append(object, quoted...), ':'), value...)
}

// Text is a JSON scalar as people compare it: a string without its quotes, anything else as it stands. So
// the label 3 of a data file equals the label "3" of a prediction.
func Text(value json.RawMessage) string {
	var s string
	if json.Unmarshal(value, &s) == nil {
		return s
	}
	return string(value)
}

// Key is a JSON scalar as a record's key, nil for null.
func Key(value json.RawMessage) []byte {
	if string(value) == "null" {
		return nil
	}
	return []byte(Text(value))
}
