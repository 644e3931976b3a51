package driver

import (
	"errors"
	"fmt"
	"strings"

	"github.com/twmb/franz-go/pkg/kerr"
)

// Code is what a broker answers instead of a result.
type Code int16

// The codes that the connector treats on their own, by the protocol's names.
const (
	OffsetOutOfRange                   Code = 1
	UnknownTopicOrPartition            Code = 3
	LeaderNotAvailable                 Code = 5
	BrokerNotAvailable                 Code = 8
	ReplicaNotAvailable                Code = 9
	MessageTooLarge                    Code = 10
	RecordListTooLarge                 Code = 18
	InconsistentGroupProtocol          Code = 23
	InvalidSessionTimeout              Code = 26
	TopicAuthorizationFailed           Code = 29
	GroupAuthorizationFailed           Code = 30
	UnsupportedVersion                 Code = 35
	TopicAlreadyExists                 Code = 36
	NotController                      Code = 41
	OutOfOrderSequenceNumber           Code = 45
	DuplicateSequenceNumber            Code = 46
	InvalidProducerEpoch               Code = 47
	InvalidTransactionState            Code = 48
	InvalidProducerIDMapping           Code = 49
	ConcurrentTransactions             Code = 51
	TransactionalIDAuthorizationFailed Code = 53
	OperationNotAttempted              Code = 55
	UnknownProducerID                  Code = 59
	GroupIDNotFound                    Code = 69
	ProducerFenced                     Code = 90
	UnknownTopicID                     Code = 100
)

// CodeError is nil for 0.
func CodeError(c int16) error {
	if c == 0 {
		return nil
	}
	return Code(c)
}

// Error implements error with the protocol's name of the code and its meaning.
func (c Code) Error() string {
	e := kerr.TypedErrorForCode(int16(c))
	if e == nil || e.Code != int16(c) {
		return fmt.Sprintf("the broker's error %d", int16(c))
	}
	return fmt.Sprintf("%s: %s", e.Message, strings.TrimSuffix(e.Description, "."))
}

// Retriable says whether a request that failed with err may succeed when it is sent again. What is no broker's
// answer is the network's error, which may always heal.
func Retriable(err error) bool {
	var c Code
	return !errors.As(err, &c) || c.passes()
}

// passes says whether the state that a code tells of is one of those that end by themselves.
func (c Code) passes() bool {
	switch c {
	case UnknownTopicOrPartition, LeaderNotAvailable, BrokerNotAvailable, ReplicaNotAvailable, NotController, UnknownTopicID,
		2,         // corrupt message: on its way
		6, 74, 75, // not the leader, an old or unknown leader epoch
		7, 13, // timed out, network
		14, 15, 16, // the coordinator loads, is not available, is another
		19, 20, // not enough replicas
		56,          // storage: a disk that fails moves its leaders
		70, 71, 106, // fetch session
		72,         // listener not found
		78,         // offset not available: a new leader does not know it yet
		80, 83, 84, // preferred or eligible leaders, no election needed
		85, 86, 88, // no reassignment, the group subscribes, unstable offset commit
		89,  // throttled
		103: // inconsistent topic id
		return true
	}
	return false
}
