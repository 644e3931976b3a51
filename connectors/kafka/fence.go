package kafka

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"

	"weir/connectors/kafka/driver"
	"weir/pipeline"
)

// fenceTimeout is how long the broker lets a take-over's transaction stay open. A process that dies inside
// one stalls consumers that read committed for that long.
const fenceTimeout = 5 * time.Second

// A Fence sees to it that at most one process writes for an input partition of a segment: the one that opened
// it last. Its sinks get one producer identity for each input partition, with an epoch that rises with every
// opening; a broker refuses what comes with an older epoch.
//
// Raising the epoch alone does not fence: Kafka refuses an old epoch in a partition only once it has seen the
// new one there (measured on Kafka 4.4). So a take-over runs an empty transaction over all output partitions;
// its commit markers carry the new epoch into each of them, and no consumer sees a marker. They are written
// some time after the transaction's end was acknowledged; asking for the identity once more waits for that.
type Fence struct {
	Client *Client
	// Name begins the transactional ids: the group of the segment.
	Name string
	// Segment is the segment's place in its pipeline. Two segments write to the same topics, each with epochs
	// of its own; with the segment in them they are told apart.
	Segment uint8
	// Version is the same for owners that answer alike. A row that an owner of another version finished cannot be
	// run again as it was.
	Version uint32

	mu      sync.Mutex
	outputs []func(input int32) []place
	held    map[int32]*identity
	turns   chan struct{} // one place for each take-over that runs
}

// atOnce is how many take-overs run side by side: one in turn costs 20 to 40 ms, and a coordinator is not
// helped by hundreds at once.
const atOnce = 16

// turn waits until another take-over may begin.
func (f *Fence) turn(ctx context.Context) error {
	f.mu.Lock()
	if f.turns == nil {
		f.turns = make(chan struct{}, atOnce)
	}
	turns := f.turns
	f.mu.Unlock()
	select {
	case turns <- struct{}{}:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// identity is who writes for an input partition.
type identity struct {
	id    int64
	epoch int16
	users int
	ready chan struct{} // closed when the take-over has ended
	err   error
}

// Guard makes the fence cover a sink that has of output partitions for each input partition. All sinks of a
// segment are guarded before the first is opened.
func (f *Fence) Guard(s *Sink, of int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	s.Fence = f
	f.outputs = append(f.outputs, func(input int32) []place {
		if of <= 1 {
			return []place{{s.Topic, s.partition(input)}}
		}
		var places []place
		for i := range int32(of) {
			places = append(places, place{s.Topic, input*int32(of) + i})
		}
		return places
	})
}

// number is an epoch as records and decisions bear it: the fence's, times 256, and the segment's place.
func (f *Fence) number(epoch int16) int32 { return int32(epoch)<<8 | int32(f.Segment) }

// own says whether a record of that number was written by a fence of this segment.
func (f *Fence) own(number int32) bool { return uint8(number) == f.Segment }

// open gives the identity for an input partition. The first opener takes it over for all outputs.
func (f *Fence) open(ctx context.Context, input int32) (*identity, error) {
	f.mu.Lock()
	if f.held == nil {
		f.held = map[int32]*identity{}
	}
	if who := f.held[input]; who != nil {
		who.users++
		f.mu.Unlock()
		select {
		case <-who.ready:
		case <-ctx.Done():
			f.close(input)
			return nil, ctx.Err()
		}
		if who.err != nil {
			f.close(input)
		}
		return who, who.err
	}
	who := &identity{users: 1, ready: make(chan struct{})}
	f.held[input] = who
	var places []place
	for _, o := range f.outputs {
		places = append(places, o(input)...)
	}
	f.mu.Unlock()
	if who.err = f.turn(ctx); who.err == nil {
		who.id, who.epoch, who.err = f.takeOver(ctx, input, places)
		<-f.turns
	}
	close(who.ready)
	if who.err != nil {
		f.close(input)
	}
	return who, who.err
}

// close ends one use; with the last one the identity is given up, and the next open takes over anew.
func (f *Fence) close(input int32) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if who := f.held[input]; who != nil {
		if who.users--; who.users == 0 {
			delete(f.held, input)
		}
	}
}

// takeOver fences every earlier writer of the places.
func (f *Fence) takeOver(ctx context.Context, input int32, places []place) (id int64, epoch int16, err error) {
	name := fmt.Sprintf("%s/%d", f.Name, input)
	fail := func(err error) (int64, int16, error) {
		return -1, -1, fmt.Errorf("kafka: take over %s: %w", name, err)
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
	return second.ID, second.Epoch, nil
}

// identify raises the identity's epoch; is, unless there is none, is what it is believed to be. The broker answers
// only when earlier transactions of that name have ended.
func (f *Fence) identify(ctx context.Context, name string, is driver.Identity) (id driver.Identity, err error) {
	err = f.retry(ctx, func(ctx context.Context) (err error) {
		id, err = f.Client.cluster.Identify(ctx, name, int32(fenceTimeout/time.Millisecond), is)
		return err
	})
	if errors.Is(err, driver.UnsupportedVersion) || errors.Is(err, driver.TransactionalIDAuthorizationFailed) {
		err = pipeline.Permanent(fmt.Errorf("the broker gives out no producer identity (%w); allow Write and Describe on transactional ids, or say `delivery: at_least_once` in the spec", err))
	}
	return id, err
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
