package kafkago

import (
	"context"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/addpartitionstotxn"
	"github.com/segmentio/kafka-go/protocol/endtxn"
	"github.com/segmentio/kafka-go/protocol/initproducerid"

	"weir/connectors/kafka/driver"
)

// Identify implements driver.Identities.
func (c *Cluster) Identify(ctx context.Context, name string, timeout int32, is driver.Identity) (driver.Identity, error) {
	res, err := coordinate[*initproducerid.Response](ctx, c, kafkago.CoordinatorKeyTypeTransaction, name, &initproducerid.Request{
		TransactionalID: name, TransactionTimeoutMs: timeout, ProducerID: is.ID, ProducerEpoch: is.Epoch})
	if err == nil {
		err = driver.CodeError(res.ErrorCode)
	}
	if err != nil {
		return driver.NoIdentity(), err
	}
	return driver.Identity{ID: res.ProducerID, Epoch: res.ProducerEpoch}, nil
}

// AddPartitions implements driver.Identities.
func (c *Cluster) AddPartitions(ctx context.Context, name string, is driver.Identity, places []driver.Place) error {
	byTopic := map[string][]int32{}
	for _, p := range places {
		byTopic[p.Topic] = append(byTopic[p.Topic], p.Partition)
	}
	req := &addpartitionstotxn.Request{TransactionalID: name, ProducerID: is.ID, ProducerEpoch: is.Epoch}
	for topic, partitions := range byTopic {
		req.Topics = append(req.Topics, addpartitionstotxn.RequestTopic{Name: topic, Partitions: partitions})
	}
	res, err := coordinate[*addpartitionstotxn.Response](ctx, c, kafkago.CoordinatorKeyTypeTransaction, name, req)
	if err != nil {
		return err
	}
	var first driver.Code
	for _, t := range res.Results {
		for _, p := range t.Results {
			if code := driver.Code(p.ErrorCode); code != 0 && (first == 0 || first == driver.OperationNotAttempted) {
				first = code
			}
		}
	}
	return driver.CodeError(int16(first))
}

// EndTransaction implements driver.Identities.
func (c *Cluster) EndTransaction(ctx context.Context, name string, is driver.Identity) error {
	res, err := coordinate[*endtxn.Response](ctx, c, kafkago.CoordinatorKeyTypeTransaction, name, &endtxn.Request{
		TransactionalID: name, ProducerID: is.ID, ProducerEpoch: is.Epoch, Committed: true})
	if err == nil {
		err = driver.CodeError(res.ErrorCode)
	}
	return err
}
