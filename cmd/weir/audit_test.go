package main

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"weir/connectors/kafka"
	"weir/schemas"
)

// An audit says what became of each query, and fails where something is wrong.
func TestAudit(t *testing.T) {
	s := newShop(t)
	client, err := kafka.Dial(t.Context(), kafka.Options{Brokers: []string{s.broker}})
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	write := func(topic, value string) {
		t.Helper()
		if _, err := client.Produce(t.Context(), topic, 1, []schemas.Message{{Value: []byte(value)}}); err != nil {
			t.Fatal(err)
		}
	}
	write("shop.queries", `[{"query_id":"a","amount":1},{"query_id":"b","amount":2}]`)
	prediction := func(row int) string {
		return fmt.Sprintf(`{"query_id":"x","status":"answered","late":false,"label":"Bag","source":{"topic":"shop.queries","partition":1,"offset":0,"row":%d}}`, row)
	}
	write("shop.predictions", prediction(0))
	clean := strings.ReplaceAll(s.run("", "audit", s.spec), " ", "")
	for _, want := range []string{"accepted2\n", "answered1\n", "lost0\n", "pending1\n", "undecided1\n"} {
		if !strings.Contains(clean, want) {
			t.Errorf("no %q in\n%s", want, clean)
		}
	}
	write("shop.predictions", prediction(0))
	got := weir(t, "", "audit", s.spec, "--broker", s.broker, "--json", "--from", "-1h")
	if got.code != exitFailure || got.err != "weir: audit: 1 twice\n" {
		t.Errorf("code %d, %s", got.code, got.err)
	}
	lines := strings.Split(strings.TrimSpace(got.out), "\n")
	if want := `{"finding":"twice","query_id":"x","topic":"shop.queries","partition":1,"offset":0,"row":0,"predictions":[0,1]}`; lines[0] != want {
		t.Errorf("got %s, want %s", lines[0], want)
	}
	var report struct {
		Accepted int
		Findings map[string]int
	}
	if err := json.Unmarshal([]byte(lines[len(lines)-1]), &report); err != nil || len(lines) != 2 || report.Accepted != 2 || report.Findings["twice"] != 1 {
		t.Errorf("%v: %s", err, got.out)
	}
	got = weir(t, "", "audit", s.spec, "--broker", s.broker)
	if want := "twice\tx\tshop.queries/1/0/0\tpredictions at 0 1\n"; !strings.HasPrefix(got.out, want) {
		t.Errorf("got %s, want %s first", got.out, want)
	}
	if got := weir(t, "", "audit", s.spec, "--broker", s.broker, "--from", "1h"); got.code != exitUsage || !strings.Contains(got.err, `--from "1h"`) {
		t.Errorf("code %d, %s", got.code, got.err)
	}
}
