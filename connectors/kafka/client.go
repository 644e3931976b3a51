package kafka

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"weir/connectors/kafka/driver"
	"weir/connectors/kafka/driver/kafkago"
)

// Options of a Client. The zero value reaches a broker on this machine.
type Options struct {
	// Brokers are the addresses (host:port) to begin with. Default 127.0.0.1:9092.
	Brokers []string
	// ClientID is how the broker's logs and quotas call this client. Default "weir".
	ClientID string
	// DialTimeout bounds the opening of one connection. Default 3s.
	DialTimeout time.Duration
	// Patience is how long Dial waits for a cluster that does not answer yet. Default 5s.
	Patience time.Duration
	// Dialer opens connections. Default: TCP.
	Dialer func(ctx context.Context, network, address string) (net.Conn, error)
	// Driver chooses the client library. Default kafkago.New.
	Driver func(driver.Options) (driver.Cluster, error)
	// Events are told of what the client does.
	Events Events
}

func (o *Options) defaults() {
	if len(o.Brokers) == 0 {
		o.Brokers = []string{"127.0.0.1:9092"}
	}
	if o.ClientID == "" {
		o.ClientID = "weir"
	}
	if o.DialTimeout <= 0 {
		o.DialTimeout = 3 * time.Second
	}
	if o.Patience <= 0 {
		o.Patience = 5 * time.Second
	}
	if o.Driver == nil {
		o.Driver = kafkago.New
	}
}

// requestTimeout bounds a request whose answer does not wait for data.
const requestTimeout = 10 * time.Second

// Client is a connection to one Kafka cluster. It is safe for concurrent use.
type Client struct {
	opts     Options
	cluster  driver.Cluster
	topics   topics
	producer producer

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
	wg     sync.WaitGroup // the producer's requests; Close joins them
}

// Dial connects to a cluster and checks that a broker answers at the address that it advertises. A cluster
// that cannot be reached ends it within Options.Patience and DialTimeout, together at most 8 s by default,
// with an error that names the address and a remedy.
func Dial(ctx context.Context, o Options) (*Client, error) {
	o.defaults()
	for _, b := range o.Brokers {
		if _, _, err := net.SplitHostPort(b); err != nil {
			return nil, fmt.Errorf("kafka: broker address %q: want host:port, e.g. localhost:9092", b)
		}
	}
	cluster, err := o.Driver(driver.Options{Brokers: o.Brokers, ClientID: o.ClientID, DialTimeout: o.DialTimeout, Dialer: o.Dialer})
	if err != nil {
		return nil, fmt.Errorf("kafka: %w", err)
	}
	c := &Client{opts: o, cluster: cluster}
	c.ctx, c.cancel = context.WithCancel(context.WithoutCancel(ctx))
	c.topics.init(c)
	c.producer.init(c)
	if err := c.probe(ctx); err != nil {
		return nil, errors.Join(err, c.Close())
	}
	return c, nil
}

// Close ends every request in flight and closes all connections.
func (c *Client) Close() error {
	c.producer.close()
	c.cancel()
	err := c.cluster.Close()
	c.wg.Wait()
	return err
}

// request bounds one request: a driver itself would wait for as long as its context on a broker that hangs.
func (c *Client) request(ctx context.Context, timeout time.Duration, send func(context.Context) error) error {
	if c.ctx.Err() != nil {
		return errClosed
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	return readable(send(ctx))
}

// probe waits until a broker answers, or for as long as the patience lasts.
func (c *Client) probe(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, c.opts.Patience)
	defer cancel()
	var last error
	for wait := newBackoff(); ; {
		err := c.ask(ctx)
		if err == nil {
			return nil
		}
		// What the end of our patience interrupted says less than what happened before it. A dialer may look at the
		// clock before ctx does.
		if until, _ := ctx.Deadline(); last == nil || time.Now().Before(until) {
			last = err
		}
		if wait.sleep(ctx) != nil {
			break
		}
	}
	if errors.Is(context.Cause(ctx), context.Canceled) {
		return context.Cause(ctx)
	}
	return unreachable(c.opts.Brokers, last)
}

// ask asks any broker for the cluster's members, and then one of those by the address that it advertises.
func (c *Client) ask(ctx context.Context) error {
	m, err := c.metadata(ctx, nil)
	if err != nil {
		return err
	}
	if len(m.Brokers) == 0 {
		return errors.New("the cluster names no broker yet")
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	var g errgroup.Group
	answers := make([]error, len(m.Brokers))
	for i, b := range m.Brokers {
		g.Go(func() error {
			if _, answers[i] = c.metadataFrom(ctx, b.ID, nil); answers[i] == nil {
				cancel() // one is enough
			} else {
				answers[i] = fmt.Errorf("it advertises %s:%d, which does not answer: %w", b.Host, b.Port, answers[i])
			}
			return nil
		})
	}
	g.Wait()
	for _, err := range answers {
		if err == nil {
			return nil
		}
	}
	return answers[0]
}

// unreachable says in one line what was tried and what to do.
func unreachable(brokers []string, err error) error {
	remedy := "is it running, and is the address right?"
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns):
		remedy = "the host name cannot be resolved; check --broker"
	case strings.Contains(err.Error(), "advertises"):
		remedy = "set the broker's advertised.listeners to an address that this machine reaches"
	case errors.Is(err, context.DeadlineExceeded):
		remedy = "nothing answers there; check --broker and the network"
	}
	return fmt.Errorf("kafka: cannot reach a broker at %s: %w; %s (`weir broker` starts one)",
		strings.Join(brokers, ","), err, remedy)
}
