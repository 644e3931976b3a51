package pipeline

import (
	"errors"
	"fmt"
)

type permanentError struct{ err error }

func (e permanentError) Error() string { return e.err.Error() }
func (e permanentError) Unwrap() error { return e.err }

// Permanent marks an error that no retry can help. The process stops with it.
func Permanent(err error) error {
	if err == nil {
		return nil
	}
	return permanentError{err}
}

// IsPermanent says whether err was marked by Permanent.
func IsPermanent(err error) bool {
	var p permanentError
	return errors.As(err, &p)
}

// TooLargeError tells which rows of a written batch the broker can never take. All other rows of the
// batch are durable.
type TooLargeError struct {
	Rows  []int // of the written batch, ascending
	Limit string
}

// Error implements error.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("%d rows are larger than the broker takes (%s)", len(e.Rows), e.Limit)
}
