package pipeline

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strings"
)

// Pos is a place in a spec's file. Lines and columns count from 1; Line 0 means the file as a whole.
type Pos struct {
	File         string
	Line, Column int
}

// String is the place as editors and terminals understand it: file:line:column.
func (p Pos) String() string {
	if p.Line == 0 {
		return p.File
	}
	return fmt.Sprintf("%s:%d:%d", p.File, p.Line, p.Column)
}

// Fault is one thing that is wrong with a spec: where, what, and how to remedy it.
type Fault struct {
	Pos     Pos
	Message string
	cause   error
}

// Error implements error.
func (f Fault) Error() string { return f.Pos.String() + ": " + f.Message }

// Unwrap gives the error that the fault was made of, nil without one.
func (f Fault) Unwrap() error { return f.cause }

// SpecError holds every fault of a spec, in the order of the file.
type SpecError struct {
	Faults []Fault
}

// Error gives a line a fault.
func (e *SpecError) Error() string {
	lines := make([]string, len(e.Faults))
	for i, f := range e.Faults {
		lines[i] = f.Error()
	}
	return strings.Join(lines, "\n")
}

// Unwrap gives the faults.
func (e *SpecError) Unwrap() []error {
	errs := make([]error, len(e.Faults))
	for i, f := range e.Faults {
		errs[i] = f
	}
	return errs
}

// newSpecError sorts the faults by place and drops repetitions. It is nil without faults.
func newSpecError(faults []Fault) error {
	if len(faults) == 0 {
		return nil
	}
	sorted := slices.Clone(faults)
	slices.SortStableFunc(sorted, func(a, b Fault) int {
		return cmp.Or(cmp.Compare(a.Pos.Line, b.Pos.Line), cmp.Compare(a.Pos.Column, b.Pos.Column))
	})
	return &SpecError{slices.CompactFunc(sorted, func(a, b Fault) bool {
		return a.Pos == b.Pos && a.Message == b.Message
	})}
}

// faultsOf keeps the places of an error that knows its own, and gives all others the place at.
func faultsOf(err error, at Pos, path string) []Fault {
	var all *SpecError
	if errors.As(err, &all) {
		return all.Faults
	}
	var one Fault
	if errors.As(err, &one) {
		return []Fault{one}
	}
	return []Fault{{Pos: at, Message: path + ": " + err.Error(), cause: err}}
}
