package kafka

import (
	"context"
	"encoding/base64"
	"fmt"
	"time"

	"weir/connectors/kafka/driver"
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
	var found map[int32]driver.Committed
	err := m.Client.request(ctx, requestTimeout, func(ctx context.Context) (err error) {
		found, err = m.Client.cluster.Committed(ctx, m.Group, m.Topic, ids)
		return err
	})
	if err != nil {
		return err
	}
	var fresh []int32
	for _, id := range ids {
		at, ok := found[id]
		if !ok {
			fresh = append(fresh, id)
			continue
		}
		c := commitment{offset: at.Offset}
		if at.Metadata != "" {
			// A mark that another program wrote says nothing to us.
			c.mark, _ = markText.DecodeString(at.Metadata)
		}
		places[id] = c
	}
	if len(fresh) == 0 {
		return nil
	}
	first, err := m.Client.listOffsets(ctx, m.Topic, fresh, Earliest.time())
	if err != nil {
		return err
	}
	for i, id := range fresh {
		places[id] = commitment{offset: first[i]}
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
	byID, places := map[int32]*shard{}, map[int32]driver.Committed{}
	for _, s := range shards {
		if next, mark, ok := s.uncommitted(); ok {
			byID[s.id], places[s.id] = s, driver.Committed{Offset: next, Metadata: markText.EncodeToString(mark)}
		}
	}
	if len(places) == 0 {
		return
	}
	var errs map[int32]error
	err := m.Client.request(ctx, requestTimeout, func(ctx context.Context) (err error) {
		errs, err = m.Client.cluster.Commit(ctx, driver.Commit{Group: m.Group, Topic: m.Topic,
			Generation: g.id, Member: g.memberID, Places: places})
		return err
	})
	if err != nil {
		if ctx.Err() == nil {
			m.Events.retry(fmt.Errorf("kafka: commit group %s: %w", m.Group, err))
		}
		return
	}
	// A generation that is no longer the group's is told by partition, while the request succeeds.
	for id, err := range errs {
		if err != nil {
			m.Events.retry(fmt.Errorf("kafka: commit group %s, %s/%d: %w", m.Group, m.Topic, id, err))
			continue
		}
		if s := byID[id]; s != nil {
			s.setCommitted(places[id].Offset)
			m.Events.committed(m.Topic, id, places[id].Offset)
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
