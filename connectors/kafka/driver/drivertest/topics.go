package drivertest

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/connectors/kafka/driver"
)

// offsetCases are what the contract says of Offsets.
func offsetCases(t *testing.T, w *world) {
	c := w.dial(t)
	topic := c.topic(2)
	then := time.Now().Add(-time.Hour).UnixMilli()
	for i := range int64(3) {
		must[int64](t)(c.write(topic, 0, encode(batch{values: []string{"a", "b"}, stamp: then + 1000*i})))
	}
	at := func(stamp int64) int64 {
		return c.place(driver.OffsetQuery{Topic: topic, Partitions: []int32{0}, Time: stamp})
	}
	equal(t, "first", at(driver.First), 0)
	equal(t, "end", at(driver.End), 6)
	equal(t, "in the future", at(time.Now().Add(time.Hour).UnixMilli()), -1)
	if w.embedded {
		w.differs(t, "all topics have the broker's stamps")
		equal(t, "by time", at(then), 0)
	} else {
		equal(t, "by time, exactly", at(then+1000), 2)
		equal(t, "by time, between", at(then+1001), 4)
	}
	got := must[[]driver.Offset](t)(c.Offsets(testContext(t), c.leader(topic), driver.OffsetQuery{Topic: topic, Partitions: []int32{9, 1, 0}, Time: driver.End}))
	places := map[int32]int64{}
	for _, o := range got {
		if o.Partition == 9 {
			coded(t, "partition that does not exist", o.Err, driver.UnknownTopicOrPartition)
			continue
		}
		places[o.Partition] = o.Offset
	}
	equal(t, "several ends", places, "map[0:6 1:0]")
	deleteRecords(t, w.addr, topic, 4)
	equal(t, "first, after the records before were deleted", at(driver.First), 4)
}

// topicCases are what the contract says of Topics.
func topicCases(t *testing.T, w *world) {
	t.Run("metadata", func(t *testing.T) { describes(t, w) })
	t.Run("create", func(t *testing.T) { creates(t, w) })
	t.Run("delete", func(t *testing.T) { deletes(t, w) })
}

func describes(t *testing.T, w *world) {
	c := w.dial(t)
	topic := c.topic(3)
	missing := unique(t)
	m := must[driver.Metadata](t)(c.Metadata(testContext(t), driver.AnyBroker, []string{topic, missing}))
	known := map[int32]bool{}
	for _, b := range m.Brokers {
		known[b.ID] = true
		if b.Host == "" || b.Port <= 0 {
			t.Errorf("broker %d is at %s:%d", b.ID, b.Host, b.Port)
		}
	}
	if !known[m.Controller] {
		t.Errorf("controller %d is none of the brokers %v", m.Controller, m.Brokers)
	}
	equal(t, "topics", len(m.Topics), 2)
	for _, d := range m.Topics {
		switch d.Name {
		case topic:
			if d.Err != nil || len(d.Leaders) != 3 {
				t.Errorf("got %v", d)
			}
			for _, l := range d.Leaders {
				if !known[l] {
					t.Errorf("leader %d is none of the brokers %v", l, m.Brokers)
				}
			}
		case missing:
			coded(t, "a topic that does not exist", d.Err, driver.UnknownTopicOrPartition)
		}
	}
	m = must[driver.Metadata](t)(c.Metadata(testContext(t), m.Controller, nil))
	if len(m.Topics) != 0 || len(m.Brokers) == 0 {
		t.Errorf("no topics were named: got %d, and %d brokers", len(m.Topics), len(m.Brokers))
	}
	again := must[driver.Metadata](t)(c.Metadata(testContext(t), driver.AnyBroker, []string{missing}))
	coded(t, "a topic that was asked for", again.Topics[0].Err, driver.UnknownTopicOrPartition)
	_, err := c.Metadata(testContext(t), 12345, nil)
	coded(t, "a broker that does not exist", err, driver.BrokerNotAvailable)
}

func creates(t *testing.T, w *world) {
	c := w.dial(t)
	old := c.topic(1)
	fresh := driver.NewTopic{Name: unique(t), Partitions: 2, Replication: 1, Config: map[string]string{"retention.ms": "86400000"}}
	made := must[[]error](t)(c.CreateTopics(testContext(t), c.controller(), []driver.NewTopic{
		fresh, {Name: old, Partitions: 1, Replication: 1}, {Name: unique(t) + ".none", Partitions: 0, Replication: 1}}))
	if len(made) != 3 {
		t.Fatalf("%d answers, want 3", len(made))
	}
	if made[0] != nil {
		t.Errorf("a new topic: %v", made[0])
	}
	coded(t, "a topic that exists", made[1], driver.TopicAlreadyExists)
	const invalidPartitions = 37
	coded(t, "a topic without partitions", made[2], invalidPartitions)
	eventually(t, "the new topic's partitions", func(ctx context.Context) bool {
		m := must[driver.Metadata](t)(c.Metadata(ctx, driver.AnyBroker, []string{fresh.Name}))
		return len(m.Topics) == 1 && m.Topics[0].Err == nil && len(m.Topics[0].Leaders) == 2
	})
	equal(t, "its setting", setting(t, w.addr, fresh.Name, "retention.ms"), "86400000")
}

func deletes(t *testing.T, w *world) {
	c := w.dial(t)
	topic := c.topic(1)
	gone := must[[]error](t)(c.DeleteTopics(testContext(t), c.controller(), []string{unique(t) + ".none", topic}))
	if len(gone) != 2 || gone[1] != nil {
		t.Fatalf("got %v", gone)
	}
	coded(t, "a topic that does not exist", gone[0], driver.UnknownTopicOrPartition)
	eventually(t, "the topic's end", func(ctx context.Context) bool {
		m := must[driver.Metadata](t)(c.Metadata(ctx, driver.AnyBroker, []string{topic}))
		return len(m.Topics) == 1 && errors.Is(m.Topics[0].Err, driver.UnknownTopicOrPartition)
	})
}

// outsider gives a request that no driver has to the cluster.
func outsider[R kmsg.Response](t testing.TB, addr string, req kmsg.Request) R {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	res, err := cl.Request(testContext(t), req)
	if err != nil {
		t.Fatal(err)
	}
	return res.(R)
}

// deleteRecords deletes what lies before an offset of partition 0, as retention does.
func deleteRecords(t testing.TB, addr, topic string, before int64) {
	t.Helper()
	req := kmsg.NewPtrDeleteRecordsRequest()
	rt, rp := kmsg.NewDeleteRecordsRequestTopic(), kmsg.NewDeleteRecordsRequestTopicPartition()
	rp.Offset = before
	rt.Topic, rt.Partitions = topic, append(rt.Partitions, rp)
	req.Topics, req.TimeoutMillis = append(req.Topics, rt), driver.Patience
	res := outsider[*kmsg.DeleteRecordsResponse](t, addr, req)
	if err := kerr.ErrorForCode(res.Topics[0].Partitions[0].ErrorCode); err != nil {
		t.Fatal(err)
	}
}

// grow gives a topic more partitions.
func grow(t testing.TB, addr, topic string, partitions int32) {
	t.Helper()
	req := kmsg.NewPtrCreatePartitionsRequest()
	rt := kmsg.NewCreatePartitionsRequestTopic()
	rt.Topic, rt.Count = topic, partitions
	req.Topics, req.TimeoutMillis = append(req.Topics, rt), driver.Patience
	res := outsider[*kmsg.CreatePartitionsResponse](t, addr, req)
	if err := kerr.ErrorForCode(res.Topics[0].ErrorCode); err != nil {
		t.Fatal(err)
	}
}

// setting is a topic's setting as the broker has it.
func setting(t testing.TB, addr, topic, name string) string {
	t.Helper()
	req := kmsg.NewPtrDescribeConfigsRequest()
	rr := kmsg.NewDescribeConfigsRequestResource()
	rr.ResourceType, rr.ResourceName, rr.ConfigNames = kmsg.ConfigResourceTypeTopic, topic, []string{name}
	req.Resources = append(req.Resources, rr)
	res := outsider[*kmsg.DescribeConfigsResponse](t, addr, req)
	for _, c := range res.Resources[0].Configs {
		if c.Name == name && c.Value != nil {
			return *c.Value
		}
	}
	return fmt.Sprintf("no %s", name)
}
