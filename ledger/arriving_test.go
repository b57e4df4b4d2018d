package ledger_test

import (
	"testing"

	. "github.com/swarmpurse/swarmpurse/ledger"
)

// TestWhatArrivesIsNotAskedForAgain: rights that have come and wait for the disk serve the call that waits for them.
func TestWhatArrivesIsNotAskedForAgain(t *testing.T) {
	w := newWorld(3, 1, 1, one(Spec{Kind: Rate, Amount: 10_000, Per: 1000, PerMillis: 1000, Lend: 10_000}))
	w.fatalf, w.logf = t.Fatalf, t.Logf
	for _, x := range w.nodes {
		x.open1(w.ids[0])
	}
	for range 40 {
		w.round(100)
	}
	x := w.nodes[1]
	if x.reserve(w.ids, []Tokens{2000}, false, true) {
		t.Fatal("served from nothing")
	}
	count := func() (asks int) { // what x asks for now
		x.batch(commit, nil)
		for _, p := range w.net {
			if m, err := Decode(p.bytes); err == nil && p.from == x.i {
				if _, ok := m.(*Ask); ok {
					asks++
				}
			}
		}
		return asks
	}
	if n := count(); n != 1 {
		t.Fatalf("%d asks", n)
	}
	for k := 0; k < 2; k++ { // there and back, and not to x's disk yet
		ps := w.net
		w.net = nil
		for _, p := range ps {
			w.receive(p)
		}
		for _, p := range w.nodes {
			if p != x {
				p.batch(commit, nil)
			}
		}
	}
	x.r.Waiting(x.clock(), w.ids[0], need(x.clock(), 2000))
	w.net = nil
	if n := count(); n != 0 {
		t.Fatalf("%d asks for what has come", n)
	}
	if n := x.r.Account(w.ids[0]).Rights(x.clock()); n < 2000 {
		t.Fatalf("%d have come", n)
	}
}
