package ledger

import (
	"maps"
	"slices"
)

// Rows of generations that were claimed: what they show is another's by now, and their heirs' rows count what they did. A
// node that did not deal with one need not know what was decided of it, only that it was claimed, and nodes pass that on.

const (
	goneLasts = 3_600_000 // ms for which rows of a generation that is said to be claimed are refused: by then nobody has any
	goneTold  = 600_000   // ms for which it is passed on
	maxGone   = 4096
)

// Gone says that a generation was claimed.
type Gone struct {
	Holder Holder
	Age    Millis // since the first who said so learned it
}

// gone reports whether a generation is known, or said, to be claimed.
func (r *Replica) gone(h Holder) bool {
	if _, said := r.guards.gone[h]; said {
		return true
	}
	_, decided := r.guard.Decision(h)
	return decided
}

// hear takes the word that a generation was claimed, and forgets its rows.
func (r *Replica) hear(now Instant, h Holder, age Millis) {
	if h == r.self || age >= goneLasts {
		return
	}
	born, said := r.guards.gone[h]
	if !said {
		if len(r.guards.gone) >= maxGone {
			return // its rows stay, and show what it did
		}
		for _, in := range r.order {
			if i, ok := in.find(h, -1); ok {
				in.rows = slices.Delete(in.rows, i, i+1)
				in.sums.known = false
				r.rows--
			}
		}
		born = maxInstant
	}
	if r.guards.gone == nil {
		r.guards.gone = map[Holder]Instant{}
	}
	r.guards.gone[h] = min(born, now-Instant(age))
}

// tellGone lists what is passed on.
func (r *Replica) tellGone(now Instant) (gs []Gone) {
	for _, h := range slices.SortedFunc(maps.Keys(r.guards.gone), Holder.Compare) {
		if age := Millis(now - r.guards.gone[h]); age < goneTold {
			gs = append(gs, Gone{h, max(0, age)})
		}
	}
	return gs
}

// outlive forgets what was said long ago.
func (r *Replica) outlive(now Instant) {
	maps.DeleteFunc(r.guards.gone, func(_ Holder, born Instant) bool { return due(now, born, goneLasts) })
}
