package franz

import (
	"context"
	"errors"
	"fmt"
	"net"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/connectors/kafka/driver"
)

// An office is what a coordinator keeps: a group, or the transactions of a name.
type office struct {
	kind int8
	name string
}

const (
	groupOffice       int8 = 0
	transactionOffice int8 = 1
)

// atCoordinator gives a request to an office's coordinator. check finds the answer's Code that speaks for the whole
// request. After any failure the coordinator is looked for anew with the next request.
func atCoordinator[R kmsg.Response](ctx context.Context, c *Cluster, o office, req kmsg.Request, check func(R) int16) (R, error) {
	var none R
	addr, err := c.coordinator(ctx, o)
	if err != nil {
		return none, err
	}
	res, err := send[R](ctx, c, addr, req)
	if err == nil {
		err = driver.CodeError(check(res))
	}
	if err == nil {
		return res, nil
	}
	var answer driver.Code
	if !errors.As(err, &answer) || movedAway(answer) {
		c.forget(o)
	}
	return res, err
}

// movedAway says whether a Code tells that another broker is, or will be, the coordinator.
func movedAway(code driver.Code) bool { return code == 14 || code == 15 || code == 16 }

// forget makes the next request look for an office's coordinator.
func (c *Cluster) forget(o office) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.seats, o)
}

func (c *Cluster) coordinator(ctx context.Context, o office) (string, error) {
	c.mu.Lock()
	seat, known := c.seats[o]
	c.mu.Unlock()
	if known {
		return seat, nil
	}
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.CoordinatorKey, req.CoordinatorType = o.name, o.kind
	res, err := ask[*kmsg.FindCoordinatorResponse](ctx, c, driver.AnyBroker, req)
	if err == nil {
		err = driver.CodeError(res.ErrorCode)
	}
	if err != nil {
		return "", err
	}
	addr := net.JoinHostPort(res.Host, fmt.Sprint(res.Port))
	c.mu.Lock()
	defer c.mu.Unlock()
	c.seats[o] = addr
	return addr, nil
}

// Committed implements driver.Groups.
func (c *Cluster) Committed(ctx context.Context, group, topic string, partitions []int32) (map[int32]driver.Committed, error) {
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group = group
	rt := kmsg.NewOffsetFetchRequestTopic()
	rt.Topic, rt.Partitions = topic, partitions
	req.Topics = append(req.Topics, rt)
	o := office{groupOffice, group}
	res, err := atCoordinator(ctx, c, o, req, func(r *kmsg.OffsetFetchResponse) int16 { return r.ErrorCode })
	if err != nil {
		return nil, err
	}
	unanswered := map[int32]bool{}
	for _, p := range partitions {
		unanswered[p] = true
	}
	out := map[int32]driver.Committed{}
	for _, t := range res.Topics {
		for _, p := range t.Partitions {
			if err := driver.CodeError(p.ErrorCode); err != nil {
				return nil, fmt.Errorf("franz: committed place of %s/%d: %w", topic, p.Partition, err)
			}
			delete(unanswered, p.Partition)
			if p.Offset < 0 {
				continue
			}
			place := driver.Committed{Offset: p.Offset}
			if p.Metadata != nil {
				place.Metadata = *p.Metadata
			}
			out[p.Partition] = place
		}
	}
	for p := range unanswered {
		return nil, fmt.Errorf("franz: the broker's answer lacks the committed place of %s/%d", topic, p)
	}
	return out, nil
}

// Commit implements driver.Groups.
func (c *Cluster) Commit(ctx context.Context, commit driver.Commit) (map[int32]error, error) {
	req := kmsg.NewPtrOffsetCommitRequest()
	req.Group, req.Generation, req.MemberID = commit.Group, commit.Generation, commit.Member
	rt := kmsg.NewOffsetCommitRequestTopic()
	rt.Topic = commit.Topic
	for partition, place := range commit.Places {
		rp := kmsg.NewOffsetCommitRequestTopicPartition()
		rp.Partition, rp.Offset, rp.Metadata = partition, place.Offset, &place.Metadata
		rt.Partitions = append(rt.Partitions, rp)
	}
	req.Topics = append(req.Topics, rt)
	o := office{groupOffice, commit.Group}
	res, err := atCoordinator(ctx, c, o, req, func(*kmsg.OffsetCommitResponse) int16 { return 0 })
	if err != nil {
		return nil, err
	}
	out := map[int32]error{}
	for _, t := range res.Topics {
		for _, p := range t.Partitions {
			out[p.Partition] = driver.CodeError(p.ErrorCode)
			if movedAway(driver.Code(p.ErrorCode)) {
				c.forget(o)
			}
		}
	}
	return out, nil
}

// Members implements driver.Groups.
func (c *Cluster) Members(ctx context.Context, group string) (n int, protocol string, err error) {
	req := kmsg.NewPtrDescribeGroupsRequest()
	req.Groups = []string{group}
	res, err := atCoordinator(ctx, c, office{groupOffice, group}, req, func(r *kmsg.DescribeGroupsResponse) (code int16) {
		for _, g := range r.Groups {
			code = g.ErrorCode
		}
		return code
	})
	if err != nil {
		return 0, "", err
	}
	if len(res.Groups) != 1 {
		return 0, "", fmt.Errorf("franz: the broker's answer describes %d groups, not one", len(res.Groups))
	}
	return len(res.Groups[0].Members), res.Groups[0].Protocol, nil
}

// Identify implements driver.Identities.
func (c *Cluster) Identify(ctx context.Context, name string, timeout int32, is driver.Identity) (driver.Identity, error) {
	req := kmsg.NewPtrInitProducerIDRequest()
	req.TransactionalID, req.TransactionTimeoutMillis = &name, timeout
	req.ProducerID, req.ProducerEpoch = is.ID, is.Epoch
	o := office{transactionOffice, name}
	res, err := atCoordinator(ctx, c, o, req, func(r *kmsg.InitProducerIDResponse) int16 { return r.ErrorCode })
	if err != nil {
		return driver.NoIdentity(), err
	}
	return driver.Identity{ID: res.ProducerID, Epoch: res.ProducerEpoch}, nil
}

// AddPartitions implements driver.Identities.
func (c *Cluster) AddPartitions(ctx context.Context, name string, is driver.Identity, places []driver.Place) error {
	req := kmsg.NewPtrAddPartitionsToTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch = name, is.ID, is.Epoch
	at := map[string]int{}
	for _, p := range places {
		i, ok := at[p.Topic]
		if !ok {
			rt := kmsg.NewAddPartitionsToTxnRequestTopic()
			rt.Topic = p.Topic
			i = len(req.Topics)
			at[p.Topic], req.Topics = i, append(req.Topics, rt)
		}
		req.Topics[i].Partitions = append(req.Topics[i].Partitions, p.Partition)
	}
	first := func(r *kmsg.AddPartitionsToTxnResponse) (code int16) {
		for _, t := range r.Topics {
			for _, p := range t.Partitions {
				if code == 0 || driver.Code(code) == driver.OperationNotAttempted && p.ErrorCode != 0 {
					code = p.ErrorCode
				}
			}
		}
		return code
	}
	_, err := atCoordinator(ctx, c, office{transactionOffice, name}, req, first)
	return err
}

// EndTransaction implements driver.Identities.
func (c *Cluster) EndTransaction(ctx context.Context, name string, is driver.Identity) error {
	req := kmsg.NewPtrEndTxnRequest()
	req.TransactionalID, req.ProducerID, req.ProducerEpoch, req.Commit = name, is.ID, is.Epoch, true
	_, err := atCoordinator(ctx, c, office{transactionOffice, name}, req, func(r *kmsg.EndTxnResponse) int16 { return r.ErrorCode })
	return err
}
