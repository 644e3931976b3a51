package floor

import (
	"bytes"
	"context"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
)

// A lane writes one output partition.
type lane struct {
	loop  *Loop
	topic string
	id    int
	acked atomic.Int64 // input offset behind what is durable

	mu         sync.Mutex
	open       Batch // grows while the other one flies
	next       int64 // input offset behind open's rows
	wake, room chan struct{}
}

// add lets grow append to the open batch, once that has room.
func (n *lane) add(ctx context.Context, next int64, grow func(*Batch)) error {
	for {
		n.mu.Lock()
		if len(n.open.raw) < pending {
			break
		}
		n.mu.Unlock()
		select {
		case <-n.room:
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	grow(&n.open)
	n.next = next
	n.mu.Unlock()
	signal(n.wake)
	return nil
}

// send writes whatever waits, again and again.
func (n *lane) send(ctx context.Context) error {
	var flying Batch
	for {
		select {
		case <-n.wake:
		case <-ctx.Done():
			return ctx.Err()
		}
		flying.Reset()
		n.mu.Lock()
		flying, n.open = n.open, flying
		next := n.next
		n.mu.Unlock()
		signal(n.room)
		if flying.Len() == 0 {
			n.acked.Store(next) // nothing of it went this way
			continue
		}
		res, err := n.loop.client.RawProduce(ctx, &kafkago.RawProduceRequest{Topic: n.topic, Partition: n.id,
			RequiredAcks: kafkago.RequireAll, RawRecords: protocol.RawRecordSet{Reader: bytes.NewReader(flying.Finish(time.Now()))}})
		if err == nil {
			err = res.Error
		}
		if err != nil {
			return fmt.Errorf("floor: produce: %w", err)
		}
		n.acked.Store(next)
	}
}

func signal(c chan struct{}) {
	select {
	case c <- struct{}{}:
	default:
	}
}
