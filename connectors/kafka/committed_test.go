package kafka_test

import (
	"context"
	"testing"

	"github.com/twmb/franz-go/pkg/kgo"

	"weir/connectors/kafka"
)

// transact writes values in one transaction and commits it or gives it up.
func transact(t *testing.T, cl *kgo.Client, topic string, commit kgo.TransactionEndTry, values ...string) {
	t.Helper()
	if err := cl.BeginTransaction(); err != nil {
		t.Fatal(err)
	}
	for _, v := range values {
		if err := cl.ProduceSync(testContext(t), &kgo.Record{Topic: topic, Value: []byte(v)}).FirstErr(); err != nil {
			t.Fatal(err)
		}
	}
	if err := cl.EndTransaction(context.WithoutCancel(t.Context()), commit); err != nil {
		t.Fatal(err)
	}
}

// Records of transactions that were given up are never read, wherever reading begins; all others are.
func TestReadsCommitted(t *testing.T) {
	conform(t, func(t *testing.T, addr string) {
		c := dial(t, addr, kafka.Options{})
		topic := newTopic(t, c, 1)
		cl, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.TransactionalID(topic))
		if err != nil {
			t.Fatal(err)
		}
		defer cl.Close()
		produce(t, c, topic, 0, "plain0")
		transact(t, cl, topic, kgo.TryAbort, "void0", "void1") // offsets 1 and 2, its marker 3
		produce(t, c, topic, 0, "plain1")
		transact(t, cl, topic, kgo.TryCommit, "kept0", "kept1")
		transact(t, cl, topic, kgo.TryAbort, "void2")
		produce(t, c, topic, 0, "plain2")
		equal(t, "from the start", values(consume(t, c, topic, []int64{0}, 5)), "[plain0 plain1 kept0 kept1 plain2]")
		equal(t, "from within a void one", values(consume(t, c, topic, []int64{2}, 4)), "[plain1 kept0 kept1 plain2]")
	})
}
