package kafka

import "time"

// Events carries facts to whoever counts them. Every func may be nil; those that are set are called from
// many goroutines and must return at once.
type Events struct {
	// Fetched tells of one answered poll of a partition that brought records. wait is how long the poll
	// took, which is mostly waiting for the first record.
	Fetched func(topic string, partition int32, records, bytes int, wait time.Duration)
	// Produced tells of one batch acknowledged by the broker; took is the time of its last request.
	Produced func(topic string, partition int32, records, bytes int, took time.Duration)
	// Hop tells how long one Sink write took until it was durable, lingering and retries included.
	Hop func(topic string, took time.Duration)
	// Lag tells how far a partition is behind: records not yet finished, and the age of the oldest
	// record in hand, 0 with none.
	Lag func(topic string, partition int32, rows int64, seconds float64)
	// Committed tells of a partition's new committed offset.
	Committed func(topic string, partition int32, offset int64)
	// Reopened tells why a partition was closed and will be opened again at its committed offset.
	Reopened func(topic string, partition int32, err error)
	// OutOfRange tells that asked was no longer (or never) in the partition and reading goes on at from,
	// the earliest record there is.
	OutOfRange func(topic string, partition int32, asked, from int64)
	// Rebalancing tells that a generation of the group has ended: until the next one nothing is committed, and
	// no partition opened.
	Rebalancing func(generation int32)
	// Rebalanced tells of the partitions owned in a new generation of the group.
	Rebalanced func(generation int32, partitions []int32)
	// Refused tells that the group's members have another Digest, again with each try until they have left.
	Refused func(err error)
	// Fenced tells of a write that was refused, because another process has taken over its input partition.
	Fenced func(topic string, partition int32)
	// Recovered tells how many records of an output a new owner of an input partition read, to know what earlier
	// ones had written since their last commit.
	Recovered func(topic string, partition int32, records int)
	// Renewed tells that the broker gave a take-over another producer id than those before, so that it does not
	// refuse their writers; the partition waits for that long before it is served.
	Renewed func(name string, wait time.Duration)
	// Retry tells of a failure that will be tried again.
	Retry func(err error)
}

func (e *Events) fetched(topic string, partition int32, records, bytes int, wait time.Duration) {
	if e.Fetched != nil {
		e.Fetched(topic, partition, records, bytes, wait)
	}
}

func (e *Events) produced(topic string, partition int32, records, bytes int, took time.Duration) {
	if e.Produced != nil {
		e.Produced(topic, partition, records, bytes, took)
	}
}

func (e *Events) hop(topic string, took time.Duration) {
	if e.Hop != nil {
		e.Hop(topic, took)
	}
}

func (e *Events) lag(topic string, partition int32, rows int64, seconds float64) {
	if e.Lag != nil {
		e.Lag(topic, partition, rows, seconds)
	}
}

func (e *Events) committed(topic string, partition int32, offset int64) {
	if e.Committed != nil {
		e.Committed(topic, partition, offset)
	}
}

func (e *Events) reopened(topic string, partition int32, err error) {
	if e.Reopened != nil {
		e.Reopened(topic, partition, err)
	}
}

func (e *Events) outOfRange(topic string, partition int32, asked, from int64) {
	if e.OutOfRange != nil {
		e.OutOfRange(topic, partition, asked, from)
	}
}

func (e *Events) rebalanced(generation int32, partitions []int32) {
	if e.Rebalanced != nil {
		e.Rebalanced(generation, partitions)
	}
}

func (e *Events) rebalancing(generation int32) {
	if e.Rebalancing != nil {
		e.Rebalancing(generation)
	}
}

func (e *Events) refused(err error) {
	if e.Refused != nil {
		e.Refused(err)
	}
}

func (e *Events) fenced(topic string, partition int32) {
	if e.Fenced != nil {
		e.Fenced(topic, partition)
	}
}

func (e *Events) recovered(topic string, partition int32, records int) {
	if e.Recovered != nil {
		e.Recovered(topic, partition, records)
	}
}

func (e *Events) renewed(name string, wait time.Duration) {
	if e.Renewed != nil {
		e.Renewed(name, wait)
	}
}

func (e *Events) retry(err error) {
	if e.Retry != nil {
		e.Retry(err)
	}
}
