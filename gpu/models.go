package gpu

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"slices"
	"strings"
	"time"
)

// warmUp bounds how long a model is warmed up and measured, so that a start stays short with many models.
const warmUp = 300 * time.Millisecond

// Open is a driver's way in: it loads one instance of the model file at path. Its errors say what is wrong
// with the file and how to put it right; Load adds the model's name.
type Open func(ctx context.Context, path string, o OpenOptions) (Runtime, error)

// OpenOptions of one instance.
type OpenOptions struct {
	// Threads that one run may use. Default 1: with several instances or models, runs side by side use
	// cores better than threads within a run.
	Threads int
}

// Drivers by the name of their runtime.
type Drivers map[string]Open

// A Spec names a model to load.
type Spec struct {
	Name, Runtime, Path string
	// Instances run batches side by side. Default 1.
	Instances int
	// Threads of each run. Default 1.
	Threads int
	// Rows are the batch sizes to warm up and measure, ascending. Default 1, 4, 16, 64.
	Rows []int
}

func (s Spec) withDefaults() Spec {
	s.Instances = max(s.Instances, 1)
	s.Threads = max(s.Threads, 1)
	if len(s.Rows) == 0 {
		s.Rows = []int{1, 4, 16, 64}
	}
	return s
}

// Models is a set of loaded models. It does not change.
type Models struct {
	byName map[string]*Model
}

// A LoadError says why a model could not be loaded.
type LoadError struct {
	Model string
	Err   error
}

// Error implements error.
func (e *LoadError) Error() string { return fmt.Sprintf("gpu: model %s: %v", e.Model, e.Err) }

// Unwrap gives the cause.
func (e *LoadError) Unwrap() error { return e.Err }

// Load opens, checks and warms up all models, or returns the faults of all that cannot be loaded: a *LoadError
// for each of these. A model's version is 12 hex digits of its file's SHA-256.
func Load(ctx context.Context, specs []Spec, drivers Drivers, o Options, ev Events) (*Models, error) {
	ms := &Models{byName: make(map[string]*Model, len(specs))}
	errs := []error{o.Validate()}
	for _, s := range specs {
		if ms.byName[s.Name] != nil {
			errs = append(errs, fmt.Errorf("gpu: two models are named %s", s.Name))
			continue
		}
		m, err := load(ctx, s.withDefaults(), drivers, o.withDefaults(), ev)
		if err != nil {
			errs = append(errs, &LoadError{s.Name, err})
			continue
		}
		ms.byName[s.Name] = m
	}
	if err := errors.Join(errs...); err != nil {
		return nil, errors.Join(err, ms.Close())
	}
	return ms, nil
}

func load(ctx context.Context, s Spec, drivers Drivers, o Options, ev Events) (*Model, error) {
	start := o.Now()
	open, ok := drivers[s.Runtime]
	if !ok {
		known := strings.Join(slices.Sorted(maps.Keys(drivers)), ", ")
		return nil, fmt.Errorf("unknown runtime %q; there are: %s", s.Runtime, known)
	}
	version, err := digest(s.Path)
	if err != nil {
		return nil, err
	}
	var rts []Runtime
	fail := func(err error) (*Model, error) {
		for _, rt := range rts {
			err = errors.Join(err, rt.Close())
		}
		return nil, fmt.Errorf("%s: %w", s.Path, err)
	}
	for range s.Instances {
		rt, err := open(ctx, s.Path, OpenOptions{Threads: s.Threads})
		if err != nil {
			return fail(err)
		}
		rts = append(rts, rt)
	}
	if err := checkSignature(rts[0].Signature()); err != nil {
		return fail(err)
	}
	profile, err := warm(ctx, rts, s.Rows, warmUp, o.Now)
	if err != nil {
		return fail(fmt.Errorf("the model fails on %w", err))
	}
	if len(o.Profile) == 0 {
		o.Profile = profile
	}
	m := NewModel(s.Name, version, rts, o, ev)
	if ev.Loaded != nil {
		ev.Loaded(s.Name, version, o.Now().Sub(start))
	}
	return m, nil
}

func checkSignature(s Signature) error {
	if len(s.Inputs) == 0 || len(s.Outputs) == 0 {
		return fmt.Errorf("the model has %d inputs and %d outputs, it needs one of each", len(s.Inputs), len(s.Outputs))
	}
	for _, p := range slices.Concat(s.Inputs, s.Outputs) {
		if Elements(p.Shape) < 0 || p.Type.Size() == 0 {
			return fmt.Errorf("the model leaves the shape or type of %s open: save it with fixed ones for a row", p)
		}
	}
	return nil
}

func digest(path string) (string, error) {
	f, err := os.Open(path)
	if errors.Is(err, os.ErrNotExist) {
		return "", fmt.Errorf("there is no file %s: put the model there or correct its path", path)
	}
	if err != nil {
		return "", fmt.Errorf("read the model file: %w", err)
	}
	defer f.Close()
	h := sha256.New()
	if _, err := io.Copy(h, f); err != nil {
		return "", fmt.Errorf("read the model file: %w", err)
	}
	return hex.EncodeToString(h.Sum(nil))[:12], nil
}

// Get returns a model by its name.
func (ms *Models) Get(name string) (*Model, bool) {
	m, ok := ms.byName[name]
	return m, ok
}

// Close closes all models as Model.Close does.
func (ms *Models) Close() error {
	var errs []error
	for _, name := range slices.Sorted(maps.Keys(ms.byName)) {
		if err := ms.byName[name].Close(); err != nil {
			errs = append(errs, fmt.Errorf("gpu: close %s: %w", name, err))
		}
	}
	return errors.Join(errs...)
}
