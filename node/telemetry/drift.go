package telemetry

import (
	"cmp"
	"slices"
)

// DriftState is what calls of one model come to in both arms of a trial. By arm: the stable one first.
type DriftState struct {
	Model  string
	Known  bool // what is usual, so that calls are compared
	Output [2]ArmDrift
	Costs  []CostDrift
}

// CostDrift is the same of what calls are charged at one budget.
type CostDrift struct {
	Budget string
	Known  bool
	Cost   [2]ArmDrift
}

// ArmDrift counts calls, and those above what is usual.
type ArmDrift struct {
	Calls, Above int64
	Mean         float64
}

func (d *DriftState) calls() int64 {
	n := d.Output[0].Calls + d.Output[1].Calls
	for i := range d.Costs {
		n = max(n, d.Costs[i].Cost[0].Calls+d.Costs[i].Cost[1].Calls)
	}
	return n
}

// collectDrifts tells of the MaxSizes models with the most calls, each label once.
func (c *CandidateState) collectDrifts(send func(Metric, float64, ...string)) {
	drifts := slices.Clone(c.Drifts)
	slices.SortStableFunc(drifts, func(a, b DriftState) int { return cmp.Compare(b.calls(), a.calls()) })
	told := map[string]bool{}
	for _, d := range drifts {
		model := labelValue(d.Model)
		if len(told) == MaxSizes {
			return
		}
		if told[model] {
			continue
		}
		told[model] = true
		if d.Known {
			sendArms(send, armOutputs, armOutputMean, d.Output, "long", model)
		}
		budgets := map[string]bool{}
		for _, x := range d.Costs {
			budget := labelValue(x.Budget)
			if !x.Known || budgets[budget] {
				continue
			}
			budgets[budget] = true
			sendArms(send, armCosts, armCostMean, x.Cost, "dear", model, budget)
		}
	}
}

func sendArms(send func(Metric, float64, ...string), count, mean Metric, arms [2]ArmDrift, above string, labels ...string) {
	for i, arm := range []string{"stable", "candidate"} {
		a, l := arms[i], append([]string{arm}, labels...)
		send(count, float64(a.Calls-a.Above), append(slices.Clone(l), "usual")...)
		send(count, float64(a.Above), append(slices.Clone(l), above)...)
		if a.Calls > 0 {
			send(mean, a.Mean, l...)
		}
	}
}
