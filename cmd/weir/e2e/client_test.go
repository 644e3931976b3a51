package e2e_test

import "testing"

// A pipeline goes over from one client library to the other and back while queries come: each leaves the group as the
// other joins, and what one wrote the other finds. Then the last one is killed, and its heir stands on the other again.
func TestEitherClient(t *testing.T) {
	everywhere(t, func(t *testing.T, c cluster) {
		p := c.toyPipe(t)
		with := func(client string) worker { return p.work(t, append([]string{"--kafka-client", client}, quick...)...) }
		w, got := with("franz-go"), p.predictions(t)
		flow(t, p, got, func() {
			for _, client := range []string{"kafka-go", "franz-go"} {
				next := with(client)
				if code, _ := w.stop(t); code != 0 {
					t.Errorf("%s: exit code %d", w.name, code)
				}
				w = next
			}
			w.kill(t)
			w = with("kafka-go")
		})
		checkToys(t, got.all(t), flowQueries)
		wantNoDuplicates(t, got)
	})
}
