package kafkago

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/segmentio/kafka-go/protocol/createtopics"
	"github.com/segmentio/kafka-go/protocol/deletetopics"
	"github.com/segmentio/kafka-go/protocol/metadata"

	"weir/connectors/kafka/driver"
)

// Metadata implements driver.Topics.
func (c *Cluster) Metadata(ctx context.Context, broker int32, topics []string) (driver.Metadata, error) {
	if topics == nil {
		topics = []string{} // nil asks for all of them
	}
	res, err := send[*metadata.Response](ctx, c, broker, &metadata.Request{TopicNames: topics}, nil)
	if err != nil {
		return driver.Metadata{}, err
	}
	m := driver.Metadata{Controller: res.ControllerID}
	for _, b := range res.Brokers {
		m.Brokers = append(m.Brokers, driver.Broker{ID: b.NodeID, Host: b.Host, Port: b.Port})
	}
	for _, t := range res.Topics {
		topic := driver.Topic{Name: t.Name, Err: driver.CodeError(t.ErrorCode), Leaders: make([]int32, len(t.Partitions))}
		for _, p := range t.Partitions {
			if int(p.PartitionIndex) < len(topic.Leaders) {
				topic.Leaders[p.PartitionIndex] = p.LeaderID
			}
		}
		m.Topics = append(m.Topics, topic)
	}
	return m, nil
}

// CreateTopics implements driver.Topics.
func (c *Cluster) CreateTopics(ctx context.Context, broker int32, topics []driver.NewTopic) ([]error, error) {
	req := &createtopics.Request{TimeoutMs: driver.Patience}
	for _, t := range topics {
		rt := createtopics.RequestTopic{Name: t.Name, NumPartitions: t.Partitions, ReplicationFactor: t.Replication}
		for _, k := range slices.Sorted(maps.Keys(t.Config)) {
			rt.Configs = append(rt.Configs, createtopics.RequestConfig{Name: k, Value: t.Config[k]})
		}
		req.Topics = append(req.Topics, rt)
	}
	res, err := send[*createtopics.Response](ctx, c, broker, req, nil)
	if err != nil {
		return nil, err
	}
	errs := make([]error, len(topics))
	for i, t := range topics {
		k := slices.IndexFunc(res.Topics, func(r createtopics.ResponseTopic) bool { return r.Name == t.Name })
		switch {
		case k < 0:
			errs[i] = fmt.Errorf("the answer lacks topic %s", t.Name)
		case res.Topics[k].ErrorCode != 0 && res.Topics[k].ErrorMessage != "":
			errs[i] = fmt.Errorf("%w: %s", driver.Code(res.Topics[k].ErrorCode), res.Topics[k].ErrorMessage)
		default:
			errs[i] = driver.CodeError(res.Topics[k].ErrorCode)
		}
	}
	return errs, nil
}

// DeleteTopics implements driver.Topics.
func (c *Cluster) DeleteTopics(ctx context.Context, broker int32, topics []string) ([]error, error) {
	req := &deletetopics.Request{TopicNames: topics, TimeoutMs: driver.Patience}
	res, err := send[*deletetopics.Response](ctx, c, broker, req, nil)
	if err != nil {
		return nil, err
	}
	errs := make([]error, len(topics))
	for i, name := range topics {
		k := slices.IndexFunc(res.Responses, func(r deletetopics.ResponseTopic) bool { return r.Name == name })
		if k < 0 {
			errs[i] = fmt.Errorf("the answer lacks topic %s", name)
		} else {
			errs[i] = driver.CodeError(res.Responses[k].ErrorCode)
		}
	}
	return errs, nil
}
