package ledger

import (
	"slices"
	"strings"

	"github.com/swarmpurse/swarmpurse/ledger/guardian"
)

// An outcome is what was decided of a generation as far as it concerns one peer: what final records show of the two, of the
// accounts, and of seats. It is all that most need, and far less than the records of one that dealt with hundreds. Who is the heir of
// others that had not settled with it needs what concerns these, too. It is kept in memory until all of it is booked; whoever needs it
// again asks again. Heirs need all records of what they inherit, and guardians store them.

// concerns reports whether a final record says something to one of some peers that are no heirs, or to theirs: also that all that was
// between the two was booked.
func concerns(key string, about []Holder) bool {
	if key, ok := strings.CutPrefix(key, keyEntry); ok {
		_, with, err := splitEntryKey(key)
		return err == nil && slices.Contains(about, with)
	}
	if node, ok := strings.CutPrefix(key, keyPast); ok {
		return slices.ContainsFunc(about, func(h Holder) bool { return h.Node == node })
	}
	return strings.HasPrefix(key, keyAccount) || strings.HasPrefix(key, keySeat) || key == keyFloor || key == keySaid
}

// Concerning returns those of final records that concern some peers which are no heirs, or their heirs.
func Concerning(final []guardian.Record, about []Holder) (rs []guardian.Record) {
	for _, x := range final {
		if concerns(x.Key, about) {
			rs = append(rs, x)
		}
	}
	return rs
}

// wholeCopies is how many of those in final records are told all of them, beside heir and guardians: an operator's word needs the
// records of all that were claimed, and with copies at these it takes the loss of a dozen nodes to be without.
const wholeCopies = 8

// SetWhole says how many of those in final records are told all of them, for tests.
func (r *Replica) SetWhole(n int) { r.guards.wholeCopies = n }

// keepsAll reports whether a peer is one of the first in final records.
func (r *Replica) keepsAll(f *final, peer Holder) bool {
	before := 0
	for h := range f.with {
		if h.Compare(peer) < 0 {
			before++
		}
	}
	return f.with[peer] && before < r.guards.wholeCopies
}

// tellPart tells a node what concerns some of a generation whose final records are here: itself, or those that it is the heir of. What
// is too much for a message goes as a whole, which has parts.
func (r *Replica) tellPart(of, peer Holder, about []Holder) {
	all, ok := r.guard.Records(of)
	if !ok || r.keepsAll(r.final(of), peer) {
		r.guard.Tell(of, peer)
		return
	}
	rs, size := Concerning(all, about), 0
	for _, x := range rs {
		size += len(x.Key) + len(x.Value)
	}
	if size > guardian.PartBytes {
		r.guard.Tell(of, peer)
		return
	}
	r.guard.TellPart(of, peer, about, rs)
}

// keepPart keeps what was decided of a generation, as far as it concerns this one, until it is booked. What says nothing new is left.
func (r *Replica) keepPart(m *guardian.Outcome) {
	if v, known := r.guard.Decision(m.Of); !known || v != m.Value || m.To != r.self || r.final(m.Of) != nil {
		return
	}
	about := m.About
	if len(about) == 0 {
		about = []Holder{m.To}
	}
	if p := r.guards.parts[m.Of]; p == nil || slices.ContainsFunc(about, func(h Holder) bool { return !p.shows(h) }) {
		f := readFinal(m.Of, m.Value.Heir, m.Value.IsWord(), m.Records, len(r.charter.Founders))
		f.about = about
		if r.guards.parts == nil {
			r.guards.parts = map[Holder]*final{}
		}
		r.guards.parts[m.Of] = f
		r.guards.news = true
	}
	if lacks, whole := r.lacks(m.Of); len(m.About) == 0 && len(lacks) > 0 && !whole {
		r.guard.Ask(m.Of, m.From) // it knows of no other parts
	}
}

// shows reports whether all that final records have of a peer is here.
func (f *final) shows(peer Holder) bool { return f.about == nil || slices.Contains(f.about, peer) }

// shown returns what is known here of what a generation's final records show to another, this one or one that it is the heir of.
func (r *Replica) shown(of, to Holder) *final {
	if f := r.final(of); f != nil {
		delete(r.guards.parts, of)
		return f
	}
	f := r.guards.parts[of]
	if v, ok := r.guard.Decision(of); f != nil && (!ok || v.Heir != f.heir) {
		delete(r.guards.parts, of)
		return nil
	}
	if f == nil || !f.shows(to) {
		return nil
	}
	return f
}

// lacks says what of a generation's final records matters here and is not known: what concerns some, or all of it.
func (r *Replica) lacks(of Holder) (about []Holder, whole bool) {
	if of == r.self || r.guard.Heir(of) == r.self {
		return nil, r.final(of) == nil
	}
	missing := false
	if _, told := r.guard.Decision(of); !r.past.has(of) {
		about = append(about, r.self)
		missing = r.shown(of, r.self) == nil && (told || r.interested(of))
	}
	for _, d := range r.guard.Decisions() {
		if r.guard.Heir(d) == r.self && r.unsettled(d, of) {
			about = append(about, d)
			missing = missing || r.shown(of, d) == nil
		}
	}
	if !missing {
		return nil, false
	}
	return about, false // all that matters: it takes the place of what is here
}

// unsettled reports whether one that this is the heir of had something open with another, which is not booked.
func (r *Replica) unsettled(d, with Holder) bool {
	f := r.final(d)
	if f == nil {
		return false
	}
	for id, a := range f.accounts {
		if e, ok := a.entries[with]; ok && !e.Closed {
			in := r.instances[id]
			if in == nil {
				return true
			}
			if _, done := in.dues[dueKey{d, with}]; !done {
				return true
			}
		}
	}
	return false
}

// askWhat asks a node for what lacks of a generation's final records. It reports whether something does.
func (r *Replica) askWhat(of, whom Holder) bool {
	about, whole := r.lacks(of)
	switch {
	case whole:
		r.guard.Ask(of, whom)
	case len(about) > 0:
		r.guard.AskPart(of, whom, about)
	default:
		return false
	}
	return true
}

// query answers whoever asks what was decided.
func (r *Replica) query(m *guardian.Query) (answered bool) {
	if !m.Part || r.final(m.Of) == nil {
		return false
	}
	about := m.About
	if len(about) == 0 {
		about = []Holder{m.From}
	}
	r.tellPart(m.Of, m.From, about)
	return true
}
