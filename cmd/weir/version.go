package main

import (
	"fmt"
	"runtime"
	"runtime/debug"

	"github.com/spf13/cobra"
)

func versionCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:     "version",
		Short:   "Print what this binary was built from",
		Example: "  weir version",
		Args:    between(0, 0),
		RunE: func(*cobra.Command, []string) error {
			info, _ := debug.ReadBuildInfo() // nil only in a binary built without module support
			_, err := fmt.Fprintln(a.out, buildLine(info))
			return err
		},
	}
}

// buildLine tells version, revision and tool chain in one line.
func buildLine(info *debug.BuildInfo) string {
	version, revision, when, changed := "(unknown)", "", "", ""
	if info != nil {
		version = info.Main.Version
		for _, s := range info.Settings {
			switch {
			case s.Key == "vcs.revision":
				revision = " " + s.Value[:min(12, len(s.Value))]
			case s.Key == "vcs.time":
				when = " " + s.Value
			case s.Key == "vcs.modified" && s.Value == "true":
				changed = " with local changes"
			}
		}
	}
	return fmt.Sprintf("weir %s%s%s%s %s %s/%s", version, revision, when, changed, runtime.Version(), runtime.GOOS, runtime.GOARCH)
}
