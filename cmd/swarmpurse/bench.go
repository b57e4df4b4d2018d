package main

import (
	"fmt"
	"os"
	"strings"

	"github.com/spf13/cobra"

	"github.com/swarmpurse/swarmpurse/cmd/swarmpurse/bench"
)

func newBenchCommand(a *app) *cobra.Command {
	o := bench.Defaults()
	c := &cobra.Command{
		Use:   "bench",
		Short: "Measure a node on this machine beside bare servers and Redis",
		Long: `Start a node with a peer, with its audit log and its signatures as ever, and measure what its doors do in a
second, and how long they take, beside what could be at best: HTTP beside a bare net/http handler of
the same JSON, gRPC beside a bare grpc-go handler, the --socket for callers in Go beside redis-server
with the scripts of a gateway (if it is installed; Debian: apt-get install redis-server), and what
the proxy adds to a stream beside the same provider without it, and beside the standard library's
reverse proxy, which looks into nothing.

All run as processes of this machine and are measured in turns. On a machine that does other work the
figures of latency are that work's; the parts in percent suffer less, and least by what the processes
used of the CPU for a request, which is shown for servers and for callers.`,
		Example: `  swarmpurse bench
  swarmpurse bench --only socket,proxy --callers 32 --duration 20s -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.Check(); err != nil {
				return usageError("%w", err)
			}
			var err error
			if o.Binary, err = os.Executable(); err != nil {
				return fmt.Errorf("which program this is cannot be told: %w", err)
			}
			o.Progress = a.stderr
			rep, err := bench.Run(cmd.Context(), o)
			if err != nil {
				return err
			}
			return a.print(rep, func(w *strings.Builder) { w.WriteString(rep.Text()) })
		},
	}
	f := c.Flags()
	f.DurationVar(&o.Duration, "duration", o.Duration, "how long all of it takes, but for starting and ending")
	f.IntVar(&o.Turns, "turns", o.Turns, "how often each is measured in turn")
	f.IntSliceVar(&o.Callers, "callers", o.Callers, "callers at once")
	f.StringSliceVar(&o.Only, "only", nil, "`what` to measure: "+strings.Join(bench.Groups, ", ")+" (default: all)")
	f.StringVar(&o.Redis, "redis", o.Redis, "`program` of Redis; off: none")
	_ = c.RegisterFlagCompletionFunc("only", cobra.FixedCompletions(bench.Groups, cobra.ShellCompDirectiveNoFileComp))
	c.AddCommand(&cobra.Command{
		Use: "bare DIR [PROVIDER]", Hidden: true, Args: cobra.RangeArgs(1, 2), // what the command itself starts
		RunE: func(cmd *cobra.Command, args []string) error {
			if len(args) == 2 {
				return bench.ServeBareProxy(cmd.Context(), args[0], args[1])
			}
			return bench.ServeBare(cmd.Context(), args[0])
		},
	})
	return a.withOutput(c)
}
