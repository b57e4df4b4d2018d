package node

import "github.com/swarmpurse/swarmpurse/ledger"

// handing is the course of handing on, without the node that does it.
type handing struct {
	heir   func() (ledger.Holder, bool) // the nearest live peer that is not about to leave
	leave  func(ledger.Holder) error    // begins to hand everything on to it
	handed func(ledger.Holder) bool     // waits until it has confirmed all, is about to leave, or the time is over: whether it has confirmed
	over   func() bool                  // the time is over
	stays  func(ledger.Holder) bool     // a peer is alive and not about to leave
}

// handed is how handing on ended.
type handed int

const (
	toNobody     handed = iota // there is no peer
	notBegun                   // an error kept this node from it
	handedOn                   // the peer has all
	notConfirmed               // the peer stays, and may have all or some of it
	lastLeaves                 // the peer leaves, too, and nobody is left
)

// on hands everything on. When a peer turns out to be leaving, too, or goes on as another generation, the next one takes its place; when a
// whole swarm is stopped, there is none.
func (h *handing) on() (to ledger.Holder, how handed, err error) {
	to, ok := h.heir()
	if !ok {
		return to, toNobody, nil
	}
	for {
		if err := h.leave(to); err != nil {
			return to, notBegun, err
		}
		if h.handed(to) {
			return to, handedOn, nil
		}
		if next, ok := h.heir(); !h.over() && ok && next != to {
			to = next
			continue
		}
		if h.stays(to) {
			return to, notConfirmed, nil
		}
		return to, lastLeaves, nil
	}
}
