package kafkago

import (
	"context"
	"errors"
	"net"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/findcoordinator"

	"weir/connectors/kafka/driver"
)

// Cluster is a Kafka cluster behind kafka-go's Transport.
type Cluster struct {
	o         driver.Options
	addr      net.Addr
	transport *kafkago.Transport
	conns     *conns

	ctx    context.Context // ends with Close
	cancel context.CancelFunc
}

var _ driver.Cluster = (*Cluster)(nil)

// New makes a cluster. It connects with the first request.
func New(o driver.Options) (driver.Cluster, error) {
	c := &Cluster{o: o, addr: kafkago.TCP(o.Brokers...), conns: newConns(o)}
	c.ctx, c.cancel = context.WithCancel(context.Background())
	c.transport = &kafkago.Transport{
		Dial:        c.conns.DialContext,
		DialTimeout: o.DialTimeout,
		// A quiet pipeline must not pay for a new connection on its next message.
		IdleTimeout: 5 * time.Minute,
		// The caller knows the leaders; the transport only needs to know the brokers' addresses.
		MetadataTTL:    500 * time.Millisecond,
		MetadataTopics: []string{},
		ClientID:       o.ClientID,
		Context:        c.ctx,
	}
	return c, nil
}

// Close implements driver.Cluster.
func (c *Cluster) Close() error {
	c.cancel()
	c.conns.close()
	c.transport.CloseIdleConnections()
	return nil
}

var errClosed = errors.New("the client is closed")

// coded replaces kafka-go's name of a broker's answer by ours.
func coded(err error) error {
	var answer kafkago.Error
	if errors.As(err, &answer) {
		return driver.Code(answer)
	}
	return err
}

// coordinator asks for the broker that coordinates a group or a transaction. As it is asked each time, one that has
// moved is found again.
func (c *Cluster) coordinator(ctx context.Context, kind kafkago.CoordinatorKeyType, key string) (int32, error) {
	res, err := send[*findcoordinator.Response](ctx, c, driver.AnyBroker, &findcoordinator.Request{Key: key, KeyType: int8(kind)}, nil)
	if err == nil {
		err = driver.CodeError(res.ErrorCode)
	}
	if err != nil {
		return -1, err
	}
	return res.NodeID, nil
}

// coordinate sends a request to the coordinator of a group or a transaction.
func coordinate[T protocol.Message](ctx context.Context, c *Cluster, kind kafkago.CoordinatorKeyType, key string, req protocol.Message) (T, error) {
	broker, err := c.coordinator(ctx, kind, key)
	if err != nil {
		var none T
		return none, err
	}
	return send[T](ctx, c, broker, req, nil)
}
