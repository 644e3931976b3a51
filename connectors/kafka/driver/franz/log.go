package franz

import (
	"context"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/connectors/kafka/driver"
)

// Fetch implements driver.Log.
func (c *Cluster) Fetch(ctx context.Context, broker int32, f driver.Fetch) ([]driver.Fetched, error) {
	req := kmsg.NewPtrFetchRequest()
	req.MaxWaitMillis, req.MinBytes, req.MaxBytes = f.Wait, 1, f.MaxBytes
	if f.Committed {
		req.IsolationLevel = 1
	}
	rt := kmsg.NewFetchRequestTopic()
	rt.Topic = f.Topic
	for _, p := range f.Partitions {
		rp := kmsg.NewFetchRequestTopicPartition()
		rp.Partition, rp.FetchOffset, rp.PartitionMaxBytes = p.Partition, p.From, p.MaxBytes
		rt.Partitions = append(rt.Partitions, rp)
	}
	req.Topics = append(req.Topics, rt)
	res, err := ask[*kmsg.FetchResponse](ctx, c, broker, req)
	if err == nil {
		err = driver.CodeError(res.ErrorCode)
	}
	if err != nil {
		return nil, err
	}
	var out []driver.Fetched
	for _, t := range res.Topics {
		for i := range t.Partitions {
			out = append(out, fetched(&t.Partitions[i]))
		}
	}
	return out, nil
}

// fetched takes over the answer's bytes: franz-go reads each answer into memory of its own.
func fetched(p *kmsg.FetchResponseTopicPartition) driver.Fetched {
	f := driver.Fetched{Partition: p.Partition, Err: driver.CodeError(p.ErrorCode), End: p.HighWatermark, Batches: p.RecordBatches}
	for _, a := range p.AbortedTransactions {
		f.Aborted = append(f.Aborted, driver.Aborted{Producer: a.ProducerID, First: a.FirstOffset})
	}
	return f
}

// Produce implements driver.Log.
func (c *Cluster) Produce(ctx context.Context, broker int32, batches []driver.Batch) ([]driver.Stored, error) {
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, driver.Patience
	at := map[string]int{}
	for _, b := range batches {
		i, ok := at[b.Topic]
		if !ok {
			rt := kmsg.NewProduceRequestTopic()
			rt.Topic = b.Topic
			i = len(req.Topics)
			at[b.Topic], req.Topics = i, append(req.Topics, rt)
		}
		rp := kmsg.NewProduceRequestTopicPartition()
		rp.Partition, rp.Records = b.Partition, b.Raw
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, rp)
	}
	res, err := ask[*kmsg.ProduceResponse](ctx, c, broker, req)
	if err != nil {
		return nil, err
	}
	var out []driver.Stored
	for _, t := range res.Topics {
		for _, p := range t.Partitions {
			out = append(out, driver.Stored{Place: driver.Place{Topic: t.Topic, Partition: p.Partition}, Base: p.BaseOffset,
				Err: driver.CodeError(p.ErrorCode)})
		}
	}
	return out, nil
}

// Offsets implements driver.Log.
func (c *Cluster) Offsets(ctx context.Context, broker int32, q driver.OffsetQuery) ([]driver.Offset, error) {
	req := kmsg.NewPtrListOffsetsRequest()
	if q.Committed {
		req.IsolationLevel = 1
	}
	rt := kmsg.NewListOffsetsRequestTopic()
	rt.Topic = q.Topic
	for _, p := range q.Partitions {
		rp := kmsg.NewListOffsetsRequestTopicPartition()
		rp.Partition, rp.Timestamp = p, q.Time
		rt.Partitions = append(rt.Partitions, rp)
	}
	req.Topics = append(req.Topics, rt)
	res, err := ask[*kmsg.ListOffsetsResponse](ctx, c, broker, req)
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
