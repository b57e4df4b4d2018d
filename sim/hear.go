package sim

import (
	"fmt"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/sim/result"
)

// Rows that come to a node which dozes (idle.go), and whose outbox is planned already, only are passed on when it sends next: until something
// else happens to it nobody sees when it took them in. So a helper may have it do so beside the run. A node hears its packets in their order and
// with their times, and draws no dice for them.

// Heard is a packet of rows that a node has yet to take in.
type Heard struct {
	at     micros
	event  uint64
	packet *packet
}

// Helper does jobs of nodes, in order for each node, on two goroutines. It is what package beside has.
type Helper interface {
	// Start begins. do does a job of a node; beside says that it runs on the second goroutine.
	Start(nodes int, do func(node int, job Heard, beside bool))
	// Add has a job be done before Finish of the node returns.
	Add(node int, job Heard)
	Finish(node int)
	Stop()
}

// helpFrom is the number of nodes from which on a run has a helper: fewer lie in caches.
const helpFrom = 128

// help starts the helper, if the run has one, and returns what ends it.
func (w *world) help(o Options) (end func()) {
	if o.Helper == nil || len(w.nodes) < helpFrom && !o.helped {
		return func() {}
	}
	w.helper = o.Helper()
	w.beside.Beside = true
	w.helper.Start(len(w.nodes), func(i int, x Heard, beside bool) {
		if beside {
			w.nodes[i].hear(x, &w.beside)
		} else {
			w.nodes[i].hear(x, &w.rows)
		}
	})
	return func() {
		w.helper.Stop()
		w.helper = nil
	}
}

// hearsLater reports whether a packet of rows is heard later, and sees to it.
func (w *world) hearsLater(e *event) bool {
	x := &w.idle[e.node]
	p, rows := e.p.(*packet)
	if !rows || w.helper == nil || w.now >= x.until || !x.hears || !x.sends {
		return false
	}
	x.heard = true
	w.later++
	w.helper.Add(int(e.node), Heard{w.now, w.events, p})
	return true
}

// listen has the node hear all that it has yet to, before anything else happens to it or it is looked at.
func (n *node) listen() {
	x := &n.w.idle[n.i]
	if !x.heard {
		return
	}
	x.heard = false
	n.w.helper.Finish(n.i)
	if n.misheard != nil {
		n.w.failed(n.misheard)
	}
}

// hear is do, for rows that only are passed on.
func (n *node) hear(x Heard, rows *ledger.SharedRows) {
	err := n.learn(n.clockAt(x.at), x.packet, rows)
	fx, ok := n.core.Replica.Heard()
	if !ok || err != nil && n.core.Replica.Fenced() {
		if n.misheard == nil {
			n.misheard = &result.Violation{
				Invariant: "a node that dozes only hears of rows", Detail: fmt.Sprintf("%s: %v", n.name, err),
				At: time.Duration(x.at) * time.Microsecond, Event: x.event,
			}
		}
		return
	}
	relayed := 0
	for _, s := range fx.Spreads {
		relayed = n.passOn(x.at, s, relayed)
	}
	if len(fx.Spreads) > 0 {
		n.out.added()
	}
	n.relays = n.relays[:0]
}
