package e2e_test

import (
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"testing"
)

var nan = float32(math.NaN())

// get asks a worker's admin address.
func (w worker) get(t *testing.T, path string) (status int, body string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+w.admin+path, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Close = true
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(text)
}

// metric sums a worker's samples of a name that have the labels which stand in braces after it, such as
// `weir_rows_total{status="answered"}`.
func (w worker) metric(t *testing.T, selector string) (sum float64) {
	t.Helper()
	_, text := w.get(t, "/metrics")
	name, wanted, _ := strings.Cut(strings.TrimSuffix(selector, "}"), "{")
	found := false
	for line := range strings.Lines(text) {
		sample, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		base, labels, _ := strings.Cut(strings.TrimSuffix(sample, "}"), "{")
		if base != name || !hasLabels(labels, wanted) {
			continue
		}
		if brace := strings.LastIndexByte(strings.TrimSpace(line), ' '); brace >= 0 {
			value = strings.TrimSpace(line)[brace+1:]
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil {
			t.Fatalf("%s: %v", line, err)
		}
		sum, found = sum+v, true
	}
	if !found {
		t.Errorf("no sample of %s", selector)
	}
	return sum
}

func hasLabels(labels, wanted string) bool {
	for w := range strings.SplitSeq(wanted, ",") {
		if !strings.Contains(labels, w) {
			return false
		}
	}
	return true
}

// A worker tells of itself: it is ready once it owns its partitions, unready when it drains, and its
// metrics count what was asked and answered.
func TestAdmin(t *testing.T) {
	t.Parallel()
	p := embedded(t).toyPipe(t, "layout: {cut: [heavy]}")
	w := p.begin(t)
	if status, body := w.get(t, "/healthz"); status != http.StatusOK || body != "ok\n" {
		t.Errorf("/healthz at the start: %d %q", status, body)
	}
	if status, body := w.get(t, "/readyz"); status != http.StatusServiceUnavailable && body != "ready\n" {
		t.Errorf("/readyz at the start: %d %q", status, body)
	}
	eventually(t, "the worker is ready", func() bool {
		status, body := w.get(t, "/readyz")
		return status == http.StatusOK && body == "ready\n"
	})

	const n = 200
	records := toyRecords(p.topic("queries"), 0, n)
	records[0].Value = []byte("?") // for the heavy model
	publish(t, p.client(t), records...)
	p.awaitCommitted(t, p.group("light"), p.topic("queries"), partitions)
	p.awaitCommitted(t, p.group("heavy"), p.topic("heavy"), partitions)
	for selector, want := range map[string]float64{
		`weir_rows_total`: n,
		`weir_rows_total{segment="light",status="answered",reason=""}`:            n * 3 / 4,
		`weir_rows_total{segment="light",status="rejected",reason="undecodable"}`: 1,
		`weir_rows_total{segment="heavy",status="answered"}`:                      n/4 - 1,
		`weir_stage_rows_total{segment="light",stage="light"}`:                    n - 1,
		`weir_stage_rows_total{stage="first"}`:                                    n - 1,
		`weir_stage_rows_total{segment="heavy",stage="heavy"}`:                    n/4 - 1,
		`weir_batch_rows_sum{model="light"}`:                                      n - 1,
		`weir_batch_rows_sum{model="heavy"}`:                                      n/4 - 1,
		`weir_batch_rows_bucket{model="light",le="+Inf"}`:                         w.metric(t, `weir_batch_rows_count{model="light"}`),
		`weir_run_seconds_count`:                                                  w.metric(t, `weir_batch_rows_count`),
		`weir_queue_seconds_count`:                                                w.metric(t, `weir_batch_rows_count`),
		`weir_end_to_end_seconds_count`:                                           n,
		`weir_fetched_records_total{topic="` + p.topic("queries") + `"}`:          n,
		`weir_late_rows_total`:                                                    0,
		`weir_queue_rows`:                                                         0,
	} {
		if got := w.metric(t, selector); got != want {
			t.Errorf("%s: got %v, want %v", selector, got, want)
		}
	}
	for _, selector := range []string{
		`weir_batch_rows_count{model="light"}`, `weir_run_seconds_sum{model="light"}`, `weir_stage_seconds_sum`,
		`weir_hop_seconds_count{topic="` + p.topic("predictions") + `"}`, `weir_hop_seconds_count{topic="` + p.topic("heavy") + `"}`,
		`weir_rebalances_total`, `process_cpu_seconds_total`,
	} {
		if got := w.metric(t, selector); got <= 0 {
			t.Errorf("%s: got %v, want more than 0", selector, got)
		}
	}
	eventually(t, "no lag in rows and seconds", func() bool {
		return w.metric(t, "weir_lag_rows") == 0 && w.metric(t, "weir_lag_seconds") == 0
	})
	if code, _ := w.stop(t); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// A worker tells how often the group shared its partitions anew, and for how long.
func TestRebalanceMetrics(t *testing.T) {
	t.Parallel()
	p := embedded(t).toyPipe(t)
	first := p.begin(t)
	first.match(t, first.log, `msg=ready`)
	if got := first.metric(t, `weir_rebalance_seconds_count{segment="light"}`); got != 0 {
		t.Errorf("alone: got %v rebalances, want 0", got)
	}
	second := p.begin(t)
	second.match(t, second.log, `msg=ready`)
	first.match(t, first.log, `msg="the group shares its partitions anew" segment=light`)
	eventually(t, "the first worker tells of its rebalance", func() bool {
		return first.metric(t, `weir_rebalance_seconds_count{segment="light"}`) >= 1
	})
	if got := first.metric(t, `weir_rebalance_seconds_sum{segment="light"}`); got <= 0 {
		t.Errorf("got %v s, want more than 0", got)
	}
	if got, want := first.metric(t, `weir_rebalances_total`), first.metric(t, `weir_rebalance_seconds_count{segment="light"}`)+1; got != want {
		t.Errorf("got %v generations, want the first and one for each rebalance: %v", got, want)
	}
}
