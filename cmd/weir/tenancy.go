package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"

	"golang.org/x/sync/errgroup"

	"weir/cmd/weir/ownership"
	"weir/connectors/kafka"
	"weir/pipeline"
)

// anyTurn is --replace without a number.
const anyTurn = "any"

// readReplace reads what --replace says.
func (o *runOptions) readReplace(text string) error {
	switch text {
	case "":
	case anyTurn:
		o.replace = true
	default:
		n, err := strconv.Atoi(text)
		if err != nil || n < 1 {
			return usage("--replace=%s: want the number of a replacement, from 1, or none", text)
		}
		o.replace, o.turn = true, n
	}
	return nil
}

// A tenancy is the time of a process's units in their groups. They begin when no other version is in the way, and
// end all together: once one is replaced, the others that are replaced too drain, and the rest leave.
type tenancy struct {
	guard *ownership.Guard
	app   *app
	// staying ends when the first unit has left because it was replaced.
	staying context.Context
	end     context.CancelFunc
}

// openTenancy reads the pipeline's state and, with --replace, takes the units over.
func (a *app) openTenancy(ctx context.Context, spec *pipeline.Spec, o runOptions, parts []part, client *kafka.Client, adm *admin) (*tenancy, error) {
	log, err := ownership.Open(ctx, client, spec.Topics.State)
	if err != nil {
		return nil, err
	}
	t := &tenancy{app: a, guard: &ownership.Guard{
		Client: client, Log: log, Lacks: lacks(spec, parts), AcceptDuplicates: o.acceptDuplicates, Logger: a.log,
		Waits: func(u ownership.Unit, passes bool) {
			switch {
			case !passes:
				adm.unready("segment " + u.Segment)
			case adm.ready("segment " + u.Segment):
				a.log.Info("ready")
			}
		},
	}}
	t.staying, t.end = context.WithCancel(ctx)
	if !o.replace {
		return t, nil
	}
	claim := ownership.Claim{Lacks: t.guard.Lacks, Turn: o.turn}
	for _, p := range parts {
		claim.Units = append(claim.Units, p.owned(spec))
	}
	if err := t.guard.Replace(ctx, claim); err != nil {
		t.close()
		return nil, err
	}
	return t, nil
}

func (t *tenancy) close() error {
	t.end()
	return t.guard.Log.Close()
}

// owned is a part as the pipeline's state knows it.
func (p part) owned(spec *pipeline.Spec) ownership.Unit {
	return ownership.Unit{Segment: p.Name, Digest: p.digest, In: p.In, Next: p.Next, Group: p.Group, Place: segmentIndex(spec, p.Unit)}
}

// lacks says whether nobody reads the topic of a unit of an old layout: the spec has no such segment or lets it read
// another topic, or it is fused with one before it.
func lacks(spec *pipeline.Spec, parts []part) func(ownership.Unit) bool {
	return func(old ownership.Unit) bool {
		is := func(s pipeline.SegmentSpec) bool { return s.Name == old.Segment }
		if slices.IndexFunc(spec.Segments, is) <= 0 || spec.Topics.Next[old.Segment] != old.In {
			return old.Place > 0
		}
		return slices.ContainsFunc(parts, func(p part) bool { return slices.ContainsFunc(p.Segments[1:], is) })
	}
}

// run has a unit in its group until ctx ends, it is replaced, or the process goes because another unit was.
func (t *tenancy) run(ctx context.Context, me ownership.Unit, source *kafka.Source, open func(context.Context, pipeline.Partition) (pipeline.Owner, error)) error {
	if err := t.guard.Admit(t.staying, me); err != nil {
		if brokenOff(t.staying, err) {
			return nil
		}
		return err
	}
	running, leave := context.WithCancel(ctx)
	var watch errgroup.Group
	watch.Go(func() error {
		err := t.guard.Replaced(running, me)
		switch {
		case err == nil:
			t.end()
			leave()
		case running.Err() == nil:
			t.app.log.Error("cannot tell whether another version is to take over; this one stays", "segment", me.Segment, "error", err)
		}
		return nil
	})
	watch.Go(func() error {
		select {
		case <-t.staying.Done():
			if ctx.Err() != nil || !t.guard.OtherOwns(me) { // else it leaves when it has drained
				leave()
			}
		case <-running.Done():
		}
		return nil
	})
	err := source.Run(running, func(ctx context.Context, p pipeline.Partition) (pipeline.Owner, error) {
		if err := t.guard.Announce(ctx, me); err != nil {
			return nil, err
		}
		return open(ctx, p)
	})
	leave()
	if err == nil {
		return watch.Wait()
	}
	_ = watch.Wait() // it has no errors
	return fmt.Errorf("segment %s: %w", me.Segment, err)
}
