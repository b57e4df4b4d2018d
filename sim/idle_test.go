package sim

import (
	"flag"
	"fmt"
	"testing"

	"github.com/swarmpurse/swarmpurse/sim/scenario"
)

var (
	idleSeeds   = flag.Int("idle.seeds", 3, "random scenarios of TestIdleTicks")
	idleShipped = flag.Bool("idle.shipped", false, "TestIdleTicks runs those scenarios that ship, too")
)

// TestIdleTicks: a run in which nodes are left alone that have nothing to do is, event by event and in all its figures, the run in which
// every node has every tick. So is one in which another goroutine has them hear of rows.
func TestIdleTicks(t *testing.T) {
	var scs []*scenario.Scenario
	for seed := range *idleSeeds {
		scs = append(scs, scenario.Random(uint64(seed+1)))
	}
	scs = append(scs, steady(t, 12, 20e9))
	if *idleShipped {
		for _, f := range scenario.Shipped() {
			sc, err := f.Parse()
			if err != nil {
				t.Fatal(err)
			}
			if sc.Nodes <= 100 {
				scs = append(scs, sc)
			}
		}
	}
	passed, ticks, later := uint64(0), uint64(0), uint64(0)
	for i, sc := range scs {
		t.Run(fmt.Sprintf("%s-%d", sc.Name, sc.Seed), func(t *testing.T) {
			run := func(o Options) (string, *world) {
				w, err := newWorld(t.Context(), sc, o)
				if err != nil {
					t.Fatal(err)
				}
				r, err := w.run(o)
				if err != nil {
					t.Fatal(err)
				}
				violation := fmt.Sprintf("%+v", r.Violation)
				r.Wall, r.Violation = 0, nil
				return fmt.Sprintf("%+v %s", *r, violation), w
			}
			want, _ := run(Options{everyTick: true})
			for j, helper := range []func() Helper{nil, helper} {
				if i%2 != j {
					continue // one of the two is enough
				}
				got, w := run(Options{Helper: helper, helped: true})
				if got != want {
					t.Fatalf("%s, seed %d: a run in which nodes pass ticks is another (helped: %t):\n%.200s\n%.200s", sc.Name, sc.Seed, helper != nil, got, want)
				}
				t.Logf("%s: %d of %d ticks passed, %d packets heard later", sc.Name, w.passed, w.ticks, w.later)
				passed, ticks, later = passed+w.passed, ticks+w.ticks, later+w.later
			}
		})
	}
	if passed*20 < ticks {
		t.Errorf("of %d ticks %d were passed: the test shows little", ticks, passed)
	}
	if later == 0 {
		t.Error("no packet was heard later: the test shows little")
	}
}
