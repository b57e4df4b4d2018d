package rollout

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/swarmpurse/swarmpurse/policy"
)

// TestFewAgents shows what the guard cannot know, for DESIGN.md: agents differ, and each is in one arm wholly, so arms of few agents
// differ though the revisions do not. With many agents that goes below one in a hundred.
func TestFewAgents(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute under the race detector")
	}
	const seeds = 300
	for _, test := range []struct{ agents, most int }{{50, seeds / 5}, {200, seeds / 20}, {5000, seeds / 100}} {
		alarms := 0
		for seed := range uint64(seeds) {
			r := rand.New(rand.NewPCG(seed, 3))
			type agent struct {
				candidate bool
				deny      float64
			}
			agents := make([]agent, test.agents)
			for i := range agents {
				if agents[i].candidate = r.Float64() < 0.1; r.Float64() < 0.1 {
					agents[i].deny = 0.5 // one in ten is refused half of its calls
				}
			}
			var s, c Counts
			for range 60 {
				for range 500 {
					a := &agents[r.IntN(len(agents))]
					arm := &s
					if a.candidate {
						arm = &c
					}
					if arm.Calls++; r.Float64() < a.deny {
						arm.Refused++
					}
				}
				if Judge(policy.Guard{DenyRate: 50_000, P99Wait: policy.Unguarded, OutputLength: policy.Unguarded, Cost: policy.Unguarded}, &s, &c) != nil {
					alarms++
					break
				}
			}
		}
		t.Logf("%d agents: rolled back in %d of %d seeds", test.agents, alarms, seeds)
		if alarms > test.most {
			t.Errorf("%d agents: %d false alarms of %d", test.agents, alarms, seeds)
		}
	}
}

// TestFewAgentsOfManyLengths is the same of outputs: agents ask one model for outputs of different lengths.
func TestFewAgentsOfManyLengths(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute under the race detector")
	}
	const seeds, among, within = 300, 0.6, 0.6 // sigmas of log-normals, of agents and of the calls of one
	usual := math.Exp(1.6449 * math.Hypot(among, within))
	for _, test := range []struct{ agents, most int }{{20, seeds / 10}, {50, seeds / 20}, {200, seeds / 100}} {
		alarms := 0
		for seed := range uint64(seeds) {
			r := rand.New(rand.NewPCG(seed, 4))
			type agent struct {
				candidate bool
				length    float64
			}
			agents := make([]agent, test.agents)
			for i := range agents {
				agents[i] = agent{r.Float64() < 0.1, math.Exp(among * r.NormFloat64())}
			}
			var s, c Counts
			for range 60 {
				for range 500 {
					a := &agents[r.IntN(len(agents))]
					arm := &s
					if a.candidate {
						arm = &c
					}
					if arm.Outputs++; a.length*math.Exp(within*r.NormFloat64()) > usual {
						arm.Long++
					}
				}
				if Judge(policy.Guard{DenyRate: policy.Unguarded, P99Wait: policy.Unguarded, OutputLength: 200_000, Cost: policy.Unguarded}, &s, &c) != nil {
					alarms++
					break
				}
			}
		}
		t.Logf("%d agents: rolled back in %d of %d seeds", test.agents, alarms, seeds)
		if alarms > test.most {
			t.Errorf("%d agents: %d false alarms of %d", test.agents, alarms, seeds)
		}
	}
}
