package main

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/swarmpurse/swarmpurse/node/api"
)

// readyEvery is how often a node is asked that is waited for.
const readyEvery = 100 * time.Millisecond

func newReadyCommand(a *app) *cobra.Command {
	var live bool
	var wait time.Duration
	c := a.withClient(&cobra.Command{
		Use:   "ready",
		Short: "Say whether a node is ready, by the exit code",
		Long: `Ask a node whether it is ready to decide on calls: 0 if it is, else 1 with the reasons. For probes of containers and scripts that wait
for a node; with --live it is enough that the node answers. With --wait it is asked again until it is, for that long.`,
		Example: `  swarmpurse ready
  swarmpurse ready --wait 30s`,
		Args: cobra.NoArgs,
	})
	c.Flags().BoolVar(&live, "live", false, "only whether it answers")
	c.Flags().DurationVar(&wait, "wait", 0, "how long to wait until it is")
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		if wait < 0 {
			return usageError("--wait is %v: it must be 0 or more", wait)
		}
		client, ctx, done, err := a.client(cmd, wait)
		if err != nil {
			return err
		}
		defer done()
		s, err := waitReady(ctx, client, live, time.Now().Add(wait))
		if err != nil {
			return err
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

// waitReady asks a node until it is ready, or answers if that is enough; what it says after the deadline counts, or if it refuses the caller.
func waitReady(ctx context.Context, client *api.Client, live bool, deadline time.Time) (api.Status, error) {
	for {
		s, err := client.Status(ctx)
		switch {
		case err != nil:
		case live || s.Ready:
			return s, nil
		default:
			err = errors.New("not ready: " + clean(strings.Join(s.Reasons, "; ")))
		}
		if refused := (*api.Error)(nil); errors.As(err, &refused) && refused.Status < 500 || !time.Now().Before(deadline) {
			return s, err
		}
		select {
		case <-time.After(readyEvery):
		case <-ctx.Done():
			return s, err
		}
	}
}
