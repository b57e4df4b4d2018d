package rollout

import (
	"math"
	"math/rand/v2"
	"testing"

	"github.com/swarmpurse/swarmpurse/policy"
)

// TestFewAgents: agents differ, and each is in one arm wholly, so arms of few agents differ though the revisions do not: that raises no alarm,
// and a worse revision is found all the same where agents are alike, or many.
func TestFewAgents(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute under the race detector")
	}
	guard := policy.Guard{DenyRate: 50_000, P99Wait: policy.Unguarded, OutputLength: policy.Unguarded, Cost: policy.Unguarded}
	for _, test := range []struct {
		agents           int
		tried            float64 // a part of the agents is in the candidate's arm
		part, deny, more float64 // a part of the agents is refused so much; and what the candidate refuses beside
		seconds, seeds   int
		least, most      int // how many seeds roll back
	}{
		{20, 0.1, 0.1, 0.5, 0, 60, 300, 0, 2}, {50, 0.1, 0.1, 0.5, 0, 60, 300, 0, 2}, {200, 0.1, 0.1, 0.5, 0, 60, 300, 0, 2}, {5000, 0.1, 0.1, 0.5, 0, 60, 100, 0, 0},
		{50, 0.1, 0.03, 1, 0, 60, 300, 0, 2}, {200, 0.1, 0.03, 1, 0, 60, 300, 0, 2}, {50, 0.1, 1, 0.05, 0, 60, 300, 0, 2},
		{5000, 0.1, 0.1, 0.5, 0.3, 15, 50, 50, 50}, {200, 0.1, 0.1, 0.5, 0.3, 120, 100, 80, 100}, {50, 0.1, 1, 0.02, 0.3, 15, 100, 95, 100}, {20, 0.1, 1, 0.02, 0.3, 15, 100, 85, 100},
		{50, 0.1, 1, 0.02, 0.1, 120, 100, 95, 100},
		// Two agents in each arm, two of them refused more, show nothing of how alike agents are: that is written down, not mended.
		{8, 0.5, 0.5, 0.2, 0, 60, 300, 0, 2}, {4, 0.5, 0.5, 0.2, 0, 60, 300, 0, 30},
	} {
		hits, last := 0, 0
		for seed := range uint64(test.seeds) {
			r := rand.New(rand.NewPCG(seed, 3))
			type agent struct {
				candidate bool
				deny      float64
				group     int
			}
			agents := make([]agent, test.agents)
			for i := range agents {
				a := &agents[i]
				a.candidate, a.group = r.Float64() < test.tried, r.IntN(Groups)
				if r.Float64() < test.part {
					a.deny = test.deny
				}
				if a.candidate {
					a.deny = min(1, a.deny+test.more)
				}
			}
			var s, c Counts
			for at := 1; at <= test.seconds; at++ {
				for range 500 {
					a := &agents[r.IntN(len(agents))]
					arm := &s
					if a.candidate {
						arm = &c
					}
					arm.Calls++
					arm.Groups[a.group].Calls++
					if r.Float64() < a.deny {
						arm.Refused++
						arm.Groups[a.group].Refused++
					}
				}
				if Judge(guard, &s, &c) != nil {
					hits, last = hits+1, max(last, at)
					break
				}
			}
		}
		t.Logf("%d agents, %g of them tried, %g refused %g, the candidate %g more: rolled back in %d of %d seeds, the last after %d s", test.agents, test.tried, test.part, test.deny, test.more, hits, test.seeds, last)
		if hits > test.most || hits < test.least {
			t.Errorf("%d agents: rolled back in %d of %d, want %d to %d", test.agents, hits, test.seeds, test.least, test.most)
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
