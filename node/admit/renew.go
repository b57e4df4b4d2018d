package admit

import (
	"cmp"
	"slices"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// renewAt has plans be bound anew at an instant at the latest.
func (e *Engine) renewAt(at ledger.Instant) {
	if e.renews == 0 || at < e.renews {
		e.renews = at
	}
}

// renew has calls draw on the next instances where the lives of those that they drew on are over: plans are made anew, and calls
// that wait go on waiting, in the order in which they came and by the plans that they came with. The owner's.
func (e *Engine) renew(now ledger.Instant, l Ledger) {
	if e.renews == 0 || now < e.renews {
		return
	}
	e.renews = 0
	again := e.startAgain(now, func(g *gate) {
		if g.told > 0 {
			l.Waiting(now, g.id, ledger.Need{})
		}
	})
	for id := range e.gates {
		if _, ends, ok := id.Life(); ok && ends <= now {
			delete(e.gates, id)
		}
	}
	e.watched = slices.DeleteFunc(e.watched, func(g *gate) bool { return e.gates[g.id] != g })
	e.queue.unopened = append(again, e.queue.unopened...)
	e.Rebind()
}

// startAgain takes all calls from their gates, as if they were about to come in the order in which they did, and forgets the order of
// service. left is told of each gate.
func (e *Engine) startAgain(now ledger.Instant, left func(*gate)) (again []*Waiter) {
	q := &e.queue
	for _, g := range q.busy {
		for g.n > 0 {
			w := g.first(open).head()
			q.leave(w)
			again = append(again, w)
		}
	}
	for _, g := range q.busy { // now nobody keeps anything anywhere
		left(g)
		g.told, g.busy = 0, false
	}
	q.busy = nil
	slices.SortFunc(again, func(a, b *Waiter) int { return cmp.Compare(a.seq, b.seq) })
	for _, w := range again {
		*w = Waiter{Request: w.Request, Notify: w.Notify, since: w.since, plan: w.bound.came(), disk: now + diskGrace, unheld: w.unheld}
	}
	return again
}
