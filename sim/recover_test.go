package sim

import (
	"context"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/sim/result"
	"github.com/swarmpurse/swarmpurse/sim/scenario"
)

// TestQueueAndRecover looks at what the judges of bounds are told: of a run without faults, of one in which all nodes
// crash at once, and of one in which a revision takes nearly all of the supply away, from which nothing recovers.
func TestQueueAndRecover(t *testing.T) {
	for name, c := range map[string]struct {
		fault       *scenario.Fault
		least, most int64 // of the queue
		recover     [2]float64
	}{
		"no fault":           {nil, 0, 4, [2]float64{math.NaN(), math.NaN()}},
		"all crash":          {&scenario.Fault{Kind: scenario.Crash, At: 25 * time.Second, For: 3 * time.Second}, 1, 20, [2]float64{0, 0.5}},
		"the supply is gone": {&scenario.Fault{Kind: scenario.Revise, At: 25 * time.Second, Policy: 1}, 1, 200, [2]float64{math.Inf(1), math.Inf(1)}},
	} {
		t.Run(name, func(t *testing.T) {
			sc := steady(t, 3, 40*time.Second)
			poor, err := policy.Parse("test", []byte(strings.NewReplacer("revision: 1", "revision: 2", "50000/s, burst: 100000", "500/s, burst: 3000").Replace(steadyPolicy)))
			if err != nil {
				t.Fatal(err)
			}
			sc.Policies = append(sc.Policies, poor)
			if c.fault != nil {
				sc.Faults = []scenario.Fault{*c.fault}
			}
			r, err := Run(context.Background(), sc, Options{Systems: []string{}})
			if err != nil || r.Violation != nil {
				t.Fatalf("%v, %+v", err, r.Violation)
			}
			s := r.System(result.Swarm)
			if s.Queue < c.least || s.Queue > c.most {
				t.Errorf("at most %d calls waited at a node, not %d to %d", s.Queue, c.least, c.most)
			}
			none := math.IsNaN(c.recover[0])
			if math.IsNaN(s.Recover) != none || !none && (s.Recover < c.recover[0] || s.Recover > c.recover[1]) {
				t.Errorf("recovered after %v s, not %v to %v s", s.Recover, c.recover[0], c.recover[1])
			}
		})
	}
}
