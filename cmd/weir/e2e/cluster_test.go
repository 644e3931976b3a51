package e2e_test

import (
	"context"
	"crypto/rand"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
)

// A cluster is a broker to test against, or several, with commas between their addresses.
type cluster struct{ addr string }

// embedded starts a `weir broker` for one test.
func embedded(t *testing.T) cluster {
	t.Helper()
	p := start(t, command("broker", "--data", t.TempDir(), "--listen", "127.0.0.1:0"))
	return cluster{p.match(t, p.out, `(?m)^(127\.0\.0\.1:\d+)$`)}
}

// everywhere runs a test against a broker of its own and, where there is one, against a real Kafka.
func everywhere(t *testing.T, test func(t *testing.T, c cluster)) {
	t.Parallel()
	t.Run("embedded", func(t *testing.T) {
		t.Parallel()
		test(t, embedded(t))
	})
	if addr := os.Getenv("WEIR_TEST_KAFKA"); addr != "" {
		t.Run("kafka", func(t *testing.T) {
			t.Parallel()
			test(t, cluster{addr})
		})
	}
}

// uniqueName is a name for a pipeline that no other test on the same cluster has.
func uniqueName() string { return "e2e-" + strings.ToLower(rand.Text()[:10]) }

// client connects as a user would, with another library than weir's.
func (c cluster) client(t *testing.T, opts ...kgo.Opt) *kgo.Client {
	t.Helper()
	client, err := kgo.NewClient(append([]kgo.Opt{
		kgo.SeedBrokers(strings.Split(c.addr, ",")...),
		kgo.MetadataMinAge(100 * time.Millisecond), // a leader that has moved is found at once
		kgo.RecordPartitioner(kgo.ManualPartitioner()),
		kgo.ProducerBatchMaxBytes(31 << 20), kgo.ProducerBatchCompression(kgo.NoCompression()),
	}, opts...)...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(client.Close)
	return client
}

// publish stores records, each in the partition that it names.
func publish(t *testing.T, client *kgo.Client, records ...*kgo.Record) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	if err := client.ProduceSync(ctx, records...).FirstErr(); err != nil {
		t.Fatal(err)
	}
}

// createTopic makes a topic whose settings are not those of `weir topics create`.
func (c cluster) createTopic(t *testing.T, name string, partitions int32, config map[string]string) {
	t.Helper()
	topic := kmsg.NewCreateTopicsRequestTopic()
	topic.Topic, topic.NumPartitions, topic.ReplicationFactor = name, partitions, 1
	for k, v := range config {
		topic.Configs = append(topic.Configs, kmsg.CreateTopicsRequestTopicConfig{Name: k, Value: &v})
	}
	req := kmsg.NewPtrCreateTopicsRequest()
	req.Topics, req.TimeoutMillis = append(req.Topics, topic), 10_000
	res, err := req.RequestWith(t.Context(), c.client(t))
	if err == nil {
		err = kerr.ErrorForCode(res.Topics[0].ErrorCode)
	}
	if err != nil {
		t.Fatalf("create %s: %v", name, err)
	}
}

// throttle limits what the workers of a pipeline may do; 0 lifts the limit. The key is Kafka's name of the quota.
func (p pipe) throttle(t *testing.T, key string, limit float64) {
	t.Helper()
	entity := kmsg.NewAlterClientQuotasRequestEntryEntity()
	entity.Type, entity.Name = "client-id", kmsg.StringPtr("weir-"+p.name)
	op := kmsg.NewAlterClientQuotasRequestEntryOp()
	op.Key, op.Value, op.Remove = key, limit, limit == 0
	entry := kmsg.NewAlterClientQuotasRequestEntry()
	entry.Entity, entry.Ops = append(entry.Entity, entity), append(entry.Ops, op)
	req := kmsg.NewPtrAlterClientQuotasRequest()
	req.Entries = append(req.Entries, entry)
	res, err := req.RequestWith(t.Context(), p.client(t))
	if err == nil {
		err = kerr.ErrorForCode(res.Entries[0].ErrorCode)
	}
	if err != nil {
		t.Fatalf("quota %s: %v", key, err)
	}
}

// ends are the offsets that the next records of a topic will have, by partition.
func ends(t *testing.T, client *kgo.Client, topic string, partitions int) map[int32]int64 {
	t.Helper()
	ask := kmsg.NewListOffsetsRequestTopic()
	ask.Topic = topic
	for p := range partitions {
		part := kmsg.NewListOffsetsRequestTopicPartition()
		part.Partition, part.Timestamp = int32(p), -1
		ask.Partitions = append(ask.Partitions, part)
	}
	req := kmsg.NewPtrListOffsetsRequest()
	req.Topics = append(req.Topics, ask)
	out := map[int32]int64{}
	for _, shard := range client.RequestSharded(t.Context(), req) {
		if shard.Err != nil {
			t.Fatalf("ends of %s: %v", topic, shard.Err)
		}
		for _, p := range shard.Resp.(*kmsg.ListOffsetsResponse).Topics[0].Partitions {
			if err := kerr.ErrorForCode(p.ErrorCode); err != nil {
				t.Fatalf("end of %s/%d: %v", topic, p.Partition, err)
			}
			out[p.Partition] = p.Offset
		}
	}
	return out
}

// awaitCommitted waits until a group has committed a topic to its end.
func (c cluster) awaitCommitted(t *testing.T, group, topic string, partitions int) {
	t.Helper()
	client := c.client(t)
	want := ends(t, client, topic, partitions)
	eventually(t, group+" has committed all of "+topic, func() bool {
		got := committed(t, client, group, topic)
		for p, end := range want {
			if end > 0 && got[p] != end {
				return false
			}
		}
		return true
	})
}

func committed(t *testing.T, client *kgo.Client, group, topic string) map[int32]int64 {
	t.Helper()
	req := kmsg.NewPtrOffsetFetchRequest()
	req.Group = group
	asked := kmsg.NewOffsetFetchRequestGroup()
	asked.Group = group
	req.Groups = append(req.Groups, asked)
	res, err := req.RequestWith(t.Context(), client)
	if err != nil {
		t.Fatalf("offsets of group %s: %v", group, err)
	}
	out := map[int32]int64{}
	for _, g := range res.Groups {
		for _, tp := range g.Topics {
			for _, p := range tp.Partitions {
				if tp.Topic == topic {
					out[p.Partition] = p.Offset
				}
			}
		}
	}
	for _, tp := range res.Topics {
		for _, p := range tp.Partitions {
			if tp.Topic == topic {
				out[p.Partition] = p.Offset
			}
		}
	}
	return out
}
