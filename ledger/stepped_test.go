package ledger_test

import (
	"testing"

	. "github.com/swarmpurse/swarmpurse/ledger"
)

// A clock that is put forward frees no slot: neither one that a crash left reserved, nor, after a crash that follows the step,
// one whose call goes on. It comes back when the rest of its time is over.
func TestStepFreesNoSlot(t *testing.T) {
	const hour = Millis(3_600_000)
	for _, c := range []struct {
		name  string
		steps func(w *world, n *wnode)
	}{
		{"a crash, then the step", func(w *world, n *wnode) {
			restart(w, n)
			step(w, n, hour)
		}},
		{"the step, then a crash", func(w *world, n *wnode) {
			step(w, n, hour)
			restart(w, n)
		}},
		{"a crash, the step, another crash", func(w *world, n *wnode) {
			restart(w, n)
			step(w, n, hour)
			restart(w, n)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := scripted(t, 1, 1, one(Spec{Kind: Slots, Amount: 1}))
			w.opened()
			n, id := w.nodes[0], w.ids[0]
			take := func() bool {
				a, err := n.r.Open(n.clock(), id)
				if err != nil {
					t.Fatal(err)
				}
				for range 3 { // the time that it may end wants to be durable first
					if why, _ := Reserve(n.clock(), n.clock()+600_000, []Take{{Account: a, Amount: 1}}, false); why == Enough {
						return true
					}
					w.round(100)
				}
				return false
			}
			if !take() {
				t.Fatal("the only slot is not given")
			}
			c.steps(w, n)
			w.round(1000)
			if take() {
				t.Error("the slot was given a second time while its first call may still run")
			}
			w.round(700_000) // ten minutes, and one that marks run ahead
			w.round(1000)
			if !take() {
				t.Error("the slot did not come back")
			}
		})
	}
}

// step puts the clock forward.
func step(w *world, n *wnode, by Millis) {
	w.now += Instant(by)
	n.r.Stepped(by)
	w.round(100)
}

func restart(w *world, n *wnode) {
	n.crash()
	n.start(7)
	w.members()
	w.round(100)
}
