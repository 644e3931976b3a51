package e2e_test

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// kafkaScript runs scripts/kafka and gives what it prints.
func kafkaScript(t *testing.T, args ...string) string {
	t.Helper()
	out, err := exec.Command("../../../scripts/kafka", args...).Output()
	if err != nil {
		t.Fatalf("scripts/kafka %v: %v", args, err)
	}
	return strings.TrimSpace(string(out))
}

// needJava skips a test where no real Kafka can be started.
func needJava(t *testing.T) {
	t.Helper()
	for _, tool := range []string{"java", "mvn"} {
		if _, err := exec.LookPath(tool); err != nil {
			t.Skipf("a real Kafka needs Java 17 and Maven: %v", err)
		}
	}
}

// nodeCount is how many nodes a cluster has, each broker and controller. It survives the loss of one.
const nodeCount = 3

// nodes is a real Kafka of three nodes, of which each can be stopped, killed and started again.
type nodes struct {
	cluster
	dir   string
	admin *kgo.Client
}

// threeNodes starts a cluster for one test.
func threeNodes(t *testing.T) *nodes {
	t.Helper()
	if os.Getenv("WEIR_TEST_KAFKA") == "" && !longFaults() {
		t.Skip("real Kafka: WEIR_TEST_KAFKA=host:port is not set")
	}
	needJava(t)
	n := &nodes{dir: t.TempDir()}
	t.Cleanup(func() { kafkaScript(t, "stop", n.dir, "-9") })
	n.addr = kafkaScript(t, "start", n.dir, strconv.Itoa(freePorts(t, 2*nodeCount)), "--nodes", strconv.Itoa(nodeCount))
	n.admin = n.client(t)
	return n
}

// down stops a node, or kills it.
func (n *nodes) down(t *testing.T, id int32, kill bool) {
	t.Helper()
	args := []string{"stop", n.dir, "--node", fmt.Sprint(id)}
	if kill {
		args = append(args, "-9")
	}
	kafkaScript(t, args...)
}

// up starts a node again and returns once it takes requests.
func (n *nodes) up(t *testing.T, id int32) {
	t.Helper()
	kafkaScript(t, "start", n.dir, "--node", fmt.Sprint(id))
}

// request asks the cluster for something and fails the test if nobody answers.
func request[T kmsg.Response](t *testing.T, n *nodes, req kmsg.Request) T {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	res, err := n.admin.Request(ctx, req)
	if err != nil {
		t.Fatalf("%s: %v", kmsg.NameForKey(req.Key()), err)
	}
	return res.(T)
}

// describe gives the partitions of topics as the cluster knows them now.
func (n *nodes) describe(t *testing.T, topics ...string) map[string][]kmsg.MetadataResponseTopicPartition {
	t.Helper()
	req := kmsg.NewPtrMetadataRequest()
	for _, name := range topics {
		rt := kmsg.NewMetadataRequestTopic()
		rt.Topic = kmsg.StringPtr(name)
		req.Topics = append(req.Topics, rt)
	}
	out := map[string][]kmsg.MetadataResponseTopicPartition{}
	for _, topic := range request[*kmsg.MetadataResponse](t, n, req).Topics {
		if err := kerr.ErrorForCode(topic.ErrorCode); err != nil {
			t.Fatalf("describe %s: %v", *topic.Topic, err)
		}
		slices.SortFunc(topic.Partitions, func(a, b kmsg.MetadataResponseTopicPartition) int { return int(a.Partition - b.Partition) })
		out[*topic.Topic] = topic.Partitions
	}
	return out
}

// awaitCopies waits until all nodes have all records of topics, so that one of them may go.
func (n *nodes) awaitCopies(t *testing.T, topics ...string) {
	t.Helper()
	eventually(t, "all copies of "+strings.Join(topics, ", ")+" are in sync", func() bool {
		for _, partitions := range n.describe(t, topics...) {
			for _, p := range partitions {
				if len(p.ISR) < len(p.Replicas) {
					return false
				}
			}
		}
		return true
	})
}

// moveLeaders gives every partition of topics another leader: its copies change their order, and the first of
// them is elected.
func (n *nodes) moveLeaders(t *testing.T, r *rand.Rand, topics ...string) {
	t.Helper()
	n.awaitCopies(t, topics...) // only a copy in sync can be elected
	order, elect := kmsg.NewPtrAlterPartitionAssignmentsRequest(), kmsg.NewPtrElectLeadersRequest()
	order.TimeoutMillis, elect.TimeoutMillis = 10_000, 10_000
	want := map[string][]int32{}
	for topic, partitions := range n.describe(t, topics...) {
		ot, et := kmsg.NewAlterPartitionAssignmentsRequestTopic(), kmsg.NewElectLeadersRequestTopic()
		ot.Topic, et.Topic = topic, topic
		for _, p := range partitions {
			others := slices.DeleteFunc(slices.Clone(p.Replicas), func(id int32) bool { return id == p.Leader })
			r.Shuffle(len(others), func(i, j int) { others[i], others[j] = others[j], others[i] })
			op := kmsg.NewAlterPartitionAssignmentsRequestTopicPartition()
			op.Partition, op.Replicas = p.Partition, append(others, p.Leader)
			ot.Partitions, et.Partitions = append(ot.Partitions, op), append(et.Partitions, p.Partition)
			want[topic] = append(want[topic], others[0])
		}
		order.Topics, elect.Topics = append(order.Topics, ot), append(elect.Topics, et)
	}
	for _, topic := range request[*kmsg.AlterPartitionAssignmentsResponse](t, n, order).Topics {
		for _, p := range topic.Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				t.Fatalf("order the copies of %s/%d: %v", topic.Topic, p.Partition, err)
			}
		}
	}
	eventually(t, "the leaders have moved", func() bool {
		// One that leads already is an error, and fine; one that is not in sync just now is asked for again.
		request[*kmsg.ElectLeadersResponse](t, n, elect)
		for topic, partitions := range n.describe(t, topics...) {
			for i, p := range partitions {
				if p.Leader != want[topic][i] {
					return false
				}
			}
		}
		return true
	})
}

// coordinator is the node that coordinates a group, or a transactional id's transactions.
func (n *nodes) coordinator(t *testing.T, key string, transactions bool) int32 {
	t.Helper()
	req := kmsg.NewPtrFindCoordinatorRequest()
	req.CoordinatorKey = key
	if transactions {
		req.CoordinatorType = 1
	}
	res := request[*kmsg.FindCoordinatorResponse](t, n, req)
	id, code := res.NodeID, res.ErrorCode
	for _, c := range res.Coordinators {
		id, code = c.NodeID, c.ErrorCode
	}
	if err := kerr.ErrorForCode(code); err != nil {
		t.Fatalf("coordinator of %s: %v", key, err)
	}
	return id
}

// during calls each until a time has passed, as often as it fits, and at least once.
func during(total, every time.Duration, each func()) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for end := time.Now().Add(total); ; <-tick.C {
		each()
		if time.Now().After(end) {
			return
		}
	}
}
