package kafka_test

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"
	"golang.org/x/sync/errgroup"

	"weir/connectors/kafka"
	"weir/pipeline"
)

// lastEpoch is the highest that a broker gives; then it gives a new producer id.
const lastEpoch = 1<<15 - 2

// At the epochs' end the broker gives a new producer id, and refuses the old one's writers no more. The partition's
// next owner waits two sessions, so that what such a writer does meanwhile is found, and says so.
func TestEpochsEnd(t *testing.T) {
	t.Parallel()
	// A take-over raises the epoch twice: the id changes at one of the two.
	for _, x := range []struct {
		name  string
		epoch int32 // before the last take-over with the old id
	}{{"between the two requests", lastEpoch - 3}, {"at the first", lastEpoch - 2}} {
		t.Run(x.name, func(t *testing.T) {
			t.Parallel()
			cluster, err := kfake.NewCluster(kfake.NumBrokers(1)) // keeps epochs in memory: there are many to go through
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(cluster.Close)
			addr := cluster.ListenAddrs()[0]
			renewed := make(chan time.Duration, 10)
			c := dial(t, addr, kafka.Options{Events: kafka.Events{Renewed: func(_ string, wait time.Duration) { renewed <- wait }}})
			topic := newTopic(t, c, 1)
			raiseEpoch(t, addr, topic+"/0", x.epoch)
			old := openAt(t, fenced(c, topic, topic)[0], nil)
			equal(t, "epoch of the last owner with the old id", old.Epoch()>>8, x.epoch+2)
			if err := writeRows(t, old, 1); err != nil {
				t.Fatal(err)
			}
			late := make(chan error, 1)
			go func() {
				<-renewed
				late <- writeRows(t, old, 2)
			}()
			next := fenced(c, topic, topic)[0]
			next.Fence.Session = 500 * time.Millisecond
			began := time.Now()
			fresh, err := next.Open(testContext(t), pipeline.Partition{Topic: "in", Mark: []byte{1}}, old.Position())
			if err != nil {
				t.Fatal(err)
			}
			defer fresh.Close()
			if took := time.Since(began); took < 2*next.Fence.Session {
				t.Errorf("served after %v, want two sessions", took)
			}
			var refused *kafka.FencedError
			if err := receive(t, "late write", late); err != nil && !errors.As(err, &refused) || err == nil && !fresh.Done().Has(2, 0) {
				t.Errorf("a late write (%v) is unknown to the new owner", err)
			}
			if e := fresh.Epoch() >> 8; e < 1 || e > 2 {
				t.Errorf("the new owner's epoch is %d, want a small one above 0", e)
			}
			if err := writeRows(t, fresh, 3); err != nil {
				t.Error(err)
			}
			// From there on it is as ever.
			openAt(t, fenced(c, topic, topic)[0], nil)
			if err := writeRows(t, fresh, 4); !errors.As(err, &refused) {
				t.Errorf("got %v, want to be fenced off", err)
			}
			equal(t, "renewals", len(renewed), 0)
		})
	}
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
	raise := func() (int16, error) {
		req := kmsg.NewPtrInitProducerIDRequest()
		req.TransactionalID, req.TransactionTimeoutMillis = &name, 5000
		res, err := req.RequestWith(testContext(t), cl)
		if err == nil && res.ErrorCode != 0 {
			err = fmt.Errorf("code %d", res.ErrorCode)
		}
		if err != nil {
			return 0, err
		}
		return res.ProducerEpoch, nil
	}
	var g errgroup.Group
	g.SetLimit(64)
	for range epoch {
		g.Go(func() error { _, err := raise(); return err })
	}
	if err := g.Wait(); err != nil {
		t.Fatal(err)
	}
	if last, err := raise(); err != nil || int32(last) != epoch {
		t.Fatalf("epoch %d, want %d: %v", last, epoch, err)
	}
}
