package kafkago

import (
	"context"
	"net"
	"sync"
	"time"

	"weir/connectors/kafka/driver"
)

// conns remembers the connections that are open, so that closing does not have to wait for the answers of
// requests in flight.
type conns struct {
	dial func(ctx context.Context, network, address string) (net.Conn, error)

	mu     sync.Mutex
	open   map[*conn]struct{}
	closed bool
}

type conn struct {
	net.Conn
	set *conns
}

func newConns(o driver.Options) *conns {
	dial := o.Dialer
	if dial == nil {
		dial = (&net.Dialer{Timeout: o.DialTimeout, KeepAlive: 15 * time.Second}).DialContext
	}
	return &conns{dial: dial, open: map[*conn]struct{}{}}
}

// DialContext opens a connection, or fails once the set is closed.
func (s *conns) DialContext(ctx context.Context, network, address string) (net.Conn, error) {
	nc, err := s.dial(ctx, network, address)
	if err != nil {
		return nil, err
	}
	c := &conn{nc, s}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.closed {
		nc.Close()
		return nil, errClosed
	}
	s.open[c] = struct{}{}
	return c, nil
}

// Close implements net.Conn.
func (c *conn) Close() error {
	c.set.mu.Lock()
	delete(c.set.open, c)
	c.set.mu.Unlock()
	return c.Conn.Close()
}

// reset breaks every open connection; later ones may still be opened.
func (s *conns) reset() {
	s.mu.Lock()
	defer s.mu.Unlock()
	for c := range s.open {
		c.Conn.Close()
	}
}

// close breaks every open connection and refuses later ones.
func (s *conns) close() {
	s.mu.Lock()
	s.closed = true
	s.mu.Unlock()
	s.reset()
}
