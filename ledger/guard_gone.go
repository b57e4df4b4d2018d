package ledger

import (
	"maps"
	"slices"
)

// Rows of generations that were claimed: what they show is another's by now, and their heirs' rows count what they did. A
// node that did not deal with one need not know what was decided of it, only that it was claimed, and nodes pass that on. One
// that did asks the heir, until it knows: the word that the heir itself sends may be lost.

const (
	goneLasts = 3_600_000 // ms for which rows of a generation that is said to be claimed are refused: by then nobody has any
	goneTold  = 600_000   // ms for which it is passed on
	maxGone   = 4096

	firstInquiry   = Millis(2_000) // from the news until the heir is asked, who tells it by itself; doubles up to lastInquiry
	lastInquiry    = Millis(16_000)
	inquiriesATick = 16 // every second

	// Of one that goes on as another generation itself nobody is told, as all that is between two is acknowledged, as a rule: who deals
	// with it sees it among the members, and asks in the course of that time, and if it does not answer, ever more seldom.
	movedWithin = Millis(120_000)
	lastOfMoved = Millis(600_000)
)

// Gone says that a generation was claimed.
type Gone struct {
	Holder Holder
	Heir   Holder
	Age    Millis // since the first who said so learned it
}

// gone is what is known of a generation that is said to be claimed.
type gone struct {
	born Instant // when the first who said so learned it
	heir Holder  // zero if a peer only said that it knows the decision: then it is old
	next Instant // when the heir is asked, if what was decided matters here and is not known
	wait Millis  // from then until the next time
}

// gone reports whether a generation is known, or said, to be claimed.
func (r *Replica) gone(h Holder) bool {
	if _, said := r.guards.gone[h]; said {
		return true
	}
	_, decided := r.guard.Decision(h)
	return decided
}

// hear takes the word that a generation was claimed, and forgets its rows. What a peer knows of old does not age
// what is told as new. It reports whether nobody had said so.
func (r *Replica) hear(now Instant, n Gone) (news bool) {
	h := n.Holder
	if h == r.self || n.Age >= goneLasts {
		return false
	}
	g, said := r.guards.gone[h]
	if !said {
		if len(r.guards.gone) >= maxGone {
			return false // its rows stay, and show what it did
		}
		for _, in := range r.order {
			if i, ok := in.find(h, -1); ok {
				in.rows = slices.Delete(in.rows, i, i+1)
				in.sums.known = false
				r.rows--
			}
		}
		g = gone{next: now + Instant(firstInquiry), wait: firstInquiry}
	}
	switch born := now - Instant(n.Age); {
	case !said, g.heir == Holder{} && n.Heir != Holder{}:
		g.born, g.heir = born, n.Heir
	case n.Heir != Holder{}:
		g.born = min(g.born, born)
	}
	if r.guards.gone == nil {
		r.guards.gone = map[Holder]gone{}
	}
	r.guards.gone[h] = g
	return !said
}

// tellGone lists what is passed on.
func (r *Replica) tellGone(now Instant) (gs []Gone) {
	for _, h := range slices.SortedFunc(maps.Keys(r.guards.gone), Holder.Compare) {
		if g := r.guards.gone[h]; g.heir != (Holder{}) && Millis(now-g.born) < goneTold {
			gs = append(gs, Gone{h, g.heir, max(0, Millis(now-g.born))})
		}
	}
	return gs
}

// inquire asks heirs for decisions that matter here and have not come, or not with all records.
func (r *Replica) inquire(now Instant) {
	if r.guards.news { // after a restart it may be of long ago
		for _, of := range r.guard.Decisions() {
			if v, _ := r.guard.Decision(of); r.guards.gone[of].heir == (Holder{}) {
				r.hear(now, Gone{Holder: of, Heir: v.Heir, Age: goneTold})
			}
		}
	}
	r.noteMoved(now)
	var late []Holder
	for h, g := range r.guards.moved {
		if due(now, g.next-Instant(g.wait), g.wait) {
			late = append(late, h)
		}
	}
	for h, g := range r.guards.gone {
		if g.heir != (Holder{}) && due(now, g.next-Instant(g.wait), g.wait) {
			late = append(late, h)
		}
	}
	slices.SortFunc(late, Holder.Compare)
	asked := 0
	for _, h := range late {
		if asked == inquiriesATick || !r.mayAhead() {
			return
		}
		if g, moved := r.guards.moved[h]; moved {
			if r.askMoved(now, h, g) {
				asked++
			}
			continue
		}
		if heir := r.lastHeir(h); r.aliveAt(heir, nil) && r.askWhat(h, heir) {
			asked++
		}
		g := r.guards.gone[h]
		g.wait = min(2*g.wait, lastInquiry)
		g.next = now + Instant(g.wait)
		r.guards.gone[h] = g
	}
}

// noteMoved looks, when members have changed, who of those that this one has not settled with goes on as another generation.
func (r *Replica) noteMoved(now Instant) {
	if r.guards.places == r.places {
		return
	}
	r.guards.places = r.places
	var moved []Holder
	for _, in := range r.order {
		for h, e := range in.edges {
			if e.Closed || r.gone(h) || r.successor(h).IsZero() {
				continue
			}
			if _, noted := r.guards.moved[h]; !noted {
				moved = append(moved, h)
			}
		}
	}
	slices.SortFunc(moved, Holder.Compare)
	for _, h := range slices.Compact(moved) {
		if len(r.guards.moved) >= maxGone {
			return
		}
		if r.guards.moved == nil {
			r.guards.moved = map[Holder]gone{}
		}
		wait := firstInquiry + Millis(r.dice(int(movedWithin)))
		r.guards.moved[h] = gone{next: now + Instant(wait), wait: wait}
	}
}

// askMoved asks the generation that follows one about it, unless what was decided is known by now. It reports whether it did.
func (r *Replica) askMoved(now Instant, h Holder, g gone) (asked bool) {
	on := r.successor(h)
	if r.gone(h) || on.IsZero() {
		delete(r.guards.moved, h)
		return false
	}
	g.wait = min(2*g.wait, lastOfMoved)
	g.next = now + Instant(g.wait)
	r.guards.moved[h] = g
	return r.askWhat(h, on)
}

// successor is the live generation as which the same data directory goes on; zero if there is none.
func (r *Replica) successor(h Holder) Holder {
	if i, ok := r.peer(h.Node); ok && r.peers[i].Alive && r.peers[i].Holder.Gen > h.Gen && r.peers[i].directory().Gen <= h.Gen {
		return r.peers[i].Holder
	}
	return Holder{}
}

// lastHeir follows what is said of heirs to the first that is not said to be claimed. If its node goes on as another generation, of which
// one need not have heard, that is who knows.
func (r *Replica) lastHeir(h Holder) Holder {
	for range len(r.guards.gone) {
		g, said := r.guards.gone[h]
		if !said || g.heir == (Holder{}) {
			break
		}
		h = g.heir
	}
	if on := r.wentOn(h); !on.IsZero() {
		return on
	}
	return h
}

// outlive forgets what was said long ago.
func (r *Replica) outlive(now Instant) {
	maps.DeleteFunc(r.guards.gone, func(_ Holder, g gone) bool { return due(now, g.born, goneLasts) })
}
