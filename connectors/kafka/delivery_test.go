package kafka_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	"github.com/apache/arrow/go/v17/arrow"

	"weir/connectors/kafka"
	"weir/pipeline"
)

// While as many deliveries as may are in flight, what comes meanwhile gathers in the next one.
func TestDeliveriesGrow(t *testing.T) {
	c := dial(t, embedded(t).Addr(), kafka.Options{})
	topic := newTopic(t, c, 1)
	r := newConsumer(c, topic, topic)
	r.source.Deliveries = 2
	fetched := make(chan int, 100)
	r.source.Events.Fetched = func(_ string, _ int32, records, _ int, _ time.Duration) { fetched <- records }
	began, goOn := make(chan int, 100), make(chan struct{})
	var flying, most atomic.Int64
	r.deliver = func(_ context.Context, _ pipeline.Partition, b arrow.Record) error {
		defer flying.Add(-1)
		if n := flying.Add(1); n > most.Load() {
			most.Store(n)
		}
		began <- int(b.NumRows())
		<-goOn
		return nil
	}
	r.start(t)
	for _, name := range []string{"a", "b"} { // an idle partition's rows leave alone
		produce(t, c, topic, 0, name)
		equal(t, "rows of a delivery", receive(t, "delivery", began), 1)
	}
	for _, name := range []string{"c", "d", "e", "f"} { // f is fetched once c and d are decoded
		produce(t, c, topic, 0, name)
	}
	for n := 0; n < 6; {
		n += receive(t, "records", fetched)
	}
	goOn <- struct{}{}
	receive(t, "delivery", began)
	close(goOn)
	r.await(t, []string{"a", "b", "c", "d", "e", "f"})
	r.end(t)
	if most.Load() > 2 {
		t.Errorf("%d deliveries were in flight at once, the bound is 2", most.Load())
	}
}
