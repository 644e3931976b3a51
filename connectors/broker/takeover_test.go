package broker_test

import (
	"bufio"
	"context"
	"hash/crc32"
	"os"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"weir/connectors/broker"
)

// A batch whose acknowledgement a crash swallowed is not stored a second time when it is sent again: its writer
// is told that the broker has lost count, and can look for what it has written.
func TestKilledBrokerStoresNothingTwice(t *testing.T) {
	dir := t.TempDir()
	addr, kill := killable(t, dir)
	kafka, ctx := client(t, addr)
	create(t, kafka, ctx, "t")
	name := "writer"
	id, epoch := initialise(t, addr, name)
	batch := idempotentBatch(id, epoch)
	for _, want := range []error{nil, nil} { // the second is a repetition, which the broker knows
		if err := send(t, addr, batch); err != want {
			t.Fatalf("got %v, want %v", err, want)
		}
	}
	kill()
	addr, _ = killable(t, dir)
	if err := send(t, addr, batch); err != kerr.OutOfOrderSequenceNumber {
		t.Errorf("the batch sent again after a crash: got %v, want %v", err, kerr.OutOfOrderSequenceNumber)
	}
	id, epoch = initialise(t, addr, name)
	if err := send(t, addr, idempotentBatch(id, epoch)); err != nil {
		t.Errorf("with a new epoch: %v", err)
	}
	kafka, ctx = client(t, addr)
	if o := end(t, kafka, ctx, "t"); o.LastOffset != 2 {
		t.Errorf("offsets %+v, want an end of 2", o)
	}
}

// A broker that was closed remembers what it has stored.
func TestClosedBrokerRemembers(t *testing.T) {
	dir := t.TempDir()
	b := open(t, broker.Options{Dir: dir})
	kafka, ctx := client(t, b.Addr())
	create(t, kafka, ctx, "t")
	id, epoch := initialise(t, b.Addr(), "writer")
	batch := idempotentBatch(id, epoch)
	if err := send(t, b.Addr(), batch); err != nil {
		t.Fatal(err)
	}
	if err := b.Close(); err != nil {
		t.Fatal(err)
	}
	b = open(t, broker.Options{Dir: dir})
	if err := send(t, b.Addr(), batch); err != nil {
		t.Errorf("the batch sent again: %v", err)
	}
	kafka, ctx = client(t, b.Addr())
	if o := end(t, kafka, ctx, "t"); o.LastOffset != 1 {
		t.Errorf("offsets %+v, want an end of 1", o)
	}
}

// killable runs a broker in a process of its own.
func killable(t *testing.T, dir string) (addr string, kill func()) {
	t.Helper()
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), child+"="+dir)
	out, err := cmd.StdoutPipe()
	if err == nil {
		err = cmd.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	kill = sync.OnceFunc(func() {
		_ = cmd.Process.Kill() // it may have ended
		_ = cmd.Wait()
	})
	t.Cleanup(kill)
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatalf("%v: %s", err, line)
	}
	return strings.TrimSpace(line), kill
}

func ask(t *testing.T, addr string, req kmsg.Request) kmsg.Response {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	c, err := kgo.NewClient(kgo.SeedBrokers(addr), kgo.MaxVersions(kversion.V3_0_0())) // later ones name topics by number
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	res, err := c.Request(ctx, req)
	if err != nil {
		t.Fatal(err)
	}
	return res
}

func initialise(t *testing.T, addr, name string) (int64, int16) {
	t.Helper()
	req := kmsg.NewPtrInitProducerIDRequest()
	req.TransactionalID, req.TransactionTimeoutMillis = &name, 5000
	res := ask(t, addr, req).(*kmsg.InitProducerIDResponse)
	if err := kerr.ErrorForCode(res.ErrorCode); err != nil {
		t.Fatal(err)
	}
	return res.ProducerID, res.ProducerEpoch
}

// idempotentBatch is the first batch of a producer, of one record.
func idempotentBatch(id int64, epoch int16) []byte {
	r := kmsg.Record{Value: []byte("x")}
	r.Length = int32(len(r.AppendTo(nil)) - 1)
	now := time.Now().UnixMilli()
	b := kmsg.RecordBatch{Magic: 2, PartitionLeaderEpoch: -1, FirstTimestamp: now, MaxTimestamp: now, ProducerID: id, ProducerEpoch: epoch,
		NumRecords: 1, Records: r.AppendTo(nil)}
	raw := b.AppendTo(nil)
	b.Length = int32(len(raw) - 12)
	raw = b.AppendTo(nil)
	b.CRC = int32(crc32.Checksum(raw[21:], crc32.MakeTable(crc32.Castagnoli)))
	return b.AppendTo(nil)
}

// send sends a batch to the topic t.
func send(t *testing.T, addr string, batch []byte) error {
	t.Helper()
	req := kmsg.NewPtrProduceRequest()
	req.Acks, req.TimeoutMillis = -1, 5000
	p := kmsg.NewProduceRequestTopicPartition()
	p.Records = append([]byte(nil), batch...)
	topic := kmsg.NewProduceRequestTopic()
	topic.Topic, topic.Partitions = "t", append(topic.Partitions, p)
	req.Topics = append(req.Topics, topic)
	return kerr.ErrorForCode(ask(t, addr, req).(*kmsg.ProduceResponse).Topics[0].Partitions[0].ErrorCode)
}
