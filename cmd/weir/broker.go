package main

import (
	"fmt"

	"github.com/spf13/cobra"

	"weir/connectors/broker"
)

func brokerCommand(a *app) *cobra.Command {
	var dir, listen string
	cmd := &cobra.Command{
		Use:   "broker --data DIR",
		Short: "Run the embedded Kafka-compatible broker",
		Long: `Runs a single Kafka-compatible broker that keeps its data in a directory, for a laptop, a demo, an edge
device or a test. Once it is ready it prints its address, alone on a line of standard output. It ends with
SIGTERM or Ctrl-C; after a crash it goes on with the same directory.`,
		Example: `  weir broker --data ./broker                          # on 127.0.0.1:9092
  weir broker --data ./broker --listen 127.0.0.1:0     # on any free port, which it prints`,
		Args: between(0, 0),
		RunE: func(cmd *cobra.Command, _ []string) error {
			b, err := broker.Open(broker.Options{Dir: dir, Addr: listen})
			if err != nil {
				return err
			}
			if _, err := fmt.Fprintln(a.out, b.Addr()); err != nil {
				return err
			}
			a.log.Info("broker ready", "addr", b.Addr(), "data", dir)
			<-cmd.Context().Done()
			a.log.Info("broker ends")
			return b.Close()
		},
	}
	cmd.Flags().StringVar(&dir, "data", "", "directory of the broker's data; made where it is missing (required)")
	cmd.Flags().StringVar(&listen, "listen", "127.0.0.1:9092", "address to listen on, HOST:PORT; port 0 takes a free one")
	requireFlag(cmd, "data")
	return cmd
}

// requireFlag makes a missing flag a fault of usage. Cobra's own check is an error like any other.
func requireFlag(cmd *cobra.Command, name string) {
	next := cmd.Args
	cmd.Args = func(cmd *cobra.Command, args []string) error {
		if !cmd.Flags().Changed(name) {
			return fmt.Errorf("--%s is required", name)
		}
		return next(cmd, args)
	}
}
