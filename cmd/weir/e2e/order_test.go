package e2e_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/twmb/franz-go/pkg/kgo"
	"golang.org/x/sync/errgroup"

	"weir/internal/ledger"
)

// inOrder is the line of a spec that keeps the predictions of a key in order.
const inOrder = "order: key"

// users ask all toy queries: some of each user's are for the heavy model, and all are in one partition.
const users = 7 * partitions

// userRecords are toy queries of users, a key each.
func userRecords(topic string, from, to int) (out []*kgo.Record) {
	for i := from; i < to; i++ {
		r := toyQuery(i).record(topic)
		r.Value = []byte(strings.Replace(toyQuery(i).json(), "{", fmt.Sprintf(`{"key":"user-%d",`, i%users), 1))
		out = append(out, r)
	}
	return out
}

// judgeOrder asks the ledger for disorder where the spec forbids it.
func (f *faultRun) judgeOrder(t *testing.T) {
	t.Helper()
	spec, err := os.ReadFile(f.spec)
	if err != nil {
		t.Fatal(err)
	}
	got := f.ledger.Disorder()
	if strings.Contains(string(spec), inOrder) && len(got) > 0 {
		t.Errorf("the ledger: %d answers are out of order, such as %s", len(got), got[0])
	}
	t.Logf("%d answers lie behind that of a later query of their key", len(got))
}

// Of a backlog, in which easy and hard queries of each user take turns, answers overtake each other, unless the
// spec says that they may not; nor do they then where a worker dies in the middle, and another goes on.
func TestOrder(t *testing.T) {
	const n = 12000
	for _, edits := range [][]string{{"format: json"}, {inOrder}} {
		t.Run(edits[0], func(t *testing.T) {
			everywhere(t, func(t *testing.T, c cluster) {
				p := c.toyPipe(t, edits...)
				books := ledger.New()
				for from := 0; from < n; from += 1000 {
					ctx, cancel := context.WithTimeout(t.Context(), patience)
					for _, res := range p.client(t).ProduceSync(ctx, userRecords(p.topic("queries"), from, from+1000)...) {
						if res.Err != nil {
							t.Fatal(res.Err)
						}
						books.Sent(string(res.Record.Key), ledger.Place{Partition: res.Record.Partition, Offset: res.Record.Offset})
					}
					cancel()
				}
				ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
				var reading errgroup.Group
				defer func() { cancel(); _ = reading.Wait() }()
				reader := p.client(t, kgo.ConsumeTopics(p.topic("predictions")), kgo.ConsumeResetOffset(kgo.NewOffset().AtStart()),
					kgo.KeepControlRecords(), kgo.FetchMaxWait(100*time.Millisecond))
				reading.Go(func() error { books.Follow(ctx, reader); return nil })
				w := p.begin(t, quick...)
				if err := books.Await(ctx, n/10); err != nil {
					t.Fatal(err)
				}
				w.kill(t)
				died := books.Answered()
				w = p.begin(t, quick...)
				if err := books.AwaitFirst(ctx, n); err != nil {
					t.Fatal(err)
				}
				if code, _ := w.stop(t); code != 0 {
					t.Errorf("exit code %d", code)
				}
				if err := books.AwaitRead(ctx, ends(t, p.client(t), p.topic("predictions"), partitions)); err != nil {
					t.Fatal(err)
				}
				if v := books.Verdict(nil); !v.Clean() {
					t.Errorf("the ledger: %s", v)
				}
				wrong := len(books.Disorder())
				t.Logf("died with %d of %d answered; %d answers are out of order", died, n, wrong)
				if (wrong > 0) == (edits[0] == inOrder) {
					t.Errorf("%d answers are out of order", wrong)
				}
				checkOrderAudit(t, p, edits[0] == inOrder, wrong)
			})
		})
	}
}

// checkOrderAudit compares what an audit says of order with the ledger, which found so many answers out of order.
// What was answered without order is audited as if it had been asked for.
func checkOrderAudit(t *testing.T, p pipe, ordered bool, wrong int) {
	t.Helper()
	got := run(t, command("audit", p.spec, "--broker", p.addr))
	if told := strings.Contains(strings.Join(strings.Fields(got.out), " "), "contradictory 0 out of order 0"); got.code != 0 || told != ordered {
		t.Errorf("weir audit: code %d, %s%s", got.code, got.out, got.err)
	}
	if ordered {
		return
	}
	spec, err := os.ReadFile(p.spec)
	if err != nil {
		t.Fatal(err)
	}
	writeFile(t, p.spec, string(spec)+inOrder+"\n")
	got = run(t, command("audit", p.spec, "--broker", p.addr))
	if got.code != 1 || !strings.Contains(got.err, fmt.Sprintf("audit: %d out of order", wrong)) || !strings.Contains(got.out, "behind that of a later query of its key") {
		t.Errorf("weir audit of what was answered without order: code %d, %s", got.code, got.err)
	}
}
