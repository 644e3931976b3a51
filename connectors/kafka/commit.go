package kafka

import (
	"context"
	"encoding/base64"
	"fmt"

	kafkago "github.com/segmentio/kafka-go"
)

// A committed place of a partition: the offset to go on at, and the owner's mark.
type commitment struct {
	offset int64
	mark   []byte
}

// marks are bytes, but Kafka keeps the metadata of a commit as text: a broker may replace what is no UTF-8.
var markText = base64.RawStdEncoding

// committed returns the group's places, the earliest record for partitions without one. It tries until ctx
// ends.
func (g *generation) committed(ctx context.Context, ids []int32) (map[int32]commitment, error) {
	places := make(map[int32]commitment, len(ids))
	if len(ids) == 0 {
		return places, nil
	}
	for wait := newBackoff(); ; {
		err := g.fetchCommitted(ctx, ids, places)
		if err == nil {
			return places, nil
		}
		g.Events.retry(fmt.Errorf("kafka: committed offsets of group %s: %w", g.Group, err))
		if err := wait.sleep(ctx); err != nil {
			return nil, err
		}
	}
}

func (g *generation) fetchCommitted(ctx context.Context, ids []int32, places map[int32]commitment) error {
	req := &kafkago.OffsetFetchRequest{GroupID: g.Group, Topics: map[string][]int{g.Topic: nil}}
	for _, id := range ids {
		req.Topics[g.Topic] = append(req.Topics[g.Topic], int(id))
	}
	res, err := g.Client.kafka.OffsetFetch(ctx, req)
	if err == nil {
		err = res.Error
	}
	if err != nil {
		return readable(err)
	}
	var fresh []int32
	for _, p := range res.Topics[g.Topic] {
		if p.Error != nil {
			return p.Error
		}
		id := int32(p.Partition)
		if p.CommittedOffset < 0 {
			fresh = append(fresh, id)
			continue
		}
		c := commitment{offset: p.CommittedOffset}
		if p.Metadata != "" {
			// A mark that another program wrote says nothing to us.
			c.mark, _ = markText.DecodeString(p.Metadata)
		}
		places[id] = c
	}
	if len(fresh) > 0 {
		first, err := g.Client.listOffsets(ctx, g.Topic, fresh, Earliest.time())
		if err != nil {
			return err
		}
		for i, id := range fresh {
			places[id] = commitment{offset: first[i]}
		}
	}
	for _, id := range ids {
		if _, ok := places[id]; !ok {
			return fmt.Errorf("the answer lacks partition %d", id)
		}
	}
	return nil
}

// commit writes the finished prefixes of shards that have grown. A failure is tried again with the next
// commit; a commit is never below the last.
func (g *generation) commit(ctx context.Context, shards []*shard) {
	g.commits.Lock()
	defer g.commits.Unlock()
	byID := map[int]*shard{}
	var cs []kafkago.OffsetCommit
	for _, s := range shards {
		if next, mark, ok := s.uncommitted(); ok {
			byID[int(s.id)] = s
			cs = append(cs, kafkago.OffsetCommit{Partition: int(s.id), Offset: next, Metadata: markText.EncodeToString(mark)})
		}
	}
	if len(cs) == 0 {
		return
	}
	res, err := g.Client.kafka.OffsetCommit(ctx, &kafkago.OffsetCommitRequest{GroupID: g.Group,
		GenerationID: int(g.id), MemberID: g.memberID, Topics: map[string][]kafkago.OffsetCommit{g.Topic: cs}})
	if err != nil {
		if ctx.Err() == nil {
			g.Events.retry(fmt.Errorf("kafka: commit group %s: %w", g.Group, readable(err)))
		}
		return
	}
	offsets := map[int]int64{}
	for _, c := range cs {
		offsets[c.Partition] = c.Offset
	}
	// A generation that is no longer the group's is told by partition, while the request succeeds.
	for _, p := range res.Topics[g.Topic] {
		if p.Error != nil {
			g.Events.retry(fmt.Errorf("kafka: commit group %s, %s/%d: %w", g.Group, g.Topic, p.Partition, p.Error))
			continue
		}
		if s := byID[p.Partition]; s != nil {
			s.setCommitted(offsets[p.Partition])
			g.Events.committed(g.Topic, s.id, offsets[p.Partition])
		}
	}
}
