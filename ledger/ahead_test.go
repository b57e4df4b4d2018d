package ledger_test

import (
	"testing"

	. "github.com/swarmpurse/swarmpurse/ledger"
)

// asksAhead counts the asks for calls to come that are on the net.
func (w *world) asksAhead() (n int) {
	for _, p := range w.net {
		if m, err := Decode(p.bytes); err == nil {
			if a, ok := m.(*Ask); ok && a.Ahead {
				if a.Patience != 0 || a.Need <= 0 || a.Want < a.Need {
					w.fatalf("an ask for calls to come: %+v", a)
				}
				n++
			}
		}
	}
	return n
}

// TestAhead: b, who has no shares, asks before its rights are used up, once for what calls used, and leaves the donor
// alone for a while that had nothing.
func TestAhead(t *testing.T) {
	w := scripted(t, 2, 1, one(Spec{Kind: Grant, Amount: 10_000}))
	w.opened()
	a, b := w.nodes[0], w.nodes[1]
	id := w.ids[0]
	rights := func(n *wnode) Tokens { return n.r.Account(id).Rights(n.clock()) }
	call := func() bool {
		for range 5 {
			if b.reserve([]InstanceID{id}, []Tokens{100}, false, true) {
				return true
			}
			w.round(60) // it waits for rights, or for the mark
		}
		return false
	}
	for more := true; more; more = rights(b) >= 100 { // until there is not enough for another
		if !call() {
			t.Fatalf("b has %d and cannot spend 100", rights(b))
		}
	}
	few := rights(b)
	w.now += 1000
	b.r.Tick(b.clock())
	b.batch(commit, nil)
	if n := w.asksAhead(); n != 1 {
		t.Fatalf("with %d left b asks %d times for calls to come, not once", few, n)
	}
	w.round(60)
	w.round(60)
	if rights(b) < 200 {
		t.Fatalf("b has %d, too little for two calls", rights(b))
	}
	// Now a does not answer: b asks it again after a second at the earliest, and only if calls came.
	a.side = 1
	b.drain()
	asked := 0
	for range 19 {
		w.now += 50
		b.r.Tick(b.clock())
		b.batch(commit, nil)
		asked += w.asksAhead()
		w.round(0)
	}
	if asked != 1 {
		t.Errorf("b asks %d times within a second, not once", asked)
	}
	for range 100 {
		w.now += 50
		b.r.Tick(b.clock())
		b.batch(commit, nil)
		asked += w.asksAhead()
		w.round(0)
	}
	if asked > 1 {
		t.Errorf("b asks %d times though no call came", asked)
	}
	w.check()
}
