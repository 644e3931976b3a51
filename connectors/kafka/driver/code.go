package driver

import "github.com/twmb/franz-go/pkg/kerr"

// Code is what a broker answers instead of a result.
type Code int16

// CodeError is nil for 0.
func CodeError(c int16) error {
	if c == 0 {
		return nil
	}
	return Code(c)
}

// Error implements error with the protocol's name of the code and its meaning.
func (c Code) Error() string { return kerr.ErrorForCode(int16(c)).Error() }
