package demo

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"weir/cmd/weir/feed"
	"weir/connectors/kafka"
	"weir/internal/loadgen"
	"weir/schemas"
)

// patience is how long after the last query a prediction may still come, by the contract.
const patience = 10 * time.Second

// perform starts broker and workers, lets the traffic run, and ends everything in the reverse order. soft
// ends the traffic, hard everything at once.
func (r *run) perform(hard, soft context.Context) (err error) {
	starting, cancel := either(hard, soft)
	defer cancel()
	brokers := r.Brokers
	if len(brokers) == 0 {
		r.say("starting the broker")
		addr, err := r.fleet.startBroker(starting)
		defer func() { err = errors.Join(err, r.fleet.stopBroker()) }()
		if err != nil {
			return err
		}
		brokers = []string{addr}
	}
	r.locate(brokers)
	client, err := kafka.Dial(starting, kafka.Options{
		Brokers: brokers, ClientID: "weir-demo", Events: kafka.Events{Retry: feed.Retries(r.screen.log())},
	})
	if err != nil {
		return err
	}
	r.client = client
	defer func() { err = errors.Join(err, client.Close()) }()
	if _, err := client.CreateTopics(starting, r.Topics); err != nil {
		return err
	}
	worker := []string{"run", r.SpecFile, "--broker", strings.Join(brokers, ",")}
	r.say(fmt.Sprintf("starting %s", plural(r.Workers, "worker")))
	defer func() { err = errors.Join(err, r.fleet.stopWorkers()) }()
	if err := r.fleet.startWorkers(starting, r.Workers, worker); err != nil {
		return err
	}
	return r.traffic(hard, soft, worker)
}

// traffic publishes and consumes until all is answered or given up. The workers are stopped while the
// consumer still reads: draining they may answer once more what they had answered before, and such a
// duplicate is to be counted.
func (r *run) traffic(ctx, soft context.Context, worker []string) error {
	from, err := r.client.End(ctx, r.Spec.Topics.Predictions)
	if err != nil {
		return err
	}
	telling, giveUp := context.WithCancel(ctx)
	defer giveUp()
	feedback, err := feed.NewPublisher(telling, r.client, r.Spec.Topics.Feedback)
	if err != nil {
		return err
	}
	side, ctx := errgroup.WithContext(ctx)
	reading, endReading := context.WithCancel(ctx)
	defer endReading()
	seen := newPositions(from)
	side.Go(func() error {
		return r.client.Consume(reading, r.Spec.Topics.Predictions, from, func(rec schemas.Record) error {
			defer seen.saw(rec)
			return r.take(telling, rec, feedback)
		})
	})
	watching, endWatching := context.WithCancel(ctx)
	defer endWatching()
	watched := make(chan struct{})
	side.Go(func() error {
		defer close(watched)
		return r.keepWorkers(watching, worker)
	})

	err = r.exchange(ctx, soft)
	endWatching()
	<-watched
	r.say("stopping the workers")
	err = errors.Join(err, r.fleet.stopWorkers(), r.catchUp(ctx, seen))
	endReading()
	// What ended the side ended the rest too, and is the error to tell.
	if first := side.Wait(); first != nil {
		giveUp()
		return errors.Join(first, ignoreCanceled(feedback.Close()))
	}
	return errors.Join(err, closeWithin(patience, feedback, giveUp))
}

// closeWithin waits until everything that was sent is stored, but not longer than until patience ends: a
// broker that is gone is tried again without end.
func closeWithin(patience time.Duration, p *feed.Publisher, giveUp context.CancelFunc) error {
	defer time.AfterFunc(patience, giveUp).Stop()
	return p.Close()
}

// ignoreCanceled drops the error of what was given up on purpose.
func ignoreCanceled(err error) error {
	if errors.Is(err, context.Canceled) {
		return nil
	}
	return err
}

// keepWorkers restarts workers that die, and kills one where that is asked for.
func (r *run) keepWorkers(ctx context.Context, worker []string) error {
	g, ctx := errgroup.WithContext(ctx)
	g.Go(func() error { return r.fleet.watch(ctx, worker) })
	if r.KillAfter > 0 && r.Workers > 0 {
		g.Go(func() error {
			select {
			case <-time.After(r.KillAfter):
				return r.fleet.kill(0)
			case <-ctx.Done():
				return nil
			}
		})
	}
	return g.Wait()
}

// exchange publishes by the schedule and waits for the answers.
func (r *run) exchange(ctx, soft context.Context) error {
	publishing, cancel := either(ctx, soft)
	defer cancel()
	storing, giveUp := context.WithCancel(ctx)
	defer giveUp()
	out, err := feed.NewPublisher(storing, r.client, r.Spec.Topics.Queries)
	if err != nil {
		return err
	}
	r.say("Ctrl-C ends with a summary")
	schedule := loadgen.NewPoisson(r.Rate, r.Seed)
	err = loadgen.Pace(publishing, time.Now(), schedule.Next, r.Queries, func(_ int, intended time.Time) error {
		n := r.books.Sent(intended)
		row := r.books.Row(n)
		return out.Send(storing, schemas.Message{Key: row.Key, Value: row.With(r.books.ID(n)), Rows: 1, Headers: jsonHeader()})
	})
	r.say("waiting for the last answers")
	err = errors.Join(err, closeWithin(patience, out, giveUp))
	select {
	case <-r.books.Stop():
	case <-time.After(patience):
	case <-ctx.Done():
	}
	r.books.Freeze()
	return err
}

// take counts the predictions of a record and tells the truth about them.
func (r *run) take(ctx context.Context, rec schemas.Record, feedback *feed.Publisher) error {
	values, err := feed.Values(rec)
	if err != nil {
		r.screen.log().Warn("a prediction cannot be read", "partition", rec.Partition, "offset", rec.Offset, "error", err)
		return nil
	}
	for _, v := range values {
		p, err := ParsePrediction(v)
		if err != nil {
			r.screen.log().Warn("a prediction cannot be read", "partition", rec.Partition, "offset", rec.Offset, "error", err)
			continue
		}
		n, first := r.books.Final(p, time.Now())
		truth := r.books.Row(n).Label
		if !first || truth == nil {
			continue
		}
		m := schemas.Message{Key: []byte(p.QueryID), Value: Feedback(p, truth), Rows: 1, Headers: jsonHeader()}
		if err := feedback.Send(ctx, m); err != nil {
			return err
		}
	}
	return nil
}

func jsonHeader() []schemas.Header {
	return []schemas.Header{{Key: schemas.ContentType, Value: []byte(schemas.JSON)}}
}

// catchUp waits until the predictions are read to their end. Markers at the end of a partition are no
// records and never seen, so it does not wait for long.
func (r *run) catchUp(ctx context.Context, seen *positions) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	end, err := r.client.End(ctx, r.Spec.Topics.Predictions)
	if err != nil {
		return err
	}
	select {
	case <-seen.reach(end):
	case <-time.After(time.Second):
	case <-ctx.Done():
	}
	return nil
}

// either gives a context that ends with the first of two.
func either(a, b context.Context) (context.Context, context.CancelFunc) {
	ctx, cancel := context.WithCancel(a)
	stop := context.AfterFunc(b, cancel)
	return ctx, func() { stop(); cancel() }
}

func plural(n int, what string) string {
	if n == 1 {
		return "1 " + what
	}
	return fmt.Sprintf("%d %ss", n, what)
}
