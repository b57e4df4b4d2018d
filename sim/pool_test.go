package sim

import (
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/sim/promise"
	"github.com/swarmpurse/swarmpurse/sim/scenario"
)

// TestPool: who sees whom, and when, is as package promise says. Nodes are numbers; all see all at first.
func TestPool(t *testing.T) {
	const nodes = 12
	least, most := promise.FailureSeen(nodes)
	spread := promise.Spread
	cutOff := func(w *world, ns ...int) {
		e := &scenario.Event{At: time.Duration(w.now) * time.Microsecond, Nodes: ns}
		w.partition(e, &scenario.Fault{}, w.some(ns), true)
	}
	heal := func(w *world, ns ...int) {
		c := w.links.cuts[0]
		w.partition(&scenario.Event{At: c.at, Fault: c.event}, &scenario.Fault{}, w.some(ns), false)
	}
	five, seven := []int{0, 1, 2, 3, 4}, []int{5, 6, 7, 8, 9, 10, 11}
	split := max(promise.CutSeen(5, 7, 7), promise.CutSeen(7, 5, 5)) + spread
	for _, c := range []struct {
		name string
		do   func(w *world)
		// After so long since, the observer sees the other, or not.
		after    time.Duration
		from, to int
		sees     bool
	}{
		{"nothing happens", func(*world) {}, time.Minute, 0, 1, true},
		{"a node died just now", func(w *world) { w.crash(1) }, least, 0, 1, true},
		{"a node died", func(w *world) { w.crash(1) }, most + spread, 0, 1, false},
		{"and the others are seen", func(w *world) { w.crash(1) }, most + spread, 0, 2, true},
		{"a node died and is back before anybody saw", func(w *world) {
			w.crash(1)
			w.until(w.now+2*second, Options{})
			w.nodes[1].start()
			w.pool.came(w.nodes[1])
		}, most + spread, 0, 1, true},
		{"a node died and came back later", func(w *world) {
			w.crash(1)
			w.until(w.now+20*second, Options{})
			w.nodes[1].start()
			w.pool.came(w.nodes[1])
		}, promise.Join + spread, 0, 1, true},
		{"a node does not answer", func(w *world) { w.nodes[1].pause(true) }, most + spread, 0, 1, false},
		{"a node left", func(w *world) { w.nodes[1].stop(); w.pool.left(w.nodes[1]) }, spread + time.Millisecond, 0, 1, false},
		{"a cut, just now", func(w *world) { cutOff(w, five...) }, least, 0, 11, true},
		{"a cut: one side", func(w *world) { cutOff(w, five...) }, split, 0, 11, false},
		{"a cut: the other side", func(w *world) { cutOff(w, five...) }, split, 11, 0, false},
		{"a cut: the same side", func(w *world) { cutOff(w, five...) }, split, 0, 4, true},
		{"a cut: the same other side", func(w *world) { cutOff(w, seven...) }, split, 11, 5, true},
		{"one alone has not given up all others for long", func(w *world) { cutOff(w, 0) }, time.Minute, 0, 1, true},
		{"but others have given up that one", func(w *world) { cutOff(w, 0) }, time.Minute, 1, 0, false},
		{"a short cut is not noticed", func(w *world) {
			cutOff(w, five...)
			w.until(w.now+4*second, Options{})
			heal(w, five...)
		}, split, 0, 11, true},
		{"a cut that has healed", func(w *world) {
			cutOff(w, five...)
			w.until(w.now+span(split), Options{})
			heal(w, five...)
		}, promise.Heal + spread, 0, 11, true},
		{"a node that comes back on the other side of a cut", func(w *world) {
			w.crash(11)
			cutOff(w, five...)
			w.until(w.now+span(split), Options{})
			w.nodes[11].start()
			w.pool.came(w.nodes[11])
		}, promise.Join + spread, 0, 11, false},
		{"and is seen on its own side", func(w *world) {
			w.crash(11)
			cutOff(w, five...)
			w.until(w.now+span(split), Options{})
			w.nodes[11].start()
			w.pool.came(w.nodes[11])
		}, promise.Join + spread, 10, 11, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			sc := steady(t, nodes, 10*time.Minute)
			sc.Workload = nil
			w, err := newWorld(t.Context(), sc, Options{})
			if err != nil {
				t.Fatal(err)
			}
			w.until(second, Options{})
			c.do(w)
			w.until(w.now+span(c.after), Options{})
			if got := w.nodes[c.from].view.alive(w.nodes[c.to]); got != c.sees {
				t.Errorf("after %v node %d sees node %d: %v", c.after, c.from, c.to, got)
			}
			if w.violation != nil {
				t.Error(w.violation)
			}
		})
	}
}

func (w *world) some(ns []int) (out []*node) {
	for _, i := range ns {
		out = append(out, w.nodes[i])
	}
	return out
}

func (w *world) crash(i int) {
	w.nodes[i].stop()
	w.pool.died(w.nodes[i])
}
