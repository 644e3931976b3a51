package main

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/spf13/cobra"

	"weir/cmd/weir/feed"
	"weir/connectors/kafka"
	"weir/schemas"
)

func consumeCommand(a *app) *cobra.Command {
	var (
		from     string
		count    int
		untilEnd bool
		asJSON   bool
	)
	cmd := &cobra.Command{
		Use:   "consume TOPIC",
		Short: "Print the records of a topic",
		Long: `Prints the records of a topic, one a line: partition, offset, time, key and value, with tabs between. A batch
in Arrow is printed a line a row, as JSON. It joins no consumer group and commits nothing.

--from says where to begin, in every partition: earliest, latest (what comes from now on), an offset, or a
time ago such as -1h or -90s.`,
		Example: `  weir consume fashion.predictions                           # what comes from now on
  weir consume fashion.predictions --from -10m --json        # the last ten minutes, as JSON
  weir consume fashion.dead --from earliest --until-end      # everything there is, then end`,
		Args: between(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			start, err := parseFrom(from, time.Now())
			if err != nil {
				return err
			}
			if count < 0 {
				return usage("-n %d: want a number above 0", count)
			}
			return a.withClient(cmd.Context(), func(client *kafka.Client) error {
				return consume(cmd.Context(), client, args[0], start, untilEnd, count, newPrinter(a.out, asJSON))
			})
		},
	}
	cmd.Flags().StringVar(&from, "from", "latest", "where to begin: earliest, latest, OFFSET, or a time ago (-1h)")
	cmd.Flags().IntVarP(&count, "count", "n", 0, "end after this many lines; 0: without end")
	cmd.Flags().BoolVar(&untilEnd, "until-end", false, "end at what is the topic's end now")
	cmd.Flags().BoolVar(&asJSON, "json", false, "print one JSON object a line: partition, offset, time, key, value")
	a.brokerFlag(cmd)
	return cmd
}

// parseFrom reads --from; times are counted back from now.
func parseFrom(from string, now time.Time) (kafka.Start, error) {
	switch from {
	case "earliest":
		return kafka.Earliest, nil
	case "latest":
		return kafka.Latest, nil
	}
	if offset, err := strconv.ParseInt(from, 10, 64); err == nil && offset >= 0 {
		return kafka.Exactly(offset), nil
	}
	if ago, err := time.ParseDuration(from); err == nil && strings.HasPrefix(from, "-") {
		return kafka.At(now.Add(ago)), nil
	}
	return 0, usage("--from %q: want earliest, latest, an offset such as 1200, or a time ago such as -1h", from)
}

// errEnough ends a consumer that has seen what it was to see.
var errEnough = errors.New("enough")

// consume prints a topic from start on: until ctx ends, count lines are printed (0: no matter how many), or,
// with untilEnd, what is the end now is reached.
func consume(ctx context.Context, client *kafka.Client, topic string, start kafka.Start, untilEnd bool, count int, p *printer) error {
	from, err := client.Offsets(ctx, topic, start)
	if err != nil {
		return err
	}
	if untilEnd {
		err = consumeToEnd(ctx, client, topic, from, count, p)
	} else {
		err = client.Consume(ctx, topic, from, func(r schemas.Record) error { return p.print(r, count) })
	}
	if errors.Is(err, errEnough) {
		return nil
	}
	return err
}

// consumeToEnd prints one partition after the other up to what is its end now. That is an offset and no record:
// the last one may be a marker that no consumer sees.
func consumeToEnd(ctx context.Context, client *kafka.Client, topic string, from []int64, count int, p *printer) error {
	end, err := client.End(ctx, topic)
	if err != nil {
		return err
	}
	for i := range end {
		r := client.Reader(topic, int32(i), from[i], end[i])
		for more := true; more; {
			more, err = r.Next(ctx, func(rec *schemas.Record) error { return p.print(*rec, count) })
			if ctx.Err() != nil {
				return nil
			}
			if err != nil {
				return err
			}
		}
	}
	return nil
}

// printer writes records and counts the lines.
type printer struct {
	w     *bufio.Writer
	json  bool
	lines int
}

func newPrinter(w io.Writer, asJSON bool) *printer {
	return &printer{w: bufio.NewWriter(w), json: asJSON}
}

// print writes a record, and ends with errEnough once count lines are written.
func (p *printer) print(r schemas.Record, count int) error {
	values, err := feed.Values(r)
	if err != nil {
		return fmt.Errorf("partition %d, offset %d: %w", r.Partition, r.Offset, err)
	}
	for _, v := range values {
		if err := p.line(r, v); err != nil {
			return err
		}
		if p.lines++; p.lines == count {
			return errors.Join(p.w.Flush(), errEnough)
		}
	}
	return p.w.Flush()
}

func (p *printer) line(r schemas.Record, value json.RawMessage) error {
	stamp := r.Time.UTC().Format("2006-01-02T15:04:05.000Z")
	if !p.json {
		_, err := fmt.Fprintf(p.w, "%d\t%d\t%s\t%s\t%s\n", r.Partition, r.Offset, stamp, readable(r.Key), value)
		return err
	}
	var key any
	switch {
	case r.Key == nil:
	case utf8.Valid(r.Key):
		key = string(r.Key)
	default:
		key = map[string][]byte{"base64": r.Key}
	}
	e := json.NewEncoder(p.w)
	e.SetEscapeHTML(false)
	return e.Encode(struct {
		Partition int32           `json:"partition"`
		Offset    int64           `json:"offset"`
		Time      string          `json:"time"`
		Key       any             `json:"key"`
		Value     json.RawMessage `json:"value"`
	}{r.Partition, r.Offset, stamp, key, value})
}

// readable is a key for people: as it is where that is one line of text, "-" where there is none.
func readable(key []byte) string {
	if key == nil {
		return "-"
	}
	if !utf8.Valid(key) || bytes.ContainsFunc(key, func(r rune) bool { return !strconv.IsPrint(r) }) {
		return strconv.Quote(string(key))
	}
	return string(key)
}
