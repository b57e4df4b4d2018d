package main

import (
	"fmt"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/swarmpurse/swarmpurse/cmd/swarmpurse/tables"
	"github.com/swarmpurse/swarmpurse/node/api"
)

func newBudgetsCommand(a *app) *cobra.Command {
	c := &cobra.Command{
		Use:   "budgets [NAME]",
		Short: "Show the budgets: limits, spending, rights here and in the swarm",
		Long: `Show all budgets with their instances, or one with the holders of its rights, as one node sees them.

RIGHTS HERE is what the asked node may spend on its own word, RIGHTS SWARM what all nodes may together,
AWAY what nodes hold that are not there: it is out of reach until they return.
LEVEL is that of backpressure, 0 to 3: how soon the budget is used up at the pace at which calls ask for it.
OVERSPEND must be 0 on hard ceilings. STALE is the age of the oldest word from a living node in the sum.`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: a.completeBudgets,
		RunE: func(cmd *cobra.Command, args []string) error {
			client, ctx, done, err := a.client(cmd, 0)
			if err != nil {
				return err
			}
			defer done()
			if len(args) == 1 {
				b, err := client.Budget(ctx, args[0])
				if err != nil {
					return err
				}
				return a.print(b, func(w *strings.Builder) { printBudget(w, b) })
			}
			list, err := client.Budgets(ctx)
			if err != nil {
				return err
			}
			return a.print(struct {
				Budgets []api.Budget `json:"budgets"`
			}{list}, func(w *strings.Builder) { printBudgets(w, list) })
		},
	}
	return a.withClient(c)
}

func printBudgets(w *strings.Builder, list []api.Budget) {
	if len(list) == 0 {
		w.WriteString("the policy has no budgets\n")
		return
	}
	t := tables.New("instance", "token", "ceiling", "supply", "→limit", "→spent", "→reserved", "→rights here", "→rights swarm", "→away", "→overspend", "→demand/s", "→level", "→price", "→stale")
	for _, b := range list {
		appendInstances(t, b)
	}
	w.WriteString(t.Render() + "\n")
}

func appendInstances(t table.Writer, b api.Budget) {
	for _, i := range b.Instances {
		t.AppendRow(table.Row{
			instanceName(i), clean(b.Token), clean(b.Ceiling), clean(b.Supply) + lowered(i.Feedback), tokens(i.Limit), tokens(i.Swarm.Spent), tokens(i.Swarm.Reserved),
			tokens(i.Local.Rights), tokens(i.Swarm.Rights - i.Away), tokens(i.Away), tokens(i.Overspend), number(i.Swarm.Demand), i.Backpressure, number(i.Price), age(i.StalenessMS),
		})
	}
	if len(b.Instances) == 0 {
		t.AppendRow(table.Row{clean(b.Name), clean(b.Token), clean(b.Ceiling), clean(b.Supply), none(&b)})
	}
	if b.Renew != nil && b.Renew.Ended > 0 {
		t.AppendRow(table.Row{fmt.Sprintf("%s: %d that ended, about to be forgotten", clean(b.Name), b.Renew.Ended)})
	}
	if b.Truncated > 0 {
		t.AppendRow(table.Row{fmt.Sprintf("%s: %d more instances", clean(b.Name), b.Truncated)})
	}
}

// none says why a budget shows no instance.
func none(b *api.Budget) string {
	if b.Withheld {
		return "shared with others: shown to operators"
	}
	return "not used yet"
}

func printBudget(w *strings.Builder, b api.Budget) {
	fields(w, "budget", clean(b.Name), "token", clean(b.Token), "supply", clean(b.Supply), "ceiling", clean(b.Ceiling),
		"per", clean(strings.Join(b.Per, ", ")), "fairness", fairness(b.Fairness), "renewed", renewed(b.Renew), "price", number(b.Price), "pricing", clean(b.Pricing))
	if len(b.Instances) == 0 {
		fmt.Fprintf(w, "\n%s\n", none(&b))
		return
	}
	for _, i := range b.Instances {
		window := ""
		if i.WindowEnd != nil {
			window = "until " + instant(*i.WindowEnd)
		}
		w.WriteByte('\n')
		fields(w, "instance", instanceName(i), "limit", tokens(i.Limit), "window", window, "overspend", tokens(i.Overspend), "lapsed", lapses(&i.Swarm), "backpressure", pressure(i), "price", number(i.Price), "feedback", feedback(i.Feedback), "stale", age(i.StalenessMS))
		w.WriteByte('\n')
		t := tables.New("holder", "→age", "→shares %", "→issued", "→rights", "→reserved", "→spent", "→lapsed", "→debt", "→demand/s", "→unmet/s")
		row := func(name, age string, x api.Account) {
			t.AppendRow(table.Row{
				name, age, fmt.Sprintf("%.2f", float64(x.Shares)/1e7), tokens(x.Issued), tokens(x.Rights), tokens(x.Reserved), tokens(x.Spent),
				tokens(x.Lapsed), tokens(x.Debt), number(x.Demand), number(x.Unmet),
			})
		}
		for _, h := range i.Holders {
			name := clean(h.Node)
			if !h.Alive {
				name += " (away)"
			}
			row(name, age(h.AgeMS), h.Account)
		}
		row("all", "", i.Swarm)
		w.WriteString(t.Render() + "\n")
		printShares(w, i.Shared)
	}
	if b.Truncated > 0 {
		fmt.Fprintf(w, "\n%d more instances\n", b.Truncated)
	}
}

func fairness(of string) string {
	if of == "swarm" {
		return "tenants get max-min shares of what the swarm has"
	}
	return ""
}

// printShares shows the tenants between which an instance is shared out here.
func printShares(w *strings.Builder, list []api.TenantShare) {
	if len(list) == 0 {
		return
	}
	t := tables.New("class", "tenant", "→asked for here/s", "→its share here/s", "goes")
	for _, s := range list {
		goes := "after those that had less"
		if s.Under {
			goes = "first: it had less than its share"
		}
		t.AppendRow(table.Row{clean(s.Class), clean(s.Tenant), number(s.Asked), number(s.Share), goes})
	}
	w.WriteString("\n" + t.Render() + "\n")
}

// renewed says how long instances live, and what became of those that are over.
func renewed(r *api.Renew) string {
	if r == nil {
		return ""
	}
	return fmt.Sprintf("every %v; %d that ended are still known, %d were forgotten here", time.Duration(r.EveryMS)*time.Millisecond, r.Ended, r.Forgotten)
}

// instanceName says as well that an operator froze the instance.
func instanceName(i api.Instance) string {
	if i.Frozen {
		return clean(i.Instance) + " (frozen)"
	}
	return clean(i.Instance)
}

// pressure is the level of backpressure, with what it comes from; "" at level 0 of what is not used up.
func pressure(i api.Instance) string {
	if i.ExhaustedMS == nil {
		return level(i.Backpressure)
	}
	left := time.Duration(*i.ExhaustedMS) * time.Millisecond
	if left >= 10*time.Second {
		left = left.Round(time.Second)
	}
	return fmt.Sprintf("level %d of 3: at present demand used up in %v", i.Backpressure, left)
}

// lowered is "" for a rate that is whole.
func lowered(f *api.Feedback) string {
	if f == nil || f.Part >= 1 {
		return ""
	}
	return fmt.Sprintf(", at %.0f%%", 100*f.Part)
}

// feedback is "" for a rate that does not follow its provider.
func feedback(f *api.Feedback) string {
	switch {
	case f == nil:
		return ""
	case f.WholeAt == nil:
		return "the whole rate is in force"
	}
	return fmt.Sprintf("%.0f%% of the rate is in force, since the provider refuses calls; all of it from %s on", 100*f.Part, instant(*f.WholeAt))
}

// lapses tells apart what lapsed in the present window; "" if nothing did.
func lapses(x *api.Account) string {
	if x.Lapsed == 0 {
		return ""
	}
	return fmt.Sprintf("%s (decayed %s, expired %s, burned %s)", tokens(x.Lapsed), tokens(x.Decayed), tokens(x.Expired), tokens(x.Burned))
}

// age of a row: 0 is this node's own.
func age(ms int64) string {
	return (time.Duration(ms) * time.Millisecond).Round(100 * time.Millisecond).String()
}
