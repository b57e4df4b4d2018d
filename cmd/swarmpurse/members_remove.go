package main

import (
	"bufio"
	"fmt"
	"io"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/policy"
)

func newMembersRemoveCommand(a *app) *cobra.Command {
	var q api.RemoveRequest
	var stock, limits, meant []string
	c := &cobra.Command{
		Use:   "remove NAME...",
		Short: "Take members off the list that have left or failed, or vouch for their death",
		Long: `Take members off the list that have left or failed: nobody waits for them any more. What they own is not touched: it comes back
with them, or by their guardians.

With --dead you vouch that they are dead and never come back, for what no guardian can bring back: below four members, or where the
guardians are dead as well. The node that is asked becomes their heir. All their shares are its own then, which count for later windows;
of the tokens of the present window it gets what you state with --stock, and nothing else. All members that are alive must answer; it is
refused while one named is alive, while its guardians can still see to it, and while others are away that are not named.

What you say is believed. If one of them does live, it goes on spending what it holds until it hears that it is over: stock twice up to
what you stated, and its part of rates and windows. So make sure first that it is off, that no node runs which ` + "`members`" + ` does not list,
and that no clock of the dead was more than a minute ahead of the others'. If they had got back the rights of another node that is dead,
and no node alive has heard of that, say nothing of those rights in --stock: they may be spent.`,
		Example: `  swarmpurse members remove n3
  swarmpurse members remove n3 --dead --stock tenant-day/search=120k --why "host burnt"
  swarmpurse members remove n2 n3 --dead --yes-i-mean n2 --yes-i-mean n3`,
		Args:              cobra.MinimumNArgs(1),
		ValidArgsFunction: a.completeMembers,
		RunE: func(cmd *cobra.Command, args []string) error {
			var err error
			if q.Stock, err = stated("stock", stock); err != nil {
				return err
			}
			if q.Limits, err = stated("largest-limit", limits); err != nil {
				return err
			}
			if !q.Dead && (len(stock)+len(limits) > 0 || q.Unseen || len(meant) > 0) {
				return usageError("--stock, --largest-limit, --unseen-unused and --yes-i-mean go with --dead")
			}
			client, ctx, done, err := a.client(cmd, 0)
			if err != nil {
				return err
			}
			defer func() { done() }()
			if q.Dead {
				list, err := client.Members(ctx)
				if err != nil {
					return err
				}
				if err := a.confirm(list, args, meant); err != nil {
					return err
				}
				done() // a person may have taken long
				if client, ctx, done, err = a.client(cmd, 0); err != nil {
					return err
				}
				q.Name, q.Also = args[0], args[1:]
				if err := a.signDeath(ctx, client, &q); err != nil {
					return err
				}
				receipt, err := client.RemoveMember(ctx, q)
				if err != nil {
					return err
				}
				return a.printRemoved(receipt)
			}
			all := api.RemoveReceipt{}
			for _, name := range args {
				q.Name = name
				receipt, err := client.RemoveMember(ctx, q)
				if err != nil {
					return err
				}
				all.Removed = append(all.Removed, receipt.Removed...)
			}
			return a.printRemoved(all)
		},
	}
	f := c.Flags()
	f.BoolVar(&q.Dead, "dead", false, "vouch that they are dead, so that their rights come back")
	f.StringArrayVar(&stock, "stock", nil, "`INSTANCE=AMOUNT` that they had not spent in the present window; repeatable")
	f.StringArrayVar(&limits, "largest-limit", nil, "`INSTANCE=AMOUNT`: the largest limit that a grant or slots ever had, so that all of a later raise is issued; repeatable")
	f.BoolVar(&q.Unseen, "unseen-unused", false, "they have spent nothing of instances that no other node knows")
	f.StringArrayVar(&meant, "yes-i-mean", nil, "a `NAME` again, instead of typing it; once for each")
	f.StringVar(&q.Why, "why", "", "the reason, kept with the record")
	return a.signed(a.withClient(c))
}

// stated reads INSTANCE=AMOUNT.
func stated(flag string, in []string) (out []api.Stated, err error) {
	for _, s := range in {
		name, amount, ok := strings.Cut(s, "=")
		if !ok || name == "" {
			return nil, usageError("--%s is %q: write it as in gpu-pool=120k or tenant-day/search=900", flag, s)
		}
		n, err := policy.ParseAmount(amount)
		if err != nil {
			return nil, usageError("--%s %s: %w", flag, name, err)
		}
		out = append(out, api.Stated{Instance: name, Amount: n})
	}
	return out, nil
}

// confirm says what is about to happen, and has the names typed again.
func (a *app) confirm(list []api.Member, names, meant []string) error {
	if len(meant) > 0 {
		x, y := slices.Sorted(slices.Values(names)), slices.Sorted(slices.Values(meant))
		if !slices.Equal(x, y) {
			return usageError("--yes-i-mean names %s, the command %s", clean(strings.Join(y, ", ")), clean(strings.Join(x, ", ")))
		}
		return nil
	}
	var w strings.Builder
	fmt.Fprintf(&w, "You vouch that these nodes are dead, that no node runs which `members` does not list, and that their clocks were at most a minute ahead: %s\n", clean(strings.Join(names, ", ")))
	if printStuck(&w, list, names) == 0 {
		w.WriteString("This node knows of nothing that is stuck with them.\n")
	}
	w.WriteString("\nTheir shares become this node's. Of the tokens above only what --stock states comes back now.\n" +
		"If one of them is alive, what it spends until it hears of this is spent twice.\n")
	if _, err := io.WriteString(a.stderr, w.String()); err != nil {
		return err
	}
	in := bufio.NewScanner(a.stdin)
	for _, name := range names {
		fmt.Fprintf(a.stderr, "Type the name %s again: ", clean(name))
		if !in.Scan() {
			return &codedError{err: fmt.Errorf("nothing was removed: the name %s was not typed again", clean(name)), code: exitFailed, hint: "in scripts, add --yes-i-mean " + clean(name)}
		}
		if got := strings.TrimSpace(in.Text()); got != name {
			return &codedError{err: fmt.Errorf("nothing was removed: %q is not %s", got, clean(name)), code: exitFailed}
		}
	}
	return nil
}

func (a *app) printRemoved(rc api.RemoveReceipt) error {
	return a.print(rc, func(w *strings.Builder) {
		fields(w, "removed", clean(strings.Join(rc.Removed, ", ")), "heir", clean(rc.Heir))
		for _, b := range rc.Back {
			fmt.Fprintf(w, "%s: %.2f%% of all shares, %s tokens\n", clean(b.Instance), float64(b.Shares)/float64(ledger.TotalShares)*100, tokens(b.Tokens))
		}
	})
}
