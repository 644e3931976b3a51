package gpu

import (
	"errors"
	"fmt"
	"time"
)

// ErrClosed is returned by Predict on a model that is closing.
var ErrClosed = errors.New("gpu: the model is closed")

// Outcome of a row.
type Outcome uint8

// The outcomes of a row. Unfinished is what a row keeps when Predict itself returns an error.
const (
	Unfinished Outcome = iota
	OK                 // the outputs hold the model's answer
	Expired            // its deadline passed before a device was free
	Failed             // the model failed on it; Result.Err says how
)

// String is for messages.
func (o Outcome) String() string {
	names := [...]string{"unfinished", "ok", "expired", "failed"}
	if int(o) < len(names) {
		return names[o]
	}
	return "invalid"
}

// A Result tells what became of one row.
type Result struct {
	Outcome Outcome
	// Err is the model's error on a Failed row, nil otherwise.
	Err error
	// Wait is the time from Predict until the row's last run began (for an expired row: until it was
	// dropped), Run how long that run took on the device.
	Wait, Run time.Duration
	// Batch is how many rows ran together with this one, itself included.
	Batch int32
}

// A Call is one caller's rows. Every slice belongs to the caller, who leaves all of them alone until Predict
// has returned; they may be used again for the next Call.
type Call struct {
	// Rows is the number of rows.
	Rows int
	// In holds the inputs in the order of Signature().Inputs. A type that widens to the input's is
	// widened; the shape may be another one with as many numbers a row.
	In []Tensor
	// Deadlines are unix microseconds, one a row, 0 for none. nil: no row has one.
	Deadlines []int64
	// Out is where the outputs go, in the order of Signature().Outputs and of exactly their types. The
	// rows that are not OK may hold anything afterwards.
	Out []Tensor
	// Results has one place a row.
	Results []Result
}

// RowsError says that a model returned another number of rows than it was given.
type RowsError struct {
	Output    string
	Want, Got int
}

// Error implements error.
func (e *RowsError) Error() string {
	return fmt.Sprintf("output %s has %d rows, the input had %d", e.Output, e.Got, e.Want)
}

// check finds a call that does not fit the model: a mistake of the caller, which no row can be blamed for.
func (m *Model) check(c *Call) error {
	if len(c.Results) != c.Rows {
		return fmt.Errorf("gpu: %s: %d results for %d rows", m.name, len(c.Results), c.Rows)
	}
	if c.Deadlines != nil && len(c.Deadlines) != c.Rows {
		return fmt.Errorf("gpu: %s: %d deadlines for %d rows", m.name, len(c.Deadlines), c.Rows)
	}
	if err := checkTensors(c.In, m.sig.Inputs, c.Rows, Widens); err != nil {
		return fmt.Errorf("gpu: %s: input %w", m.name, err)
	}
	same := func(from, to Type) bool { return from == to }
	if err := checkTensors(c.Out, m.sig.Outputs, c.Rows, same); err != nil {
		return fmt.Errorf("gpu: %s: output %w", m.name, err)
	}
	return nil
}

func checkTensors(ts []Tensor, ports []Port, rows int, fits func(from, to Type) bool) error {
	if len(ts) != len(ports) {
		return fmt.Errorf("count is %d, the model has %d", len(ts), len(ports))
	}
	for i, t := range ts {
		p := ports[i]
		if !fits(t.Type, p.Type) {
			return fmt.Errorf("%s is given as %s", p, t.Type)
		}
		n := Elements(t.Shape)
		if n < 0 || n != Elements(p.Shape) {
			return fmt.Errorf("%s is given as rows of shape %v", p, t.Shape)
		}
		if want := rows * n * t.Type.Size(); len(t.Data) != want {
			return fmt.Errorf("%s is given %d bytes, %d rows take %d", p, len(t.Data), rows, want)
		}
	}
	return nil
}
