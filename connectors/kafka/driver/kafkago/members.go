package kafkago

import (
	"context"
	"fmt"

	kafkago "github.com/segmentio/kafka-go"
	"github.com/segmentio/kafka-go/protocol/describegroups"

	"weir/connectors/kafka/driver"
)

// Members implements driver.Groups.
func (c *Cluster) Members(ctx context.Context, group string) (n int, protocol string, err error) {
	res, err := coordinate[*describegroups.Response](ctx, c, kafkago.CoordinatorKeyTypeConsumer, group,
		&describegroups.Request{Groups: []string{group}})
	if err != nil {
		return 0, "", err
	}
	if len(res.Groups) != 1 {
		return 0, "", fmt.Errorf("the answer describes %d groups, not one", len(res.Groups))
	}
	g := res.Groups[0]
	return len(g.Members), g.ProtocolData, driver.CodeError(g.ErrorCode)
}
