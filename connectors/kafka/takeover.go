package kafka

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"time"

	"weir/connectors/kafka/driver"
	"weir/pipeline"
)

// fenceTimeout is how long the broker lets a take-over's transaction stay open. A process that dies inside
// one stalls consumers that read committed for that long.
const fenceTimeout = 5 * time.Second

// name is the transactional id of an input partition.
func (f *Fence) name(input int32) string { return fmt.Sprintf("%s/%d", f.Name, input) }

// takeOver fences every earlier writer of the places, and says whether the broker gave the name a new producer id:
// then it does not know those who write with the old one.
func (f *Fence) takeOver(ctx context.Context, input int32, places []place) (id driver.Identity, renewed bool, err error) {
	name := f.name(input)
	fail := func(err error) (driver.Identity, bool, error) {
		return driver.NoIdentity(), false, fmt.Errorf("kafka: take over %s: %w", name, err)
	}
	first, err := f.identify(ctx, name, driver.NoIdentity())
	if err != nil {
		return fail(err)
	}
	if err := f.mark(ctx, name, first, places); err != nil {
		return fail(err)
	}
	// Saying which epoch we have keeps a process that slept since the first call from taking the partition
	// back: it would be given an epoch above its successor's, which no marker has announced.
	second, err := f.identify(ctx, name, first)
	if err != nil {
		return fail(err)
	}
	renewed = first.Epoch == 0 || second.ID != first.ID
	if second.Epoch == 0 { // which is what records bear that no fence gave one
		if second, err = f.identify(ctx, name, second); err != nil {
			return fail(err)
		}
	}
	return second, renewed, nil
}

// settle waits until earlier writers that the broker does not refuse have ended, or noticed that they lost the
// partition. An epoch is a number of 16 bits; after the last one, some 16,000 take-overs, the broker gives a new
// producer id, and so it does for a name that was not used for a week. The old id's writers are refused by no
// marker then. A process that froze is found out after a session, and if it wakes within another one its writes
// stand in the outputs before they are looked into.
func (f *Fence) settle(ctx context.Context, input int32) error {
	wait := 2 * cmp.Or(f.Session, defaultSession)
	f.Client.opts.Events.renewed(f.name(input), wait)
	t := time.NewTimer(wait)
	defer t.Stop()
	select {
	case <-t.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// identify raises the identity's epoch; is, unless there is none, is what it is believed to be. The broker answers
// only when earlier transactions of that name have ended.
func (f *Fence) identify(ctx context.Context, name string, is driver.Identity) (id driver.Identity, err error) {
	err = f.retry(ctx, func(ctx context.Context) (err error) {
		id, err = f.Client.cluster.Identify(ctx, name, int32(fenceTimeout/time.Millisecond), is)
		return err
	})
	return id, refusedIdentity(name, err)
}

// refusedIdentity adds a remedy to a broker's answer that does not pass.
func refusedIdentity(name string, err error) error {
	const instead = "or say `delivery: at_least_once` in the spec, which needs none"
	switch {
	case errors.Is(err, driver.UnsupportedVersion):
		return pipeline.Permanent(fmt.Errorf("the broker gives out no producer identities, which exactly_once_effect fences writers by (InitProducerId: %w); "+
			"take one that does, such as Kafka 0.11 or later, %s", err, instead))
	case errors.Is(err, driver.TransactionalIDAuthorizationFailed):
		return pipeline.Permanent(fmt.Errorf("the broker denies the transactional id %s (%w); allow Write and Describe on those that begin so, %s", name, err, instead))
	}
	return err
}

// Probe asks for an identity as a take-over does, under a name that nobody writes with, so that a broker which
// gives none is named before anything is served. It waits for a broker that does not answer, until ctx ends.
func (f *Fence) Probe(ctx context.Context) error {
	if _, err := f.identify(ctx, f.Name+"/probe", driver.NoIdentity()); err != nil {
		return fmt.Errorf("kafka: %w", err)
	}
	return nil
}

// mark commits an empty transaction over the places.
func (f *Fence) mark(ctx context.Context, name string, id driver.Identity, places []place) error {
	if err := f.exist(ctx, places); err != nil {
		return err
	}
	all := make([]driver.Place, len(places))
	for i, p := range places {
		all[i] = driver.Place{Topic: p.topic, Partition: p.partition}
	}
	err := f.retry(ctx, func(ctx context.Context) error { return f.Client.cluster.AddPartitions(ctx, name, id, all) })
	if err != nil {
		return fmt.Errorf("add partitions: %w", err)
	}
	return f.retry(ctx, func(ctx context.Context) error { return f.Client.cluster.EndTransaction(ctx, name, id) })
}

// exist asks each partition's leader for its end. A broker that is still making a partition never answers for its
// marker, and then writes none of any partition for half a minute (Kafka 4.4).
func (f *Fence) exist(ctx context.Context, places []place) error {
	byTopic := map[string][]int32{}
	for _, p := range places {
		byTopic[p.topic] = append(byTopic[p.topic], p.partition)
	}
	for topic, partitions := range byTopic {
		if _, err := f.Client.listOffsets(ctx, topic, partitions, Latest.time()); err != nil {
			return err
		}
	}
	return nil
}

// retry repeats a request of the transaction coordinator while that may help.
func (f *Fence) retry(ctx context.Context, request func(context.Context) error) error {
	for wait := newBackoff(); ; {
		err := f.Client.request(ctx, requestTimeout, request)
		if err == nil || ctx.Err() != nil {
			return err
		}
		switch {
		case errors.Is(err, driver.ConcurrentTransactions): // markers are still being written
		case !retriable(err):
			return err
		default:
			f.Client.opts.Events.retry(fmt.Errorf("kafka: take-over: %w", err))
		}
		if err := wait.sleep(ctx); err != nil {
			return err
		}
	}
}
