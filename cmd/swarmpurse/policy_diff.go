package main

import (
	"fmt"
	"maps"
	"os"
	"slices"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/swarmpurse/swarmpurse/cmd/swarmpurse/tables"
	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/rehearse"
	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/sim/workload"
)

// diffResult is what `policy diff -o json` says.
type diffResult struct {
	Old     int64        `json:"old_revision"`
	New     int64        `json:"new_revision"`
	Changes []diffChange `json:"changes"`
	// Canary says whether the new one may be tried beside the old: no, with why; or what would wait until it is promoted.
	Canary  bool        `json:"canary"`
	Refused []string    `json:"canary_refused,omitempty"`
	Waits   []string    `json:"waits_for_promotion,omitempty"`
	Sample  *diffSample `json:"sample,omitempty"`
}

type diffChange struct {
	Where string `json:"where"`
	Old   string `json:"old,omitempty"`
	New   string `json:"new,omitempty"`
}

type diffSample struct {
	Trace   string         `json:"trace"`
	Calls   int            `json:"calls"`
	Left    int            `json:"calls_left_out,omitempty"`
	Old     map[string]int `json:"old"` // calls by decision
	New     map[string]int `json:"new"`
	Moves   []diffMove     `json:"moves"`
	Tenants []diffTenant   `json:"tenants"`
	Budgets []diffBudget   `json:"budgets"`
}

type diffMove struct {
	Old     string `json:"old"`
	New     string `json:"new"`
	Calls   int    `json:"calls"`
	Example string `json:"example"`
}

type diffTenant struct {
	Tenant  string `json:"tenant"`
	Calls   int    `json:"calls"`
	Changed int    `json:"changed"`
}

type diffBudget struct {
	Budget string        `json:"budget"`
	Old    ledger.Tokens `json:"old"`
	New    ledger.Tokens `json:"new"`
}

func newPolicyDiffCommand(a *app) *cobra.Command {
	var trace string
	var most int
	c := a.withClient(&cobra.Command{
		Use:   "diff [OLD] NEW",
		Short: "Show what a policy changes: limits, prices, rules, and decisions on recorded calls",
		Long: `Show where two policy documents differ, and whether the second may be tried as a canary beside the first. With one
document, the first is what a node runs.

With --trace, decide on recorded calls by both, and show which are decided otherwise, and what budgets are charged. The trace is what
'swarmpurse audit export --trace' writes, or any CSV file that 'swarmpurse sim' reads. Each policy has one node with all of
the swarm's rights; calls end at once, and none waits (what would wait counts as deferred). For what happens in a swarm, with
waiting: swarmpurse sim compare.
Exit code 0 whether they differ or not.`,
		Example: `  swarmpurse policy diff next.yaml
  swarmpurse audit export --trace --out calls.csv && swarmpurse policy diff next.yaml --trace calls.csv`,
		Args: cobra.RangeArgs(1, 2),
		RunE: func(cmd *cobra.Command, files []string) error {
			if most < 1 || most > maxDiffCalls {
				return usageError("--calls must be from 1 to %d", maxDiffCalls)
			}
			after, err := a.validPolicy(files[len(files)-1])
			if err != nil {
				return err
			}
			var before *policy.Policy
			if len(files) == 2 {
				before, err = a.validPolicy(files[0])
			} else {
				before, err = a.nodePolicy(cmd)
			}
			if err != nil {
				return err
			}
			r := diffResult{Old: before.Revision(), New: after.Revision(), Changes: []diffChange{}}
			for _, x := range policy.Diff(before, after) {
				r.Changes = append(r.Changes, diffChange(x))
			}
			waits, err := policy.Tryable(before, after)
			if r.Waits, r.Canary = waits, err == nil; err != nil {
				r.Refused = strings.Split(err.Error(), "\n")
			}
			if trace != "" {
				if r.Sample, err = sampleOf(trace, most, before, after); err != nil {
					return err
				}
			}
			return a.print(r, r.text)
		},
	})
	c.Flags().StringVar(&trace, "trace", "", "`file` of recorded calls to decide on by both")
	c.Flags().IntVar(&most, "calls", 100_000, "how `many` of them, from the first on")
	return c
}

const maxDiffCalls = 5_000_000

// validPolicy reads a document, and says what is wrong with it.
func (a *app) validPolicy(file string) (*policy.Policy, error) {
	r, src := a.checkPolicy(file)
	if !r.OK {
		r.complain(a.stderr)
		return nil, fmt.Errorf("%s is not valid", clean(r.File))
	}
	return policy.Parse(r.File, src)
}

// nodePolicy is the policy that a node runs.
func (a *app) nodePolicy(cmd *cobra.Command) (*policy.Policy, error) {
	client, ctx, done, err := a.client(cmd, 0)
	if err != nil {
		return nil, err
	}
	defer done()
	p, err := client.Policy(ctx)
	if err != nil {
		return nil, err
	}
	return policy.Parse("the node's policy", []byte(p.Source))
}

func sampleOf(file string, most int, before, after *policy.Policy) (*diffSample, error) {
	in, err := os.Open(file)
	if err != nil {
		return nil, err
	}
	defer in.Close()
	rec, err := workload.ReadRecording(file, in)
	if err != nil {
		return nil, err
	}
	rows := rec.Rows[:min(len(rec.Rows), most)]
	calls := make([]rehearse.Call, len(rows))
	for i, r := range rows {
		calls[i] = rehearse.Call{At: r.At, Tenant: r.Tenant, Agent: r.Agent, Class: r.Class, Model: r.Model, Prompt: r.Prompt, Output: r.Output}
	}
	begin := rehearse.Begin
	if rec.Start.Year() >= 2000 { // else its times are seconds from some start
		begin = ledger.Instant(rec.Start.UnixMilli())
	}
	c := rehearse.Compare(before, after, begin, calls)
	s := &diffSample{Trace: file, Calls: c.Calls, Left: len(rec.Rows) - len(rows), Old: c.Old, New: c.New, Moves: []diffMove{}, Tenants: []diffTenant{}, Budgets: []diffBudget{}}
	for _, m := range c.Moves {
		s.Moves = append(s.Moves, diffMove(m))
	}
	for _, t := range c.Tenants {
		s.Tenants = append(s.Tenants, diffTenant{t.Name, t.Calls, t.Changed})
	}
	for _, b := range c.Budgets {
		s.Budgets = append(s.Budgets, diffBudget{b.Name, b.Old, b.New})
	}
	return s, nil
}

func (r diffResult) text(w *strings.Builder) {
	if len(r.Changes) == 0 {
		w.WriteString("the documents say the same\n")
	} else {
		t := tables.New("where", fmt.Sprintf("revision %d", r.Old), fmt.Sprintf("revision %d", r.New))
		for _, c := range r.Changes {
			t.AppendRow(table.Row{clean(c.Where), clean(c.Old), clean(c.New)})
		}
		w.WriteString(t.Render() + "\n")
	}
	canary := "yes"
	if len(r.Waits) > 0 {
		canary = "yes; on promotion: " + strings.Join(r.Waits, ", ")
	}
	if !r.Canary {
		canary = "no: " + strings.Join(r.Refused, "\n")
	}
	w.WriteByte('\n')
	for i, line := range strings.Split(canary, "\n") {
		if i == 0 {
			line = "canary  " + line
		} else {
			line = "        " + line
		}
		w.WriteString(clean(line) + "\n")
	}
	if r.Sample != nil {
		r.Sample.text(w)
	}
}

func (s *diffSample) text(w *strings.Builder) {
	fmt.Fprintf(w, "\n%s calls of %s", count(int64(s.Calls)), clean(s.Trace))
	if s.Left > 0 {
		fmt.Fprintf(w, ", %s more left out (see --calls)", count(int64(s.Left)))
	}
	w.WriteString("\n")
	names := maps.Clone(s.Old)
	maps.Copy(names, s.New)
	t := tables.New("decision", "→old", "→new")
	for _, name := range slices.Sorted(maps.Keys(names)) {
		t.AppendRow(table.Row{name, count(int64(s.Old[name])), count(int64(s.New[name]))})
	}
	w.WriteString(t.Render() + "\n\n")
	if len(s.Moves) == 0 {
		w.WriteString("no call is decided otherwise\n")
	} else {
		t = tables.New("→calls", "old", "new", "for example")
		for _, m := range s.Moves {
			t.AppendRow(table.Row{count(int64(m.Calls)), clean(m.Old), clean(m.New), clean(m.Example)})
		}
		w.WriteString(t.Render() + "\n\n")
		t = tables.New("tenant", "→calls", "→decided otherwise")
		for _, x := range s.Tenants {
			t.AppendRow(table.Row{clean(x.Tenant), count(int64(x.Calls)), count(int64(x.Changed))})
		}
		w.WriteString(t.Render() + "\n")
	}
	if len(s.Budgets) > 0 {
		t = tables.New("budget", "→charged by old", "→by new")
		for _, b := range s.Budgets {
			t.AppendRow(table.Row{clean(b.Budget), tokens(b.Old), tokens(b.New)})
		}
		w.WriteString("\n" + t.Render() + "\n")
	}
}
