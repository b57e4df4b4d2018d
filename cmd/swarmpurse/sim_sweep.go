package main

import (
	"fmt"
	"math"
	"regexp"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	simreport "github.com/swarmpurse/swarmpurse/sim/report"
	"github.com/swarmpurse/swarmpurse/sim/result"
	"github.com/swarmpurse/swarmpurse/sim/scenario"
)

// maxSweep is the most values of a sweep.
const maxSweep = 200

func newSimSweepCommand(a *app) *cobra.Command {
	var f simFlags
	var over string
	var figures []string
	c := &cobra.Command{
		Use:   "sweep SCENARIO",
		Short: "Run a scenario over the values of a parameter",
		Long: `Run a scenario once for each value of one parameter, and show chosen figures over it, as a table and, with
--out, as charts. --over names a value as --set does, with a list of values or a range in equal steps.

A figure of one class is written as in wait_p99[batch].`,
		Example: `  swarmpurse sim sweep steady --over network.loss=0%,1%,5%,20% --figure goodput,bytes --out report
  swarmpurse sim sweep steady --over nodes=10..100:4 --figure local,wait_p99
  swarmpurse sim sweep steady --over seed=1..20:20`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			systems, err := f.check()
			if err != nil {
				return err
			}
			path, values, err := parseOver(over)
			if err != nil {
				return usageError("--over: %w", err)
			}
			s := simreport.Sweep{Over: path, Values: values, Runs: make([]*result.Result, len(values))}
			for _, text := range figures {
				choice, err := simreport.ParseChoice(text)
				if err != nil {
					return usageError("--figure: %w", err)
				}
				s.Figures = append(s.Figures, choice)
			}
			f.edits.noted(cmd.Flags())
			edits := make([]simEdits, len(values))
			scenarios := make([]*scenario.Scenario, len(values))
			for i, v := range values {
				edits[i] = *f.edits.with(path + "=" + v)
				if scenarios[i], err = a.scenario(args[0], &edits[i]); err != nil {
					return err
				}
			}
			s.Scenario, s.Description = scenarios[0].Name, scenarios[0].Description
			err = a.simulate(cmd.Context(), simWork{
				n: len(values), jobs: f.jobs, systems: systems,
				scenario: func(i int) (*scenario.Scenario, error) { return scenarios[i], nil },
				done: func(i int, r *result.Result) {
					again(r, args[0], &edits[i])
					s.Runs[i] = r
				},
			})
			if err != nil {
				return err
			}
			return a.show(s.Page(), f.out)
		},
	}
	f.add(c, true)
	f.edits.addPolicy(c)
	c.Flags().StringVar(&over, "over", "", "the parameter with its values: `path=v1,v2,…` or path=from..to:steps")
	c.Flags().StringSliceVar(&figures, "figure", []string{"goodput", "local", "wait_p99", "bytes"}, "`figures` to show, by comma")
	return a.withOutput(c)
}

var rangeForm = regexp.MustCompile(`^(-?[0-9]+(?:\.[0-9]+)?)([A-Za-z%/]*)\.\.(-?[0-9]+(?:\.[0-9]+)?)([A-Za-z%/]*):([0-9]+)$`)

// parseOver reads path=v1,v2,… or path=from..to:steps.
func parseOver(text string) (path string, values []string, err error) {
	path, list, ok := strings.Cut(text, "=")
	if !ok || path == "" || list == "" {
		return "", nil, fmt.Errorf("%q: write path=v1,v2,… or path=from..to:steps", text)
	}
	if !strings.Contains(list, "..") {
		values = strings.Split(list, ",")
		if len(values) > maxSweep {
			return "", nil, fmt.Errorf("%d values: at most %d", len(values), maxSweep)
		}
		for _, v := range values {
			if v == "" {
				return "", nil, fmt.Errorf("%q has an empty value", list)
			}
		}
		return path, values, nil
	}
	m := rangeForm.FindStringSubmatch(list)
	if m == nil || m[2] != m[4] {
		return "", nil, fmt.Errorf("%q: write a range with one unit, as in 10..100:4 or 0%%..20%%:5", list)
	}
	from, err := strconv.ParseFloat(m[1], 64)
	if err != nil {
		return "", nil, err
	}
	to, err := strconv.ParseFloat(m[3], 64)
	if err != nil {
		return "", nil, err
	}
	steps, err := strconv.Atoi(m[5])
	if err != nil || steps < 2 || steps > maxSweep {
		return "", nil, fmt.Errorf("%s steps: choose from 2 to %d", m[5], maxSweep)
	}
	for i := range steps {
		v := from + (to-from)*float64(i)/float64(steps-1)
		values = append(values, strconv.FormatFloat(math.Round(v*1e6)/1e6, 'f', -1, 64)+m[2])
	}
	return path, values, nil
}
