package main

import (
	"context"
	"fmt"
	"math"
	"time"

	"weir/connectors/kafka"
	"weir/schemas"
)

func messages(records []Record) []schemas.Message {
	out := make([]schemas.Message, len(records))
	for i, r := range records {
		out[i] = r.Message
	}
	return out
}

// throughput is benchmark (c). A block publishes a backlog while the subject is frozen, lets it go, and ends
// with the last prediction that arrives. So the generator takes nothing of the broker's core while the clock
// runs, and the subject is what limits.
func (c *cluster) throughput(ctx context.Context, emit func(Result)) error {
	imgs, err := images(2048)
	if err != nil {
		return err
	}
	arrow, err := arrowQueries(imgs)
	if err != nil {
		return err
	}
	json := jsonQueries(imgs)
	for _, t := range []struct {
		model, form string
		records     []Record
		aim         float64
		full        bool
	}{
		{"linear", "Arrow", arrow, 0.70, false},
		{"linear", "JSON", json, 0.60, false},
		{"heavy", "Arrow", arrow, 0.95, false},
		{"heavy", "JSON", json, 0.95, false},
		{"linear", "Arrow", arrow, 0, true},
		{"linear", "JSON", json, 0, true},
	} {
		name := fmt.Sprintf("c broker, %s, %s in", t.model, t.form)
		if t.full {
			name += ", same outputs"
		}
		if err := c.race(ctx, models(c.Dir)[t.model], name, t.records, t.aim, t.full, emit); err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
	}
	return nil
}

// race measures ours and the floor on one kind of traffic.
func (c *cluster) race(ctx context.Context, m Model, name string, records []Record, aim float64, full bool, emit func(Result)) error {
	ours, floor, err := c.pair(ctx, m, name, records, full)
	if err != nil {
		return err
	}
	defer ours.stop()
	defer floor.stop()
	n, err := c.size(ctx, floor, ours, records)
	if err != nil {
		return err
	}
	wall := Result{Name: name, Unit: "queries/s", Aim: aim}
	cpu := Result{Name: name + ", per CPU", Unit: "queries/CPU s"}
	err = alternate(c.pairs(), func(mine bool) error {
		s, w, p := floor, &wall.Floor, &cpu.Floor
		if mine {
			s, w, p = ours, &wall.Ours, &cpu.Ours
		}
		b, err := c.backlog(ctx, s, records, n)
		*w, *p = append(*w, b.queries/b.took), append(*p, b.queries/b.cpu)
		return err
	})
	if err != nil {
		return err
	}
	wall.Ratio, cpu.Ratio = ratioOf(wall.Ours, wall.Floor), ratioOf(cpu.Ours, cpu.Floor)
	if math.IsInf(mean(cpu.Ours), 0) {
		emit(wall)
		return nil
	}
	wall.Note = fmt.Sprintf("core busy: ours %.0f %%, floor %.0f %%", 100*mean(wall.Ours)/mean(cpu.Ours), 100*mean(wall.Floor)/mean(cpu.Floor))
	emit(wall)
	emit(cpu)
	return nil
}

// pair starts both subjects; the floor with the batch size that suits it best.
func (c *cluster) pair(ctx context.Context, m Model, name string, records []Record, full bool) (ours, floor *subject, err error) {
	topic := fmt.Sprintf("t%d", time.Now().UnixNano()) // no two runs share topics
	best, fastest := 0, 0.0
	for _, rows := range []int{64, 256, 1024} {
		s, err := c.floor(ctx, m, fmt.Sprintf("%s-%d", topic, rows), rows, full)
		if err != nil {
			return nil, nil, err
		}
		n, err := c.size(ctx, s, s, records)
		var b block
		if err == nil {
			b, err = c.backlog(ctx, s, records, n)
		}
		s.stop()
		if err != nil {
			return nil, nil, err
		}
		rate := b.queries / b.cpu
		c.progress("%s: floor with batches of %d rows: %.0f queries/s, %.0f per CPU second", name, rows, b.queries/b.took, rate)
		if rate > fastest {
			best, fastest = rows, rate
		}
	}
	if floor, err = c.floor(ctx, m, topic+"-floor", best, full); err != nil {
		return nil, nil, err
	}
	if c.AA {
		ours, err = c.floor(ctx, m, topic+"-again", best, full)
	} else {
		ours, err = c.ours(ctx, m, topic)
	}
	if err != nil {
		floor.stop()
		return nil, nil, err
	}
	return ours, floor, nil
}

// size is how many queries fill a block of the floor's, by a first block that warms both subjects up.
func (c *cluster) size(ctx context.Context, floor, ours *subject, records []Record) (int, error) {
	n := 2000
	var b block
	var err error
	for range 2 {
		for _, s := range []*subject{ours, floor} {
			if b, err = c.backlog(ctx, s, records, n); err != nil {
				return 0, err
			}
		}
		n = max(int(b.queries/b.took*c.Block.Seconds()/2), 2000)
	}
	return 2 * n, nil
}

// block is what one block measured, in queries and seconds.
type block struct{ queries, took, cpu float64 }

// backlog publishes n queries to a frozen subject and times how long it takes for their predictions.
func (c *cluster) backlog(ctx context.Context, s *subject, records []Record, n int) (b block, err error) {
	ctx, cancel := context.WithTimeout(ctx, drained)
	defer cancel()
	from, err := c.consume.Offsets(ctx, s.out, kafka.Latest)
	if err != nil {
		return b, err
	}
	if err := s.freeze(); err != nil {
		return b, err
	}
	n, err = c.fill(ctx, s, records, n)
	if err != nil {
		return b, err
	}
	used, err := s.cpu()
	if err != nil {
		return b, err
	}
	began := time.Now()
	if err := s.thaw(); err != nil {
		return b, err
	}
	if err := c.collect(ctx, s, from, n, func([]byte, time.Time) {}); err != nil {
		return b, err
	}
	took := time.Since(began)
	total, err := s.cpu()
	return block{float64(n), took.Seconds(), (total - used).Seconds()}, err
}
