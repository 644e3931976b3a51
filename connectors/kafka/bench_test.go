package kafka_test

import (
	"context"
	"encoding/binary"
	"math/rand/v2"
	"os"
	"sync"
	"testing"
	"time"

	"github.com/HdrHistogram/hdrhistogram-go"

	"weir/connectors/kafka"
	"weir/schemas"
)

// BenchmarkHop publishes 3 kB records at 500 a second, open loop and Poisson, and measures the time from a
// record's intended send time to its consumption, and that of the broker's acknowledgement alone.
// The first twentieth warms up.
func BenchmarkHop(b *testing.B) {
	b.Run("embedded", func(b *testing.B) { benchmarkHop(b, embedded(b).Addr()) })
	if addr := os.Getenv("WEIR_TEST_KAFKA"); addr != "" {
		b.Run("kafka", func(b *testing.B) { benchmarkHop(b, addr) })
	}
}

func benchmarkHop(b *testing.B, addr string) {
	const rate, size, partitions = 500, 3000, 4
	acks := hdrhistogram.New(1, int64(time.Minute/time.Microsecond), 3)
	var mu sync.Mutex
	c := dial(b, addr, kafka.Options{Events: kafka.Events{Produced: func(_ string, _ int32, _, _ int, took time.Duration) {
		mu.Lock()
		acks.RecordValue(took.Microseconds())
		mu.Unlock()
	}}})
	topic := newTopic(b, c, partitions)
	hist := hdrhistogram.New(1, int64(time.Minute/time.Microsecond), 3)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	consumed := make(chan error, 1)
	start := time.Now()
	go func() {
		seen := 0
		consumed <- c.Consume(ctx, topic, make([]int64, partitions), func(r schemas.Record) error {
			due := time.Duration(binary.BigEndian.Uint64(r.Value))
			if seen++; seen > b.N/20 {
				hist.RecordValue((time.Since(start) - due).Microseconds())
			}
			if seen == b.N {
				cancel()
			}
			return nil
		})
	}()
	random := rand.New(rand.NewPCG(1, 2))
	var sends sync.WaitGroup
	due := time.Duration(0)
	b.ResetTimer()
	for i := range b.N {
		due += time.Duration(random.ExpFloat64() * float64(time.Second) / rate)
		<-time.After(due - time.Since(start))
		sends.Go(func() {
			value := make([]byte, size)
			binary.BigEndian.PutUint64(value, uint64(due))
			if _, err := c.Produce(context.Background(), topic, int32(i%partitions), []schemas.Message{{Value: value}}); err != nil {
				b.Error(err)
			}
		})
	}
	sends.Wait()
	if err := <-consumed; err != nil {
		b.Fatal(err)
	}
	b.ReportMetric(float64(hist.ValueAtQuantile(50))/1000, "p50-ms")
	b.ReportMetric(float64(hist.ValueAtQuantile(99))/1000, "p99-ms")
	b.ReportMetric(float64(hist.ValueAtQuantile(99.9))/1000, "p999-ms")
	b.ReportMetric(float64(acks.ValueAtQuantile(99))/1000, "ack-p99-ms")
}
