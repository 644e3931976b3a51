package kafka_test

import (
	"context"
	"errors"
	"os"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/connectors/kafka"
	"weir/pipeline"
)

// lastEpoch is the highest that a broker gives; then it gives a new producer id.
const lastEpoch = 1<<15 - 2

// At the epochs' end the broker gives a new producer id, and the old one's writers may not be refused any more. The
// partition's next owner waits two sessions, so that what such a writer does meanwhile is found, and says so.
func TestEpochsEnd(t *testing.T) {
	t.Parallel()
	cluster, err := kfake.NewCluster(kfake.NumBrokers(1)) // unlike `weir broker`, it keeps the many epochs in memory
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(cluster.Close)
	addrs := map[string]string{"embedded": cluster.ListenAddrs()[0]}
	if kafka := os.Getenv("WEIR_TEST_KAFKA"); kafka != "" {
		addrs["kafka"] = kafka
	}
	// A take-over raises the epoch twice, and the id changes at one of the two. Kafka fences in the partitions: the
	// marker between the two bears the last epoch of the old id. kfake forgets the old id.
	for _, x := range []struct {
		name    string
		epoch   int32 // before the last take-over with the old id
		refused bool  // by Kafka
	}{{"between the two requests", lastEpoch - 3, true}, {"at the first", lastEpoch - 2, false}} {
		for broker, addr := range addrs {
			t.Run(x.name+"/"+broker, func(t *testing.T) {
				t.Parallel()
				err, known := endEpochs(t, addr, x.epoch)
				var refused *kafka.FencedError
				if want := x.refused && broker == "kafka"; errors.As(err, &refused) != want || known != (err == nil) {
					t.Errorf("a late write of the old owner: %v, known to the new one: %v; want it to be refused: %v, else known", err, known, want)
				}
			})
		}
	}
}

// endEpochs makes an owner with the last epoch but one or two, and then the next owner. It returns how a write went
// that the old one did while the new one waited, and whether the new one knows of it.
func endEpochs(t *testing.T, addr string, epoch int32) (late error, known bool) {
	renewed := make(chan time.Duration, 10)
	c := dial(t, addr, kafka.Options{Events: kafka.Events{Renewed: func(_ string, wait time.Duration) { renewed <- wait }}})
	topic := newTopic(t, c, 1)
	raiseEpoch(t, addr, topic+"/0", epoch)
	old := openAt(t, fenced(c, topic, topic)[0], nil)
	equal(t, "epoch of the last owner with the old id", old.Epoch()>>8, epoch+2)
	if err := writeRows(t, old, 1); err != nil {
		t.Fatal(err)
	}
	wrote := make(chan error, 1)
	go func() {
		<-renewed
		wrote <- writeRows(t, old, 2)
	}()
	next := fenced(c, topic, topic)[0]
	next.Fence.Session = 500 * time.Millisecond
	began := time.Now()
	fresh, err := next.Open(testContext(t), pipeline.Partition{Topic: "in", Mark: []byte{1}}, old.Position())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { fresh.Close() })
	if took := time.Since(began); took < 2*next.Fence.Session {
		t.Errorf("served after %v, want two sessions", took)
	}
	late = receive(t, "late write", wrote)
	if e := fresh.Epoch() >> 8; e < 1 || e > 2 {
		t.Errorf("the new owner's epoch is %d, want a small one above 0", e)
	}
	if err := writeRows(t, fresh, 3); err != nil {
		t.Error(err)
	}
	// From there on it is as ever.
	openAt(t, fenced(c, topic, topic)[0], nil)
	var refused *kafka.FencedError
	if err := writeRows(t, fresh, 4); !errors.As(err, &refused) {
		t.Errorf("got %v, want to be fenced off", err)
	}
	equal(t, "renewals", len(renewed), 0)
	return late, fresh.Done().Has(2, 0)
}

// A pipeline's first owners wait for nobody.
func TestFirstOwnerDoesNotWait(t *testing.T) {
	conform(t, func(t *testing.T, addr string) {
		c := dial(t, addr, kafka.Options{Events: kafka.Events{Renewed: func(name string, wait time.Duration) { t.Errorf("%s waits %v", name, wait) }}})
		topic := newTopic(t, c, 1)
		openAt(t, fenced(c, topic, topic)[0], nil)
	})
}

// raiseEpoch gives a transactional id its first epoch, and higher ones up to this.
func raiseEpoch(t testing.TB, addr, name string, epoch int32) {
	t.Helper()
	cl, err := kgo.NewClient(kgo.SeedBrokers(addr))
	if err != nil {
		t.Fatal(err)
	}
	defer cl.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 4*patience)
	defer cancel()
	for last := int32(-1); last < epoch; {
		req := kmsg.NewPtrInitProducerIDRequest()
		req.TransactionalID, req.TransactionTimeoutMillis = &name, 5000
		res, err := req.RequestWith(ctx, cl)
		if err == nil && res.ErrorCode != kerr.ConcurrentTransactions.Code { // it still keeps the last one
			last, err = int32(res.ProducerEpoch), kerr.ErrorForCode(res.ErrorCode)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}
