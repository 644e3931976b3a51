package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"weir/connectors/kafka/driver"
)

// Members tells how many members a group has, and the Digest of their sources. The digest is "" where the members
// have none, and while the group shares its partitions anew: the broker does not tell it then.
func (c *Client) Members(ctx context.Context, group string) (n int, digest string, err error) {
	var protocol string
	err = c.retry(ctx, func() error {
		err := c.request(ctx, requestTimeout, func(ctx context.Context) (err error) {
			n, protocol, err = c.cluster.Members(ctx, group)
			return err
		})
		if errors.Is(err, driver.GroupIDNotFound) { // it never had a member
			return nil
		}
		return err
	})
	if err != nil {
		return 0, "", fmt.Errorf("kafka: members of group %s: %w", group, err)
	}
	return n, strings.TrimPrefix(strings.TrimPrefix(protocol, protocolName), "."), nil
}
