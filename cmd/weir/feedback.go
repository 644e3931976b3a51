package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"weir/cmd/weir/feed"
	"weir/connectors/kafka"
	"weir/schemas"
)

func feedbackCommand(a *app) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "feedback SPEC [QUERY_ID]",
		Short: "Tell a pipeline how good its answers were",
		Long: `Publishes feedback about one query: the true label, a reward (more is better) or a loss (less is better).
Without QUERY_ID it reads feedback from standard input, one JSON object a line, with query_id or ref, and label,
reward or loss. ref is that of the prediction; with it the feedback finds its query faster.`,
		Example: `  weir feedback fashion.yaml img-4711 --label Bag
  weir feedback fashion.yaml img-4711 --reward 0.7 --ref 2.18841.0
  weir feedback fashion.yaml < outcomes.ndjson`,
		Args: between(1, 2),
	}
	cmd.Flags().String("label", "", "the true label")
	cmd.Flags().Float64("reward", 0, "reward of the answer")
	cmd.Flags().Float64("loss", 0, "loss of the answer")
	cmd.Flags().String("ref", "", "ref of the prediction")
	a.brokerFlag(cmd)
	cmd.RunE = func(cmd *cobra.Command, args []string) error {
		in, err := a.feedback(cmd, args[1:])
		if err != nil {
			return err
		}
		spec, err := clientSpec(args[0])
		if err != nil {
			return err
		}
		return a.withClient(cmd.Context(), func(client *kafka.Client) error {
			n, err := publish(cmd.Context(), client, spec.Topics.Feedback, in, feedbackMessage, newProgress(a.err))
			fmt.Fprintf(a.err, "stored in %s: %d\n", spec.Topics.Feedback, n)
			return err
		})
	}
	return cmd
}

// feedback gives the lines to publish: the one that the flags make, or those of standard input.
func (a *app) feedback(cmd *cobra.Command, id []string) (*feed.Lines, error) {
	line := map[string]any{}
	for _, name := range []string{"label", "ref"} {
		if f := cmd.Flags().Lookup(name); f.Changed {
			line[name] = f.Value.String()
		}
	}
	for _, name := range []string{"reward", "loss"} {
		if f := cmd.Flags().Lookup(name); f.Changed {
			line[name], _ = cmd.Flags().GetFloat64(name) // the flag is one of those above
		}
	}
	switch {
	case len(id) == 0 && len(line) == 0:
		return feed.Read("standard input", a.in)
	case len(id) == 0:
		return nil, usage("the flags tell of one query: give its QUERY_ID")
	}
	line["query_id"] = id[0]
	text, err := json.Marshal(line)
	if err != nil {
		return nil, usage("%w", err) // a reward of NaN or ±Inf
	}
	if err := checkFeedback(text); err != nil {
		return nil, usage("%w: give --label, --reward or --loss", err)
	}
	return feed.Read("the command line", bytes.NewReader(text))
}

// feedbackMessage makes a record of a line of feedback. Its key is the query's id, so that what is said
// about one query keeps its order.
func feedbackMessage(line []byte) (schemas.Message, error) {
	if err := checkFeedback(line); err != nil {
		return schemas.Message{}, err
	}
	m := schemas.Message{Value: line, Rows: 1, Headers: []schemas.Header{{Key: schemas.ContentType, Value: []byte(schemas.JSON)}}}
	err := feed.Fields(line, func(name string, value json.RawMessage) {
		if name == "query_id" {
			m.Key = feed.Key(value)
		}
	})
	return m, err
}

// checkFeedback finds out whether a line says something about some query.
func checkFeedback(line []byte) error {
	whom, what := false, false
	var faults []error
	err := feed.Fields(line, func(name string, value json.RawMessage) {
		if string(value) == "null" {
			return
		}
		switch name {
		case "query_id", "ref":
			whom = whom || feed.Text(value) != ""
		case "label":
			what = true
		case "reward", "loss":
			what = true
			if strings.Trim(string(value[:1]), "-0123456789") != "" {
				faults = append(faults, fmt.Errorf("%s is %s, want a number", name, value))
			}
		}
	})
	if err != nil {
		return err
	}
	if !whom {
		faults = append(faults, errors.New("no query_id and no ref: whom is it about?"))
	}
	if !what {
		faults = append(faults, errors.New("no label, reward or loss: what does it say?"))
	}
	return errors.Join(faults...)
}
