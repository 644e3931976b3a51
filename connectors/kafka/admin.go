package kafka

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"weir/connectors/kafka/driver"
)

// Topic is a topic to create. Partitions and Replication default to 1.
type Topic struct {
	Name                    string
	Partitions, Replication int
	Config                  map[string]string // e.g. retention.ms
}

// CreateTopics creates the topics that do not exist, leaves the others as they are, and returns the names of
// those that it created once every one of them has leaders.
func (c *Client) CreateTopics(ctx context.Context, ts []Topic) (created []string, err error) {
	if len(ts) == 0 {
		return nil, nil
	}
	errs, err := c.create(ctx, ts)
	if err != nil {
		return nil, fmt.Errorf("kafka: create topics: %w", err)
	}
	var faults []error
	for i, t := range ts {
		c.topics.forget(t.Name)
		switch {
		case errs[i] == nil:
			created = append(created, t.Name)
		case errors.Is(errs[i], driver.TopicAlreadyExists):
		default:
			faults = append(faults, fmt.Errorf("kafka: create topic %s: %w", t.Name, errs[i]))
		}
	}
	for _, name := range created {
		if err := c.await(ctx, name); err != nil {
			faults = append(faults, fmt.Errorf("kafka: topic %s was created, but has no leaders: %w", name, err))
		}
	}
	return created, errors.Join(faults...)
}

// create asks for the topics and returns an error by topic.
func (c *Client) create(ctx context.Context, ts []Topic) ([]error, error) {
	topics := make([]driver.NewTopic, len(ts))
	for i, t := range ts {
		topics[i] = driver.NewTopic{Name: t.Name, Partitions: int32(max(t.Partitions, 1)), Replication: int16(max(t.Replication, 1)), Config: t.Config}
	}
	return c.control(ctx, func(ctx context.Context, controller int32) ([]error, error) {
		return c.cluster.CreateTopics(ctx, controller, topics)
	})
}

// control sends a request to the controller until one takes it, and returns its errors by topic.
func (c *Client) control(ctx context.Context, send func(ctx context.Context, controller int32) ([]error, error)) (errs []error, err error) {
	err = c.retry(ctx, func() error {
		m, err := c.metadata(ctx, nil)
		if err != nil {
			return err
		}
		err = c.request(ctx, requestTimeout, func(ctx context.Context) error {
			errs, err = send(ctx, m.Controller)
			return err
		})
		if err != nil {
			return err
		}
		for _, err := range errs {
			if errors.Is(err, driver.NotController) {
				return err
			}
		}
		return nil
	})
	return errs, err
}

// await waits until every partition of a topic has a leader.
func (c *Client) await(ctx context.Context, name string) error {
	for wait := newBackoff(); ; {
		t, err := c.topics.get(ctx, name)
		if err != nil && !unknownTopic(err) && !retriable(err) { // not every broker knows it yet
			return err
		}
		if err == nil && !slices.Contains(t.leaders, -1) {
			return nil
		}
		c.topics.forget(name)
		if err := wait.sleep(ctx); err != nil {
			return err
		}
	}
}

// retry calls try until it succeeds, fails for good, or ctx ends.
func (c *Client) retry(ctx context.Context, try func() error) error {
	for wait := newBackoff(); ; {
		err := try()
		if err == nil || !retriable(err) || ctx.Err() != nil {
			return err
		}
		c.opts.Events.retry(err)
		if wait.sleep(ctx) != nil {
			return err
		}
	}
}

// Partitions returns how many partitions a topic has, or an *UnknownTopicError.
func (c *Client) Partitions(ctx context.Context, name string) (int, error) {
	n := 0
	err := c.retry(ctx, func() error {
		t, err := c.topics.get(ctx, name)
		if err == nil {
			n = len(t.leaders)
		}
		return err
	})
	return n, err
}

// PartitionFor returns the partition that the Java client would choose for key; records without a key (nil)
// go round.
func (c *Client) PartitionFor(ctx context.Context, name string, key []byte) (int32, error) {
	n, err := c.Partitions(ctx, name)
	switch {
	case err != nil:
		return 0, err
	case key == nil:
		return int32(c.topics.rotate(name) % uint32(n)), nil
	}
	return keyPartition(key, n), nil
}
