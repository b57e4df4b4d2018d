package ledger_test

import (
	"testing"
	"time"

	. "github.com/swarmpurse/swarmpurse/ledger"
)

// TestGuardingIsShown: what people and metrics are told of a node that dies, at each of its steps.
func TestGuardingIsShown(t *testing.T) {
	w := guardedWorld(t, 5, 1, Spec{Kind: Grant, Amount: 1000})
	giver, dead := w.nodes[0], w.nodes[1]
	giver.r.GiveRights(giver.clock(), w.ids[0], dead.self, 400, giver.clock())
	w.rounds(20, 100)
	g := dead.r.Guarding()
	if len(g.Guardians) != 3 || g.Held != g.Version || !g.Lease.Held || g.Lease.Left <= 0 || g.Lease.Renewed < 0 || g.Lease.Renewed > time.Minute {
		t.Fatalf("a guarded node says %+v", g)
	}
	for _, s := range g.Guardians {
		if s.Acked != g.Version || s.Told < 0 || s.Refuses {
			t.Fatalf("of a guardian it says %+v", s)
		}
	}
	if g.Counts.Notes < 3 || g.Counts.NoteBytes == 0 || len(g.Wards) == 0 || !g.Wards[0].Alive || g.Wards[0].Left <= 0 {
		t.Fatalf("a guarded node says %+v", g)
	}
	w.rounds(40, 100) // a row of it comes
	s := w.own(dead)
	was, end := dead.self, s.Balance()
	dead.crash()
	w.members()
	why := func(x *wnode) (why StuckWhy, n Tokens) {
		x.r.EachStuck(func(s StuckRights) {
			if s.Holder == was {
				why, n = s.Why, s.Tokens
			}
		})
		return why, n
	}
	seen := map[StuckWhy]bool{}
	for _, x := range w.nodes {
		if x == dead {
			continue
		}
		y, n := why(x)
		seen[y] = true
		if n != end {
			t.Fatalf("%d tokens are stuck, it had %d", n, end)
		}
	}
	if !seen[StuckLease] || !seen[StuckUnguarded] || len(seen) != 2 {
		t.Fatalf("they are stuck because of %v", seen)
	}
	w.rounds(60, 1000)
	var credits, decided, begun uint64
	var tokens Tokens
	for _, x := range w.nodes {
		if x == dead {
			continue
		}
		g := x.r.Guarding()
		credits += g.Gains.Credits
		tokens += g.Gains.Tokens
		decided += g.Counts.Decided
		begun += g.Counts.Begun
		if y, n := why(x); y != 0 {
			t.Fatalf("%d tokens are still stuck: %v", n, y)
		}
		for _, s := range g.Wards {
			if s.Of == was && s.Heir.IsZero() {
				t.Fatalf("a guardian says of what was claimed: %+v", s)
			}
		}
	}
	if credits == 0 || tokens == 0 || decided == 0 || begun < decided {
		t.Fatalf("%d credits of %d tokens, %d claims begun, %d decided", credits, tokens, begun, decided)
	}
}
