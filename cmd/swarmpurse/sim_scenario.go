package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/policy/document"
	"github.com/swarmpurse/swarmpurse/sim/scenario"
)

// randomScenario is the name of the scenarios that are drawn from --seed, as `sim soak` does.
const randomScenario = "random"

// simEdits are what the command line changes in a scenario.
type simEdits struct {
	seed   uint64
	nodes  int
	set    []string // path=value
	policy string   // a file

	seedGiven, nodesGiven bool
}

// noted remembers which flags were given: a seed of 0 is one, too.
func (e *simEdits) noted(f *pflag.FlagSet) {
	e.seedGiven, e.nodesGiven = f.Changed("seed"), f.Changed("nodes")
}

func (e *simEdits) add(f *pflag.FlagSet) {
	f.Uint64Var(&e.seed, "seed", 0, "what all chance is drawn from (default the scenario's)")
	f.IntVar(&e.nodes, "nodes", 0, "how many nodes there are at the start (default the scenario's)")
	f.StringArrayVar(&e.set, "set", nil, "change a value of the scenario: `path=value`, as in network.loss=5%; once for each")
}

func (e *simEdits) addPolicy(c *cobra.Command) {
	c.Flags().StringVar(&e.policy, "policy", "", "policy `file` in the place of the scenario's")
	_ = c.MarkFlagFilename("policy", "yaml", "yml")
}

// with is the same with more changes.
func (e *simEdits) with(sets ...string) *simEdits {
	more := *e
	more.set = slices.Concat(e.set, sets)
	return &more
}

// flags writes the changes but the seed as flags of a command line.
func (e *simEdits) flags() string {
	text := ""
	if e.nodesGiven {
		text += fmt.Sprintf(" --nodes %d", e.nodes)
	}
	for _, s := range e.set {
		if !strings.HasPrefix(s, "seed=") { // that of the run is said apart
			text += " --set " + quoted(s)
		}
	}
	if e.policy != "" {
		text += " --policy " + quoted(e.policy)
	}
	return text
}

// scenario reads the scenario of that name, one that ships or a file, with changes.
func (a *app) scenario(name string, e *simEdits) (*scenario.Scenario, error) {
	file, src, err := a.scenarioSource(name, e.seed)
	if err != nil {
		return nil, err
	}
	sets := e.set
	if e.nodesGiven {
		sets = append([]string{"nodes=" + strconv.Itoa(e.nodes)}, sets...)
	}
	if e.seedGiven {
		sets = append([]string{"seed=" + strconv.FormatUint(e.seed, 10)}, sets...)
	}
	for _, s := range sets {
		path, value, ok := strings.Cut(s, "=")
		if !ok {
			return nil, usageError("--set %q: write path=value, as in network.loss=5%%", s)
		}
		if src, err = scenario.Set(src, path, value); err != nil {
			return nil, usageError("--set %w", err)
		}
	}
	if e.policy == "" {
		return scenario.Parse(file, src)
	}
	text, err := a.readFile(e.policy, policy.MaxSource)
	if err != nil {
		return nil, err
	}
	p, err := policy.Parse(e.policy, text)
	if err != nil {
		return nil, err
	}
	sc, err := scenario.ParseWith(file, src, p)
	if err != nil {
		return nil, fmt.Errorf("with the policy %s: %w", e.policy, err)
	}
	return sc, nil
}

// scenarioSource finds the text of a scenario. A file that exists is named with its ending or its directory, so
// that a name alone is always one that ships.
func (a *app) scenarioSource(name string, seed uint64) (file string, src []byte, err error) {
	if name == randomScenario {
		return name + ".yaml", scenario.RandomSource(seed), nil
	}
	if f, ok := scenario.ShippedNamed(name); ok {
		return f.File(), f.Source, nil
	}
	if name != "-" && !strings.ContainsAny(name, "./\\") {
		var names []string
		for _, f := range scenario.Shipped() {
			names = append(names, f.Name)
		}
		return "", nil, &codedError{
			err:  fmt.Errorf("no scenario %q ships with this program", name),
			code: exitUsage, hint: document.DidYouMean(name, names) + "; see: swarmpurse sim list",
		}
	}
	src, err = a.readFile(name, document.MaxSource)
	if err != nil {
		return "", nil, err
	}
	if name == "-" {
		name = "stdin"
	}
	return name, src, nil
}

// quoted writes an argument as a shell takes it.
func quoted(s string) string {
	plain := func(r rune) bool {
		return r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("-_./=,:%@+", r)
	}
	if s != "" && strings.TrimFunc(s, plain) == "" {
		return s
	}
	return "'" + strings.ReplaceAll(s, "'", `'\''`) + "'"
}
