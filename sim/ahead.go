package sim

import "github.com/swarmpurse/swarmpurse/sim/prefetch"

// Events come to one node after the other, and the memory of so many nodes fits in no cache. So while one event is handled,
// what those behind it will need is on its way: first the node itself, then what it points to.
const (
	nodeAhead  = 6 // events before it is needed
	whatsAhead = 3
)

// ahead asks for the memory that the next events will need. Nothing that happens depends on it.
func (w *world) ahead() {
	if e := w.queue.ahead(nodeAhead); e != nil && e.node >= 0 {
		prefetch.Of(w.nodes[e.node])
		if p, ok := e.p.(*packet); ok {
			prefetch.Of(p)
		}
	}
	e := w.queue.ahead(whatsAhead)
	if e == nil || e.node < 0 {
		return
	}
	n := w.nodes[e.node]
	if i := n.out.head & uint32(len(n.out.relays)-1); int(i) < len(n.out.relays) {
		prefetch.Of(&n.out.relays[i])
	}
	if e.kind == evSpread {
		return // it is the outbox's alone
	}
	prefetch.Of(n.core.Replica)
	prefetch.Of(n.core.Engine)
	prefetch.Head(n.clock)
	p, ok := e.p.(*packet)
	if !ok {
		return
	}
	for _, x := range p.news {
		prefetch.Head(x)
		if int(x.instance) < len(n.newest) && int(x.holder) < len(n.newest[x.instance]) {
			prefetch.Of(&n.newest[x.instance][x.holder])
		}
	}
}
