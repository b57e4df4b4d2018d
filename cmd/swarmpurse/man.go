package main

import (
	"os"
	"time"

	"github.com/spf13/cobra"
	"github.com/spf13/cobra/doc"
)

func newManCommand(a *app) *cobra.Command {
	return &cobra.Command{
		Use:    "man DIR",
		Short:  "Write man pages of all commands into a directory",
		Long:   "Write man pages of all commands into a directory, as for /usr/local/share/man/man1. It is made if it is not there.",
		Hidden: true,
		Args:   cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := os.MkdirAll(args[0], 0o755); err != nil {
				return err
			}
			root := cmd.Root()
			root.DisableAutoGenTag = true
			date := time.Unix(0, 0).UTC() // the same pages from the same version
			return doc.GenManTree(root, &doc.GenManHeader{Title: "SWARMPURSE", Section: "1", Source: "swarmpurse " + readBuildInfo().short(), Manual: "swarmpurse", Date: &date}, args[0])
		},
	}
}
