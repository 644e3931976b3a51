package broker_test

import (
	"bytes"
	"context"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	kafkago "github.com/segmentio/kafka-go"
	"go.uber.org/goleak"

	"weir/connectors/broker"
)

// child, when set, makes this test binary a broker on that directory, so that a test can kill it.
const child = "WEIR_TEST_BROKER_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(child); dir != "" {
		b, err := broker.Open(broker.Options{Dir: dir, Addr: "127.0.0.1:0"})
		if err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
		fmt.Println(b.Addr())
		select {}
	}
	goleak.VerifyTestMain(m)
}

func open(t *testing.T, o broker.Options) *broker.Broker {
	t.Helper()
	if o.Addr == "" {
		o.Addr = "127.0.0.1:0"
	}
	b, err := broker.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	return b
}

func client(t *testing.T, addr string) (*kafkago.Client, context.Context) {
	ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
	tr := &kafkago.Transport{Context: ctx}
	t.Cleanup(func() { tr.CloseIdleConnections(); cancel() })
	return &kafkago.Client{Addr: kafkago.TCP(addr), Transport: tr}, ctx
}

func create(t *testing.T, c *kafkago.Client, ctx context.Context, topic string, config ...kafkago.ConfigEntry) {
	t.Helper()
	res, err := c.CreateTopics(ctx, &kafkago.CreateTopicsRequest{Topics: []kafkago.TopicConfig{
		{Topic: topic, NumPartitions: 1, ReplicationFactor: 1, ConfigEntries: config}}})
	if err == nil {
		err = res.Errors[topic]
	}
	if err != nil {
		t.Fatal(err)
	}
}

func produce(t *testing.T, c *kafkago.Client, ctx context.Context, topic, key string, value []byte) {
	t.Helper()
	res, err := c.Produce(ctx, &kafkago.ProduceRequest{Topic: topic, RequiredAcks: kafkago.RequireAll,
		Records: kafkago.NewRecordReader(kafkago.Record{Key: kafkago.NewBytes([]byte(key)), Value: kafkago.NewBytes(value)})})
	if err == nil {
		err = res.Error
	}
	if err != nil {
		t.Fatal(err)
	}
}

func end(t *testing.T, c *kafkago.Client, ctx context.Context, topic string) kafkago.PartitionOffsets {
	t.Helper()
	res, err := c.ListOffsets(ctx, &kafkago.ListOffsetsRequest{Topics: map[string][]kafkago.OffsetRequest{
		topic: {kafkago.FirstOffsetOf(0), kafkago.LastOffsetOf(0)}}})
	if err != nil {
		t.Fatal(err)
	}
	return res.Topics[topic][0]
}

func TestOpenErrors(t *testing.T) {
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	used := open(t, broker.Options{Dir: filepath.Join(t.TempDir(), "made", "for", "it")})
	file := filepath.Join(t.TempDir(), "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	dir := filepath.Join(t.TempDir(), "x")
	for _, x := range []struct {
		o    broker.Options
		says string
	}{
		{broker.Options{Addr: "127.0.0.1:0"}, "--data DIR"},
		{broker.Options{Dir: dir, Addr: taken.Addr().String()}, taken.Addr().String() + " is in use"},
		{broker.Options{Dir: dir, Addr: "localhost"}, "want host:port"},
		{broker.Options{Dir: dir, Addr: "localhost:kafka"}, "not a number"},
		{broker.Options{Dir: dir, Addr: "0.0.0.0:9092"}, "127.0.0.1 only"},
		{broker.Options{Dir: filepath.Join(file, "sub"), Addr: "127.0.0.1:0"}, "data directory"},
	} {
		if b, err := broker.Open(x.o); err == nil || !strings.Contains(err.Error(), x.says) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%+v: got %v, want %q", x.o, err, x.says)
			if err == nil {
				b.Close()
			}
		}
	}
	// The failures have left nothing locked, and a running broker is not disturbed.
	open(t, broker.Options{Dir: dir})
	if used.Addr() == "" {
		t.Error("no address")
	}
}

func TestOneProcessADirectory(t *testing.T) {
	dir := t.TempDir()
	b := open(t, broker.Options{Dir: dir})
	if _, err := broker.Open(broker.Options{Dir: dir, Addr: "127.0.0.1:0"}); err == nil || !strings.Contains(err.Error(), "open in another process") {
		t.Errorf("second broker: %v", err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	open(t, broker.Options{Dir: dir})
}

// A kill -9 loses no topic, no record and no committed offset.
func TestSurvivesKill(t *testing.T) {
	dir := t.TempDir()
	addr, kill := killable(t, dir)
	c, ctx := client(t, addr)
	create(t, c, ctx, "kept", kafkago.ConfigEntry{ConfigName: "max.message.bytes", ConfigValue: fmt.Sprint(32 << 20)})
	large := bytes.Repeat([]byte("x"), 20<<20)
	produce(t, c, ctx, "kept", "k", large)
	produce(t, c, ctx, "kept", "k", []byte("last"))
	commit, err := c.OffsetCommit(ctx, &kafkago.OffsetCommitRequest{GroupID: "g", GenerationID: -1,
		Topics: map[string][]kafkago.OffsetCommit{"kept": {{Offset: 1, Metadata: "mark"}}}})
	if err != nil || commit.Topics["kept"][0].Error != nil {
		t.Fatal(err, commit)
	}
	kill()
	c, ctx = client(t, open(t, broker.Options{Dir: dir}).Addr())
	if o := end(t, c, ctx, "kept"); o.FirstOffset != 0 || o.LastOffset != 2 {
		t.Errorf("offsets %+v", o)
	}
	produce(t, c, ctx, "kept", "k", large) // its configuration is kept too
	offsets, err := c.OffsetFetch(ctx, &kafkago.OffsetFetchRequest{GroupID: "g", Topics: map[string][]int{"kept": {0}}})
	if err != nil {
		t.Fatal(err)
	}
	if p := offsets.Topics["kept"][0]; p.CommittedOffset != 1 || p.Metadata != "mark" {
		t.Errorf("committed: %+v", p)
	}
}

// Old records and old values of a key go away, after a restart too, and the directory shrinks.
func TestCleans(t *testing.T) {
	dir := t.TempDir()
	b := open(t, broker.Options{Dir: dir, Clean: time.Hour})
	c, ctx := client(t, b.Addr())
	create(t, c, ctx, "log", kafkago.ConfigEntry{ConfigName: "retention.bytes", ConfigValue: "1000000"})
	create(t, c, ctx, "table", kafkago.ConfigEntry{ConfigName: "cleanup.policy", ConfigValue: "compact"})
	for range 60 {
		produce(t, c, ctx, "log", "k", make([]byte, 1000000))
		produce(t, c, ctx, "table", "k", make([]byte, 100))
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	before := size(t, dir)
	c, ctx = client(t, open(t, broker.Options{Dir: dir, Clean: 10 * time.Millisecond}).Addr())
	for end(t, c, ctx, "log").FirstOffset < 58 || size(t, dir) > before/2 {
		if ctx.Err() != nil {
			t.Fatalf("still %d of %d bytes, from offset %d on", size(t, dir), before, end(t, c, ctx, "log").FirstOffset)
		}
	}
}

func size(t *testing.T, dir string) (n int64) {
	filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err == nil && !d.IsDir() {
			if info, err := d.Info(); err == nil {
				n += info.Size()
			}
		}
		return nil
	})
	return n
}
