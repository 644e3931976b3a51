package main

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"weir/gpu/linear"
	"weir/schemas"
)

// writeShop writes testSpec with its files. heavy says "much" to positive amounts and "little" to negative
// ones, light the reverse.
func writeShop(t *testing.T) (spec string) {
	t.Helper()
	dir := t.TempDir()
	for name, sign := range map[string]float32{"light.json": -1, "heavy.json": 1} {
		m := linear.Model{Input: "x", Output: "y", Features: 1, Outputs: 2, Weights: []float32{-sign, sign}}
		if err := linear.Write(filepath.Join(dir, name), m); err != nil {
			t.Fatal(err)
		}
	}
	for name, text := range map[string]string{"labels.txt": "little\nmuch\n", "shop.yaml": testSpec} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return filepath.Join(dir, "shop.yaml")
}

// The last model alone answers every query, also those of which a gate would have been sure before.
func TestAlone(t *testing.T) {
	spec := writeShop(t)
	var queries [][]byte
	var want []string
	for i := range 150 {
		amount, label := i-75, "much"
		if amount < 0 {
			label = "little"
		}
		text := fmt.Sprintf(`{"amount":%d.5}`, amount)
		if i%50 == 7 {
			text, label = `{"amount":"much"}`, "" // rejected: no model sees it
		}
		queries, want = append(queries, []byte(text)), append(want, label)
	}
	before := schemas.Allocator.InUse()
	var done []int
	got, err := alone(t.Context(), spec, queries, func(n int) { done = append(done, n) })
	if err != nil {
		t.Fatal(err)
	}
	if !slices.Equal(got, want) {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	if want := []int{64, 128, 150}; !slices.Equal(done, want) {
		t.Errorf("progress: got %v, want %v", done, want)
	}
	if after := schemas.Allocator.InUse(); after != before {
		t.Errorf("%d bytes are still allocated", after-before)
	}
}

func TestAloneWithoutModelFile(t *testing.T) {
	spec := writeShop(t)
	if err := os.Remove(filepath.Join(filepath.Dir(spec), "heavy.json")); err != nil {
		t.Fatal(err)
	}
	_, err := alone(t.Context(), spec, [][]byte{[]byte(`{"amount":1}`)}, func(int) {})
	if err == nil || !strings.Contains(err.Error(), "heavy.json") || !strings.Contains(err.Error(), "shop.yaml:7:") {
		t.Errorf("got %v, want the file and the spec's line", err)
	}
}
