package main

import (
	"fmt"
	"os"
	"runtime"
	"strings"

	"github.com/spf13/cobra"

	simreport "github.com/swarmpurse/swarmpurse/sim/report"
	"github.com/swarmpurse/swarmpurse/sim/result"
	"github.com/swarmpurse/swarmpurse/sim/scenario"
)

// simFlags are what run, compare and sweep have in common.
type simFlags struct {
	edits   simEdits
	systems []string
	out     string
	jobs    int
}

func (f *simFlags) add(c *cobra.Command, several bool) {
	f.edits.add(c.Flags())
	c.Flags().StringSliceVar(&f.systems, "systems", nil, "`systems` to compare the swarm with, by comma: "+strings.Join(scenario.SystemWords()[1:], ", ")+", or "+result.Swarm+" for none (default all)")
	c.Flags().StringVar(&f.out, "out", "", "`directory` for a report: HTML, PNG, JSON and CSV")
	f.jobs = 1
	if several {
		c.Flags().IntVar(&f.jobs, "jobs", runtime.NumCPU(), "how many runs are made at a time")
	}
	_ = c.MarkFlagDirname("out")
}

// check finds what is wrong with the flags before anything runs, and makes the report's directory.
func (f *simFlags) check() ([]string, error) {
	var names []string
	for _, word := range f.systems {
		name, ok := scenario.SystemNamed(word)
		if !ok {
			return nil, usageError("--systems has no %q: choose from %s", word, strings.Join(scenario.SystemWords(), ", "))
		}
		names = append(names, name)
	}
	if f.jobs < 1 {
		return nil, usageError("--jobs is %d: it must be above 0", f.jobs)
	}
	if f.out != "" {
		if err := os.MkdirAll(f.out, 0o777); err != nil {
			return nil, err
		}
	}
	return names, nil
}

func newSimRunCommand(a *app) *cobra.Command {
	var f simFlags
	var shrink bool
	c := &cobra.Command{
		Use:   "run SCENARIO",
		Short: "Run a scenario and judge it",
		Long: `Run a scenario, one that ships, a file (- is stdin) or random (drawn from --seed), and show what it came to beside other ways of
admitting, whether its bounds were kept, and, if an invariant did not hold, after which event, the
shortest prefix found that still fails, and the command that runs that again.

--set changes a value of the scenario: network.loss=5%, workload.0.rate=200/s, policy.budgets.0.supply.rate=80k/s.
--policy puts your policy in the place of the scenario's.`,
		Example: `  swarmpurse sim run partition
  swarmpurse sim run steady --policy mine.yaml --seed 7 --out report
  swarmpurse sim run my-scenario.yaml --nodes 1000 --set network.loss=5% -o json`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			systems, err := f.check()
			if err != nil {
				return err
			}
			f.edits.noted(cmd.Flags())
			sc, err := a.scenario(args[0], &f.edits)
			if err != nil {
				return err
			}
			var page *simreport.Page
			shrinks := 0
			if shrink && args[0] != "-" { // what came by stdin is gone
				shrinks = 1
			}
			err = a.simulate(cmd.Context(), simWork{
				n: 1, jobs: 1, systems: systems,
				scenario: func(int) (*scenario.Scenario, error) { return sc, nil },
				edit: func(_ int, sets []string) (*scenario.Scenario, error) {
					return a.scenario(args[0], f.edits.with(sets...))
				},
				again: func(_ int, sets []string) string {
					return command(args[0], sc.Seed, f.edits.with(sets...)) + " --systems " + result.Swarm
				},
				shrinks: shrinks,
				done: func(_ int, r *result.Result) {
					again(r, args[0], &f.edits)
					page = simreport.Run(r)
				},
			})
			if err != nil {
				return err
			}
			return a.show(page, f.out)
		},
	}
	f.add(c, false)
	f.edits.addPolicy(c)
	c.Flags().BoolVar(&shrink, "shrink", true, "when an invariant did not hold, look for a smaller run that fails")
	return a.withOutput(c)
}

// again writes down the command that runs a failed run again.
func again(r *result.Result, name string, e *simEdits) {
	if r.Violation != nil && r.Violation.Command == "" {
		r.Violation.Command = command(name, r.Seed, e)
	}
}

// command makes a run of a scenario with changes.
func command(name string, seed uint64, e *simEdits) string {
	return fmt.Sprintf("swarmpurse sim run %s --seed %d%s", quoted(name), seed, e.flags())
}
