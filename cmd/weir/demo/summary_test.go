package demo

import (
	"encoding/json"
	"strings"
	"testing"
)

func sample() Summary {
	accuracy, alone := 0.91250, 0.9262
	return Summary{
		Published: 5000, Final: 4999, Lost: 1, Duplicates: 2, Late: 7,
		ByStatus: map[string]int{"answered": 4998, "failed": 1},
		ByModel:  map[string]int{"light": 3100, "heavy": 1899},
		Accuracy: &accuracy, HeavyAlone: &alone,
		P50: 1.912, P99: 6.301, P999: 12.5, Rate: 499.8, MeanBatch: 1.42, Seconds: 10.004,
	}
}

// The fields and their order are a contract with scripts.
func TestSummaryJSON(t *testing.T) {
	got, err := json.Marshal(sample())
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"published":5000,"final":4999,"lost":1,"duplicates":2,` +
		`"by_status":{"answered":4998,"failed":1},"by_model":{"heavy":1899,"light":3100},"late":7,` +
		`"accuracy":0.9125,"heavy_accuracy_alone":0.9262,"p50_ms":1.912,"p99_ms":6.301,"p999_ms":12.5,` +
		`"rate_qps":499.8,"mean_batch":1.42,"seconds":10.004}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

// A run without anything in it still has every field, with a value that a script can read.
func TestSummaryJSONEmpty(t *testing.T) {
	got, err := json.Marshal(NewCollector("run-", labelled("Bag")).Summary())
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"published":0,"final":0,"lost":0,"duplicates":0,"by_status":{},"by_model":{},"late":0,` +
		`"accuracy":null,"heavy_accuracy_alone":null,"p50_ms":0,"p99_ms":0,"p999_ms":0,` +
		`"rate_qps":0,"mean_batch":0,"seconds":0}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestSummaryPrint(t *testing.T) {
	var b strings.Builder
	if err := sample().Print(&b); err != nil {
		t.Fatal(err)
	}
	const want = `queries     5000 published, 4999 final, 1 lost, 2 duplicates in 10.0 s (500/s)
latency     p50 1.91 ms, p99 6.30 ms, p99.9 12.50 ms, 7 late
status      answered 4998 (100.0 %), failed 1 (0.0 %)
model       light 3100 (62.0 %), heavy 1899 (38.0 %)
accuracy    91.25 %, the last model alone 92.62 %
mean batch  1.42 rows
`
	if got := b.String(); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
	b.Reset()
	if err := (Summary{}).Print(&b); err != nil || b.String() != "no query was published\n" {
		t.Errorf("without queries: got %q, %v", b.String(), err)
	}
}
