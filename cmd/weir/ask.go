package main

import (
	"context"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"weir/cmd/weir/feed"
	"weir/connectors/kafka"
	"weir/pipeline"
	"weir/schemas"
)

func askCommand(a *app) *cobra.Command {
	var timeout time.Duration
	cmd := &cobra.Command{
		Use:   "ask SPEC QUERY|@FILE|-",
		Short: "Publish one query, wait for its answer, print it",
		Long: `Publishes one query, waits for its prediction and prints that as one line of JSON. The query is a JSON object
with the columns of the spec's schema; @FILE reads it from a file, - from standard input. A query without
query_id gets a random one. A worker must be running somewhere (weir run SPEC).`,
		Example: `  weir ask fashion.yaml '{"pixels": [0, 12, …]}'
  weir ask fashion.yaml @query.json --timeout 2s | jq .label`,
		Args: between(2, 2),
		RunE: func(cmd *cobra.Command, args []string) error {
			if timeout <= 0 {
				return usage("--timeout %v: want a time above 0", timeout)
			}
			spec, err := clientSpec(args[0])
			if err != nil {
				return err
			}
			text, err := a.queryText(args[1])
			if err != nil {
				return err
			}
			q, err := newQuestion(text)
			if err != nil {
				return usage("the query is %w", err)
			}
			return a.withClient(cmd.Context(), func(client *kafka.Client) error {
				answer, err := ask(cmd.Context(), client, spec, q, timeout)
				if err == nil {
					_, err = fmt.Fprintf(a.out, "%s\n", answer)
				}
				return err
			})
		},
	}
	cmd.Flags().DurationVar(&timeout, "timeout", 10*time.Second, "how long to wait for the answer")
	a.brokerFlag(cmd)
	return cmd
}

// queryText is the query that an argument gives, names or stands for.
func (a *app) queryText(arg string) ([]byte, error) {
	if file, ok := strings.CutPrefix(arg, "@"); ok {
		return os.ReadFile(file)
	}
	if arg == "-" {
		return io.ReadAll(a.in)
	}
	return []byte(arg), nil
}

// A question is a query that has an id.
type question struct {
	id      string
	message schemas.Message
}

// newQuestion reads a query and gives it an id where it has none, or an empty one.
func newQuestion(text []byte) (question, error) {
	q := question{message: schemas.Message{
		Value: text, Rows: 1,
		Headers: []schemas.Header{{Key: schemas.ContentType, Value: []byte(schemas.JSON)}},
	}}
	body := []byte("{")
	err := feed.Fields(text, func(name string, value json.RawMessage) {
		switch name {
		case "query_id":
			if q.id = feed.Text(value); q.id == "" {
				return // a second query_id beside it would make the query undecodable
			}
		case "key":
			q.message.Key = feed.Key(value)
		}
		body = feed.AppendField(body, name, value)
	})
	if err != nil || q.id != "" {
		return q, err
	}
	q.id = "ask-" + strings.ToLower(rand.Text()[:12])
	q.message.Value = append(feed.AppendField(body, "query_id", json.RawMessage(`"`+q.id+`"`)), '}')
	return q, nil
}

// ask publishes a query and waits for its prediction. It reads from the predictions' ends as they were before
// the query was published, so no answer is too fast for it. It knows its answer by the query's place, as one
// that cannot be decoded has no id.
func ask(ctx context.Context, client *kafka.Client, spec *pipeline.Spec, q question, timeout time.Duration) (answer json.RawMessage, err error) {
	silent := fmt.Errorf("no answer to query %s within %v; is a worker running? (weir run SPEC)", q.id, timeout)
	ctx, cancel := context.WithTimeoutCause(ctx, timeout, silent)
	defer cancel()
	from, err := client.End(ctx, spec.Topics.Predictions)
	if err != nil {
		return nil, cause(ctx, err)
	}
	partition, err := client.PartitionFor(ctx, spec.Topics.Queries, q.message.Key)
	if err != nil {
		return nil, cause(ctx, err)
	}
	offset, err := client.Produce(ctx, spec.Topics.Queries, partition, []schemas.Message{q.message})
	if err != nil {
		return nil, cause(ctx, err)
	}
	err = client.Consume(ctx, spec.Topics.Predictions, from, func(r schemas.Record) (err error) {
		if answer, err = answerTo(partition, offset, r); err == nil && answer != nil {
			err = errEnough
		}
		return err
	})
	if answer != nil {
		return answer, nil
	}
	return nil, cause(ctx, err)
}

// cause is why ctx ended, where it has ended, else err.
func cause(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	return err
}

// answerTo finds the prediction of the query at a place in a record, nil where there is none.
func answerTo(partition int32, offset int64, r schemas.Record) (json.RawMessage, error) {
	values, err := feed.Values(r)
	if err != nil {
		return nil, err
	}
	for _, v := range values {
		var p struct {
			Source struct{ Partition, Offset *int64 }
		}
		if err := json.Unmarshal(v, &p); err != nil {
			return nil, fmt.Errorf("a prediction at %d/%d cannot be read: %w", r.Partition, r.Offset, err)
		}
		if at := p.Source; at.Partition != nil && at.Offset != nil && *at.Partition == int64(partition) && *at.Offset == offset {
			return v, nil
		}
	}
	return nil, nil
}
