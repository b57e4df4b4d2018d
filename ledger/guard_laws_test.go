package ledger_test

import (
	"testing"

	. "github.com/swarmpurse/swarmpurse/ledger"
	"pgregory.net/rapid"
)

// testGuards are short, so that leases end in a test.
var testGuards = Guards{Guardians: 3, Lease: 20_000, Autonomy: 5_000}

// guardedSwarm draws a world of four or five nodes that have guardians.
func guardedSwarm(t *rapid.T, names ...string) *world {
	all := testSpecs()
	if len(names) == 0 {
		names = []string{"grant", "grant-soft", "grant-rots", "window", "window-cal", "window-few", "window-one", "slots", "rate"}
		names = rapid.SliceOfNDistinct(rapid.SampledFrom(names), 2, 2, rapid.ID[string]).Draw(t, "budgets")
	}
	specs := map[string][]Spec{}
	for _, n := range names {
		specs[n] = all[n]
	}
	n := rapid.IntRange(4, 5).Draw(t, "nodes")
	w := newWorld(n, rapid.IntRange(1, n).Draw(t, "founders"), 1, specs)
	w.fatalf, w.logf = t.Fatalf, t.Logf
	w.guards = testGuards
	if rapid.Bool().Draw(t, "in parts") {
		w.part = 120
	}
	w.few = rapid.Bool().Draw(t, "few copies")
	for _, n := range w.nodes {
		if w.part > 0 {
			n.r.SetPart(w.part)
		}
		if w.few {
			n.r.SetWhole(0)
		}
		n.r.SetGuards(n.clock(), w.guards)
	}
	for range rapid.IntRange(0, 3).Draw(t, "rounds") {
		w.round(700) // guardians are named, and have the first notes
	}
	return w
}

// guardedByMajority reports whether two of the node's guardians have stored something of it, so that it can be claimed.
func (w *world) guardedByMajority(n *wnode) bool {
	n0 := 0
	own := w.model.disk(n).Guards().Own
	if own == nil {
		return false
	}
	for _, g := range own.Set {
		if w.model.guards(g).Ward(n.self).Version > 0 {
			n0++
		}
	}
	return n0 > 1
}

// TestGuardedSwarmLaws: with guardians all laws hold as before, and whatever a claim would find at any moment covers
// what callers and peers were told.
func TestGuardedSwarmLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := guardedSwarm(t)
		acts := w.actions(true)
		acts["lose"] = func(t *rapid.T) {
			if n := rapid.SampledFrom(w.nodes).Draw(t, "node"); w.lost == 0 && w.guardedByMajority(n) {
				n.lose()
			}
		}
		acts["lapse"] = func(t *rapid.T) { // leases end, and those that are out of reach are claimed
			for range rapid.IntRange(1, 30).Draw(t, "seconds") {
				w.round(1000)
			}
		}
		for range 3 {
			t.Repeat(acts)
		}
		w.heal(0)
		w.issuesWhole()
	})
}
