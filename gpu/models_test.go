package gpu_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"weir/gpu"
	"weir/gpu/linear"
)

// tiny writes a linear model and returns its path.
func tiny(t *testing.T) string {
	path := filepath.Join(t.TempDir(), "tiny.json")
	m := linear.Model{Input: "x", Output: "y", Features: 2, Outputs: 1, Weights: []float32{1, 2}}
	if err := linear.Write(path, m); err != nil {
		t.Fatal(err)
	}
	return path
}

func TestLoad(t *testing.T) {
	path := tiny(t)
	var loaded []string
	ev := gpu.Events{Loaded: func(model, version string, took time.Duration) {
		if took <= 0 {
			t.Errorf("loading %s took %v", model, took)
		}
		loaded = append(loaded, model+" "+version)
	}}
	specs := []gpu.Spec{
		{Name: "a", Runtime: "linear", Path: path},
		{Name: "b", Runtime: "linear", Path: path, Instances: 2, Rows: []int{1, 2}},
	}
	ms, err := gpu.Load(t.Context(), specs, gpu.Drivers{"linear": linear.Open}, gpu.Options{}, ev)
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := ms.Close(); err != nil {
			t.Error(err)
		}
	}()
	const version = "1ea0bbfef061" // sha256sum of the file
	if want := []string{"a " + version, "b " + version}; !slices.Equal(loaded, want) {
		t.Errorf("loaded: got %v, want %v", loaded, want)
	}
	for name, rows := range map[string][]int{"a": {1, 4, 16, 64}, "b": {1, 2}} {
		m, ok := ms.Get(name)
		if !ok || m.Name() != name || m.Version() != version {
			t.Fatalf("got %v, want model %s", m, name)
		}
		var got []int
		for _, p := range m.Profile() {
			got = append(got, p.Rows)
		}
		if !slices.Equal(got, rows) {
			t.Errorf("profile of %s: got %v, want points at %v", name, m.Profile(), rows)
		}
		c := &gpu.Call{Rows: 1, In: []gpu.Tensor{{Type: gpu.Uint8, Shape: []int64{1, 2}, Data: []byte{3, 4}}},
			Out: []gpu.Tensor{gpu.NewTensor(gpu.Float32, []int64{1}, 1)}, Results: make([]gpu.Result, 1)}
		predict(t, m, c)
		if got := gpu.Float32s(c.Out[0])[0]; got != 11 {
			t.Errorf("got %v, want 11", got)
		}
	}
	if _, ok := ms.Get("c"); ok {
		t.Error("got a model that was not loaded")
	}
}

// All faults of all models are told at once, each with its model, its path and what to do.
func TestLoadFaults(t *testing.T) {
	good := tiny(t)
	bad := filepath.Join(t.TempDir(), "bad.json")
	if err := os.WriteFile(bad, []byte("pixels"), 0o600); err != nil {
		t.Fatal(err)
	}
	opened := newReference()
	broken := newReference()
	broken.fails = 1
	open := newReference()
	drivers := gpu.Drivers{
		"linear": linear.Open,
		"ref":    func(context.Context, string, gpu.OpenOptions) (gpu.Runtime, error) { return opened, nil },
		"broken": func(context.Context, string, gpu.OpenOptions) (gpu.Runtime, error) { return broken, nil },
		"shape":  func(context.Context, string, gpu.OpenOptions) (gpu.Runtime, error) { return openShape{open}, nil },
	}
	specs := []gpu.Spec{
		{Name: "good", Runtime: "ref", Path: good},
		{Name: "good", Runtime: "ref", Path: good},
		{Name: "missing", Runtime: "linear", Path: "models/light.json"},
		{Name: "folder", Runtime: "linear", Path: filepath.Dir(good)},
		{Name: "typo", Runtime: "liner", Path: good},
		{Name: "bad", Runtime: "linear", Path: bad},
		{Name: "broken", Runtime: "broken", Path: good},
		{Name: "shape", Runtime: "shape", Path: good},
	}
	_, err := gpu.Load(t.Context(), specs, drivers, gpu.Options{MaxRows: -1}, gpu.Events{})
	if err == nil {
		t.Fatal("loaded")
	}
	lines := strings.Split(err.Error(), "\n")
	for i, want := range []string{
		"gpu: option MaxRows is negative",
		"gpu: two models are named good",
		"gpu: model missing: there is no file models/light.json: put the model there or correct its path",
		"gpu: model folder: read the model file: read " + filepath.Dir(good) + ": is a directory",
		`gpu: model typo: unknown runtime "liner"; there are: broken, linear, ref, shape`,
		"gpu: model bad: " + bad + ": linear: the file is not a linear model in JSON",
		"gpu: model broken: " + good + ": the model fails on a batch of 1 rows of zeros: out of order",
		"gpu: model shape: " + good + ": the model leaves the shape or type of wide float32[-1] open",
	} {
		if i >= len(lines) || !strings.HasPrefix(lines[i], want) {
			t.Fatalf("line %d: got %q, want %q", i, err, want)
		}
	}
	if !opened.closed || !broken.closed || !open.closed {
		t.Error("a model that was opened is still open")
	}
}

// openShape has an input without a fixed shape.
type openShape struct{ *reference }

func (openShape) Signature() gpu.Signature {
	s := newReference().Signature()
	s.Inputs[0] = gpu.Port{Name: "wide", Type: gpu.Float32, Shape: []int64{-1}}
	return s
}

// A model that takes 30 ms + 2 ms a row is measured exactly; sizes that would not fit in 300 ms are left out.
func TestWarmUp(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		r := newReference()
		r.takes = func(rows int) time.Duration { return 30*ms + time.Duration(rows)*2*ms }
		drivers := gpu.Drivers{"ref": func(context.Context, string, gpu.OpenOptions) (gpu.Runtime, error) { return r, nil }}
		start := time.Now()
		specs := []gpu.Spec{{Name: "slow", Runtime: "ref", Path: tiny(t)}}
		models, err := gpu.Load(t.Context(), specs, drivers, gpu.Options{MaxRun: 40 * ms}, gpu.Events{})
		if err != nil {
			t.Fatal(err)
		}
		if took := time.Since(start); took > 300*ms {
			t.Errorf("warm-up took %v", took)
		}
		m, _ := models.Get("slow")
		want := []gpu.Point{{Rows: 1, Run: 32 * ms}, {Rows: 4, Run: 38 * ms}, {Rows: 16, Run: 62 * ms}}
		if !slices.Equal(m.Profile(), want) {
			t.Errorf("profile: got %v, want %v", m.Profile(), want)
		}
		n := len(r.batches)
		predict(t, m, newCall(0, 12, gpu.Float32))
		if got, want := r.batches[n:], []int{5, 5, 2}; !slices.Equal(got, want) {
			t.Errorf("batches of at most 40 ms: got %v, want %v", got, want)
		}
		if err := models.Close(); err != nil {
			t.Error(err)
		}
	})
}

// Every instance is warmed up, and an instance that cannot run is found then.
func TestWarmUpOfInstances(t *testing.T) {
	for _, fails := range []int{0, 1} {
		var opened []*reference
		drivers := gpu.Drivers{"ref": func(context.Context, string, gpu.OpenOptions) (gpu.Runtime, error) {
			r := newReference()
			r.fails = fails * len(opened) // the second one, if any
			opened = append(opened, r)
			return r, nil
		}}
		specs := []gpu.Spec{{Name: "twins", Runtime: "ref", Path: tiny(t), Instances: 2}}
		models, err := gpu.Load(t.Context(), specs, drivers, gpu.Options{}, gpu.Events{})
		if (err != nil) != (fails > 0) {
			t.Fatalf("%d fail: got %v", fails, err)
		}
		if err == nil {
			if err := models.Close(); err != nil {
				t.Error(err)
			}
		}
		for i, r := range opened {
			if !r.closed || len(r.batches) == 0 && fails == 0 {
				t.Errorf("%d fail, instance %d: closed %v, runs of %v rows", fails, i, r.closed, r.batches)
			}
		}
	}
}

func TestOptionsValidate(t *testing.T) {
	if err := (gpu.Options{}).Validate(); err != nil {
		t.Errorf("the zero value: %v", err)
	}
	bad := gpu.Options{MaxRows: -1, QueueBytes: -1, Profile: []gpu.Point{{Rows: 2, Run: 1}, {Rows: 2, Run: 1}}}
	err := bad.Validate()
	if err == nil || len(strings.Split(err.Error(), "\n")) != 3 || errors.Unwrap(err) != nil {
		t.Errorf("got %v, want three faults", err)
	}
}
