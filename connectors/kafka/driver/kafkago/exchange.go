package kafkago

import (
	"context"
	"fmt"
	"io"

	"github.com/segmentio/kafka-go/protocol"

	"weir/connectors/kafka/driver"
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
	known            bool // by the broker
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
	e.version, e.known = versions[e.ApiKey()]
	return true
}

// RawExchange implements protocol.RawExchanger. A connection has one request in flight, so every request
// may have the same correlation id.
func (e *exchange) RawExchange(rw io.ReadWriter) (protocol.Message, error) {
	const correlation = 1
	if !e.known { // some brokers close the connection on what they do not know, which looks like the network's fault
		return answer{}, driver.UnsupportedVersion
	}
	if m, ok := e.Message.(protocol.PreparedMessage); ok {
		m.Prepare(e.version)
	}
	if err := protocol.WriteRequest(rw, e.version, correlation, e.client, e.Message); err != nil {
		return nil, err
	}
	if e.read != nil {
		m, err := e.read(rw, e.version)
		return answer{m}, err
	}
	id, m, err := protocol.ReadResponse(rw, e.ApiKey(), e.version)
	if err == nil && id != correlation {
		err = fmt.Errorf("answer to request %d, want %d", id, correlation)
	}
	return answer{m}, err
}

// send gives req to a broker (driver.AnyBroker: any) and returns its answer.
func send[T protocol.Message](ctx context.Context, c *Cluster, broker int32, req protocol.Message,
	read func(io.Reader, int16) (protocol.Message, error)) (T, error) {
	var none T
	if c.ctx.Err() != nil {
		return none, errClosed
	}
	m, err := c.transport.RoundTrip(ctx, c.addr, &exchange{Message: req, broker: broker, client: c.o.ClientID, read: read})
	if err != nil {
		return none, coded(err)
	}
	a, _ := m.(answer)
	res, ok := a.Message.(T)
	if !ok {
		return none, fmt.Errorf("unexpected answer %T to %s", a.Message, req.ApiKey())
	}
	return res, nil
}
