package main

import (
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	"github.com/swarmpurse/swarmpurse/cmd/swarmpurse/demo"
)

func newDemoCommand(a *app) *cobra.Command {
	o := demo.Defaults()
	c := &cobra.Command{
		Use:   "demo",
		Short: "Run a swarm on this machine, under load and through a partition",
		Long: `Start a swarm of node processes on loopback, a stand-in model server, and agents of three tenants that
call it through the nodes' proxies, more than the budgets allow. Half-way the swarm is cut into two
halves for a while and healed. At the end a report says what was admitted, how long admission took,
and, by the model server's own count, by how much any budget was overspent.

The load is generated, in bursts, or replayed from a trace: a CSV file with the columns TIMESTAMP,
ContextTokens and GeneratedTokens, as in the public Azure LLM inference traces. The policy is the
demo's own, fitted to that load, or yours.

Exit code 1 means that a hard budget was overspent, that tokens went missing, that a node or a call
failed, or that the run was interrupted. Ctrl-C ends everything.`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.Check(); err != nil {
				return usageError("%w", err)
			}
			o.Progress = a.stderr
			o.Live = isTerminal(a.stderr) && isTerminal(a.stdout)
			rep, err := demo.Run(cmd.Context(), o)
			if err != nil {
				return err
			}
			if err := a.print(rep, func(w *strings.Builder) { w.WriteString("\n" + rep.Text()) }); err != nil {
				return err
			}
			if err := rep.Err(); err != nil {
				return err
			}
			if rep.Logs != "" {
				fmt.Fprintf(a.stderr, "swarmpurse: the nodes' logs and data are in %s\n", rep.Logs)
			}
			return nil
		},
	}
	f := c.Flags()
	f.IntVar(&o.Nodes, "nodes", o.Nodes, "node processes")
	f.IntVar(&o.Agents, "agents", o.Agents, "agents, spread over the nodes")
	f.DurationVar(&o.Duration, "duration", o.Duration, "how long the agents call")
	f.Float64Var(&o.Rate, "rate", o.Rate, "calls per agent and second, on average, of the generated load")
	f.Uint64Var(&o.Seed, "seed", o.Seed, "what the generated load is drawn from")
	f.StringVar(&o.Trace, "trace", "", "replay the arrivals and lengths of this CSV `file`")
	f.Float64Var(&o.Speed, "speed", o.Speed, "how much faster than recorded the trace is replayed")
	f.StringVar(&o.Policy, "policy", "", "policy `file` to use instead of the demo's own")
	f.DurationVar(&o.Cut, "cut", o.Cut, "how long the swarm is cut in two, 0s for not at all; at most a quarter of --duration")
	f.BoolVar(&o.Keep, "keep", false, "keep the nodes' data and logs")
	_ = c.MarkFlagFilename("trace", "csv")
	_ = c.MarkFlagFilename("policy", "yaml", "yml")
	return a.withOutput(c)
}
