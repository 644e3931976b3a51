package kafka

import (
	"context"
	"errors"
	"fmt"
	"strings"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/describegroups"
)

// Members tells how many members a group has, and the Digest of their sources. The digest is "" where the members
// have none, and while the group shares its partitions anew: the broker does not tell it then.
func (c *Client) Members(ctx context.Context, group string) (n int, digest string, err error) {
	err = c.retry(ctx, func() error {
		ctx, cancel := context.WithTimeout(ctx, requestTimeout)
		defer cancel()
		m, err := c.transport.RoundTrip(ctx, c.addr, &describegroups.Request{Groups: []string{group}})
		if err != nil {
			return readable(err)
		}
		res, ok := m.(*describegroups.Response)
		if !ok || len(res.Groups) != 1 {
			return fmt.Errorf("unexpected answer %T to a question about one group", m)
		}
		g := res.Groups[0]
		if err := code(g.ErrorCode); err != nil && !errors.Is(err, kafkago.GroupIdNotFound) { // it never had a member
			return err
		}
		n, digest = len(g.Members), strings.TrimPrefix(strings.TrimPrefix(g.ProtocolData, protocolName), ".")
		return nil
	})
	if err != nil {
		return 0, "", fmt.Errorf("kafka: members of group %s: %w", group, err)
	}
	return n, digest, nil
}
