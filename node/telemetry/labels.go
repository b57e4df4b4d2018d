package telemetry

import (
	"fmt"
	"strings"
)

// Bound says how many values a label has at most in one metric, and whose they are.
type Bound struct {
	Label string
	Most  int
	Of    string
}

// Bounds are those of the labels whose values are of a policy, of callers or of the machine. The node's tests drive thousands of names through a
// registry and hold it to them.
var Bounds = []Bound{
	{"arm", maxExperimentArms, "the arms of the policy's experiments; of a trial stable and candidate"},
	{labelBudget, MaxBudgets + 1, "the policy's budgets; those beyond are `other`"},
	{"caller", 4096, "the keys in the policy's `callers`, once they are used"},
	{labelClass, MaxClasses + 1, "the policy's classes; those beyond, and what calls name besides, are `other`"},
	{"domain", 65, "the policy's domains of the rate limit service; any other is `other`"},
	{labelExperiment, maxExperimentArms, "the policy's experiments"},
	{labelFlag, MaxFlags + 1, "the policy's flags; those beyond are `other`"},
	{labelFraction, maxFractions * MaxBudgets, "the fractions in a budget's `alerts`, of each budget 8"},
	{"instance", 1000 * MaxBudgets, "instances of a budget in what a tenant's own key scrapes, of each budget the first 1,000"},
	{labelModel, MaxSizes, "the models that calls name, those with the most calls"},
	{labelRule, MaxSizes, "the rules of the policy and of earlier ones, those with the most calls"},
	{"tenant", 4096, "as `caller`; in what a tenant's own key scrapes itself"},
	{labelToken, MaxBudgets + 1, "the policy's token types"},
	{labelUpstream, 2 * MaxUpstreams, "the policy's upstreams, and those of `--upstream`"},
}

// MaxFixed bounds the values of all other labels: they are of lists in the code.
const MaxFixed = 64

// BoundOf is how many values a label of one metric has at most.
func BoundOf(label string) int {
	for _, b := range Bounds {
		if b.Label == label {
			return b.Most
		}
	}
	return MaxFixed
}

// describeBounds is a chapter of METRICS.md.
func describeBounds(b *strings.Builder) {
	fmt.Fprintf(b, "\n## Labels\n\nHow many values a label has at most in one metric, which a test holds a node to. All labels but these have values of fixed lists, at most %d.\n\n", MaxFixed)
	b.WriteString("| label | at most | values |\n| --- | --- | --- |\n")
	for _, x := range Bounds {
		fmt.Fprintf(b, "| %s | %d | %s |\n", x.Label, x.Most, x.Of)
	}
}
