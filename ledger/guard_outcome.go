package ledger

import (
	"maps"
	"strings"

	"github.com/swarmpurse/swarmpurse/ledger/guardian"
)

// An outcome is what was decided of a generation as far as it concerns one peer: what final records show of the two, of the
// accounts, and of seats. It is all that most need, and far less than the records of one that dealt with hundreds. It is kept in memory
// until all of it is booked; whoever needs it again asks again. Heirs need all records, and guardians store them.

// concerns reports whether a final record says something to a peer that is no heir.
func concerns(key string, peer Holder) bool {
	if key, ok := strings.CutPrefix(key, keyEntry); ok {
		_, with, err := splitEntryKey(key)
		return err == nil && with == peer
	}
	return strings.HasPrefix(key, keyAccount) || strings.HasPrefix(key, keySeat) || key == keyFloor || key == keySaid
}

// Concerning returns those of final records that concern a peer which is no heir.
func Concerning(final []guardian.Record, peer Holder) (rs []guardian.Record) {
	for _, x := range final {
		if concerns(x.Key, peer) {
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

// tellPart tells a node what concerns it of a generation whose final records are here. What is too much for a message goes as a whole,
// which has parts.
func (r *Replica) tellPart(of, peer Holder) {
	all, ok := r.guard.Records(of)
	if !ok || r.keepsAll(r.final(of), peer) {
		r.guard.Tell(of, peer)
		return
	}
	rs, size := Concerning(all, peer), 0
	for _, x := range rs {
		size += len(x.Key) + len(x.Value)
	}
	if size > guardian.PartBytes {
		r.guard.Tell(of, peer)
		return
	}
	r.guard.TellPart(of, peer, rs)
}

// keepPart keeps what was decided of a generation, as far as it concerns this one, until it is booked.
func (r *Replica) keepPart(m *guardian.Outcome) {
	if v, known := r.guard.Decision(m.Of); !known || v != m.Value || m.To != r.self || r.past.has(m.Of) || r.final(m.Of) != nil {
		return
	}
	if r.guards.parts == nil {
		r.guards.parts = map[Holder]*final{}
	}
	r.guards.parts[m.Of] = readFinal(m.Of, m.Value.Heir, m.Value.IsWord(), m.Records, len(r.charter.Founders))
	r.guards.news = true
}

// shown returns what is known here of what a generation's final records show to this one.
func (r *Replica) shown(of Holder) *final {
	if f := r.final(of); f != nil {
		delete(r.guards.parts, of)
		return f
	}
	f := r.guards.parts[of]
	if v, ok := r.guard.Decision(of); f != nil && (!ok || v.Heir != f.heir) {
		delete(r.guards.parts, of)
		return nil
	}
	return f
}

// wants reports whether something of what was decided of a generation matters here and is not known, and whether that is all
// of its records.
func (r *Replica) wants(of Holder) (wants, whole bool) {
	_, told := r.guard.Decision(of)
	switch {
	case of == r.self || r.whole(of):
		return r.final(of) == nil, true
	case r.past.has(of) || r.shown(of) != nil:
		return false, false
	}
	return told || r.interested(of), false
}

// whole reports whether all final records of a generation matter here: this one is its heir, or that of one with which it had not
// settled.
func (r *Replica) whole(of Holder) bool {
	if r.guard.Heir(of) == r.self {
		return true
	}
	for _, d := range r.guard.Decisions() {
		if r.guard.Heir(d) != r.self {
			continue
		}
		if f := r.final(d); f != nil {
			for a := range maps.Values(f.accounts) {
				if e, ok := a.entries[of]; ok && !e.Closed {
					return true
				}
			}
		}
	}
	return false
}

// query answers whoever asks what was decided.
func (r *Replica) query(m *guardian.Query) (answered bool) {
	if !m.Part || r.final(m.Of) == nil {
		return false
	}
	r.tellPart(m.Of, m.From)
	return true
}
