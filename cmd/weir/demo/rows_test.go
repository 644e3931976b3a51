package demo

import (
	"compress/gzip"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

func write(t *testing.T, name, text string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), name)
	f, err := os.Create(file)
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	if strings.HasSuffix(name, ".gz") {
		z := gzip.NewWriter(f)
		defer z.Close()
		z.Write([]byte(text))
	} else {
		f.WriteString(text)
	}
	return file
}

const dataText = `{"pixels":[1,2],"label":"Bag"}

{"label":3,"query_id":"old","key":"user 7","pixels": [3, 4]}
{"pixels":"AQI=","label":null}
`

func TestReadRows(t *testing.T) {
	for _, name := range []string{"rows.ndjson", "rows.ndjson.gz"} {
		rows, err := ReadRows(write(t, name, dataText))
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for _, r := range rows {
			got = append(got, string(r.With("id-1"))+" "+string(r.Key)+" "+string(r.Label))
		}
		want := []string{
			`{"query_id":"id-1","pixels":[1,2]}  "Bag"`,
			`{"query_id":"id-1","key":"user 7","pixels":[3, 4]} user 7 3`,
			`{"query_id":"id-1","pixels":"AQI="}  `,
		}
		if strings.Join(got, "\n") != strings.Join(want, "\n") {
			t.Errorf("%s:\n got %q\nwant %q", name, got, want)
		}
	}
}

func TestRowWithoutFields(t *testing.T) {
	row, err := parseRow([]byte(`{"label":"Bag"}`))
	if err != nil {
		t.Fatal(err)
	}
	if got, want := string(row.With("a")), `{"query_id":"a"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}

func TestReadRowsFaults(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"", "holds no rows"},
		{"{\"a\":1}\n[1]\n", "data.ndjson:2: not a JSON object"},
		{"{\"a\":1}\n{\"a\":\n", "data.ndjson:2: not JSON"},
		{"{} {}\n", "data.ndjson:1: more than one JSON object"},
	} {
		_, err := ReadRows(write(t, "data.ndjson", c.text))
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%q: got %v, want an error with %q", c.text, err, c.want)
		}
	}
	if _, err := ReadRows(filepath.Join(t.TempDir(), "none")); err == nil {
		t.Error("a missing file is no error")
	}
}

func TestFeedback(t *testing.T) {
	p, err := ParsePrediction([]byte(`{"query_id":"q-1","ref":"2.18841.0","status":"answered","label":"Coat"}`))
	if err != nil {
		t.Fatal(err)
	}
	got := string(Feedback(p, []byte(`"Bag"`)))
	if want := `{"query_id":"q-1","ref":"2.18841.0","label":"Bag"}`; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
}
