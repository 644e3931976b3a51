package drivertest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	"weir/connectors/kafka/driver"
)

// The codes by which a group refuses a commit.
const (
	illegalGeneration driver.Code = 22
	unknownMember     driver.Code = 25
)

// placeCases are what the contract says of Committed and Commit.
func placeCases(t *testing.T, w *world) {
	t.Run("without members", func(t *testing.T) { commitsWithoutMembers(t, w) })
	t.Run("of a member", func(t *testing.T) { commitsOfMembers(t, w) })
	t.Run("members", func(t *testing.T) { countsMembers(t, w) })
}

// committed returns a group's places once its coordinator answers.
func (c *cluster) committed(group, topic string, partitions ...int32) (out map[int32]driver.Committed) {
	c.t.Helper()
	err := settled(c.t, func(ctx context.Context) (err error) {
		out, err = c.Committed(ctx, group, topic, partitions)
		return err
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

// commit commits once the coordinator answers. Coordinators that are busy say so by partition.
func (c *cluster) commit(commit driver.Commit) (out map[int32]error) {
	c.t.Helper()
	err := settled(c.t, func(ctx context.Context) (err error) {
		out, err = c.Commit(ctx, commit)
		for _, fault := range out {
			if code, ok := fault.(driver.Code); ok && code >= 14 && code <= 16 {
				return code
			}
		}
		return err
	})
	if err != nil {
		c.t.Fatal(err)
	}
	return out
}

func commitsWithoutMembers(t *testing.T, w *world) {
	c := w.dial(t)
	topic, group := c.topic(3), unique(t)
	none, err := c.Committed(testContext(t), group, topic, []int32{0, 1, 2})
	if errors.Is(err, driver.GroupIDNotFound) {
		w.differs(t, "a group that never was is told by a Code")
	}
	if !w.embedded {
		none = c.committed(group, topic, 0, 1, 2)
	}
	equal(t, "places of a group that never was", none, "map[]")
	want := map[int32]driver.Committed{0: {Offset: 7, Metadata: strings.Repeat("0123456789abcde\n", 200)}, 2: {Offset: 0, Metadata: ""}, 1: {Offset: 1 << 40, Metadata: "\x00ü…"}}
	commit := driver.Commit{Group: group, Topic: topic, Generation: -1, Places: map[int32]driver.Committed{0: want[0], 2: want[2]}}
	equal(t, "answer", c.commit(commit), "map[0:<nil> 2:<nil>]")
	equal(t, "places", c.committed(group, topic, 0, 1, 2), map[int32]driver.Committed{0: want[0], 2: want[2]})
	commit.Places = map[int32]driver.Committed{1: want[1]}
	c.commit(commit)
	equal(t, "places", c.committed(group, topic, 0, 1, 2), want)
	equal(t, "one place", c.committed(group, topic, 2), map[int32]driver.Committed{2: want[2]})
	equal(t, "places in another topic", c.committed(group, c.topic(1), 0), "map[]")

	commit.Places = map[int32]driver.Committed{0: {Offset: 1, Metadata: strings.Repeat("x", 5000)}, 1: {Offset: 2}}
	got := c.commit(commit)
	const metadataTooLarge = 12
	if got[0] == nil && w.differs(t, "a commit's metadata has no bound") {
		return
	}
	coded(t, "metadata of 5000 bytes", got[0], metadataTooLarge)
}

// A group that has members takes commits of its newest generation alone.
func commitsOfMembers(t *testing.T, w *world) {
	c := w.dial(t)
	topic, name := c.topic(2), unique(t)
	m := c.join(name, topic)
	gen := m.next()
	places := map[int32]driver.Committed{0: {Offset: 3, Metadata: "a"}, 1: {Offset: 4, Metadata: "b"}}
	of := func(generation int32, member string) map[int32]error {
		return c.commit(driver.Commit{Group: name, Topic: topic, Generation: generation, Member: member, Places: places})
	}
	equal(t, "answer to a member", of(gen.ID, gen.Member), "map[0:<nil> 1:<nil>]")
	equal(t, "places", c.committed(name, topic, 0, 1), places)
	places = map[int32]driver.Committed{0: {Offset: 5}, 1: {Offset: 6}}
	for what, got := range map[string]map[int32]error{
		"an old generation": of(gen.ID-1, gen.Member), "another member": of(gen.ID, "somebody"), "nobody": of(-1, "")} {
		equal(t, "answers to "+what, len(got), 2)
		for _, err := range got {
			coded(t, what, err, illegalGeneration, unknownMember)
		}
	}
	equal(t, "places", c.committed(name, topic, 0, 1), "map[0:{3 a} 1:{4 b}]")
	gen.Release()
	m.leave()
}

// A group's members are counted, and their protocol is known once they agree on it.
func countsMembers(t *testing.T, w *world) {
	c := w.dial(t)
	topic, group := c.topic(1), unique(t)
	count := func() (out string) {
		err := settled(t, func(ctx context.Context) error {
			n, protocol, err := c.Members(ctx, group)
			out = fmt.Sprint(n, " ", protocol)
			return err
		})
		if err != nil && !errors.Is(err, driver.GroupIDNotFound) {
			t.Fatal(err)
		}
		return out
	}
	equal(t, "a group that never was", count(), "0 ")
	m := c.join(group, topic)
	gen := m.next()
	equal(t, "a group of one", count(), "1 drivertest")
	other := c.join(group, topic)
	coming := other.coming()
	receive(t, "end of the generation", gen.Over)
	equal(t, "its protocol while another joins", strings.Fields(count())[1:], "[]")
	gen.Release()
	gen = m.next()
	two := receive(t, "generation", coming)
	equal(t, "a group of two", count(), "2 drivertest")
	gen.Release()
	two.Release()
	m.leave()
	other.leave()
	equal(t, "a group that was left", strings.Fields(count())[0], "0")
}
