package franz

import (
	"context"
	"fmt"
	"maps"
	"slices"

	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/connectors/kafka/driver"
)

// Metadata implements driver.Topics.
func (c *Cluster) Metadata(ctx context.Context, broker int32, topics []string) (driver.Metadata, error) {
	req := kmsg.NewPtrMetadataRequest()
	req.Topics = []kmsg.MetadataRequestTopic{} // nil would be all
	for _, t := range topics {
		rt := kmsg.NewMetadataRequestTopic()
		rt.Topic = &t
		req.Topics = append(req.Topics, rt)
	}
	res, err := ask[*kmsg.MetadataResponse](ctx, c, broker, req)
	if err != nil {
		return driver.Metadata{}, err
	}
	m := driver.Metadata{Controller: res.ControllerID}
	for _, b := range res.Brokers {
		m.Brokers = append(m.Brokers, driver.Broker{ID: b.NodeID, Host: b.Host, Port: b.Port})
	}
	for _, t := range res.Topics {
		if t.Topic != nil {
			m.Topics = append(m.Topics, topicOf(*t.Topic, t))
		}
	}
	c.learn(m.Brokers)
	return m, nil
}

func topicOf(name string, t kmsg.MetadataResponseTopic) driver.Topic {
	leaders := make([]int32, len(t.Partitions))
	for i := range leaders {
		leaders[i] = -1
	}
	for _, p := range t.Partitions {
		if p.Partition >= 0 && int(p.Partition) < len(leaders) {
			leaders[p.Partition] = p.Leader
		}
	}
	return driver.Topic{Name: name, Err: driver.CodeError(t.ErrorCode), Leaders: leaders}
}

// CreateTopics implements driver.Topics.
func (c *Cluster) CreateTopics(ctx context.Context, broker int32, topics []driver.NewTopic) ([]error, error) {
	req := kmsg.NewPtrCreateTopicsRequest()
	req.TimeoutMillis = driver.Patience
	names := make([]string, len(topics))
	for i, t := range topics {
		names[i] = t.Name
		rt := kmsg.NewCreateTopicsRequestTopic()
		rt.Topic, rt.NumPartitions, rt.ReplicationFactor = t.Name, t.Partitions, t.Replication
		for _, k := range slices.Sorted(maps.Keys(t.Config)) {
			value := t.Config[k]
			rc := kmsg.NewCreateTopicsRequestTopicConfig()
			rc.Name, rc.Value = k, &value
			rt.Configs = append(rt.Configs, rc)
		}
		req.Topics = append(req.Topics, rt)
	}
	res, err := ask[*kmsg.CreateTopicsResponse](ctx, c, broker, req)
	if err != nil {
		return nil, err
	}
	answers := map[string]error{}
	for _, t := range res.Topics {
		err := driver.CodeError(t.ErrorCode)
		if err != nil && t.ErrorMessage != nil {
			err = fmt.Errorf("%w: %s", err, *t.ErrorMessage)
		}
		answers[t.Topic] = err
	}
	return inOrder(names, answers), nil
}

// DeleteTopics implements driver.Topics.
func (c *Cluster) DeleteTopics(ctx context.Context, broker int32, topics []string) ([]error, error) {
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TimeoutMillis = driver.Patience
	for _, name := range topics {
		rt := kmsg.NewDeleteTopicsRequestTopic()
		rt.Topic = &name
		req.TopicNames, req.Topics = append(req.TopicNames, name), append(req.Topics, rt)
	}
	res, err := ask[*kmsg.DeleteTopicsResponse](ctx, c, broker, req)
	if err != nil {
		return nil, err
	}
	answers := map[string]error{}
	for _, t := range res.Topics {
		if t.Topic != nil {
			answers[*t.Topic] = driver.CodeError(t.ErrorCode)
		}
	}
	return inOrder(topics, answers), nil
}

// inOrder brings answers by topic into the order of the topics.
func inOrder(topics []string, answers map[string]error) []error {
	out := make([]error, len(topics))
	for i, name := range topics {
		err, told := answers[name]
		if !told {
			err = fmt.Errorf("franz: the broker's answer lacks topic %s", name)
		}
		out[i] = err
	}
	return out
}
