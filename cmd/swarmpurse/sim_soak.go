package main

import (
	"cmp"
	"fmt"
	"runtime"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/swarmpurse/swarmpurse/cmd/swarmpurse/tables"
	"github.com/swarmpurse/swarmpurse/sim/result"
	"github.com/swarmpurse/swarmpurse/sim/scenario"
)

// soaked is what `sim soak` says of the runs of one scenario.
type soaked struct {
	Scenario string        `json:"scenario"`
	Runs     int           `json:"runs"`
	Events   uint64        `json:"events"`
	Admitted int64         `json:"admitted"`
	Failures []soakFailure `json:"failures"`
}

type soakFailure struct {
	Seed      uint64 `json:"seed"`
	Invariant string `json:"invariant"`
	Detail    string `json:"detail"`
	Event     uint64 `json:"event,omitempty"`
	Prefix    string `json:"shortest_prefix,omitempty"`
	Command   string `json:"command"`

	scenario string
}

// soakTwice is how many runs of random scenarios there are to one that is made a second time.
const soakTwice = 50

func newSimSoakCommand(a *app) *cobra.Command {
	var seeds, each, jobs, shrinks int
	var first uint64
	c := &cobra.Command{
		Use:   "soak [SCENARIO]...",
		Short: "Run many seeds of random faults, and of each scenario that ships",
		Long: `Run scenarios that are drawn from seeds (few nodes; random calls, policies and faults), and some seeds of each
scenario that ships, the swarm alone. Only invariants count, no bounds: nothing may be overspent, lost or
stuck, and one run in fifty is made twice and must be the same, event by event. What fails is told at once,
with its seed and the command that runs it again; for the first ones a smaller run that fails is looked for.
With scenarios, by name or file, only those are run; random ones beside them if --seeds is given.`,
		Example: `  swarmpurse sim soak --seeds 200 --each 2
  swarmpurse sim soak --first 5001 --seeds 1000 --each 0
  swarmpurse sim soak steady mass-crash --each 5`,
		RunE: func(cmd *cobra.Command, names []string) error {
			if len(names) > 0 && !cmd.Flags().Changed("seeds") {
				seeds = 0
			}
			if seeds < 0 || each < 0 || seeds+each == 0 {
				return usageError("--seeds is %d and --each %d: there is nothing to run", seeds, each)
			}
			if jobs < 1 {
				return usageError("--jobs is %d: it must be above 0", jobs)
			}
			if shrinks < 0 {
				return usageError("--shrink is %d: it must be 0 or more", shrinks)
			}
			for i, name := range names {
				if slices.Contains(names[:i], name) {
					return usageError("%s is named twice", clean(name))
				}
				if _, err := a.scenario(name, &simEdits{}); err != nil { // before the first run
					return err
				}
			}
			if len(names) == 0 {
				for _, f := range scenario.Shipped() {
					names = append(names, f.Name)
				}
			}
			s := newSoak(names, first, seeds, each)
			scenarioOf := func(i int, sets []string) (*scenario.Scenario, error) {
				return a.scenario(s.name(i), &simEdits{seed: s.runs[i].seed, seedGiven: true, set: sets})
			}
			bar := newSimBar(a.stderr, len(s.runs))
			err := a.simulate(cmd.Context(), simWork{
				n: len(s.runs), jobs: jobs, systems: []string{result.Swarm}, bar: bar,
				scenario: func(i int) (*scenario.Scenario, error) { return scenarioOf(i, nil) },
				edit:     scenarioOf, shrinks: shrinks,
				again: func(i int, sets []string) string { return s.command(i, sets) },
				done: func(i int, r *result.Result) {
					if f := s.add(i, r); f != nil {
						bar.say(f.text())
					}
				},
			})
			if err != nil {
				return err
			}
			failed := s.sort()
			err = a.print(map[string]any{"passed": failed == 0, "scenarios": s.scenarios}, func(w *strings.Builder) {
				t := tables.New("scenario", "→runs", "→events", "→admitted", "→failed")
				for _, x := range s.scenarios {
					if x.Runs > 0 {
						t.AppendRow(table.Row{x.Scenario, x.Runs, humanize.Comma(int64(x.Events)), humanize.Comma(x.Admitted), len(x.Failures)})
					}
				}
				w.WriteString(t.Render() + "\n")
			})
			if err != nil {
				return err
			}
			if failed > 0 {
				return fmt.Errorf("%d of %d runs failed", failed, len(s.runs))
			}
			return nil
		},
	}
	c.Flags().IntVar(&seeds, "seeds", 2000, "how many random scenarios")
	c.Flags().IntVar(&each, "each", 20, "how many seeds of each scenario that ships, or is named")
	c.Flags().Uint64Var(&first, "first", scenario.MarketSeeds, "the first seed; random scenarios below the default have no decay, guarantees, lives and prices that move")
	c.Flags().IntVar(&shrinks, "shrink", 3, "for how many runs that fail a smaller one is looked for")
	c.Flags().IntVar(&jobs, "jobs", runtime.NumCPU(), "how many runs are made at a time")
	return a.withOutput(c)
}

// soak is the runs to make and what came of them.
type soak struct {
	scenarios []soaked
	runs      []soakRun
	hashes    map[soakRun]string // of the runs that are made twice
}

type soakRun struct {
	of    int // index of scenarios
	seed  uint64
	twice bool
}

func newSoak(names []string, first uint64, seeds, each int) *soak {
	s := &soak{hashes: map[soakRun]string{}}
	plan := func(name string, n, twice int) {
		for i := range n {
			r := soakRun{len(s.scenarios), first + uint64(i), i%twice == 0}
			s.runs = append(s.runs, r)
			if r.twice {
				s.runs = append(s.runs, r)
			}
		}
		s.scenarios = append(s.scenarios, soaked{Scenario: name, Failures: []soakFailure{}})
	}
	// Those that ship take longest: they go first, so that all processors stay busy to the end.
	for _, name := range names {
		plan(name, each, max(1, each))
	}
	plan(randomScenario, seeds, soakTwice)
	return s
}

// name is the scenario of run i.
func (s *soak) name(i int) string { return s.scenarios[s.runs[i].of].Scenario }

// command makes run i again, with changes.
func (s *soak) command(i int, sets []string) string {
	return command(s.name(i), s.runs[i].seed, &simEdits{set: sets}) + " --systems " + result.Swarm
}

// add counts run i. It returns what is wrong with it, nil if nothing is.
func (s *soak) add(i int, r *result.Result) *soakFailure {
	x := s.runs[i]
	t := &s.scenarios[x.of]
	swarm := r.System(result.Swarm)
	t.Runs++
	t.Events += r.Events
	t.Admitted += swarm.Admitted
	f := soakFailure{scenario: t.Scenario, Seed: x.seed, Command: s.command(i, nil)}
	hash, second := s.hashes[x]
	if x.twice {
		s.hashes[x] = r.TraceHash
	}
	switch v := r.Violation; {
	case second && hash != r.TraceHash:
		f.Invariant, f.Detail = "same seed, same run", fmt.Sprintf("trace hashes %s and %s", hash, r.TraceHash)
	case second: // the first time counted
		return nil
	case v != nil:
		f.Invariant, f.Detail, f.Event, f.Prefix = v.Invariant, v.Detail, v.Event, v.Prefix
		f.Command = cmp.Or(v.Command, f.Command)
	case swarm.OverspendTokens > 0:
		f.Invariant, f.Detail = "no hard limit is overspent", fmt.Sprintf("%s tokens above it", humanize.Comma(swarm.OverspendTokens))
	default:
		return nil
	}
	t.Failures = append(t.Failures, f)
	return &f
}

// sort brings failures, which come in any order, into the order of their seeds, and counts them.
func (s *soak) sort() (failed int) {
	for _, x := range s.scenarios {
		slices.SortFunc(x.Failures, func(a, b soakFailure) int { return cmp.Compare(a.Seed, b.Seed) })
		failed += len(x.Failures)
	}
	return failed
}

// text tells of a failure, in lines.
func (f *soakFailure) text() string {
	text := fmt.Sprintf("swarmpurse: %s, seed %d: %s: %s\n", clean(f.scenario), f.Seed, clean(f.Invariant), clean(f.Detail))
	if f.Event > 0 {
		text += fmt.Sprintf("  event %d", f.Event)
		if f.Prefix != "" {
			text += ", shortest prefix: " + clean(f.Prefix)
		}
		text += "\n"
	}
	return text + "  run it again: " + clean(f.Command) + "\n"
}
