package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"weir/connectors/kafka"
	"weir/internal/loadgen"
	"weir/schemas"
)

const (
	// soakShare of the capacity is the load.
	soakShare = 0.5
	// soakRetention bounds the disk that a long run takes; soakAudited is what of it `weir audit` reads at the end, less
	// by the time that takes. The run's own account covers all.
	soakRetention = 15 * time.Minute
	soakAudited   = 10 * time.Minute
	// capacityTries are how often the capacity is measured; the best counts, as the first ones warm up.
	capacityTries = 3
)

// A soak is one worker under a steady load for a long time.
type soak struct {
	*cluster
	stage    *subject
	admin    string
	spec     string
	capacity float64
	account  *account
	samples  []sample
	out      string // folder of the results
}

// soak watches one worker for as long as asked and judges whether it stays as it was. What it measures is on disk
// at once, in o.Out.
func (c *cluster) soak(ctx context.Context, w io.Writer) error {
	s := &soak{cluster: c, out: c.Out}
	if err := os.MkdirAll(s.out, 0o755); err != nil {
		return err
	}
	c.progress("results: %s", s.out)
	imgs, err := images(2048)
	if err != nil {
		return err
	}
	records := base64Queries(imgs)
	if err := s.open(ctx); err != nil {
		return err
	}
	defer s.stage.stop()
	for range capacityTries {
		rate, err := c.flatOut(ctx, s.stage, records)
		if err != nil {
			return err
		}
		s.capacity = max(s.capacity, rate)
	}
	rate := soakShare * s.capacity
	c.progress("capacity %.0f queries/s; %.1f minutes at %.0f", s.capacity, c.Minutes, rate)
	s.account = newAccount(rate, time.Duration(c.Minutes*float64(time.Minute)))
	loaded := s.run(ctx, records)
	conclusion := s.conclude(ctx, loaded)
	text, err := s.report(conclusion)
	if err != nil {
		return err
	}
	_, err = io.WriteString(w, text) // the terminal may be gone: the folder has it
	return firstOf(loaded, conclusion.fault(), err)
}

// open makes the topics as a user does, and starts the worker.
func (s *soak) open(ctx context.Context) (err error) {
	name := fmt.Sprintf("soak%d", time.Now().UnixNano())
	m := models(s.Dir)["fashion"]
	m.Retention = soakRetention
	if s.spec, err = m.spec(s.Dir, name); err != nil {
		return err
	}
	if err := s.create(ctx, s.spec); err != nil {
		return err
	}
	s.stage = &subject{in: name + ".queries", out: name + ".predictions", partitions: partitions}
	if s.stage.process, err = start(subjectCore, s.Weir, "run", s.spec, "--broker", s.Broker, "--admin", "127.0.0.1:0"); err != nil {
		return err
	}
	said, err := s.stage.await(ctx, "msg=admin")
	if err == nil {
		_, s.admin, _ = strings.Cut(said, "addr=")
		_, err = s.stage.await(ctx, "msg=ready")
	}
	if err != nil {
		s.stage.stop()
	}
	return err
}

// run offers the load until it is over and answered, and samples meanwhile.
func (s *soak) run(ctx context.Context, records []Record) error {
	from, err := s.consume.Offsets(ctx, s.stage.out, kafka.Latest)
	if err != nil {
		return err
	}
	g, ctx := errgroup.WithContext(ctx)
	collecting, done := context.WithCancel(ctx)
	queues := s.queues(ctx, g, s.stage, window)
	s.account.start = time.Now().Add(10 * time.Millisecond)
	g.Go(func() error {
		return s.consume.Consume(collecting, s.stage.out, from, func(r schemas.Record) error {
			s.account.answered(r.Key, time.Now())
			return nil
		})
	})
	g.Go(func() error { return s.sample(collecting) })
	g.Go(func() error {
		defer done()
		if err := s.offer(ctx, queues, records); err != nil {
			return err
		}
		ctx, cancel := context.WithTimeout(ctx, drained)
		defer cancel()
		select {
		case <-s.account.complete:
		case <-ctx.Done(): // what is missing is in the account
		}
		return nil
	})
	err = g.Wait()
	if err == nil && ctx.Err() != nil && !s.account.all() {
		err = errors.New("broken off")
	}
	return err
}

func (s *soak) offer(ctx context.Context, queues []chan schemas.Message, records []Record) error {
	defer closeAll(queues)
	next := -1
	err := loadgen.Pace(ctx, s.account.start, func() time.Duration { next++; return s.account.due[next] }, len(s.account.due),
		func(i int, _ time.Time) error {
			select {
			case queues[i%partitions] <- schemas.Message{Key: strconv.AppendInt(nil, int64(i), 10), Value: records[i%len(records)].Value}:
				s.account.sent.Store(int64(i + 1))
				return nil
			case <-ctx.Done():
				return ctx.Err()
			}
		})
	if err == nil && ctx.Err() != nil {
		err = context.Cause(ctx)
	}
	return err
}

// audit asks `weir audit` about the last minutes; it stops the worker first, so that all is committed.
func (s *soak) audit(ctx context.Context) (said string, err error) {
	s.stage.stop()
	out, err := exec.CommandContext(ctx, s.Weir, "audit", s.spec, "--broker", s.Broker, "--from", "-"+soakAudited.String()).CombinedOutput()
	return strings.TrimSpace(string(out)), err
}

// results opens a file in the results' folder.
func (s *soak) results(name string, write func(io.Writer) error) (err error) {
	f, err := os.Create(filepath.Join(s.out, name))
	if err != nil {
		return err
	}
	defer func() { err = firstOf(err, f.Close()) }()
	return write(f)
}
