package kafka

import (
	"context"
	"encoding/base64"
	"fmt"
	"time"

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
func (m *member) committed(ctx context.Context, ids []int32) (map[int32]commitment, error) {
	places := make(map[int32]commitment, len(ids))
	if len(ids) == 0 {
		return places, nil
	}
	for wait := newBackoff(); ; {
		err := m.fetchCommitted(ctx, ids, places)
		if err == nil {
			return places, nil
		}
		m.Events.retry(fmt.Errorf("kafka: committed offsets of group %s: %w", m.Group, err))
		if err := wait.sleep(ctx); err != nil {
			return nil, err
		}
	}
}

func (m *member) fetchCommitted(ctx context.Context, ids []int32, places map[int32]commitment) error {
	req := &kafkago.OffsetFetchRequest{GroupID: m.Group, Topics: map[string][]int{m.Topic: nil}}
	for _, id := range ids {
		req.Topics[m.Topic] = append(req.Topics[m.Topic], int(id))
	}
	res, err := m.Client.kafka.OffsetFetch(ctx, req)
	if err == nil {
		err = res.Error
	}
	if err != nil {
		return readable(err)
	}
	var fresh []int32
	for _, p := range res.Topics[m.Topic] {
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
		first, err := m.Client.listOffsets(ctx, m.Topic, fresh, Earliest.time())
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

// commitLoop commits and reports the lag. Between generations commits wait.
func (m *member) commitLoop() {
	t := time.NewTicker(m.CommitEvery)
	defer t.Stop()
	for {
		select {
		case <-m.taking.Done():
			return
		case now := <-t.C:
			shards := m.owned()
			if g := m.newest(); g != nil && !g.over() {
				m.commit(g.ctx, shards)
			}
			for _, s := range shards {
				s.reportLag(now)
			}
		}
	}
}

// commitNow commits with the newest generation, also if that has just ended: until the next one begins the
// group takes its commits, and then it refuses them.
func (m *member) commitNow(shards []*shard) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(m.work), leaveWithin)
	defer cancel()
	m.commit(ctx, shards)
}

// commit writes the finished prefixes of shards that have grown, where the partition is still ours. A failure
// is tried again with the next commit; a commit is never below the last.
func (m *member) commit(ctx context.Context, shards []*shard) {
	m.commits.Lock()
	defer m.commits.Unlock()
	g, shards := m.entitled(shards)
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
	res, err := m.Client.kafka.OffsetCommit(ctx, &kafkago.OffsetCommitRequest{GroupID: m.Group,
		GenerationID: int(g.id), MemberID: g.memberID, Topics: map[string][]kafkago.OffsetCommit{m.Topic: cs}})
	if err != nil {
		if ctx.Err() == nil {
			m.Events.retry(fmt.Errorf("kafka: commit group %s: %w", m.Group, readable(err)))
		}
		return
	}
	offsets := map[int]int64{}
	for _, c := range cs {
		offsets[c.Partition] = c.Offset
	}
	// A generation that is no longer the group's is told by partition, while the request succeeds.
	for _, p := range res.Topics[m.Topic] {
		if p.Error != nil {
			m.Events.retry(fmt.Errorf("kafka: commit group %s, %s/%d: %w", m.Group, m.Topic, p.Partition, p.Error))
			continue
		}
		if s := byID[p.Partition]; s != nil {
			s.setCommitted(offsets[p.Partition])
			m.Events.committed(m.Topic, s.id, offsets[p.Partition])
		}
	}
}

// entitled returns the newest generation, and those of the shards whose partitions it assigns. Both are read
// at once: a number of the next generation would make the group take a commit for a partition that is lost.
func (m *member) entitled(shards []*shard) (*generation, []*shard) {
	m.mu.Lock()
	defer m.mu.Unlock()
	var ours []*shard
	for _, s := range shards {
		if m.shards[s.id] == s {
			ours = append(ours, s)
		}
	}
	return m.gen, ours
}
