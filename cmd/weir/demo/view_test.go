package demo

import (
	"os"
	"strings"
	"testing"
	"time"

	"github.com/charmbracelet/lipgloss"
)

func scene() picture {
	accuracy := 0.9125
	l := Live{
		Totals: Totals{Published: 60210, Final: 60200, Duplicates: 0, Late: 12,
			ByStatus: map[string]int{"answered": 60140, "degraded": 60},
			ByModel:  map[string]int{"light": 37000, "heavy": 23200}},
		InFlight: 10, In: 501, Out: 499.6, P50: 1912 * time.Microsecond, P99: 6301 * time.Microsecond,
		Accuracy: &accuracy, MeanBatch: 1.42, Elapsed: 121 * time.Second,
	}
	p := picture{Title: "fashion", Place: "broker 127.0.0.1:43121 (its own) · 1 worker · 500/s asked", Live: l,
		Phase: "Ctrl-C ends with a summary"}
	for i := range 40 {
		p.P99s = append(p.P99s, time.Duration(1+i%9)*time.Millisecond)
	}
	return p
}

// The picture at two widths; testdata/view.txt is what a person sees without colours.
func TestDraw(t *testing.T) {
	got := draw(scene(), 80) + "\n\n" + draw(scene(), 44) + "\n"
	const file = "testdata/view.txt"
	if os.Getenv("REWRITE") != "" {
		if err := os.WriteFile(file, []byte(got), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Whatever the terminal's width and the state of the run, no line is wider than it.
func TestDrawFits(t *testing.T) {
	scenes := map[string]picture{"full": scene(), "empty": {Title: "fashion", Phase: "starting the broker"}}
	restarted := scene()
	restarted.Restarts = 3
	restarted.Live.ByModel["a model with a very long name indeed"] = 5
	scenes["restarted"] = restarted
	for name, p := range scenes {
		for width := minWidth; width < 130; width++ {
			for line := range strings.Lines(draw(p, width)) {
				if got := lipgloss.Width(strings.TrimRight(line, "\n")); got > width {
					t.Fatalf("%s at width %d: a line of %d: %q", name, width, got, line)
				}
			}
		}
	}
}

func TestOneLine(t *testing.T) {
	const want = "2:01  in 501/s  out 500/s  p50 1.91 ms  p99 6.30 ms  answered 99.9 %, degraded 0.1 %  " +
		"light 61.5 %, heavy 38.5 %  accuracy 91.2 %  batch 1.4  in flight 10"
	if got := oneLine(scene()); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	if got := oneLine(picture{Phase: "starting the broker"}); got != "starting the broker" {
		t.Errorf("before the first query: got %q", got)
	}
}

func TestFigures(t *testing.T) {
	for d, want := range map[time.Duration]string{
		0: "–", 1912 * time.Microsecond: "1.91 ms", 250 * time.Millisecond: "250 ms", 12 * time.Second: "12.0 s",
	} {
		if got := latency(d); got != want {
			t.Errorf("latency %v: got %s, want %s", d, got, want)
		}
	}
	for n, want := range map[int]string{0: "0", 999: "999", 1000: "1 000", 1234567: "1 234 567"} {
		if got := grouped(n); got != want {
			t.Errorf("grouped %d: got %s, want %s", n, got, want)
		}
	}
}
