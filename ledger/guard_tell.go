package ledger

import (
	"slices"
	"strings"

	"github.com/swarmpurse/swarmpurse/ledger/guardian"
)

// An heir tells everybody, a few at a time, that a generation was claimed. Those with whom its final records show something
// hear of it with these records. Any other may have given it something that it never booked: that is asked for, and comes back,
// without waiting for a digest.

// telling is a decision of which everybody up to a node, by name, was told.
type telling struct {
	of   Holder
	upTo string
}

const (
	tellsATick  = 16
	maxTellings = 1024
)

// tellAll begins to tell everybody of a decision.
func (r *Replica) tellAll(of Holder) {
	if len(r.guards.tells) < maxTellings { // else digests tell it
		r.guards.tells = append(r.guards.tells, telling{of: of})
	}
}

// goOnTelling tells the next few. No call waits for it.
func (r *Replica) goOnTelling() {
	for n := 0; n < tellsATick && len(r.guards.tells) > 0 && r.mayAhead(); {
		t := &r.guards.tells[0]
		i, found := slices.BinarySearchFunc(r.peers, t.upTo, func(p Peer, n string) int { return strings.Compare(p.Holder.Node, n) })
		if found {
			i++
		}
		if i == len(r.peers) {
			r.guards.tells = slices.Delete(r.guards.tells, 0, 1)
			continue
		}
		p := &r.peers[i]
		t.upTo = p.Holder.Node
		if f := r.final(t.of); p.Alive && (f == nil || !f.with[p.Holder]) && p.Holder.Node != r.self.Node {
			r.guard.Say(t.of, p.Holder)
			n++
		}
	}
}

// heardOf takes the word that a generation was claimed. It reports whether it is to be learned with all of its records. If less of them
// matters here, the first who says it is asked for that; when it does not answer, the heir is (see inquire).
func (r *Replica) heardOf(now Instant, m *guardian.Decided) bool {
	if len(m.Records) > 0 || !m.More || m.Of == r.self || r.guard.Keeps(m.Of) || r.guard.Heir(m.Value.Heir) == r.self {
		return true
	}
	if r.hear(now, Gone{Holder: m.Of, Heir: m.Value.Heir}) {
		r.askWhat(m.Of, m.From)
	}
	return false
}
