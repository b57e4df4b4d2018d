//go:build unix

package node_test

import (
	"fmt"
	"math/rand/v2"
	"testing"
	"time"
)

// softPolicy has one budget that may be overdrawn by a quarter.
func softPolicy(limit int64) string {
	return fmt.Sprintf(`apiVersion: swarmpurse/v1
revision: 1
timezone: %s
tokens:
  compute: {unit: token}
budgets:
  - {name: pot, token: compute, supply: {window: month, amount: %d}, ceiling: {soft: 25%%}}
rules:
  - draw: [pot]
default: deny
`, zone, limit)
}

// A soft budget, hammered from all sides with more than twice what it allows: also with one node cut off, the
// worst case is the one that the policy states. All nodes show how far it was overdrawn.
func TestSoftBudgetIsOverdrawnAsStated(t *testing.T) {
	t.Parallel()
	limit := scale(600_000)
	most := limit + limit/4
	for _, c := range []struct {
		name string
		cut  bool
	}{{"all see each other", false}, {"one of three cut off", true}} {
		t.Run(c.name, func(t *testing.T) {
			s := newSwarm(t, 3, softPolicy(limit))
			var b bank
			h := hammer{budget: "pot", token: "compute", workers: 8, offer: limit / 5, wait: "100ms",
				sizes: func(r *rand.Rand) int64 { return 50 + r.Int64N(500) }, used: twoThirds}
			h.run(s, &b)
			if in, _ := s.totals("pot", "pot"); in.Overspend != 0 || int64(in.Limit) != limit {
				t.Fatalf("overspend %d, limit %d before the limit is reached", in.Overspend, in.Limit)
			}
			if c.cut {
				s.cut(1)
			}
			h.offer = b.offered.Load() + 4*limit
			h.run(s, &b)
			got := b.admitted.Load()
			t.Logf("callers got %.2f %% of the limit", 100*float64(got)/float64(limit))
			if got > most {
				t.Errorf("OVERSPENT: callers got %d tokens of a limit of %d that may be overdrawn to %d", got, limit, most)
			}
			if float64(got) < 0.99*float64(limit) {
				t.Errorf("callers got %d tokens of a limit of %d", got, limit)
			}
			if c.cut {
				s.heal()
			}
			in, took := s.totals("pot", "pot")
			t.Logf("all nodes agree after %v: overdrawn by %d", took.Round(time.Millisecond), in.Overspend)
			if int64(in.Swarm.Spent) != got || int64(in.Overspend) != max(0, got-limit) {
				t.Errorf("the swarm reports %d tokens spent, callers were charged %d; overspend %d", in.Swarm.Spent, got, in.Overspend)
			}
			if in.Overspend == 0 {
				t.Error("nothing was overdrawn")
			}
		})
	}
}
