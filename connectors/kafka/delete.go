package kafka

import (
	"context"
	"errors"
	"fmt"

	"weir/connectors/kafka/driver"
)

// DeleteTopics deletes topics with all that they hold, and returns once they are gone. A topic that does not
// exist is no fault.
func (c *Client) DeleteTopics(ctx context.Context, names []string) error {
	errs, err := c.control(ctx, func(ctx context.Context, controller int32) ([]error, error) {
		return c.cluster.DeleteTopics(ctx, controller, names)
	})
	if err != nil {
		return fmt.Errorf("kafka: delete topics: %w", err)
	}
	var faults []error
	for i, name := range names {
		err := errs[i]
		if err == nil || errors.Is(err, driver.UnknownTopicOrPartition) {
			err = c.awaitGone(ctx, name)
		}
		if err != nil {
			faults = append(faults, fmt.Errorf("kafka: delete topic %s: %w", name, err))
		}
	}
	return errors.Join(faults...)
}

// awaitGone waits until a broker knows a topic no more.
func (c *Client) awaitGone(ctx context.Context, name string) error {
	for wait := newBackoff(); ; {
		c.topics.forget(name)
		if _, err := c.topics.get(ctx, name); unknownTopic(err) {
			return nil
		}
		if err := wait.sleep(ctx); err != nil {
			return err
		}
	}
}
