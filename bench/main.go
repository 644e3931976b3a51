package main

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/signal"
	"path/filepath"
	"runtime/debug"
	"runtime/pprof"
	"slices"
	"strings"
	"syscall"
	"time"
)

// options of a run; children get them as JSON.
type options struct {
	Run     string        // which of the benchmarks
	Blocks  int           // of each subject
	Block   time.Duration // length of one
	AA      bool          // floor against floor
	Dir     string        // for data
	Weir    string        // the binary
	Kafka   string        // address of a real Kafka that runs already
	Session time.Duration // of the consumer group, where workers come and go
	// Heartbeat of it: a worker learns of another's leaving with its next one.
	Heartbeat time.Duration
	Minutes   float64 // of a soak
	Out       string  // folder for a soak's results
	Broker    string  // address, for children
	Profile   string  // file for a CPU profile of the child

	JSON bool
	Case *floorCase // what a floor child serves
}

func (o options) pairs() int { return max(o.Blocks, 1) }

func (o options) progress(format string, a ...any) { fmt.Fprintf(os.Stderr, format+"\n", a...) }

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:]); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string) error {
	if role, text, ok := childRole(args); ok {
		return child(ctx, role, text)
	}
	o, err := parse(args)
	if err != nil {
		return err
	}
	if err := pinSelf(); err != nil {
		return err
	}
	if o.wants("soak") {
		outlive()
	}
	if o.Dir, err = os.MkdirTemp("", "weir-bench-"); err != nil {
		return err
	}
	defer os.RemoveAll(o.Dir)
	if err := os.WriteFile(filepath.Join(o.Dir, "linear.onnx"), linearONNX(pixels, 10), 0o644); err != nil {
		return err
	}
	var results []Result
	emit := func(r Result) {
		results = append(results, r)
		o.progress("%s", r.line())
	}
	if err := o.all(ctx, emit); err != nil {
		return err
	}
	return o.print(os.Stdout, results)
}

func parse(args []string) (options, error) {
	var o options
	f := flag.NewFlagSet("bench", flag.ContinueOnError)
	f.StringVar(&o.Run, "run", "a,b,c,d", "which of the benchmarks, e.g. a,c; on a real Kafka: delivery, hops, partitions, takeover, soak")
	f.StringVar(&o.Kafka, "kafka", "", "HOST:PORT of a real Kafka that runs already; default: start one where it is needed")
	f.IntVar(&o.Blocks, "blocks", 10, "blocks of each subject")
	f.DurationVar(&o.Block, "block", 1500*time.Millisecond, "length of a block")
	f.BoolVar(&o.AA, "aa", false, "measure the floor against itself: the ratios must be 1 within their bounds")
	f.BoolVar(&o.JSON, "json", false, "print JSON")
	f.StringVar(&o.Weir, "weir", "bin/weir", "the binary to measure")
	f.DurationVar(&o.Session, "session", 6*time.Second, "the workers' --session, where they come and go")
	f.DurationVar(&o.Heartbeat, "heartbeat", 200*time.Millisecond, "and their --heartbeat")
	f.Float64Var(&o.Minutes, "minutes", 60, "how long a soak takes")
	f.StringVar(&o.Out, "out", filepath.Join(".weir", "soak-"+time.Now().Format("20060102-150405")), "folder for a soak's results")
	f.StringVar(&o.Profile, "profile", "", "write a CPU profile of a and b to this file")
	quick := f.Bool("quick", false, "few and short blocks: to see that it works, not to compare")
	if err := f.Parse(args); err != nil {
		return o, err
	}
	if *quick {
		o.Blocks, o.Block = 3, 500*time.Millisecond
	}
	return o, nil
}

func (o options) wants(name string) bool { return strings.Contains(","+o.Run+",", ","+name+",") }

func (o options) all(ctx context.Context, emit func(Result)) error {
	for _, name := range []string{"a", "b"} {
		if o.wants(name) {
			if err := o.local(ctx, name, emit); err != nil {
				return err
			}
		}
	}
	for _, set := range []struct {
		open    func(context.Context) (server, error)
		members []member
	}{
		{o.embedded, []member{{"c", (*cluster).throughput}, {"d", (*cluster).latency}}},
		{o.real, []member{{"delivery", (*cluster).delivery}, {"hops", (*cluster).hops}, {"partitions", (*cluster).partitions},
			{"takeover", func(c *cluster, ctx context.Context, _ func(Result)) error { return c.takeover(ctx, os.Stdout) }},
			{"soak", func(c *cluster, ctx context.Context, _ func(Result)) error { return c.soak(ctx, os.Stdout) }}}},
	} {
		members := slices.DeleteFunc(set.members, func(m member) bool { return !o.wants(m.name) })
		if err := o.on(ctx, set.open, members, emit); err != nil {
			return err
		}
	}
	return nil
}

// A member is a benchmark that needs a broker.
type member struct {
	name string
	run  func(*cluster, context.Context, func(Result)) error
}

// on runs benchmarks on one broker.
func (o options) on(ctx context.Context, open func(context.Context) (server, error), members []member, emit func(Result)) error {
	if len(members) == 0 {
		return nil
	}
	c, err := o.cluster(ctx, open)
	if err != nil {
		return err
	}
	defer c.close()
	for _, m := range members {
		if err := m.run(c, ctx, emit); err != nil {
			return fmt.Errorf("%s: %w", m.name, err)
		}
	}
	return nil
}

// child is what a process of the bench does that the bench started.
func child(ctx context.Context, role, text string) error {
	var o options
	if err := json.Unmarshal([]byte(text), &o); err != nil {
		return err
	}
	if o.Profile != "" {
		f, err := os.Create(o.Profile)
		if err != nil {
			return err
		}
		defer f.Close()
		if err := pprof.StartCPUProfile(f); err != nil {
			return err
		}
		defer pprof.StopCPUProfile()
	}
	if os.Getenv("GOGC") == "" {
		debug.SetGCPercent(400) // as `weir run` does
	}
	out := json.NewEncoder(os.Stdout)
	var fault error
	emit := func(r Result) { fault = firstOf(fault, out.Encode(r)) }
	switch role {
	case "a":
		return firstOf(o.decode(ctx, emit), fault)
	case "b":
		return firstOf(o.inProcess(ctx, emit), fault)
	case "floor":
		return o.Case.serve(ctx, o)
	}
	return fmt.Errorf("no role %q", role)
}
