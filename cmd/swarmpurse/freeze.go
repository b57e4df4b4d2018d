package main

import (
	"context"
	"fmt"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/swarmpurse/swarmpurse/cmd/swarmpurse/tables"
	"github.com/swarmpurse/swarmpurse/node/api"
)

func newFreezeCommand(a *app) *cobra.Command {
	var q api.FreezeRequest
	c := &cobra.Command{
		Use:   "freeze [--tenant T] [--agent A] [--instance I]",
		Short: "Stop a tenant, an agent or a budget in the whole swarm",
		Long: `Have every node of the swarm deny calls that draw on budgets: those of a tenant, of an agent (of one tenant, with
--tenant, or of any), or those that draw on one instance of a budget. Calls that run are settled as ever; those that wait
are denied. The node that is asked enforces it when the command returns and has told all others by then; they need some
milliseconds, and those that are cut off or down hear of it when they are back. It stays until it is unfrozen.

Without flags it lists what is frozen.`,
		Example: `  swarmpurse freeze --tenant search --agent crawler --why "runs in circles"
  swarmpurse freeze --instance tenant-day/search
  swarmpurse freeze`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if q == (api.FreezeRequest{}) {
				return a.listFrozen(cmd)
			}
			return a.freeze(cmd, q, true, (*api.Client).Freeze)
		},
	}
	return a.withFrozen(c, &q)
}

func newUnfreezeCommand(a *app) *cobra.Command {
	var q api.FreezeRequest
	c := &cobra.Command{
		Use:   "unfreeze [--tenant T] [--agent A] [--instance I]",
		Short: "End a freeze",
		Long: `End a freeze in the whole swarm. It is named as it was when it was frozen; 'swarmpurse freeze' lists what is. Of two
operators at two nodes the one that came later has his will, and one that sees the other's word always does.`,
		Example: `  swarmpurse unfreeze --tenant search --agent crawler`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.freeze(cmd, q, false, (*api.Client).Unfreeze)
		},
	}
	return a.withFrozen(c, &q)
}

func (a *app) withFrozen(c *cobra.Command, q *api.FreezeRequest) *cobra.Command {
	f := c.Flags()
	f.StringVar(&q.Instance, "instance", "", "one `instance` of a budget, as in swarmpurse budgets: gpu-pool, tenant-day/search")
	_ = c.RegisterFlagCompletionFunc("instance", a.completeInstances)
	f.StringVar(&q.Tenant, "tenant", "", "all calls of a `tenant`, or those of --agent in it")
	f.StringVar(&q.Agent, "agent", "", "all calls of an `agent`")
	f.StringVar(&q.Why, "why", "", "the reason: callers are told, and every node's log")
	return a.signed(a.withClient(c))
}

type askFreeze func(*api.Client, context.Context, api.FreezeRequest) (api.FreezeReceipt, error)

func (a *app) freeze(cmd *cobra.Command, q api.FreezeRequest, on bool, ask askFreeze) error {
	switch {
	case q.Instance == "" && q.Tenant == "" && q.Agent == "":
		return usageError("name what by --tenant, --agent or --instance")
	case q.Instance != "" && (q.Tenant != "" || q.Agent != ""):
		return usageError("--instance stands alone: leave out --tenant and --agent")
	}
	client, ctx, done, err := a.client(cmd, 0)
	if err != nil {
		return err
	}
	defer done()
	if err := a.signFreeze(ctx, client, on, &q); err != nil {
		return err
	}
	receipt, err := ask(client, ctx, q)
	if err != nil {
		return err
	}
	return a.print(receipt, func(w *strings.Builder) {
		state, before := "unfrozen", " (it was not frozen, as far as this node knew)"
		if receipt.On {
			state, before = "frozen", " (it was before)"
		}
		if receipt.Changed {
			before = ""
		}
		if receipt.Undurable {
			before += " (its disk does not answer: this node may forget it when it is started again)"
		}
		fields(w, state, frozenName(receipt.Frozen)+before, "at", instant(receipt.At), "node", clean(receipt.Node), "why", clean(receipt.Why))
	})
}

func (a *app) listFrozen(cmd *cobra.Command) error {
	client, ctx, done, err := a.client(cmd, 0)
	if err != nil {
		return err
	}
	defer done()
	list, err := client.Frozen(ctx)
	if err != nil {
		return err
	}
	return a.print(struct {
		Frozen []api.Frozen `json:"frozen"`
	}{list}, func(w *strings.Builder) {
		if len(list) == 0 {
			w.WriteString("nothing is frozen\n")
			return
		}
		t := tables.New("frozen", "since", "by", "at node", "why")
		for _, f := range list {
			t.AppendRow(table.Row{frozenName(f), instant(f.At), clean(f.By), clean(f.Node), clean(f.Why)})
		}
		w.WriteString(t.Render() + "\n")
	})
}

// frozenName is what is frozen, for people.
func frozenName(f api.Frozen) string {
	switch {
	case f.Instance != "":
		return "instance " + clean(f.Instance)
	case f.Agent == "":
		return "tenant " + clean(f.Tenant)
	case f.Tenant == "":
		return "agent " + clean(f.Agent) + " of any tenant"
	}
	return fmt.Sprintf("agent %s of tenant %s", clean(f.Agent), clean(f.Tenant))
}
