package ledger_test

import (
	"testing"

	. "github.com/swarmpurse/swarmpurse/ledger"
)

// TestNeedsEnd: whoever says that he waits until then, and nothing more, as bytes do that have passed meanwhile, does not make the
// account one at which somebody waits for ever: it has surplus again.
func TestNeedsEnd(t *testing.T) {
	w := scripted(t, 2, 1, one(Spec{Kind: Rate, Amount: 10_000, Per: 10_000, PerMillis: 1000, Lend: 10_000}))
	w.opened()
	x, id := w.nodes[0], w.ids[0]
	surplus := func() Tokens {
		row, _ := x.r.Sent(id)
		return row.Surplus
	}
	for range 40 {
		w.round(100)
	}
	if surplus() <= 0 {
		t.Fatal("it has nothing to begin with")
	}
	x.r.Waiting(x.clock(), id, need(x.clock(), 100))
	for range 10 {
		w.round(100)
		x.r.Account(id).Missed(1) // so that there is something to tell
	}
	if n := surplus(); n > 0 {
		t.Fatalf("while it waits it has %d to give", n)
	}
	for range 40 {
		w.round(100)
		x.r.Account(id).Missed(1)
	}
	if n := surplus(); n <= 0 {
		t.Errorf("it has %d to give, long after", n)
	}
}
