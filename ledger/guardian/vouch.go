package guardian

import (
	"slices"
	"time"
)

// word marks the version of what an operator's word decides: that of no records which a node wrote.
const word = 1 << 63

// WordVersion makes the version of a word of its number.
func WordVersion(id uint64) uint64 { return id | word }

// IsWord reports whether what was decided is an operator's word.
func (v *Value) IsWord() bool { return v.Version&word != 0 }

// Vouch takes over an operator's word on a generation: it is decided without its guardians, who are no more. It is for the
// host to see that it cannot be given twice.
func (m *Machine) Vouch(now time.Duration, of Holder, v Value, records []Record) error {
	return m.learn(now, &Decided{Of: of, From: m.dir, Value: v, Records: records}, true)
}

// Adopt decides what a claim of a ward had this guardian accept, where the other guardians are no more: it may be decided
// already, and nothing else can be. It reports whether there was something.
func (m *Machine) Adopt(now time.Duration, of Holder) bool {
	w := m.find(of)
	if w == nil || w.Decided || w.Value == nil || w.Version != w.Value.Version {
		return false
	}
	return m.learn(now, &Decided{Of: of, From: m.dir, Value: *w.Value, Records: w.stored()}, true) == nil
}

// Accepted reports whether this node has accepted a value of a claim of a ward, which may be decided already.
func (m *Machine) Accepted(of Holder) bool {
	w := m.find(of)
	return w != nil && w.Value != nil
}

// WardSet lists the guardians of a ward of this node; none if it is not one.
func (m *Machine) WardSet(of Holder) []Holder {
	if w := m.find(of); w != nil {
		return w.Set
	}
	return nil
}

// Gone reports whether an operator has vouched for the death of a directory: of its node in a generation not before it.
func (m *Machine) Gone(dir Holder) bool {
	return slices.ContainsFunc(m.gone, func(h Holder) bool { return h.Node == dir.Node && h.Gen >= dir.Gen })
}

// Vouched reports whether that very generation is an heir's by an operator's word.
func (m *Machine) Vouched(h Holder) bool {
	v, ok := m.Decision(h)
	return ok && v.IsWord()
}

// Bury takes over that an operator has vouched for the death of a node in all generations up to this one. It reports whether
// that is new.
func (m *Machine) Bury(h Holder) bool {
	if m.Gone(h) || len(m.gone) >= MaxWards {
		return false
	}
	m.gone = append(m.gone, h)
	return true
}

// Buried lists whose death operators have vouched for.
func (m *Machine) Buried() []Holder { return slices.Clone(m.gone) }

// bury remembers whose death an operator has vouched for.
func (m *Machine) bury(w *ward) {
	if w.Decided && w.Value.IsWord() && !slices.Contains(m.gone, w.Of) {
		m.gone = append(m.gone, w.Of)
	}
}

// need is how many of this generation's own guardians decide, and hold what it tells: a majority, or, where so many are
// vouched to be dead that there is none left, all of the rest.
func (m *Machine) need() (n int, lost bool) {
	rest := 0
	for _, g := range m.own.Set {
		if !m.Gone(g) {
			rest++
		}
	}
	if n = Majority(len(m.own.Set)); rest < n {
		return rest, true
	}
	return n, false
}

// deciders says how many answers decide a claim, and whose count. A claim of a ward takes a majority whatever happens: what
// the rest has stored may be old. An owner's own is in step with all that are left.
func (m *Machine) deciders(c *claim) (need int, counts func(Holder) bool) {
	if c.of == m.self {
		if n, lost := m.need(); lost {
			return n, func(g Holder) bool { return !m.Gone(g) }
		}
	}
	return Majority(len(c.set)), func(Holder) bool { return true }
}

// Lost reports whether operators have vouched for the death of so many guardians that there is no majority left.
func (m *Machine) Lost() bool {
	if m.own == nil {
		return false
	}
	_, lost := m.need()
	return lost
}

// loop finds whom a decision would lead back to: those that would be each other's heirs, all of it lost. It happens only
// where operators have vouched for the death of nodes that live, or of one that had claimed before it died.
func (m *Machine) loop(of Holder, v Value) (hs []Holder) {
	hs = []Holder{of}
	for h := v.Heir; h != of; {
		x, ok := m.Decision(h)
		if !ok || len(hs) > len(m.wards) {
			return nil
		}
		hs = append(hs, h)
		h = x.Heir
	}
	return hs
}

// survivor says which of those that are each other's heirs goes on: one that was only claimed, since who claimed it is
// vouched to be dead; among words the lowest holder, so that all say the same.
func (m *Machine) survivor(hs []Holder, of Holder, v Value) Holder {
	word := func(h Holder) bool {
		if h == of {
			return v.IsWord()
		}
		x, _ := m.Decision(h)
		return x.IsWord()
	}
	return slices.MinFunc(hs, func(a, b Holder) int {
		if wa, wb := word(a), word(b); wa != wb {
			if wa {
				return 1
			}
			return -1
		}
		return a.Compare(b)
	})
}

// unlearn forgets a decision on a generation that goes on.
func (m *Machine) unlearn(of Holder) {
	w := m.find(of)
	w.Value, w.Decided = nil, false
	m.ended(w)
	if w.Set == nil {
		m.replace(w, 0, nil) // nobody asks for it here any more
	}
	m.gone = slices.DeleteFunc(m.gone, func(h Holder) bool { return h == of })
	m.touch(w)
}
