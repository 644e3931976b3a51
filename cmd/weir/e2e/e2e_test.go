// Package e2e_test runs the weir binary as its users do: processes, a broker, records in and records out.
//
//	test ── publishes, as any Kafka client would ──► weir broker ◄──► weir run, one or several
//	     ◄── consumes predictions ──────────────────┘
//
// With the race detector in the test the binary has it too, and a race in any process fails its test. With
// WEIR_TEST_KAFKA=host:port the essential tests run against that Kafka as well.
package e2e_test

import (
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"testing"
	"time"

	"go.uber.org/goleak"

	"weir/internal/racing"
	"weir/schemas"
)

// patience bounds every wait of these tests; none comes near it unless something is broken.
const patience = 60 * time.Second

// binary is the path of the weir under test. TestMain sets it, before any test runs.
var binary string

func TestMain(m *testing.M) {
	dir, err := os.MkdirTemp("", "weir-e2e-")
	if err == nil {
		binary = filepath.Join(dir, "weir")
		err = build(binary)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, "e2e:", err)
		os.Exit(1)
	}
	// Many tests wait for the session of a dead worker to end, which takes no core.
	flag.Parse()
	if p := flag.Lookup("test.parallel"); p.Value.String() == strconv.Itoa(runtime.GOMAXPROCS(0)) {
		p.Value.Set(strconv.Itoa(max(4, runtime.GOMAXPROCS(0))))
	}
	goleak.VerifyTestMain(m, goleak.Cleanup(func(code int) {
		os.RemoveAll(dir)
		// Only now: tests that use the packages in this process run side by side.
		if used := schemas.Allocator.InUse(); code == 0 && used != 0 {
			fmt.Fprintf(os.Stderr, "e2e: %d bytes are still allocated\n", used)
			code = 1
		}
		os.Exit(code)
	}))
}

func build(path string) error {
	args := []string{"build", "-o", path}
	if racing.Enabled() {
		args = append(args, "-race")
	}
	out, err := exec.Command("go", append(args, "weir/cmd/weir")...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("go build: %w\n%s", err, out)
	}
	return nil
}

// TestRealKafka says once whether the suite also runs against a real Kafka.
func TestRealKafka(t *testing.T) {
	if os.Getenv("WEIR_TEST_KAFKA") == "" {
		t.Skip("real Kafka: WEIR_TEST_KAFKA=host:port is not set (scripts/kafka start DIR prints it)")
	}
}

// eventually waits until a condition that nobody announces holds, such as what a metric says.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	deadline := time.After(patience)
	look := time.NewTicker(20 * time.Millisecond)
	defer look.Stop()
	for !holds() {
		select {
		case <-look.C:
		case <-deadline:
			t.Fatalf("not within %v: %s", patience, what)
		}
	}
}
