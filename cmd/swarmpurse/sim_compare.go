package main

import (
	"path/filepath"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	simreport "github.com/swarmpurse/swarmpurse/sim/report"
	"github.com/swarmpurse/swarmpurse/sim/result"
	"github.com/swarmpurse/swarmpurse/sim/scenario"
)

func newSimCompareCommand(a *app) *cobra.Command {
	var f simFlags
	var policies []string
	c := &cobra.Command{
		Use:   "compare SCENARIO [SCENARIO...]",
		Short: "Compare policies on the same calls, or scenarios",
		Long: `Run one scenario with each --policy, on the same calls, faults and seed, or run several scenarios, and
show what each came to and how it differs from the first.`,
		Example: `  swarmpurse sim compare flash-crowd --policy present.yaml --policy next.yaml --out report
  swarmpurse sim compare before.yaml after.yaml --seed 7`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			systems, err := f.check()
			if err != nil {
				return err
			}
			if (len(args) > 1) == (len(policies) > 0) || len(args) == 1 && len(policies) < 2 {
				return usageError("give one scenario and two policies or more, or two scenarios or more")
			}
			f.edits.noted(cmd.Flags())
			var names, labels []string
			var edits []simEdits
			for _, name := range args {
				names, labels, edits = append(names, name), append(labels, name), append(edits, f.edits)
			}
			for i, p := range policies {
				if i > 0 {
					names, labels, edits = append(names, args[0]), append(labels, ""), append(edits, f.edits)
				}
				labels[i], edits[i].policy = p, p
			}
			scenarios := make([]*scenario.Scenario, len(names))
			for i := range names {
				if scenarios[i], err = a.scenario(names[i], &edits[i]); err != nil {
					return err
				}
			}
			labels = apart(labels)
			runs := make([]*result.Result, len(names))
			err = a.simulate(cmd.Context(), simWork{
				n: len(names), jobs: f.jobs, systems: systems,
				scenario: func(i int) (*scenario.Scenario, error) { return scenarios[i], nil },
				done: func(i int, r *result.Result) {
					again(r, names[i], &edits[i])
					r.Label = labels[i]
					runs[i] = r
				},
			})
			if err != nil {
				return err
			}
			return a.show(simreport.Compare(runs), f.out)
		},
	}
	f.add(c, true)
	c.Flags().StringArrayVar(&policies, "policy", nil, "policy `file` in the place of the scenario's; once for each to compare")
	_ = c.MarkFlagFilename("policy", "yaml", "yml")
	return a.withOutput(c)
}

// apart shortens file names to their last parts, if these still tell them apart.
func apart(names []string) []string {
	short := make([]string, len(names))
	for i, n := range names {
		short[i] = strings.TrimSuffix(strings.TrimSuffix(filepath.Base(n), ".yaml"), ".yml")
	}
	if sorted := slices.Sorted(slices.Values(short)); len(slices.Compact(sorted)) < len(names) {
		return names
	}
	return short
}
