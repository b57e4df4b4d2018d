package ledger_test

import (
	"testing"

	. "github.com/swarmpurse/swarmpurse/ledger"
)

// TestSmallOnesAreAskedForElsewhere: an ask for a tenant that asks for less than its part goes also to peers that refused asks which go
// after it, and the first few donors may keep it for a moment only, as others have what it needs. After that one may keep it for
// as long as the call can wait.
func TestSmallOnesAreAskedForElsewhere(t *testing.T) {
	const peers = 6
	w := scripted(t, peers+1, peers, one(Spec{Kind: Rate, Amount: 60_000, Per: 60_000, PerMillis: 1000, Lend: 10_000}))
	w.opened()
	for range 20 {
		w.round(100)
	}
	x, id := w.nodes[peers], w.ids[0]
	since := x.clock()
	ask := func(rank int) *Ask { // the next one, which is refused
		x.r.Waiting(x.clock(), id, Need{First: 2000, All: 2000, Since: since, Until: x.clock() + 2000, Share: rank})
		x.batch(commit, nil)
		var first *Ask
		for _, p := range w.net {
			if m, err := Decode(p.bytes); err == nil && p.from == x.i {
				if a, ok := m.(*Ask); ok {
					if first == nil {
						first = a
					}
					if err := x.r.Receive(x.clock(), &Refuse{ID: a.ID, From: w.nodes[p.to].self, Instance: id}); err != nil {
						t.Fatal(err)
					}
				}
			}
		}
		w.net = nil
		x.batch(commit, nil)
		w.net = nil
		return first
	}
	for ask(RankNone) != nil { // until all have refused
	}
	for i := range peers {
		a := ask(RankSmall)
		switch {
		case a == nil && i > 3:
			return // more than one at a time
		case a == nil:
			t.Fatalf("ask %d: nobody is asked", i)
		case a.Share != RankSmall:
			t.Fatalf("an ask of rank %d", a.Share)
		case i == 0 && a.Patience > 100:
			t.Errorf("the first may be kept for %d ms", a.Patience)
		case i >= 3 && a.Patience < 1000:
			t.Errorf("ask %d may be kept for %d ms only", i, a.Patience)
		}
	}
}
