package kafkago

import (
	"encoding/binary"
	"fmt"
	"testing"

	"github.com/twmb/franz-go/pkg/kmsg"
	"pgregory.net/rapid"

	"weir/connectors/kafka/driver"
)

// Our decoder reads what franz-go encodes, in every version that may come, and nothing that is damaged makes it panic.
func TestParseFetched(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		version := rapid.Int16Range(4, 11).Draw(t, "version")
		res := kmsg.NewFetchResponse()
		res.Version = version
		topic := kmsg.NewFetchResponseTopic()
		topic.Topic = "t"
		var want []driver.Fetched
		for i := range rapid.Int32Range(0, 4).Draw(t, "partitions") {
			p := kmsg.NewFetchResponseTopicPartition()
			p.Partition, p.ErrorCode = i, rapid.Int16Range(0, 6).Draw(t, "code")
			p.HighWatermark, p.LastStableOffset = rapid.Int64().Draw(t, "end"), -1
			p.RecordBatches = rapid.SliceOfN(rapid.Byte(), 0, 30).Draw(t, "batches")
			w := driver.Fetched{Partition: i, Err: driver.CodeError(p.ErrorCode), End: p.HighWatermark, Batches: p.RecordBatches}
			for range rapid.IntRange(0, 2).Draw(t, "aborted") {
				a := kmsg.NewFetchResponseTopicPartitionAbortedTransaction()
				a.ProducerID, a.FirstOffset = rapid.Int64().Draw(t, "producer"), rapid.Int64().Draw(t, "first")
				p.AbortedTransactions = append(p.AbortedTransactions, a)
				w.Aborted = append(w.Aborted, driver.Aborted{Producer: a.ProducerID, First: a.FirstOffset})
			}
			topic.Partitions, want = append(topic.Partitions, p), append(want, w)
		}
		res.Topics = append(res.Topics, topic)
		b := res.AppendTo(nil)
		got, err := parseFetched(b, version)
		if err != nil || fmt.Sprint(got.parts) != fmt.Sprint(want) {
			t.Fatalf("got %v, %v, want %v", got, err, want)
		}
		if _, err := parseFetched(b[:rapid.IntRange(0, len(b)-1).Draw(t, "cut")], version); err == nil {
			t.Fatal("an answer that was cut short passes")
		}
		binary.BigEndian.PutUint32(b[rapid.IntRange(0, len(b)-4).Draw(t, "place"):], rapid.Uint32().Draw(t, "noise"))
		parseFetched(b, version)
	})
}
