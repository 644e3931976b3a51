package kafkago

import (
	"context"
	"fmt"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/offsetcommit"
	"github.com/segmentio/kafka-go/protocol/offsetfetch"

	"weir/connectors/kafka/driver"
)

// Committed implements driver.Groups.
func (c *Cluster) Committed(ctx context.Context, group, topic string, partitions []int32) (map[int32]driver.Committed, error) {
	res, err := coordinate[*offsetfetch.Response](ctx, c, kafkago.CoordinatorKeyTypeConsumer, group, &offsetfetch.Request{
		GroupID: group, Topics: []offsetfetch.RequestTopic{{Name: topic, PartitionIndexes: partitions}}})
	if err == nil {
		err = driver.CodeError(res.ErrorCode)
	}
	if err != nil {
		return nil, err
	}
	answered, places := map[int32]bool{}, map[int32]driver.Committed{}
	for _, t := range res.Topics {
		for _, p := range t.Partitions {
			if t.Name != topic {
				continue
			}
			if p.ErrorCode != 0 {
				return nil, driver.Code(p.ErrorCode)
			}
			answered[p.PartitionIndex] = true
			if p.CommittedOffset >= 0 {
				places[p.PartitionIndex] = driver.Committed{Offset: p.CommittedOffset, Metadata: p.Metadata}
			}
		}
	}
	for _, p := range partitions {
		if !answered[p] {
			return nil, fmt.Errorf("the answer lacks partition %d", p)
		}
	}
	return places, nil
}

// Commit implements driver.Groups.
func (c *Cluster) Commit(ctx context.Context, o driver.Commit) (map[int32]error, error) {
	rt := offsetcommit.RequestTopic{Name: o.Topic}
	for partition, at := range o.Places {
		rt.Partitions = append(rt.Partitions, offsetcommit.RequestPartition{PartitionIndex: partition, CommittedOffset: at.Offset,
			CommitTimestamp: -1, CommittedLeaderEpoch: -1, CommittedMetadata: at.Metadata})
	}
	res, err := coordinate[*offsetcommit.Response](ctx, c, kafkago.CoordinatorKeyTypeConsumer, o.Group, &offsetcommit.Request{
		GroupID: o.Group, GenerationID: o.Generation, MemberID: o.Member, RetentionTimeMs: -1, Topics: []offsetcommit.RequestTopic{rt}})
	if err != nil {
		return nil, err
	}
	errs := map[int32]error{}
	for _, t := range res.Topics {
		for _, p := range t.Partitions {
			errs[p.PartitionIndex] = driver.CodeError(p.ErrorCode)
		}
	}
	return errs, nil
}
