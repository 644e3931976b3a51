package kafkago

import (
	"context"
	"encoding/binary"
	"net"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol"
	"github.com/segmentio/kafka-go/protocol/listoffsets"
	"github.com/segmentio/kafka-go/protocol/produce"
	"github.com/segmentio/kafka-go/protocol/rawproduce"

	"weir/connectors/kafka/driver"
)

// Produce implements driver.Log. kafka-go's own RawProduce takes one partition a request.
func (c *Cluster) Produce(ctx context.Context, broker int32, batches []driver.Batch) ([]driver.Stored, error) {
	req := &rawproduce.Request{Acks: int16(kafkago.RequireAll), Timeout: driver.Patience}
	for i := range batches {
		addBatch(req, &batches[i])
	}
	res, err := send[*produce.Response](ctx, c, broker, req, nil)
	if err != nil {
		return nil, err
	}
	stored := make([]driver.Stored, 0, len(batches))
	for _, t := range res.Topics {
		for _, p := range t.Partitions {
			stored = append(stored, driver.Stored{Place: driver.Place{Topic: t.Topic, Partition: p.Partition},
				Base: p.BaseOffset, Err: driver.CodeError(p.ErrorCode)})
		}
	}
	return stored, nil
}

// addBatch puts a batch behind its length into a request, without a copy.
func addBatch(req *rawproduce.Request, b *driver.Batch) {
	records := &net.Buffers{binary.BigEndian.AppendUint32(nil, uint32(len(b.Raw))), b.Raw}
	rp := rawproduce.RequestPartition{Partition: b.Partition, RecordSet: protocol.RawRecordSet{Reader: records}}
	for i := range req.Topics {
		if t := &req.Topics[i]; t.Topic == b.Topic {
			t.Partitions = append(t.Partitions, rp)
			return
		}
	}
	req.Topics = append(req.Topics, rawproduce.RequestTopic{Topic: b.Topic, Partitions: []rawproduce.RequestPartition{rp}})
}

// Offsets implements driver.Log.
func (c *Cluster) Offsets(ctx context.Context, broker int32, q driver.OffsetQuery) ([]driver.Offset, error) {
	rt := listoffsets.RequestTopic{Topic: q.Topic}
	for _, p := range q.Partitions {
		rt.Partitions = append(rt.Partitions, listoffsets.RequestPartition{Partition: p, CurrentLeaderEpoch: -1, Timestamp: q.Time})
	}
	req := &listoffsets.Request{ReplicaID: -1, IsolationLevel: isolation(q.Committed), Topics: []listoffsets.RequestTopic{rt}}
	res, err := send[*listoffsets.Response](ctx, c, broker, req, nil)
	if err != nil {
		return nil, err
	}
	var out []driver.Offset
	for _, t := range res.Topics {
		for _, p := range t.Partitions {
			out = append(out, driver.Offset{Partition: p.Partition, Offset: p.Offset, Err: driver.CodeError(p.ErrorCode)})
		}
	}
	return out, nil
}
