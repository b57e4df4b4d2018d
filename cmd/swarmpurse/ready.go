package main

import (
	"errors"
	"strings"

	"github.com/spf13/cobra"
)

func newReadyCommand(a *app) *cobra.Command {
	var live bool
	c := a.withClient(&cobra.Command{
		Use:   "ready",
		Short: "Say whether a node is ready, by the exit code",
		Long: `Ask a node whether it is ready to decide on calls: 0 if it is, else 1 with the reasons. For probes of containers and scripts that wait
for a node; with --live it is enough that the node answers.`,
		Example: `  until swarmpurse ready; do sleep 1; done`,
		Args:    cobra.NoArgs,
	})
	c.Flags().BoolVar(&live, "live", false, "only whether it answers")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		client, ctx, done, err := a.client(cmd, 0)
		if err != nil {
			return err
		}
		defer done()
		s, err := client.Status(ctx)
		if err != nil {
			return err
		}
		if !live && !s.Ready {
			return errors.New("not ready: " + clean(strings.Join(s.Reasons, "; ")))
		}
		return a.print(s, func(w *strings.Builder) {
			state := "ready"
			if !s.Ready {
				state = "alive"
			}
			w.WriteString(clean(s.Node) + " is " + state + "\n")
		})
	}
	return c
}
