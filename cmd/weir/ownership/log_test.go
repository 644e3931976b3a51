package ownership

import (
	"context"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/connectors/broker"
	"weir/connectors/kafka"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// What one process writes another reads, whether it follows the topic or opens it afterwards.
func TestLog(t *testing.T) {
	b, err := broker.Open(broker.Options{Dir: t.TempDir(), Addr: "127.0.0.1:0"})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { b.Close() })
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	client, err := kafka.Dial(ctx, kafka.Options{Brokers: []string{b.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	if _, err := client.CreateTopics(ctx, []kafka.Topic{{Name: "p.state", Config: map[string]string{"cleanup.policy": "compact"}}}); err != nil {
		t.Fatal(err)
	}
	open := func() *Log {
		l, err := Open(ctx, client, "p.state")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() {
			if err := l.Close(); err != nil {
				t.Error(err)
			}
		})
		return l
	}
	one, two := open(), open()
	for _, digest := range []string{"a", "b"} {
		s, _ := one.now()
		if err := one.write(ctx, s.replace(Claim{Units: fused(digest), Lacks: nothing}, noon)...); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range []*Log{one, two, open()} {
		for {
			s, changed := l.now()
			if owners(s) == "light=b/2[a]" {
				break
			}
			select {
			case <-changed:
			case <-ctx.Done():
				t.Fatalf("the log says %q", owners(s))
			}
		}
	}
}
