package rollout

import (
	"math/rand/v2"
	"testing"

	"github.com/swarmpurse/swarmpurse/policy"
)

// TestFewAgents shows what the guard cannot know, for DESIGN.md: agents differ, and each is in one arm wholly, so arms of few agents
// differ though the revisions do not. With many agents that goes below one in a hundred.
func TestFewAgents(t *testing.T) {
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
				if Judge(policy.Guard{DenyRate: 50_000, P99Wait: policy.Unguarded}, &s, &c) != nil {
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
