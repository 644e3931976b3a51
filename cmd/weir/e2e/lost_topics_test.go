package e2e_test

import (
	"context"
	"strings"
	"testing"

	"github.com/twmb/franz-go/pkg/kerr"
	"github.com/twmb/franz-go/pkg/kgo"
	"github.com/twmb/franz-go/pkg/kmsg"

	"weir/internal/ledger"
)

// deleteTopic deletes a topic with all that is in it.
func (c cluster) deleteTopic(t *testing.T, name string) {
	t.Helper()
	rt := kmsg.NewDeleteTopicsRequestTopic()
	rt.Topic = kmsg.StringPtr(name)
	req := kmsg.NewPtrDeleteTopicsRequest()
	req.TopicNames, req.Topics, req.TimeoutMillis = []string{name}, append(req.Topics, rt), 10_000
	res, err := req.RequestWith(t.Context(), c.client(t))
	if err == nil {
		err = kerr.ErrorForCode(res.Topics[0].ErrorCode)
	}
	if err != nil {
		t.Fatalf("delete %s: %v", name, err)
	}
}

// remake deletes one of the pipeline's topics, makes it anew and waits until the broker tells of the new one.
func (p pipe) remake(t *testing.T, use string) {
	t.Helper()
	client := p.client(t)
	id := func() (id [16]byte) {
		rt := kmsg.NewMetadataRequestTopic()
		rt.Topic = kmsg.StringPtr(p.topic(use))
		req := kmsg.NewPtrMetadataRequest()
		req.Topics = append(req.Topics, rt)
		res, err := req.RequestWith(t.Context(), client)
		if err != nil {
			t.Fatal(err)
		}
		return res.Topics[0].TopicID
	}
	old := id()
	p.deleteTopic(t, p.topic(use))
	p.create(t)
	eventually(t, p.topic(use)+" is another", func() bool { now := id(); return now != old && now != [16]byte{} })
}

// A topic is deleted and made anew while workers run. What was in it is gone; the pipeline goes on by itself, and
// every query that is asked from then on gets its one prediction, also after a crash.
func TestTopicMadeAnew(t *testing.T) {
	const before, after = 1500, 900 // fewer, so that offsets of the old topic lie beyond the new one's
	for use, kinds := range map[string][][]string{
		// Of two segments the second may still answer the old ones, at the same offsets as the new.
		"queries":     faultLayouts[0].kinds,
		"predictions": faultLayouts[1].kinds,
		"decisions":   faultLayouts[1].kinds,
	} {
		t.Run(use, func(t *testing.T) {
			everywhere(t, func(t *testing.T, c cluster) {
				p := c.toyPipe(t)
				var workers []worker
				for _, args := range kinds {
					workers = append(workers, p.work(t, append(args, quick...)...))
				}
				old := p.predictions(t)
				publish(t, p.client(t), toyRecords(p.topic("queries"), 0, before)...)
				old.await(t, before/2)

				p.remake(t, use)
				book, client := ledger.New(), p.client(t)
				p.follows(t, book)
				ask := func(from, to int) {
					for i := from; i < to; i += loadStep {
						for _, res := range client.ProduceSync(t.Context(), toyRecords(p.topic("queries"), i, i+loadStep)...) {
							if res.Err != nil {
								t.Fatal(res.Err)
							}
							book.Sent(string(res.Record.Key), ledger.Place{Partition: res.Record.Partition, Offset: res.Record.Offset})
						}
					}
				}
				all := func(n int) {
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					defer cancel()
					if err := book.AwaitFirst(ctx, n); err != nil {
						t.Fatal(err)
					}
				}
				ask(before, before+after/3)
				all(after / 3)
				ask(before+after/3, before+after*2/3)
				for i, w := range workers {
					w.kill(t)
					workers[i] = p.begin(t, append(kinds[i], quick...)...)
				}
				ask(before+after*2/3, before+after)
				all(after)
				for _, w := range workers {
					w.stop(t)
				}
				v := book.Verdict(nil)
				v.Unknown = nil // answers to what was asked before
				if !v.Clean() {
					t.Errorf("the ledger: %s", v)
				}
			})
		})
	}
}

// follows reads the pipeline's predictions, as they are now, into a ledger until the test's end.
func (p pipe) follows(t *testing.T, book *ledger.Ledger) {
	t.Helper()
	reader := p.client(t, kgo.ConsumeTopics(p.topic("predictions")), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()))
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() { defer close(done); book.Follow(ctx, reader) }()
	t.Cleanup(func() { cancel(); <-done })
}

// deleteGroup deletes a group without members, with what it has committed, as a broker does after a week without.
func (c cluster) deleteGroup(t *testing.T, group string) {
	t.Helper()
	req := kmsg.NewPtrDeleteGroupsRequest()
	req.Groups = []string{group}
	res, err := req.RequestWith(t.Context(), c.client(t))
	if err == nil {
		err = kerr.ErrorForCode(res.Groups[0].ErrorCode)
	}
	if err != nil {
		t.Fatalf("delete group %s: %v", group, err)
	}
}

// deleteBefore deletes a topic's records below an offset, as retention does.
func (c cluster) deleteBefore(t *testing.T, topic string, offset int64) {
	t.Helper()
	rt := kmsg.NewDeleteRecordsRequestTopic()
	rt.Topic = topic
	for p := range partitions {
		rp := kmsg.NewDeleteRecordsRequestTopicPartition()
		rp.Partition, rp.Offset = int32(p), offset
		rt.Partitions = append(rt.Partitions, rp)
	}
	req := kmsg.NewPtrDeleteRecordsRequest()
	req.Topics, req.TimeoutMillis = append(req.Topics, rt), 10_000
	for _, shard := range c.client(t).RequestSharded(t.Context(), req) {
		if shard.Err != nil {
			t.Fatalf("delete records of %s: %v", topic, shard.Err)
		}
	}
}

// A group that has forgotten where it stood repeats nothing: what the outputs hold tells it. Where that was deleted
// too, a worker says so and does not start, until the operator accepts what may be repeated.
func TestForgottenOffsets(t *testing.T) {
	everywhere(t, func(t *testing.T, c cluster) {
		const lot = 300
		p := c.toyPipe(t)
		client, group := p.client(t), p.group("light")
		got := p.predictions(t)
		forget := func(w worker) {
			p.awaitCommitted(t, group, p.topic("queries"), partitions)
			if code, _ := w.stop(t); code != 0 {
				t.Errorf("exit code %d", code)
			}
			c.deleteGroup(t, group)
		}
		w := p.work(t)
		publish(t, client, toyRecords(p.topic("queries"), 0, lot)...)
		got.await(t, lot)
		forget(w)
		w = p.work(t)
		publish(t, client, toyRecords(p.topic("queries"), lot, 2*lot)...)
		got.await(t, 2*lot)
		wantNoDuplicates(t, got)

		forget(w)
		c.deleteBefore(t, p.topic("predictions"), 10)
		refused := run(t, command("run", p.spec, "--broker", p.addr, "--admin", "127.0.0.1:0"))
		if refused.code == 0 || !strings.Contains(refused.err, "--accept-duplicates") || !strings.Contains(refused.err, p.topic("predictions")) {
			t.Errorf("exit code %d, want to be told what was lost and what to do: %s", refused.code, refused.err)
		}
		p.work(t, "--accept-duplicates")
		publish(t, client, toyRecords(p.topic("queries"), 2*lot, 3*lot)...)
		got.await(t, 3*lot)
	})
}
