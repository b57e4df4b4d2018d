package sim

import (
	"testing"

	"github.com/swarmpurse/swarmpurse/sim/result"
	"github.com/swarmpurse/swarmpurse/sim/scenario"
)

// TestFreezeBoundsCanFail: without the operator's word the others are harmed, and nothing of what is bound of words holds.
func TestFreezeBoundsCanFail(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	broken(t, "freeze", [][2]string{{"faults.1.skip", "true"}, {"faults.2.skip", "true"}}, 0,
		"freeze_takes <= 2s", "admitted[runaway] <= 0", "in_budget[good] >= 99%", "in_budget[good, alone] >= 99%", "wait_p99[good] <= 500ms", "in_budget[search] >= 78%")
	broken(t, "freeze", [][2]string{{"faults.2.skip", "true"}}, 0, "in_budget[search] <= 86%")
	broken(t, "freeze", [][2]string{{"faults.2.for", "78s"}}, 0, "in_budget[search] >= 78%")
}

// TestFreezeBugsAreFound: nodes that do not hear words show in the figures, one that knows a word and does not go by it is a violation.
func TestFreezeBugsAreFound(t *testing.T) {
	f, _ := scenario.ShippedNamed("freeze")
	sc, err := scenario.Parse(f.File(), f.Source)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Swarm(t.Context(), sc, Options{bug: bugDeaf})
	if err != nil || r.Violation != nil {
		t.Fatalf("%+v, %v", r.Violation, err)
	}
	for _, name := range []string{"freeze_takes", "slipped"} {
		figure, _ := result.FigureNamed(name)
		if got := figure.Of(r.System(result.Swarm), ""); !(got > 2) {
			t.Errorf("deaf nodes: %s is %v", name, got)
		}
	}
	if r, err = Swarm(t.Context(), sc, Options{bug: bugThaw}); err != nil || r.Violation == nil || r.Violation.Invariant != "nothing that is frozen is admitted" {
		t.Errorf("%+v, %v", r.Violation, err)
	}
}
