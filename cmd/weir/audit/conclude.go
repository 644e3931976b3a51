package audit

import (
	"cmp"
	"context"
	"slices"

	"github.com/apache/arrow/go/v17/arrow/array"

	"weir/schemas"
)

// conclude says what is wrong in a window of which everything was read.
func (p *partition) conclude(ctx context.Context) error {
	if err := p.discard(); err != nil {
		return err
	}
	open := slices.DeleteFunc(slices.Clone(p.chunks), func(c *chunk) bool { return c.first == nil || c.open == 0 })
	if len(open) > 0 {
		if err := p.waiting(ctx); err != nil {
			return err
		}
	}
	for _, c := range open {
		if err := p.missing(ctx, c); err != nil {
			return err
		}
	}
	all := make([]key, 0, len(p.suspects))
	for k := range p.suspects {
		all = append(all, k)
	}
	slices.SortFunc(all, func(a, b key) int { return cmp.Or(cmp.Compare(a.Offset, b.Offset), cmp.Compare(a.Row, b.Row)) })
	for some := range slices.Chunk(all, judgedRows) {
		if err := p.judge(ctx, some); err != nil {
			return err
		}
	}
	return nil
}

// waiting marks the rows that lie in topics between segments, above what their readers have committed.
func (p *partition) waiting(ctx context.Context) error {
	for _, b := range p.snapshot.next {
		rows := schemas.NewRows(schemas.RowsOptions{Topic: b.Topic})
		for i := range int32(b.Spread) {
			at := p.id*int32(b.Spread) + i
			if int(at) >= len(b.end) {
				continue
			}
			r := p.Client.Reader(b.Topic, at, max(b.committed[at], 0), b.end[at])
			for more := true; more; {
				var err error
				if more, err = r.Next(ctx, func(rec *schemas.Record) error {
					rows.Append(*rec)
					return p.wait(rows)
				}); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// wait marks the rows of what was decoded as pending.
func (p *partition) wait(rows *schemas.Rows) error {
	rec := rows.Flush()
	if rec == nil {
		return nil
	}
	defer rec.Release()
	offsets, err := schemas.Column[*array.Int64](rec, schemas.Offset)
	if err != nil {
		return err
	}
	row, err := schemas.Column[*array.Int32](rec, schemas.Row)
	if err != nil {
		return err
	}
	for i := range offsets.Len() {
		if c := find(p.chunks, offsets.Value(i)); c != nil && c.first != nil {
			if m := c.at(key{Offset: offsets.Value(i), Row: row.Value(i)}); m != nil {
				*m |= pending
			}
		}
	}
	return nil
}

// missing tells the rows of a chunk that have no prediction, and are lost or pending.
func (p *partition) missing(ctx context.Context, c *chunk) error {
	lost := map[int64][]int32{} // to be told; bounded by what is told
	first, last := int64(-1), int64(-1)
	told := p.told[Lost]
	c.each(func(k key, m mark) {
		switch {
		case m&predicted != 0:
		case m&pending != 0, k.Offset >= p.snapshot.committed[p.id]:
			p.report.Pending++
		default:
			p.report.Findings[Lost]++
			if !p.All && told >= Listed {
				return
			}
			told++
			lost[k.Offset] = append(lost[k.Offset], k.Row)
			if first < 0 {
				first = k.Offset
			}
			last = k.Offset
		}
	})
	if len(lost) == 0 {
		return nil
	}
	r := p.Client.Reader(p.Queries, p.id, first, last+1)
	for {
		more, err := r.Next(ctx, func(rec *schemas.Record) error {
			if rows := lost[rec.Offset]; rows != nil {
				return p.tellLost(rec, rows)
			}
			return nil
		})
		if err != nil || !more {
			return err
		}
	}
}

// tellLost tells of rows of a record by their ids.
func (p *partition) tellLost(r *schemas.Record, rows []int32) error {
	p.decoder.Append(*r)
	rec := p.decoder.Flush()
	if rec == nil {
		return nil
	}
	defer rec.Release()
	ids, err := schemas.Column[*array.String](rec, schemas.QueryID)
	if err != nil {
		return err
	}
	for _, row := range rows {
		id := string([]byte(ids.Value(int(row)))) // Arrow's memory is used again
		if err := p.tell(Finding{Kind: Lost, QueryID: id, Partition: p.id, Offset: r.Offset, Row: row}); err != nil {
			return err
		}
	}
	return nil
}
