package scenario

import "github.com/swarmpurse/swarmpurse/sim/result"

// Disturbances are what the figure "recover" looks at, given the scenario's timeline: every fault, from its begin to its
// end, and every move of a hot spot. What does not end (a node that joins, or never comes back, a new revision) is a
// moment. What operators freeze, top up or burn is none: what is served after that is meant to be. Of a spot that moves without rest the first MaxEvents moves count.
func Disturbances(sc *Scenario, timeline []Event) []result.Disturbance {
	var list []result.Disturbance
	for _, e := range timeline {
		if e.Kind == Freeze || e.Kind.amounts() {
			continue
		}
		d := result.Disturbance{From: e.At, Until: e.Until}
		if e.Until == Never {
			d.Until = e.At
		}
		list = append(list, d)
	}
	for _, s := range sc.Workload {
		if s.Kind != HotSpot || s.Period <= 0 || s.Skip {
			continue
		}
		until := sc.Duration
		if s.Until > 0 {
			until = min(until, s.Until)
		}
		for at := s.Period; at < until && len(list) < MaxEvents; at += s.Period {
			if at > s.From {
				list = append(list, result.Disturbance{From: at, Until: at})
			}
		}
	}
	return list
}
