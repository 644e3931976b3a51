package feed

import (
	"bufio"
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"os"
)

// MaxLine bounds one line of input: as much as the largest record that a topic is likely to take.
const MaxLine = 64 << 20

// Lines reads a text line by line and skips empty ones.
type Lines struct {
	scan  *bufio.Scanner
	name  string
	line  int
	close []io.Closer
}

// Open reads a file, or the process's standard input where file is "-". What begins like gzip is
// unpacked.
func Open(file string) (*Lines, error) {
	if file == "-" {
		return Read("standard input", os.Stdin)
	}
	f, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	l, err := Read(file, f)
	if err != nil {
		return nil, errors.Join(err, f.Close())
	}
	l.close = append(l.close, f)
	return l, nil
}

// Read reads lines from r; name stands in errors.
func Read(name string, r io.Reader) (*Lines, error) {
	l := &Lines{name: name}
	buffered := bufio.NewReaderSize(r, 64<<10)
	var in io.Reader = buffered
	// Peek's error is that of an empty or broken input, which the first Scan meets again.
	if head, _ := buffered.Peek(2); bytes.Equal(head, []byte{0x1f, 0x8b}) {
		z, err := gzip.NewReader(buffered)
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		l.close = append(l.close, z)
		in = z
	}
	l.scan = bufio.NewScanner(in)
	l.scan.Buffer(nil, MaxLine)
	return l, nil
}

// Scan goes to the next line that is not empty.
func (l *Lines) Scan() bool {
	for l.scan.Scan() {
		l.line++
		if len(l.Bytes()) > 0 {
			return true
		}
	}
	return false
}

// Bytes is the line without white space around it, valid until the next Scan.
func (l *Lines) Bytes() []byte { return bytes.TrimSpace(l.scan.Bytes()) }

// Line is the number of the line, from 1.
func (l *Lines) Line() int { return l.line }

// Err is why Scan ended, nil at the end of the text.
func (l *Lines) Err() error {
	err := l.scan.Err()
	if errors.Is(err, bufio.ErrTooLong) {
		err = fmt.Errorf("the line is longer than %d MiB", MaxLine>>20)
	}
	if err != nil {
		return fmt.Errorf("%s:%d: %w", l.name, l.line+1, err)
	}
	return nil
}

// Close closes the file.
func (l *Lines) Close() error {
	var errs []error
	for _, c := range l.close {
		errs = append(errs, c.Close())
	}
	return errors.Join(errs...)
}
