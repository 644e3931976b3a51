package drivertest_test

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"testing"
	"time"

	"go.uber.org/goleak"
	"pgregory.net/rapid"

	"weir/connectors/kafka/driver"
	"weir/connectors/kafka/driver/drivertest"
	"weir/connectors/kafka/driver/franz"
	"weir/connectors/kafka/driver/kafkago"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Each driver is the other's oracle: whichever stored a batch, both read the same bytes, and the same end.
func TestDriversAgree(t *testing.T) {
	addr := os.Getenv("WEIR_TEST_KAFKA")
	if addr == "" {
		addr = drivertest.Embedded(t)
	}
	drivers := make([]driver.Cluster, 2)
	for i, open := range []drivertest.Open{kafkago.New, franz.New} {
		c, err := open(driver.Options{Brokers: []string{addr}, ClientID: "oracle", DialTimeout: 3 * time.Second})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		drivers[i] = c
	}
	rapid.Check(t, func(rt *rapid.T) {
		ctx, cancel := context.WithTimeout(context.Background(), 30*time.Second)
		defer cancel()
		topic, leader := drivertest.NewTopic(t, drivers[0], 2)
		for range rapid.IntRange(1, 5).Draw(rt, "batches") {
			by := rapid.IntRange(0, 1).Draw(rt, "driver")
			var batches []driver.Batch
			for p := range int32(2) {
				values := rapid.SliceOfN(rapid.StringN(0, 300, 300), 1, 5).Draw(rt, "values")
				batches = append(batches, driver.Batch{Place: driver.Place{Topic: topic, Partition: p}, Raw: drivertest.Batch(values...)})
			}
			stored, err := drivers[by].Produce(ctx, leader, batches)
			if err != nil || len(stored) != 2 || stored[0].Err != nil || stored[1].Err != nil {
				rt.Fatalf("driver %d: stored %v, error %v", by, stored, err)
			}
		}
		for p := range int32(2) {
			q := driver.OffsetQuery{Topic: topic, Partitions: []int32{p}, Time: driver.End}
			f := driver.Fetch{Topic: topic, MaxBytes: int32(rapid.IntRange(1, 5000).Draw(rt, "bytes")), Committed: rapid.Bool().Draw(rt, "committed"),
				Partitions: []driver.FetchPartition{{Partition: p, From: int64(rapid.IntRange(0, 5).Draw(rt, "from")), MaxBytes: 1 << 20}}}
			var got [2][]byte
			var says [2]string
			for i, d := range drivers {
				fetched, err := d.Fetch(ctx, leader, f)
				ends, err2 := d.Offsets(ctx, leader, q)
				if err != nil || err2 != nil || len(fetched) != 1 {
					rt.Fatalf("driver %d: %v, errors %v, %v", i, fetched, err, err2)
				}
				got[i] = fetched[0].Batches
				says[i] = fmt.Sprint(fetched[0].Partition, fetched[0].Err, fetched[0].End, fetched[0].Aborted, ends)
			}
			if !bytes.Equal(got[0], got[1]) || says[0] != says[1] {
				rt.Fatalf("partition %d: the drivers read %d and %d bytes, and say %s and %s", p, len(got[0]), len(got[1]), says[0], says[1])
			}
		}
	})
}

// Members on different drivers are in one group, as in the minutes in which one takes the place of the other.
func TestDriversShareAGroup(t *testing.T) {
	addr := os.Getenv("WEIR_TEST_KAFKA")
	if addr == "" {
		addr = drivertest.Embedded(t)
	}
	drivertest.ShareAGroup(t, addr, kafkago.New, franz.New)
	drivertest.ShareAGroup(t, addr, franz.New, kafkago.New)
}
