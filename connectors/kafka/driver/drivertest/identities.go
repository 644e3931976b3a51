package drivertest

import (
	"context"
	"testing"

	"github.com/twmb/franz-go/pkg/kfake"
	"github.com/twmb/franz-go/pkg/kmsg"
	"github.com/twmb/franz-go/pkg/kversion"

	"weir/connectors/kafka/driver"
)

// identityCases are what the contract says of Identities.
func identityCases(t *testing.T, w *world) {
	t.Run("an epoch rises", func(t *testing.T) { epochsRise(t, w) })
	t.Run("a take-over fences", func(t *testing.T) { takeOverFences(t, w) })
	t.Run("histories of take-overs", func(t *testing.T) { fences(t, w) })
	t.Run("faults", func(t *testing.T) { identityFaults(t, w) })
	t.Run("a broker without identities", func(t *testing.T) { withoutIdentities(t, w) })
}

// identify raises a name's epoch once its coordinator answers, and its last transaction's markers are written.
func (c *cluster) identify(name string, is driver.Identity) (out driver.Identity) {
	c.t.Helper()
	err := settled(c.t, func(ctx context.Context) (err error) {
		out, err = c.Identify(ctx, name, 5000, is)
		return err
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

// mark commits an empty transaction over some places.
func (c *cluster) mark(name string, is driver.Identity, places ...driver.Place) {
	c.t.Helper()
	err := settled(c.t, func(ctx context.Context) error { return c.AddPartitions(ctx, name, is, places) })
	if err == nil {
		err = settled(c.t, func(ctx context.Context) error { return c.EndTransaction(ctx, name, is) })
	}
	if err != nil {
		c.t.Fatal(err)
	}
}

func epochsRise(t *testing.T, w *world) {
	c := w.dial(t)
	name := unique(t)
	first := c.identify(name, driver.NoIdentity())
	if first.ID < 0 || first.Epoch < 0 {
		t.Fatalf("a new name's identity is %v", first)
	}
	second := c.identify(name, driver.NoIdentity())
	third := c.identify(name, second)
	equal(t, "identities", []driver.Identity{second, third}, []driver.Identity{{ID: first.ID, Epoch: first.Epoch + 1}, {ID: first.ID, Epoch: first.Epoch + 2}})
	if other := c.identify(unique(t), driver.NoIdentity()); other.ID == first.ID {
		t.Errorf("two names have the id %d", other.ID)
	}
	_, err := c.Identify(testContext(t), name, 5000, first)
	if err == nil && w.differs(t, "who believes in an older identity gets a new epoch all the same") {
		return
	}
	coded(t, "an identity of two epochs ago", err, driver.InvalidProducerEpoch, driver.ProducerFenced)
}

// After a take-over the older writer is refused where nobody has written since, and a consumer sees nothing of it.
func takeOverFences(t *testing.T, w *world) {
	c := w.dial(t)
	topic := c.topic(2)
	name := unique(t)
	old := c.identify(name, driver.NoIdentity())
	must[int64](t)(c.write(topic, 0, encode(batch{values: []string{"old"}, is: &old})))

	believed := c.identify(name, driver.NoIdentity())
	_, err := c.write(topic, 0, encode(batch{values: []string{"too early"}, is: &old, sequence: 1}))
	want := []string{"old"}
	if err != nil {
		coded(t, "the older writer before the marker", err, refused...)
		w.differs(t, "an epoch is refused before the partition has seen the newer one")
	} else {
		want = append(want, "too early")
	}
	c.mark(name, believed, driver.Place{Topic: topic, Partition: 0}, driver.Place{Topic: topic, Partition: 1})
	fresh := c.identify(name, believed)
	if fresh.ID != old.ID || fresh.Epoch <= believed.Epoch {
		t.Errorf("identity after the take-over: %v, want a later epoch than %v", fresh, believed)
	}
	for p := range int32(2) {
		_, err := c.write(topic, p, encode(batch{values: []string{"late"}, is: &old, sequence: 2 * (1 - p)}))
		coded(t, "the older writer", err, refused...)
		equal(t, "the marker's place", c.end(topic, p), int64(len(want))*int64(1-p)+1)
	}
	must[int64](t)(c.write(topic, 0, encode(batch{values: []string{"new"}, is: &fresh})))
	equal(t, "records", values(t, c.read(topic, true).Batches), append(want, "new"))
}

// refused are the codes with which a broker keeps an old epoch out of a partition.
var refused = []driver.Code{driver.InvalidProducerEpoch, driver.ProducerFenced, driver.InvalidTransactionState}

func identityFaults(t *testing.T, w *world) {
	c := w.dial(t)
	topic := c.topic(1)
	name := unique(t)
	old := c.identify(name, driver.NoIdentity())
	is := c.identify(name, driver.NoIdentity())
	places := []driver.Place{{Topic: topic, Partition: 0}, {Topic: topic, Partition: 5}, {Topic: unique(t) + ".none", Partition: 0}}
	coded(t, "partitions that do not exist", settled(t, func(ctx context.Context) error { return c.AddPartitions(ctx, name, is, places) }),
		driver.UnknownTopicOrPartition)
	coded(t, "an old epoch's partitions", settled(t, func(ctx context.Context) error { return c.AddPartitions(ctx, name, old, places[:1]) }),
		driver.InvalidProducerEpoch, driver.ProducerFenced)
	coded(t, "an old epoch's end", settled(t, func(ctx context.Context) error { return c.EndTransaction(ctx, name, old) }),
		driver.InvalidProducerEpoch, driver.ProducerFenced)
}

// A broker that does not list a request is told by a Code, as no waiting will help.
func withoutIdentities(t *testing.T, w *world) {
	versions := kversion.V2_8_0()
	versions.SetMaxKeyVersion(int16(kmsg.InitProducerID), -1)
	fake, err := kfake.NewCluster(kfake.NumBrokers(1), kfake.MaxVersions(versions))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(fake.Close)
	c := (&world{open: w.open, addr: fake.ListenAddrs()[0]}).dial(t)
	_, err = c.Identify(testContext(t), unique(t), 5000, driver.NoIdentity())
	coded(t, "a broker without InitProducerID", err, driver.UnsupportedVersion)
}
