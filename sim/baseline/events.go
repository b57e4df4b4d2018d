package baseline

import (
	"cmp"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// what happens, in the order in which it happens at one instant: what frees tokens comes first, and a call is
// served at its deadline rather than refused.
type what uint8

const (
	change   what = iota // of the world: a fault
	settle               // a call ends
	wake                 // a gate is looked at
	arrive               // a call comes, or comes back
	deadline             // a call waits no longer
)

type event struct {
	at   ledger.Millis
	what what
	seq  uint64
	do   int // change: index
	gate *gate
	call *call
	// attempt tells whether the deadline is of the call's present attempt.
	attempt int
}

func (e *event) compare(o *event) int {
	return cmp.Or(cmp.Compare(e.at, o.at), cmp.Compare(e.what, o.what), cmp.Compare(e.seq, o.seq))
}

// events is a binary heap. (container/heap would allocate for each.)
type events struct {
	list []event
	seq  uint64
}

func (h *events) push(e event) {
	h.seq++
	e.seq = h.seq
	h.list = append(h.list, e)
	i := len(h.list) - 1
	for i > 0 {
		up := (i - 1) / 2
		if h.list[i].compare(&h.list[up]) >= 0 {
			break
		}
		h.list[i], h.list[up] = h.list[up], h.list[i]
		i = up
	}
}

func (h *events) pop() (event, bool) {
	if len(h.list) == 0 {
		return event{}, false
	}
	top, n := h.list[0], len(h.list)-1
	h.list[0] = h.list[n]
	h.list[n] = event{} // lets go of the call
	h.list = h.list[:n]
	for i := 0; ; {
		least := i
		for _, c := range [...]int{2*i + 1, 2*i + 2} {
			if c < n && h.list[c].compare(&h.list[least]) < 0 {
				least = c
			}
		}
		if least == i {
			return top, true
		}
		h.list[i], h.list[least] = h.list[least], h.list[i]
		i = least
	}
}
