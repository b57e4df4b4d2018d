package scenario

import "github.com/swarmpurse/swarmpurse/sim/result"

// Changes are what the figure "price_settle" looks at, given the scenario's timeline: every moment after the warmup in
// which a stream of calls begins or ends, every rise and fall of a flash crowd, and every revision of the policy.
func Changes(sc *Scenario, timeline []Event) []result.Disturbance {
	var list []result.Disturbance
	add := func(d result.Disturbance) {
		if d.From >= sc.Warmup && d.Until < sc.Duration {
			list = append(list, d)
		}
	}
	for _, e := range timeline {
		if e.Kind == Revise {
			add(result.Disturbance{From: e.At, Until: e.At})
		}
	}
	for i := range sc.Workload {
		s := &sc.Workload[i]
		if s.Skip {
			continue
		}
		if s.From > 0 {
			add(result.Disturbance{From: s.From, Until: s.From})
		}
		if s.Until > 0 {
			add(result.Disturbance{From: s.Until, Until: s.Until})
		}
		if s.Kind == FlashCrowd {
			top := s.Start + s.Ramp
			add(result.Disturbance{From: s.Start, Until: top})
			add(result.Disturbance{From: top + s.Hold, Until: top + s.Hold + s.Ramp})
		}
	}
	return list
}
