package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"time"

	"github.com/spf13/cobra"

	"weir/cmd/weir/feed"
	"weir/connectors/kafka"
	"weir/schemas"
)

func publishCommand(a *app) *cobra.Command {
	var keyField string
	cmd := &cobra.Command{
		Use:   "publish TOPIC [FILE|-]",
		Short: "Publish the lines of a file, one record a line",
		Long: `Publishes each line of a file, or of standard input, as one record. Lines are sent as they are, so broken ones
reach the pipeline too, which rejects them. A gzipped file is unpacked. --key-field names a field whose value
becomes the record's key; records of one key keep their order.`,
		Example: `  weir publish fashion.queries queries.ndjson
  zcat day.ndjson.gz | weir publish fashion.queries --key-field user`,
		Args: between(1, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			in, err := a.lines(args[1:])
			if err != nil {
				return err
			}
			defer in.Close()
			return a.withClient(cmd.Context(), func(client *kafka.Client) error {
				n, err := publish(cmd.Context(), client, args[0], in, record{keyField}.message, newProgress(a.err))
				fmt.Fprintf(a.err, "stored in %s: %d\n", args[0], n)
				return err
			})
		},
	}
	cmd.Flags().StringVar(&keyField, "key-field", "", "field of the JSON object whose value becomes the record's key")
	a.brokerFlag(cmd)
	return cmd
}

// lines opens the file that the last argument names, standard input without one.
func (a *app) lines(args []string) (*feed.Lines, error) {
	if len(args) == 0 || args[0] == "-" {
		return feed.Read("standard input", a.in)
	}
	return feed.Open(args[0])
}

// publish sends what message makes of each line, and gives the number of records that are stored.
func publish(ctx context.Context, client *kafka.Client, topic string, in *feed.Lines,
	message func(line []byte) (schemas.Message, error), p *progress) (int64, error) {
	out, err := feed.NewPublisher(ctx, client, topic)
	if err != nil {
		return 0, err
	}
	err = func() error {
		for ctx.Err() == nil && in.Scan() {
			m, err := message(bytes.Clone(in.Bytes()))
			if err != nil {
				return fmt.Errorf("line %d: %w", in.Line(), err)
			}
			if err := out.Send(ctx, m); err != nil {
				return err
			}
			p.at(in.Line(), out.Acked())
		}
		return errors.Join(in.Err(), ctx.Err())
	}()
	err = errors.Join(err, out.Close())
	return out.Acked(), err
}

// record makes records of lines.
type record struct{ keyField string }

func (r record) message(line []byte) (schemas.Message, error) {
	m := schemas.Message{Value: line, Rows: 1}
	if r.keyField == "" {
		return m, nil
	}
	err := feed.Fields(line, func(name string, value json.RawMessage) {
		if name == r.keyField {
			m.Key = feed.Key(value)
		}
	})
	if err != nil {
		return m, fmt.Errorf("--key-field: %w", err)
	}
	if m.Key == nil {
		return m, fmt.Errorf("--key-field: the line has no field %q", r.keyField)
	}
	return m, nil
}

// progress tells of a long publishing, once a second.
type progress struct {
	w     io.Writer
	start time.Time
	next  time.Time
}

func newProgress(w io.Writer) *progress {
	now := time.Now()
	return &progress{w: w, start: now, next: now.Add(time.Second)}
}

func (p *progress) at(line int, acked int64) {
	now := time.Now()
	if now.Before(p.next) {
		return
	}
	p.next = now.Add(time.Second)
	fmt.Fprintf(p.w, "%d lines read, %d stored (%.0f/s)\n", line, acked, float64(acked)/now.Sub(p.start).Seconds())
}
