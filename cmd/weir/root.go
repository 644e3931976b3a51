package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"weir/connectors/kafka/driver"
)

// The exit codes of every command.
const (
	exitOK      = 0
	exitFailure = 1
	exitUsage   = 2
)

// streams are the standard streams of a command.
type streams struct {
	in       io.Reader
	out, err io.Writer
}

// app is what all commands share. log is set before a command runs.
type app struct {
	streams
	log    *slog.Logger
	broker string                                       // the running command's --broker
	driver func(driver.Options) (driver.Cluster, error) // and its --kafka-client
	level  slog.Level
	format string
}

// usageError is a fault in how a command was called.
type usageError struct{ error }

func (e usageError) Unwrap() error { return e.error }

func usage(format string, a ...any) error { return usageError{fmt.Errorf(format, a...)} }

// execute runs one command line and gives the exit code. Errors are one line on the error stream; the usage
// text is for those who ask for it.
func execute(ctx context.Context, args []string, s streams) int {
	root := newRoot(&app{streams: s, log: slog.New(slog.DiscardHandler)})
	root.SetArgs(args)
	root.SetIn(s.in)
	root.SetOut(s.out)
	root.SetErr(s.err)
	cmd, err := root.ExecuteContextC(ctx)
	if err == nil {
		return exitOK
	}
	var wrong usageError
	if errors.As(err, &wrong) {
		fmt.Fprintf(s.err, "weir: %v\nRun '%s --help' for how to call it.\n", err, cmd.CommandPath())
		return exitUsage
	}
	fmt.Fprintf(s.err, "weir: %v\n", err)
	return exitFailure
}

func newRoot(a *app) *cobra.Command {
	root := &cobra.Command{
		Use:   "weir",
		Short: "Predictions over Kafka: queries on a topic in, predictions on a topic out",
		Long: `Weir serves predictions over Kafka. Queries are published to a topic, predictions are consumed from
another; a pipeline, described by one YAML file, answers in between.`,
		Example: `  weir demo                                        # see it work, on a broker of its own
  weir run fashion.yaml --broker localhost:9092    # serve a pipeline
  weir ask fashion.yaml '{"pixels": [0, 12, …]}'   # one query, one answer`,
		SilenceUsage:  true,
		SilenceErrors: true,
		Args:          knownCommand,
		RunE:          showHelp,
		PersistentPreRunE: func(cmd *cobra.Command, _ []string) error {
			if f := cmd.Flags().Lookup("broker"); f != nil {
				a.broker = f.Value.String()
			}
			if f := cmd.Flags().Lookup("kafka-client"); f != nil {
				if err := a.chooseDriver(f.Value.String()); err != nil {
					return err
				}
			}
			return a.openLog()
		},
	}
	root.CompletionOptions.HiddenDefaultCmd = true
	root.SuggestionsMinimumDistance = 2
	root.SetFlagErrorFunc(func(_ *cobra.Command, err error) error { return usageError{err} })
	root.PersistentFlags().Var(levelFlag{&a.level}, "log-level", "least level of log lines: debug, info, warn, error")
	root.PersistentFlags().StringVar(&a.format, "log-format", "text", "format of log lines on standard error: text, json")
	root.AddCommand(
		runCommand(a), demoCommand(a), askCommand(a), publishCommand(a), consumeCommand(a), feedbackCommand(a),
		topicsCommand(a), auditCommand(a), replayCommand(a), checkCommand(a), brokerCommand(a), versionCommand(a),
	)
	wrapArgs(root)
	return root
}

// knownCommand is the Args of a command that only has others below it.
func knownCommand(cmd *cobra.Command, args []string) error {
	if len(args) == 0 {
		return nil
	}
	if near := cmd.SuggestionsFor(args[0]); len(near) > 0 {
		return fmt.Errorf("there is no command %q; did you mean %s?", args[0], strings.Join(near, " or "))
	}
	return fmt.Errorf("there is no command %q", args[0])
}

func showHelp(cmd *cobra.Command, _ []string) error { return cmd.Help() }

// between is the Args of a command that takes from low to high arguments.
func between(low, high int) cobra.PositionalArgs {
	return func(cmd *cobra.Command, args []string) error {
		if len(args) < low || len(args) > high {
			return fmt.Errorf("%d arguments; it is called as `%s`", len(args), strings.TrimSuffix(cmd.UseLine(), " [flags]"))
		}
		return nil
	}
}

// wrapArgs makes a wrong number of arguments a fault of usage, in every command.
func wrapArgs(cmd *cobra.Command) {
	if check := cmd.Args; check != nil {
		cmd.Args = func(cmd *cobra.Command, args []string) error {
			if err := check(cmd, args); err != nil {
				return usage("%w", err)
			}
			return nil
		}
	}
	for _, c := range cmd.Commands() {
		wrapArgs(c)
	}
}

// openLog makes the log that the flags ask for.
func (a *app) openLog() error {
	o := &slog.HandlerOptions{Level: a.level}
	switch a.format {
	case "text":
		a.log = slog.New(slog.NewTextHandler(a.err, o))
	case "json":
		a.log = slog.New(slog.NewJSONHandler(a.err, o))
	default:
		return usage("--log-format %q: want text or json", a.format)
	}
	return nil
}

// brokerFlag gives a command --broker and --kafka-client.
func (a *app) brokerFlag(cmd *cobra.Command) {
	address := cmp.Or(os.Getenv("WEIR_BROKER"), "127.0.0.1:9092")
	cmd.Flags().String("broker", address, "brokers to begin with, HOST:PORT[,HOST:PORT]; also from WEIR_BROKER")
	client := cmp.Or(os.Getenv("WEIR_KAFKA_CLIENT"), "kafka-go")
	cmd.Flags().String("kafka-client", client, "library that talks to the brokers, kafka-go or franz-go; also from WEIR_KAFKA_CLIENT")
}

// brokers are the addresses that --broker lists.
func (a *app) brokers() []string {
	return strings.FieldsFunc(a.broker, func(r rune) bool { return r == ',' || r == ' ' })
}

// levelFlag is a slog.Level as a flag.
type levelFlag struct{ level *slog.Level }

// String implements pflag.Value.
func (l levelFlag) String() string {
	if l.level == nil {
		return ""
	}
	return strings.ToLower(l.level.String())
}

// Type implements pflag.Value.
func (l levelFlag) Type() string { return "level" }

// Set implements pflag.Value.
func (l levelFlag) Set(s string) error {
	if err := l.level.UnmarshalText([]byte(s)); err != nil {
		return errors.New("want debug, info, warn or error")
	}
	return nil
}
