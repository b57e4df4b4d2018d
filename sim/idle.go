package sim

import (
	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/core"
)

// Most ticks find nothing to do (see ledger/due.go), and a node that has had none lately lies in no cache. So those ticks are
// events, and counted, but the node is left alone; what they would have done is done when anything else happens to it.

// idle is until when a node's ticks do nothing.
type idle struct {
	until  micros
	missed uint32 // ticks that it has not had
	life   uint32 // of the node
	heard  bool   // it may have packets yet to hear: see hear.go
	hears  bool   // until then rows only have to be passed on
	sends  bool   // its outbox has been planned
}

const tickEvery = micros(core.TickEvery) * milli

// passes reports whether a tick is one in vain.
func (w *world) passes(e *event) bool {
	w.ticks++
	x := &w.idle[e.node]
	if w.now >= x.until || e.life != x.life {
		return false
	}
	x.missed++
	w.passed++
	w.queue.push(event{at: w.now + tickEvery, seq: w.seq, kind: evTick, node: e.node, life: e.life})
	w.seq++
	return true
}

// tickAt is a tick that may have something to do.
func (n *node) tickAt(e *event) {
	if n.up && e.life == n.life {
		n.w.plan(n.w.now+tickEvery, evTick, n, nil)
		n.do(*e)
	}
}

// sleep is after a tick. What is left of a millisecond is the same at all ticks, and at no other time: only now can it be said that the
// clock has nothing to follow at the next ones.
func (n *node) sleep() {
	n.ticked, n.still = n.clockNow(), n.clock.Steady(n.wall(), n.elapsed())
	n.doze()
}

// doze is after a tick, or anything else that happened to a node: the next ticks may have nothing to do.
func (n *node) doze() {
	w := n.w
	if !n.still || w.everyTick || n.busy || n.paused || n.tickDue || len(n.backlog) > 0 || n.leaving.since > 0 || n.core.Over() || n.watches() {
		return
	}
	// Clocks count whole milliseconds: the tick at which something is due may come a part of one earlier.
	x := &w.idle[n.i]
	x.hears = n.core.Replica.Hears()
	x.until = w.now + micros(min(n.core.Due(n.ticked), n.comparer.Next(n.ticked))-n.clockNow()-1)*milli + 1
}

// due reports whether its next tick does something.
func (n *node) due() bool { return n.w.now >= n.w.idle[n.i].until }

// catchUp does what the ticks would have done that the node has not had.
func (n *node) catchUp() {
	n.listen()
	x := &n.w.idle[n.i]
	if x.missed == 0 {
		return
	}
	n.ticked += ledger.Instant(x.missed) * ledger.Instant(core.TickEvery)
	n.latest = max(n.latest, n.ticked)
	n.core.Idle(n.ticked, int(x.missed))
	x.missed = 0
}

// rouse is before anything happens to a node, but rows that it only hears of.
func (n *node) rouse() {
	n.catchUp()
	n.w.idle[n.i].until = 0
}

// wake is before a fault, after which the node has a tick.
func (n *node) wake() {
	n.rouse()
	n.still = false
}

// catchUp is before all nodes are looked at.
func (w *world) catchUp() {
	for _, n := range w.nodes {
		n.catchUp()
	}
}

// wake is before something happens to many nodes.
func (w *world) wake() {
	for _, n := range w.nodes {
		n.wake()
	}
}
