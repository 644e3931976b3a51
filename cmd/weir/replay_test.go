package main

import (
	"strings"
	"testing"
)

func TestReplayFaults(t *testing.T) {
	s := newShop(t)
	for _, c := range []struct {
		args string
		code int
		want string
	}{
		{"", exitUsage, "0 arguments"},
		{s.spec + " --speed fast", exitUsage, `--speed "fast": want max, or a number`},
		{s.spec + " --speed -1", exitUsage, `--speed "-1"`},
		{s.spec + " --speed NaN", exitUsage, `--speed "NaN"`},
		{s.spec + " --from 1h", exitUsage, `--from "1h"`},
		{s.spec + " --to yesterday", exitUsage, `--to "yesterday"`},
		{s.spec, exitFailure, "topic shop.queries holds no queries of that range"},
		{s.spec + " --recorded none.yaml", exitFailure, "none.yaml"},
	} {
		got := weir(t, "", append(strings.Fields("replay "+c.args), "--broker", s.broker)...)
		if got.code != c.code || !strings.Contains(got.err, c.want) {
			t.Errorf("replay %s: code %d, want %d, %q in\n%s", c.args, got.code, c.code, c.want, got.err)
		}
	}
	s.run("{\"amount\":1}\n", "publish", "shop.queries")
	got := weir(t, "", "replay", s.spec, "--broker", s.broker)
	if got.code != exitFailure || !strings.Contains(got.err, "model light: stat") { // newShop writes no models
		t.Errorf("without models: code %d, %s", got.code, got.err)
	}
}

func TestParseSpeed(t *testing.T) {
	for text, want := range map[string]float64{"max": 0, "0": 0, "1": 1, "0.5": 0.5, "1e3": 1000} {
		if got, err := parseSpeed(text); err != nil || got != want {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
	}
}
