package broker

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// errOpening closes the connection of a producer that comes too early; it tries again.
var errOpening = errors.New("broker: not open yet")

// holdProducers refuses to store anything until the broker is open.
func (b *Broker) holdProducers() {
	b.cluster.ControlKey(int16(kmsg.Produce), func(kmsg.Request) (kmsg.Response, error, bool) {
		if b.opened.Load() {
			return nil, nil, false
		}
		b.cluster.KeepControl()
		return nil, errOpening, true
	})
}

// openWithin bounds fenceOld: it takes about a millisecond for each transactional id.
const openWithin = time.Minute

// fenceOld makes every writer that was there before this start take over its partitions anew. The library keeps
// producers' epochs as they change, but which batches it has stored only when it is closed: after a crash it
// would store a batch, whose acknowledgement was lost, a second time. With a new epoch it refuses that batch,
// and the writer looks into the log for what it has written.
func (b *Broker) fenceOld() error {
	ctx, cancel := context.WithTimeout(context.Background(), openWithin)
	defer cancel()
	client, err := kgo.NewClient(kgo.SeedBrokers(b.addr))
	if err != nil {
		return fmt.Errorf("broker: %w", err)
	}
	defer client.Close()
	list, err := kmsg.NewPtrListTransactionsRequest().RequestWith(ctx, client)
	if err == nil {
		err = kerr.ErrorForCode(list.ErrorCode)
	}
	if err != nil {
		return fmt.Errorf("broker: list producers: %w", err)
	}
	for _, state := range list.TransactionStates {
		req := kmsg.NewPtrInitProducerIDRequest()
		req.TransactionalID, req.TransactionTimeoutMillis = &state.TransactionalID, 5000
		res, err := req.RequestWith(ctx, client)
		if err == nil {
			err = kerr.ErrorForCode(res.ErrorCode)
		}
		if err != nil {
			return fmt.Errorf("broker: a new epoch for %s: %w", state.TransactionalID, err)
		}
	}
	return nil
}
