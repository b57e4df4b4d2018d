package sim

import (
	"context"
	"slices"
	"time"

	"github.com/swarmpurse/swarmpurse/sim/baseline"
	"github.com/swarmpurse/swarmpurse/sim/promise"
	"github.com/swarmpurse/swarmpurse/sim/result"
	"github.com/swarmpurse/swarmpurse/sim/scenario"
)

// Run runs the scenario with the swarm and, on the same calls and faults, with all that it is compared with (other systems, and the
// swarm in the scenario's variants), and
// holds it to the scenario's bounds. When an invariant did not hold while calls came, the swarm's figures end there:
// then nothing is compared, and only the bounds that need no other system are judged, by what the run came to.
func Run(ctx context.Context, sc *scenario.Scenario, o Options) (*result.Result, error) {
	r, err := Swarm(ctx, sc, o)
	if err != nil {
		return nil, err
	}
	if r.Violation == nil || r.Violation.At >= sc.Duration {
		for _, kind := range baseline.Kinds() {
			if o.Systems != nil && !slices.Contains(o.Systems, kind) {
				continue
			}
			if err := ctx.Err(); err != nil {
				return nil, err
			}
			s, err := baseline.Run(kind, sc, sc.Source, baseline.Options{GossipDelay: newsTakes(sc)})
			if err != nil {
				return nil, err
			}
			r.Systems = append(r.Systems, s)
		}
	}
	if r.Violation == nil && !slices.Equal(o.Systems, []string{result.Swarm}) {
		for _, v := range sc.Beside {
			x, err := Swarm(ctx, sc.With(v), o)
			if err != nil {
				return nil, err
			}
			s := x.Systems[0]
			s.Name = v.Name
			r.Systems = append(r.Systems, s)
			if r.Violation == nil {
				r.Violation = x.Violation
			}
		}
	}
	result.Relate(r.Systems)
	r.Bounds = scenario.Check(sc.Bounds, r)
	return r, nil
}

// newsTakes is how long the model of gossip takes to bring something small to all nodes when nothing else is on its
// way. Gossiped counters are given that, the best there can be.
func newsTakes(sc *scenario.Scenario) time.Duration {
	hop := promise.WaveGap*(promise.Waves-1) + max(sc.Network.SameZone.Median, sc.Network.OtherZone.Median)
	return time.Duration(promise.Hops(sc.Nodes)) * hop
}
