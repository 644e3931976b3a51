package kafka

import (
	"errors"
	"fmt"
	"io"

	"weir/connectors/kafka/driver"
)

// UnknownTopicError says that a topic does not exist.
type UnknownTopicError struct{ Topic string }

// Error implements error.
func (e *UnknownTopicError) Error() string {
	return fmt.Sprintf("kafka: topic %s does not exist; create it with `weir topics create SPEC`", e.Topic)
}

// TooLargeError says which messages of one Produce the broker can never take. All others are durable.
type TooLargeError struct {
	Topic    string
	Messages []int // indexes into the messages given to Produce, ascending
	Bytes    int   // of the largest of them
}

// Error implements error.
func (e *TooLargeError) Error() string {
	return fmt.Sprintf("kafka: %d messages, the largest of %d bytes, are larger than topic %s takes (max.message.bytes)",
		len(e.Messages), e.Bytes, e.Topic)
}

// unknownTopic says whether err tells that a topic does not exist.
func unknownTopic(err error) bool {
	var u *UnknownTopicError
	return errors.As(err, &u)
}

// FencedError says that another process has taken over the partition's input: this one's writes are refused
// from then on. It is the normal way to learn of a take-over that one slept through.
type FencedError struct {
	Topic     string
	Partition int32
	Cause     error
}

// Error implements error.
func (e *FencedError) Error() string {
	return fmt.Sprintf("kafka: write %s/%d: another process has taken over (%v)", e.Topic, e.Partition, e.Cause)
}

// Unwrap gives the broker's answer.
func (e *FencedError) Unwrap() error { return e.Cause }

// fencedOff says whether the broker refuses a producer's identity or lost count of its batches; only a new
// identity helps.
func fencedOff(err error) bool {
	var answer driver.Code
	if !errors.As(err, &answer) {
		return false
	}
	switch answer {
	case driver.OutOfOrderSequenceNumber, driver.InvalidProducerEpoch, driver.InvalidProducerIDMapping,
		driver.UnknownProducerID, driver.ProducerFenced, driver.InvalidTransactionState:
		return true
	}
	return false
}

var errEnded = errors.New("kafka: the writer is closed")

var errClosed = errors.New("kafka: the client is closed")

// retriable says whether a request may succeed when it is sent again.
func retriable(err error) bool {
	return !errors.Is(err, errClosed) && !unknownTopic(err) && driver.Retriable(err)
}

// tooLarge says whether the broker refused a batch for its size.
func tooLarge(err error) bool {
	return errors.Is(err, driver.MessageTooLarge) || errors.Is(err, driver.RecordListTooLarge)
}

// readable replaces errors that say nothing to a person.
func readable(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return fmt.Errorf("the broker closed the connection (%w)", err)
	}
	return err
}
