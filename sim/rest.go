package sim

import (
	"fmt"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/sim/promise"
)

func traceHash(h uint64) string { return fmt.Sprintf("%016x", h) }

// atRest judges the end of a run. All faults are over, no calls arrive any more, and Scenario.Rest has passed: nothing
// may be stuck, and everybody knows the same.
func (w *world) atRest() {
	for _, n := range w.nodes {
		switch {
		case n.gone && !n.up:
			continue
		case !n.up || n.paused:
			w.fail("every node is back after the faults", "%s is not", n.name)
			return
		case len(n.waiting) > 0:
			w.fail("queues drain", "%d calls wait at %s", len(n.waiting), n.name)
		case n.core.Replica.Conservation() != 0:
			w.fail("the equations of accounts close", "%s is off by %d", n.name, n.core.Replica.Conservation())
		}
		for _, h := range n.core.Replica.Stuck() {
			if p := w.byName[h.Node]; p.up && p.self == h { // a generation that has ended keeps what it was given, until guardians give it back
				w.fail("nothing that was given is stuck", "%s does not acknowledge what %s gave it", p.name, n.name)
			}
		}
		w.audit.sweep(n)
	}
	w.audit.shares()
	w.agree()
	w.conserved()
	if w.calls != w.beyond && w.violation == nil {
		w.fail("every call ends", "%d calls neither wait nor run nor have ended", w.calls-w.beyond)
	}
}

// told is how long ago a row must have been told for everybody to know it: a comparison of digests for what was lost on
// the way, and the time that gossip's ceiling needs for one row of every account.
func (w *world) told() micros {
	const rowBytes, copies = 160, promise.Fanout * promise.Waves
	rows := float64(len(w.pool.ids) * len(w.nodes))
	return 10*second + micros(rows*rowBytes*copies/float64(w.pool.rate)*float64(second))
}

// agree checks that every node knows the same totals of every account.
func (w *world) agree() {
	for _, id := range w.pool.ids {
		in := w.pool.instances[id]
		for h := range w.pool.recent[in] {
			x := w.pool.latest(in, int32(h))
			if x == nil {
				continue
			}
			// The newest row may be on its way, as signals go on changing for a while after the last call.
			known := uint32(0)
			for _, y := range w.pool.recent[in][h] {
				if y != nil && y.born <= w.now-w.told() {
					known = max(known, uint32(y.row.Version))
				}
			}
			origin := w.nodes[x.origin]
			if !origin.up || origin.self != x.row.Holder {
				continue // dead: what it told last may not have reached everybody
			}
			acc := origin.core.Replica.Account(id)
			if acc == nil {
				continue
			}
			for _, n := range w.nodes {
				if !n.up || n == origin {
					continue
				}
				if v := n.version(in, int32(h)); v < known {
					w.fail("every node knows the same in the end", "%s knows version %d of the row of %s for %s, version %d was told more than %d s ago", n.name, v, origin.name, id.Name(), known, w.told()/second)
					return
				}
			}
			live, spec, _, _ := acc.Peek()
			if origin.busy || origin.core.Replica.Pending() {
				continue // what it shows next is on its way to the disk
			}
			if r := &x.row; spec.Kind != ledger.Rate && spec.HalfLife == 0 && r.Window == live.Window &&
				(r.Spent != live.Spent || r.In != live.In || r.Out != live.Out) { // shares may still drift
				w.fail("every node knows the same in the end", "the last row of %s for %s says spent %d, in %d, out %d; its account spent %d, in %d, out %d",
					origin.name, id.Name(), r.Spent, r.In, r.Out, live.Spent, live.In, live.Out)
				return
			}
		}
	}
}

// conserved checks that what live holders own, what was spent and what lapsed is everything: nothing is on the way
// any more but to or from those that are gone.
func (w *world) conserved() {
	for k, t := range w.audit.windows {
		if t.in == t.out || w.someGone() {
			continue
		}
		current := true
		for _, n := range w.nodes {
			if a := n.core.Replica.Account(w.pool.ids[k.instance]); a != nil {
				s, _, _, _ := a.Peek()
				current = current && s.Window == k.window
			}
		}
		if current {
			w.fail("stuck rights return", "%s: %d tokens left an account and came to none", w.pool.ids[k.instance].Name(), t.out-t.in)
			return
		}
	}
}

// someGone reports whether any generation has ended for good: its rights are gone until guardians give them back.
func (w *world) someGone() bool {
	if len(w.pool.holders) > len(w.nodes) {
		return true
	}
	for _, n := range w.nodes {
		if !n.up {
			return true
		}
	}
	return false
}
