// Package franz is a driver.Cluster on franz-go.
//
//	Cluster ── broker's address ──► link ──► one kgo.Client, one request in flight
//
// franz-go's own client routes, retries and sends requests one behind the other through a connection, where a
// broker answers them in turn: a fetch that waits would delay the next, of another topic. So every request has a
// client to itself while it runs, that knows one broker alone and sends what it is given, once.
package franz

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"weir/connectors/kafka/driver"
)

// A Cluster is a driver.Cluster. New makes one.
type Cluster struct {
	brokers []string
	opts    []kgo.Opt

	mu     sync.Mutex
	closed bool
	book   map[int32]string       // addresses as brokers advertise them
	turn   int                    // which address stands for any broker
	idle   map[wire][]*kgo.Client // clients that wait for a request
	all    map[*kgo.Client]bool   // those, and the busy ones
	seats  map[office]string      // coordinators' addresses, as far as they are known
}

var _ driver.Cluster = (*Cluster)(nil)

// errClosed is the end of requests in flight, and of later ones.
var errClosed = errors.New("franz: the client is closed")

// idleFor is how long a connection without requests is kept: a quiet pipeline must not pay for a new one on its
// next message.
const idleFor = 5 * time.Minute

// New makes a cluster's client. It connects with the first request.
func New(o driver.Options) (driver.Cluster, error) {
	dial := o.Dialer
	if dial == nil {
		dial = (&net.Dialer{Timeout: o.DialTimeout, KeepAlive: 15 * time.Second}).DialContext
	}
	c := &Cluster{brokers: o.Brokers, book: map[int32]string{}, idle: map[wire][]*kgo.Client{}, all: map[*kgo.Client]bool{},
		seats: map[office]string{}}
	c.opts = []kgo.Opt{
		kgo.ClientID(o.ClientID),
		kgo.Dialer(dial),
		kgo.ConnIdleTimeout(idleFor),
		kgo.RequestRetries(0),
		kgo.RequestTimeoutOverhead(15 * time.Minute), // the most it takes: a request ends with its context
		// Later versions name topics by their ids, and several groups in a request. All brokers still know these.
		kgo.MaxVersions(kversion.V2_8_0()),
		kgo.RequiredAcks(kgo.AllISRAcks()), // it overwrites what a request says
		kgo.BrokerMaxReadBytes(1 << 30),
		kgo.DisableClientMetrics(),
		kgo.MetadataMaxAge(time.Hour), // there is nothing to refresh
	}
	if err := kgo.ValidateOpts(append(slices.Clone(c.opts), kgo.SeedBrokers(o.Brokers...))...); err != nil {
		return nil, fmt.Errorf("franz: %w", err)
	}
	return c, nil
}

// Close implements driver.Cluster.
func (c *Cluster) Close() error {
	c.mu.Lock()
	c.closed = true
	all := c.all
	c.all, c.idle = map[*kgo.Client]bool{}, map[wire][]*kgo.Client{}
	c.mu.Unlock()
	for cl := range all {
		cl.Close()
	}
	return nil
}

// A wire is one of the connections that a franz-go client has to a broker. Clients are kept by wire, so that each
// has one.
type wire struct {
	addr string
	kind int16
}

func wireOf(addr string, req kmsg.Request) wire {
	key := kmsg.Key(req.Key())
	switch _, slow := req.(kmsg.TimeoutRequest); {
	case key == kmsg.Produce, key == kmsg.Fetch:
		return wire{addr, int16(key)}
	case key == kmsg.JoinGroup, key == kmsg.SyncGroup:
		return wire{addr, int16(kmsg.JoinGroup)}
	case slow && key != kmsg.ListOffsets:
		return wire{addr, int16(kmsg.CreateTopics)}
	}
	return wire{addr, int16(kmsg.Metadata)}
}

// take gives a client for a wire to the caller alone.
func (c *Cluster) take(w wire) (*kgo.Client, error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return nil, errClosed
	}
	if waiting := c.idle[w]; len(waiting) > 0 {
		cl := waiting[len(waiting)-1]
		c.idle[w] = waiting[:len(waiting)-1]
		return cl, nil
	}
	cl, err := kgo.NewClient(append(slices.Clone(c.opts), kgo.SeedBrokers(w.addr))...)
	if err != nil {
		return nil, fmt.Errorf("franz: %w", err)
	}
	c.all[cl] = true
	return cl, nil
}

// maxIdle bounds the clients of a wire that wait for a request.
const maxIdle = 8

// giveBack keeps a client for the next request, unless its connection still waits for an answer.
func (c *Cluster) giveBack(w wire, cl *kgo.Client, waits bool) {
	c.mu.Lock()
	keep := !waits && !c.closed && len(c.idle[w]) < maxIdle
	if keep {
		c.idle[w] = append(c.idle[w], cl)
	} else {
		delete(c.all, cl)
	}
	c.mu.Unlock()
	if !keep {
		cl.Close()
	}
}

// send gives a request to the broker at an address and returns its answer.
func send[R kmsg.Response](ctx context.Context, c *Cluster, addr string, req kmsg.Request) (R, error) {
	var none R
	if err := ctx.Err(); err != nil {
		return none, err
	}
	w := wireOf(addr, req)
	cl, err := c.take(w)
	if err != nil {
		return none, err
	}
	res, err := cl.SeedBrokers()[0].Request(ctx, req)
	c.giveBack(w, cl, err != nil)
	if err != nil {
		return none, c.readable(ctx, addr, req, err)
	}
	return res.(R), nil
}

// readable says why a request has no answer.
func (c *Cluster) readable(ctx context.Context, addr string, req kmsg.Request, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.closed {
		return errClosed
	}
	if strings.Contains(err.Error(), "broker is too old") { // franz-go has no name for it
		return fmt.Errorf("franz: %s to %s: %w", kmsg.NameForKey(req.Key()), addr, driver.UnsupportedVersion)
	}
	return fmt.Errorf("franz: %s to %s: %w", kmsg.NameForKey(req.Key()), addr, err)
}

// ask gives a request to a broker, which may be AnyBroker.
func ask[R kmsg.Response](ctx context.Context, c *Cluster, broker int32, req kmsg.Request) (R, error) {
	addr, known := c.address(broker)
	if !known {
		if _, err := c.Metadata(ctx, driver.AnyBroker, nil); err != nil {
			var none R
			return none, err
		}
		if addr, known = c.address(broker); !known {
			var none R
			return none, fmt.Errorf("franz: broker %d: %w", broker, driver.BrokerNotAvailable)
		}
	}
	res, err := send[R](ctx, c, addr, req)
	if err != nil && broker == driver.AnyBroker {
		c.mu.Lock()
		c.turn++ // the next request tries another
		c.mu.Unlock()
	}
	return res, err
}

// address is where a broker listens. Any broker is the same one for as long as it answers.
func (c *Cluster) address(broker int32) (addr string, known bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if broker != driver.AnyBroker {
		addr, known = c.book[broker]
		return addr, known
	}
	all := slices.Clone(c.brokers)
	for _, a := range c.book {
		all = append(all, a)
	}
	slices.Sort(all[len(c.brokers):])
	return all[c.turn%len(all)], true
}

// learn notes where brokers listen.
func (c *Cluster) learn(brokers []driver.Broker) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, b := range brokers {
		c.book[b.ID] = net.JoinHostPort(b.Host, fmt.Sprint(b.Port))
	}
}
