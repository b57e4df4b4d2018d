package main

import (
	"fmt"
	"strconv"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/swarmpurse/swarmpurse/cmd/swarmpurse/tables"
	"github.com/swarmpurse/swarmpurse/node/api"
)

func newPolicyApplyCommand(a *app) *cobra.Command {
	var q api.ApplyRequest
	fields := map[string]*string{"canary": new(string), "by": new(string), "zones": new(string), "bake": new(string), "deny_rate": new(string), "p99_wait": new(string),
		"output_length": new(string), "cost": new(string)}
	shadow := false
	c := a.signed(a.withClient(&cobra.Command{
		Use:   "apply FILE",
		Short: "Have a node adopt a policy, or try it on some calls, and gossip it to the swarm",
		Long: `Check a policy document, - is stdin, and have a node adopt it and gossip it. Its revision must be
above that of the present policy.

With --canary or --zones, or if the document has a rollout, it is a candidate: it decides on some calls, the present policy
on the others, and every node tells what becomes of them. If the candidate surely refuses more calls than its guard
allows, has them wait longer, or has more of them put out or cost more than is usual for their model, it is rolled back by itself. Else it is promoted when it has baked, or by
'swarmpurse policy promote'. Applying it again with other flags changes how it is tried. What a candidate may not
change, since both revisions draw on the same budgets, is refused.

With --shadow it decides on nothing and draws on nothing: each node compares what it would have decided with the calls that are
decided, by its rules, costs, limits, places and routes, with the rights and prices that were there. 'swarmpurse policy show' tells
what differs, 'swarmpurse explain' of one call. It may change anything. Apply it again with --canary or --whole, or promote it, to go on; 'swarmpurse
policy rollback' ends it, 'policy pause' stops looking for a while. How waits, prices and rights would have moved under it nobody can know.`,
		Example: `  swarmpurse policy apply policy.yaml
  swarmpurse policy apply policy.yaml --canary 10% --by tenant --bake 30m
  swarmpurse policy apply policy.yaml --shadow --bake 1h
  swarmpurse policy apply policy.yaml --zones eu-west --deny-rate +2% --p99-wait none`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			for name, v := range fields {
				if cmd.Flags().Changed(flagOf(name)) {
					if q.Rollout == nil {
						q.Rollout = map[string]string{}
					}
					q.Rollout[name] = *v
				}
			}
			if shadow {
				if q.Rollout == nil {
					q.Rollout = map[string]string{}
				}
				q.Rollout["shadow"] = "true"
			}
			if q.Whole && q.Rollout != nil {
				return usageError("--whole and a canary contradict each other: leave one of them out")
			}
			r, src := a.checkPolicy(args[0])
			r.complain(a.stderr)
			if !r.OK {
				return fmt.Errorf("%s is not valid: nothing was sent", clean(r.File))
			}
			client, ctx, done, err := a.client(cmd, 0)
			if err != nil {
				return err
			}
			defer done()
			q.Source = src
			if err := a.signApply(ctx, client, &q); err != nil {
				return err
			}
			p, err := client.ApplyPolicy(ctx, q)
			if err != nil {
				return err
			}
			return a.printPolicy(p)
		},
	}))
	f := c.Flags()
	f.StringVar(fields["canary"], "canary", "", "try it on this `part` of the values of --by: 10%")
	f.StringVar(fields["by"], "by", "", "what calls are split by: tenant, agent (the default), run, model, attributes.NAME")
	f.StringVar(fields["zones"], "zones", "", "try it on all calls at the nodes of these `zones`, instead of --canary")
	f.StringVar(fields["bake"], "bake", "", "promote it by itself after this `time`: 30m; without, it waits for policy promote")
	f.StringVar(fields["deny_rate"], "deny-rate", "", "roll it back if surely so `many` more of its calls are refused: +5%, none for any (default +5%)")
	f.StringVar(fields["p99_wait"], "p99-wait", "", "roll it back if surely the p99 of waits is longer by this `part` of the latency budget: +20%, none for any (default +20%)")
	f.StringVar(fields["output_length"], "output-length", "", "roll it back if surely so `many` more of its calls put out more than 95% of calls of their model used to: +20%, none for any (default +20%)")
	f.StringVar(fields["cost"], "cost", "", "roll it back if surely so `many` more of its calls cost more of a budget than 95% of calls of their model used to: +20%, none for any (default none)")
	f.BoolVar(&shadow, "shadow", false, "only look at what it would decide, beside the present policy; with --bake for that long")
	f.BoolVar(&q.Whole, "whole", false, "for all calls at once, whatever the document's rollout says")
	f.StringVar(&q.Why, "why", "", "the reason, for the history")
	return c
}

func flagOf(field string) string { return strings.ReplaceAll(field, "_", "-") }

// actCommand is a command that does something with a candidate.
type actCommand struct{ what, short, long string }

var (
	promoteCommand = actCommand{api.Promote, "Have the candidate decide on all calls", `Have the candidate decide on all calls of the swarm. It can still be rolled back, also by an operator who does not hear
of it: of two words on one revision, whoever says them and whenever they arrive, rolling back wins.`}
	pauseCommand = actCommand{api.Pause, "Keep the candidate from being promoted by itself", `Keep the candidate from being promoted when it has baked. It goes on to decide on its calls, and the guard
goes on to watch it.`}
	resumeCommand   = actCommand{api.Resume, "End a pause; the candidate bakes once more", `End a pause. The candidate bakes once more, from now on.`}
	rollBackCommand = actCommand{api.RollBack, "Give up the candidate, or the present policy", `Give up the candidate: the present policy decides on all calls again. Without a candidate, give up the present policy: the one
before it is in force again, if this node still has it (the last 8 are kept). A revision that was rolled back never returns; give
the document a higher one.`}
)

func newPolicyActCommand(a *app, what actCommand) *cobra.Command {
	var q api.PolicyAct
	c := a.signed(a.withClient(&cobra.Command{
		Use:   what.what,
		Short: what.short,
		Long:  what.long,
		Args:  cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			client, ctx, done, err := a.client(cmd, 0)
			if err != nil {
				return err
			}
			defer done()
			if err := a.signAct(ctx, client, what.what, &q); err != nil {
				return err
			}
			p, err := client.ActOnPolicy(ctx, what.what, q)
			if err != nil {
				return err
			}
			return a.print(p, func(w *strings.Builder) {
				fields(w, "revision", fmt.Sprint(p.Revision), "hash", clean(p.Hash), "since", instant(p.Since), "by", clean(p.By))
				printTrial(w, p.Trial)
			})
		},
	}))
	c.Flags().Int64Var(&q.Revision, "revision", 0, "the `revision` that is meant: nothing is done if it would be another")
	c.Flags().StringVar(&q.Why, "why", "", "the reason, for the history")
	return c
}

func newPolicyHistoryCommand(a *app) *cobra.Command {
	return a.withClient(&cobra.Command{
		Use:   "history",
		Short: "Show what became of each revision, who said so and why",
		Long: `Show what became of each revision that the node knows, the highest first: who applied, promoted, paused or rolled it back, at
which node, and why. The guard is named guard, and a candidate that was promoted for its time has bake.

Experiments are shown with the highest revision that has them: what became of the calls of each arm in the whole swarm, and how the arms compare
with the first by score, cost, latency and refusals. The intervals may be looked at as often as you like: the chance that any of an experiment's
ever leaves the truth out is 5%.`,
		Args: cobra.NoArgs,
		RunE: showing(a, (*api.Client).PolicyHistory, func(w *strings.Builder, h api.History) {
			if len(h.Revisions) == 0 {
				w.WriteString("no policy was ever applied\n")
				return
			}
			t := tables.New("→revision", "hash", "state", "what", "at", "node", "by", "why")
			for _, r := range h.Revisions {
				if r.Refused != "" {
					fmt.Fprintf(a.stderr, "revision %d cannot be used by the node that was asked: %s\n", r.Revision, clean(r.Refused))
				}
				revision, hash, state := fmt.Sprint(r.Revision), clean(r.Hash[:min(8, len(r.Hash))]), clean(r.State)
				for _, x := range r.Acts {
					what := x.What
					if x.On != "" {
						what += " on " + x.On
					}
					t.AppendRow(table.Row{revision, hash, state, clean(what), instant(x.At), clean(x.Node), clean(x.By), clean(x.Why)})
					revision, hash, state = "", "", ""
				}
			}
			w.WriteString(t.Render() + "\n")
			for _, r := range h.Revisions {
				if r.Shadow != nil {
					fmt.Fprintf(w, "\nshadow of revision %d\n\n", r.Revision)
					printShadow(w, r.Shadow)
				}
				printExperiments(w, fmt.Sprintf(" of revision %d", r.Revision), r.Experiments)
			}
		}),
	})
}

func printTrial(w *strings.Builder, t *api.Trial) {
	if t == nil {
		return
	}
	until, ends, paused := "", "promotes", ""
	if t.Shadow != nil {
		ends = "looked at until"
	}
	if t.Until != nil {
		until = instant(*t.Until)
	}
	if t.Paused != nil {
		paused = fmt.Sprintf("by %s at %s", t.Paused.By, instant(t.Paused.At))
		if t.Paused.Why != "" {
			paused += ": " + t.Paused.Why
		}
	}
	w.WriteByte('\n')
	fields(w, "candidate", fmt.Sprint(t.Revision), "hash", clean(t.Hash), "on", clean(t.On), "since", instant(t.Since), "by", clean(t.By), "why", clean(t.Why),
		ends, until, "paused", clean(paused), "held", clean(t.Held), "on promotion", clean(strings.Join(t.Waits, ", ")))
	w.WriteByte('\n')
	if t.Shadow != nil {
		printShadow(w, t.Shadow)
		return
	}
	table := tables.New("arm", "→calls", "→refused", "→deny rate", "→p99 of waits", "→long outputs", "→dear calls")
	for _, x := range []struct {
		name string
		arm  api.Arm
	}{{"stable", t.Stable}, {"candidate", t.Candidate}} {
		table.AppendRow(row(x.name, count(x.arm.Calls), count(x.arm.Refused), partOf(x.arm.DenyRate), partOf(x.arm.P99Wait), above(x.arm.LongRate, x.arm.Outputs), above(x.arm.DearRate, x.arm.Costs)))
	}
	w.WriteString(table.Render() + "\n")
	for _, x := range t.NoPast {
		fmt.Fprintf(w, "no past: %s of the candidate's calls with model %s are compared with nothing at this node, which knows nothing of it, nor of the models that they named\n", count(x.Calls), clean(x.Model))
	}
}

func row(cells ...string) table.Row {
	r := make(table.Row, len(cells))
	for i, c := range cells {
		r[i] = c
	}
	return r
}

// above writes a part of so many calls, none of which may be known.
func above(x float64, of int64) string {
	if of == 0 {
		return "-"
	}
	return fmt.Sprintf("%s of %s", partOf(x), count(of))
}

// partOf writes a part of all as people do: 2.5%.
func partOf(x float64) string { return strconv.FormatFloat(100*x, 'f', 1, 64) + "%" }

// policyOf names the revision that decided, and the arm if there are two.
func policyOf(revision int64, arm string) string {
	s := fmt.Sprintf("revision %d", revision)
	if arm != "" {
		s += ", " + clean(arm)
	}
	return s
}
