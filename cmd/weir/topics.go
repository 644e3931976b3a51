package main

import (
	"fmt"
	"slices"

	"github.com/spf13/cobra"

	"weir/connectors/kafka"
	"weir/pipeline"
)

func topicsCommand(a *app) *cobra.Command {
	topics := &cobra.Command{
		Use:     "topics",
		Short:   "Manage the topics of a pipeline",
		Example: "  weir topics create fashion.yaml",
		Args:    knownCommand,
		RunE:    showHelp,
	}
	create := &cobra.Command{
		Use:   "create SPEC",
		Short: "Create the topics that a pipeline reads and writes",
		Long: `Creates the topics of a pipeline, those between its segments too, with the partitions, replication and
retention that its spec asks for. Topics that exist are left as they are, so it may be run again.`,
		Example: `  weir topics create fashion.yaml --broker kafka:9092`,
		Args:    between(1, 1),
		RunE: func(cmd *cobra.Command, args []string) error {
			spec, err := clientSpec(args[0])
			if err != nil {
				return err
			}
			return a.withClient(cmd.Context(), func(client *kafka.Client) error {
				want := topicsOf(spec)
				created, err := client.CreateTopics(cmd.Context(), want)
				for _, t := range want {
					switch {
					case slices.Contains(created, t.Name):
						fmt.Fprintf(a.out, "created\t%s\t%d partitions, replication %d\n", t.Name, t.Partitions, t.Replication)
					case err == nil:
						fmt.Fprintf(a.out, "exists\t%s\n", t.Name)
					}
				}
				return err
			})
		},
	}
	a.brokerFlag(create)
	topics.AddCommand(create)
	return topics
}

// topicsOf lists all topics of a pipeline, so that its segments may run wherever they like.
func topicsOf(spec *pipeline.Spec) []kafka.Topic {
	var out []kafka.Topic
	for _, t := range spec.TopicList(true) {
		out = append(out, kafka.Topic(t))
	}
	return out
}
