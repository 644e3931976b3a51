package kafka

import (
	"context"
	"sync"
	"time"

	"weir/connectors/kafka/driver"
)

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
	// Session is that of the members of the group. Default 6s.
	Session time.Duration
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
	driver.Identity
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

// open gives the identity for an input partition. The first opener takes it over for all outputs. known says that
// the partition had an owner before.
func (f *Fence) open(ctx context.Context, input int32, known bool) (*identity, error) {
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
		var renewed bool
		who.Identity, renewed, who.err = f.takeOver(ctx, input, places)
		<-f.turns
		if who.err == nil && renewed && known {
			who.err = f.settle(ctx, input)
		}
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
