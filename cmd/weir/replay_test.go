package main

import (
	"errors"
	"os"
	"strings"
	"testing"

	"weir/gpu"
	"weir/pipeline"
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
		{"none.yaml --broker 127.0.0.1:1", exitFailure, "none.yaml"},
	} {
		got := weir(t, "", append([]string{"replay", "--broker", s.broker}, strings.Fields(c.args)...)...)
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

// The versions that may have signed a candidate's predictions: one for each way to run its segments together; in
// order they run together only.
func TestSignatures(t *testing.T) {
	file := writeShop(t)
	for i, want := range []int{3, 1} {
		if i == 1 {
			if err := os.WriteFile(file, []byte(testSpec+"order: key\n"), 0o644); err != nil {
				t.Fatal(err)
			}
		}
		spec, err := pipeline.Load(file, kinds()...)
		if err != nil {
			t.Fatal(err)
		}
		models, err := loadModels(t.Context(), spec, stagesOf(spec.Segments), gpu.Options{}, gpu.Events{})
		if err != nil {
			t.Fatal(err)
		}
		got, err := signatures(spec, models)
		if err := errors.Join(err, models.Close()); err != nil || len(got) != want {
			t.Errorf("order %q: %d versions, %v, want %d", spec.Order, len(got), err, want)
		}
	}
}

func TestParseSpeed(t *testing.T) {
	for text, want := range map[string]float64{"max": 0, "0": 0, "1": 1, "0.5": 0.5, "1e3": 1000} {
		if got, err := parseSpeed(text); err != nil || got != want {
			t.Errorf("%s: got %v, %v", text, got, err)
		}
	}
}
