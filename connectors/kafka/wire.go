package kafka

import (
	"context"
	"fmt"
	"io"
	"time"

	"github.com/segmentio/kafka-go/protocol"
)

// exchange is one request to one broker. It takes kafka-go's connections, API versions and encoders, but
// not its routing: that goes by metadata which is refreshed by a timer and never because of an error, so
// that after a leader change every request would fail for up to a TTL. Here the caller names the broker.
//
// kafka-go hands the connection to a message that implements protocol.RawExchanger, and asks a
// protocol.BrokerMessage where to go; exchange is both.
type exchange struct {
	protocol.Message                                                            // the request itself
	broker           int32                                                      // node id, -1: any broker
	client           string                                                     // client id
	read             func(r io.Reader, version int16) (protocol.Message, error) // nil: kafka-go's decoder
	version          int16
}

// answer hides a response's type from kafka-go's transport, which would otherwise wait for created topics
// to appear in its own metadata.
type answer struct{ protocol.Message }

// Broker implements protocol.BrokerMessage.
func (e *exchange) Broker(protocol.Cluster) (protocol.Broker, error) {
	return protocol.Broker{ID: e.broker}, nil
}

// Required implements protocol.RawExchanger.
func (e *exchange) Required(versions map[protocol.ApiKey]int16) bool {
	e.version = versions[e.ApiKey()]
	return true
}

// RawExchange implements protocol.RawExchanger. A connection has one request in flight, so every request
// may have the same correlation id.
func (e *exchange) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	const correlation = 1
	if err := protocol.WriteRequest(rw, e.version, correlation, e.client, e.Message); err != nil {
		return nil, err
	}
	if e.read != nil {
		m, err := e.read(rw, e.version)
		return answer{m}, err
	}
	id, m, err := protocol.ReadResponse(rw, e.ApiKey(), e.version)
	if err == nil && id != correlation {
		err = fmt.Errorf("kafka: answer to request %d, want %d", id, correlation)
	}
	return answer{m}, err
}

// send gives req to a broker (-1: any) and returns its answer. It gives up after timeout: kafka-go itself
// would wait for ever on a broker that hangs.
func send[T protocol.Message](ctx context.Context, c *Client, broker int32, req protocol.Message,
	timeout time.Duration, read func(io.Reader, int16) (protocol.Message, error)) (T, error) {
	var none T
	if c.ctx.Err() != nil {
		return none, errClosed
	}
	ctx, cancel := context.WithTimeout(ctx, timeout)
	defer cancel()
	m, err := c.transport.RoundTrip(ctx, c.addr, &exchange{Message: req, broker: broker, client: c.opts.ClientID, read: read})
	if err != nil {
		return none, readable(err)
	}
	a, _ := m.(answer)
	res, ok := a.Message.(T)
	if !ok {
		return none, fmt.Errorf("kafka: unexpected answer %T to %s", a.Message, req.ApiKey())
	}
	return res, nil
}
