package demo

import (
	"bytes"
	"encoding/json"
	"fmt"

	"weir/cmd/weir/feed"
)

// A Row of the data file: a query without its id, and the truth about it.
type Row struct {
	Query []byte          // a JSON object, without label and query_id
	Key   []byte          // the Kafka key, nil without one
	Label json.RawMessage // as it stands in the file, nil without one
}

// ReadRows reads a data file of JSON objects, one a line, optionally gzipped. label is taken out, since
// nobody who asks knows it; so is query_id, as rows are published more than once.
func ReadRows(file string) ([]Row, error) {
	in, err := feed.Open(file)
	if err != nil {
		return nil, fmt.Errorf("demo: data: %w", err)
	}
	defer in.Close()
	var rows []Row
	for in.Scan() {
		row, err := parseRow(in.Bytes())
		if err != nil {
			return nil, fmt.Errorf("demo: %s:%d: %w", file, in.Line(), err)
		}
		rows = append(rows, row)
	}
	if err := in.Err(); err != nil {
		return nil, fmt.Errorf("demo: %w", err)
	}
	if len(rows) == 0 {
		return nil, fmt.Errorf("demo: %s holds no rows; give --data a file of JSON objects, one a line", file)
	}
	return rows, nil
}

func parseRow(line []byte) (Row, error) {
	var row Row
	query := append(make([]byte, 0, len(line)), '{')
	err := feed.Fields(line, func(name string, value json.RawMessage) {
		switch name {
		case "label":
			if string(value) != "null" {
				row.Label = bytes.Clone(value)
			}
			return
		case "query_id":
			return
		case "key":
			row.Key = feed.Key(value)
		}
		query = feed.AppendField(query, name, value)
	})
	row.Query = append(query, '}')
	return row, err
}

// With is the query of the row under an id.
func (r Row) With(id string) []byte {
	out := make([]byte, 0, len(r.Query)+len(id)+16)
	out = append(out, `{"query_id":"`...)
	out = append(append(out, id...), '"')
	if len(r.Query) > len("{}") {
		out = append(out, ',')
	}
	return append(out, r.Query[1:]...)
}
