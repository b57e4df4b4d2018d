package main

import (
	"fmt"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/swarmpurse/swarmpurse/cmd/swarmpurse/tables"
	"github.com/swarmpurse/swarmpurse/node/api"
)

func newExplainCommand(a *app) *cobra.Command {
	return a.withClient(&cobra.Command{
		Use:   "explain ID",
		Short: "Show why a call was admitted or refused, and what became of it",
		Long: `Show one decision: who asked, which rules matched, what was reserved at which budgets, and how it ended.

A node remembers its own last some ten thousand decisions: ask the node that decided.`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			client, ctx, done, err := a.client(cmd, 0)
			if err != nil {
				return err
			}
			defer done()
			d, err := client.Decision(ctx, args[0])
			if err != nil {
				return err
			}
			return a.print(d, func(w *strings.Builder) { printDecision(w, d) })
		},
	})
}

// level is "" at level 0, which is the rule.
func level(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("level %d of 3", n)
}

func printDecision(w *strings.Builder, d api.Decision) {
	expires, overrun, guarantee := "", "", ""
	if d.Expires != nil {
		expires = instant(*d.Expires)
	}
	if d.Guaranteed {
		guarantee = "within its tenant's"
	}
	if d.Overrun > 0 {
		overrun = tokens(d.Overrun)
	}
	fields(w,
		"id", clean(d.ID),
		"decision", clean(d.Decision),
		"advice", advice(d.Advice),
		"reason", clean(d.Reason),
		"code", clean(d.Code),
		"state", clean(d.State),
		"outcome", clean(d.Outcome),
		"at", instant(d.At),
		"node", clean(d.Node),
		"tenant", clean(d.Tenant),
		"agent", clean(d.Agent),
		"run", clean(d.Run),
		"class", clean(d.Class),
		"model", clean(d.Model),
		"rules", clean(strings.Join(d.Rules, ", ")),
		"policy", fmt.Sprintf("revision %d", d.Revision),
		"waited", millis(d.WaitedMS),
		"backpressure", level(d.Backpressure),
		"guarantee", guarantee,
		"expires", expires,
		"overrun", overrun,
	)
	if len(d.Reserved) == 0 && len(d.Charged) == 0 {
		return
	}
	t := tables.New("instance", "token", "→price", "→reserved", "→charged")
	charged := func(instance, token string) string {
		for _, c := range d.Charged {
			if c.Instance == instance && c.Token == token {
				return tokens(c.Amount)
			}
		}
		return ""
	}
	for _, c := range d.Reserved {
		t.AppendRow(table.Row{clean(c.Instance), clean(c.Token), number(d.Price[c.Budget]), tokens(c.Amount), charged(c.Instance, c.Token)})
	}
	w.WriteString("\n" + t.Render() + "\n")
}
