package judge

import (
	"maps"
	"slices"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/guardian"
)

// Guards is what a node's disk says about guarding: its own generation, its wards, and what it has claimed.
type Guards struct {
	Self   ledger.Holder
	Own    *guardian.Own // nil while it is not guarded
	wards  map[ledger.Holder]*guardian.Ward
	rounds map[ledger.Holder]uint64
	copies map[ledger.Holder]map[string][]byte
}

// NewGuards is an empty disk of self.
func NewGuards(self ledger.Holder) *Guards {
	return &Guards{Self: self, wards: map[ledger.Holder]*guardian.Ward{}, rounds: map[ledger.Holder]uint64{}, copies: map[ledger.Holder]map[string][]byte{}}
}

// Clone is a disk of its own with the same records.
func (g *Guards) Clone() *Guards {
	c := &Guards{g.Self, g.Own, maps.Clone(g.wards), maps.Clone(g.rounds), make(map[ledger.Holder]map[string][]byte, len(g.copies))}
	for of, rs := range g.copies {
		c.copies[of] = maps.Clone(rs)
	}
	return c
}

// Ward is what is kept of a generation; an empty one if there is nothing. It must not be written to.
func (g *Guards) Ward(of ledger.Holder) *guardian.Ward {
	if w := g.wards[of]; w != nil {
		return w
	}
	return &guardian.Ward{Of: of}
}

// Records lists all that is on the disk.
func (g *Guards) Records() (ws []guardian.Write) {
	if g.Own != nil {
		ws = append(ws, guardian.Write{Own: g.Own})
	}
	for _, of := range slices.SortedFunc(maps.Keys(g.wards), ledger.Holder.Compare) {
		ws = append(ws, guardian.Write{Ward: g.wards[of]})
		for _, k := range slices.Sorted(maps.Keys(g.copies[of])) {
			ws = append(ws, guardian.Write{Record: &guardian.WardRecord{Of: of, Record: guardian.Record{Key: k, Value: g.copies[of][k]}}})
		}
	}
	for _, of := range slices.SortedFunc(maps.Keys(g.rounds), ledger.Holder.Compare) {
		ws = append(ws, guardian.Write{Round: &guardian.Round{Of: of, N: g.rounds[of]}})
	}
	return ws
}

// Write makes one record durable.
func (g *Guards) Write(w guardian.Write) error {
	switch {
	case w.Own != nil:
		return g.own(w.Own)
	case w.Ward != nil:
		return g.ward(w.Ward)
	case w.Record != nil:
		rs := g.copies[w.Record.Of]
		if rs == nil {
			rs = map[string][]byte{}
			g.copies[w.Record.Of] = rs
		}
		if w.Record.Value == nil {
			delete(rs, w.Record.Key)
		} else {
			rs[w.Record.Key] = w.Record.Value
		}
	case w.Round != nil:
		if before := g.rounds[w.Round.Of]; w.Round.N < before {
			return broken(Monotone, "the rounds of %v for %v go from %d to %d", g.Self, w.Round.Of, before, w.Round.N)
		}
		g.rounds[w.Round.Of] = w.Round.N
	}
	return nil
}

func (g *Guards) own(b *guardian.Own) error {
	a := g.Own
	g.Own = b
	switch {
	case a == nil:
	case !slices.Equal(a.Set, b.Set):
		return broken(SetForever, "those of %v go from %v to %v", g.Self, a.Set, b.Set)
	case b.Version < a.Version || a.Released && !b.Released:
		return broken(Monotone, "%v goes from %+v to %+v", g.Self, *a, *b)
	}
	return nil
}

func (g *Guards) ward(b *guardian.Ward) error {
	a := g.Ward(b.Of)
	g.wards[b.Of] = b
	switch {
	case a.Set != nil && !slices.Equal(a.Set, b.Set):
		return broken(SetForever, "those of %v go from %v to %v at %v", b.Of, a.Set, b.Set, g.Self)
	case b.Version < a.Version && !whole(b) || b.Lease < a.Lease || b.Promised.Compare(a.Promised) < 0 || b.Accepted.Compare(a.Accepted) < 0 ||
		a.Decided && (!b.Decided || *a.Value != *b.Value):
		return broken(Monotone, "at %v, %v goes from %+v to %+v", g.Self, b.Of, *a, *b)
	case a.Promised != (guardian.Ballot{}) && b.Version != a.Version && !whole(b):
		return broken(Promised, "%v has promised %v, and stores version %d after %d", g.Self, b.Of, b.Version, a.Version)
	case b.Value != nil && !b.Decided && !whole(b):
		return broken(DurableFirst, "%v accepts version %d of %v, and has version %d", g.Self, b.Value.Version, b.Of, b.Version)
	}
	return nil
}

// whole reports whether the stored version is that of a value.
func whole(w *guardian.Ward) bool { return w.Value != nil && w.Value.Version == w.Version }

// Told checks that what a message about guarding tells is on this disk, its sender's.
func (g *Guards) Told(msg any) error {
	ok := true
	switch m := msg.(type) {
	case *guardian.Note:
		ok = g.Own != nil && slices.Equal(g.Own.Set, m.Set) && m.Version <= g.Own.Version
	case *guardian.NoteAck:
		w := g.Ward(m.To)
		ok = m.Version <= w.Version && (m.Sent < 0 || m.Lease <= w.Lease)
	case *guardian.Release:
		ok = g.Own != nil && g.Own.Released
	case *guardian.Prepare:
		ok = g.rounds[m.Of] >= m.Ballot.Round
	case *guardian.Promise:
		w := g.Ward(m.Of)
		ok = m.Ballot.Compare(w.Promised) <= 0 && m.Accepted.Compare(w.Accepted) <= 0 && m.Stored.Version <= w.Version
	case *guardian.Accepted:
		ok = m.Ballot.Compare(g.Ward(m.Of).Accepted) <= 0
	case *guardian.Decided:
		w := g.Ward(m.Of)
		ok = w.Decided && *w.Value == m.Value
	}
	if !ok {
		return broken(DurableFirst, "%v tells %T %+v, which is not on its disk", g.Self, msg, msg)
	}
	return nil
}

// Chosen returns the value that a majority of a generation's guardians have accepted under one ballot, by their disks;
// nil if there is none.
func Chosen(of ledger.Holder, set []*Guards) *guardian.Value {
	for _, a := range set {
		w, n := a.Ward(of), 0
		if w.Accepted == (guardian.Ballot{}) {
			continue
		}
		for _, b := range set {
			if b.Ward(of).Accepted == w.Accepted {
				n++
			}
		}
		if n >= guardian.Majority(len(set)) {
			return w.Value
		}
	}
	return nil
}

// Records lists the records of what was decided of a generation, as one of these disks has them.
func Records(of ledger.Holder, v *guardian.Value, disks []*Guards) ([]guardian.Record, error) {
	for _, g := range disks {
		if g.Ward(of).Version == v.Version {
			return g.Copies(of), nil
		}
	}
	return nil, broken(HeldIsFinal, "%v: version %d is decided, and nobody has its records", of, v.Version)
}

// Lost counts the guardians, by their disks, that have promised a generation to another than its owner.
func Lost(of ledger.Holder, set []*Guards) (n int) {
	for _, g := range set {
		if p := g.Ward(of).Promised; p != (guardian.Ballot{}) && p.By.Node != of.Node {
			n++
		}
	}
	return n
}

// Claim is what the judge knows of one generation, over all time.
type Claim struct {
	Version uint64 // that was chosen; 0 for none
	Heir    ledger.Holder
}

// Take judges what is chosen of a generation and what its owner has relied on as held, and takes it into the record.
func (c *Claim) Take(of ledger.Holder, v *guardian.Value, held uint64) error {
	if v != nil {
		if c.Version != 0 && (c.Version != v.Version || c.Heir != v.Heir) {
			return broken(DecidedOnce, "%v: version %d for %v, and version %d for %v", of, c.Version, c.Heir, v.Version, v.Heir)
		}
		c.Version, c.Heir = v.Version, v.Heir
	}
	if c.Version != 0 && held > c.Version {
		return broken(HeldIsFinal, "%v relies on version %d, decided is %d", of, held, c.Version)
	}
	return nil
}

// Heirs checks that heirs do not go round. heir names the heir of a generation, false if it is not claimed.
func Heirs(of ledger.Holder, heir func(ledger.Holder) (ledger.Holder, bool)) error {
	seen := []ledger.Holder{of}
	for h, ok := heir(of); ok; h, ok = heir(h) {
		if slices.Contains(seen, h) {
			return broken(HeirsEnd, "%v, and again %v", seen, h)
		}
		seen = append(seen, h)
	}
	return nil
}

// LeaseOver checks that nobody else is promised a generation while its lease runs: a majority of promises ends it.
func LeaseOver(of ledger.Holder, set []*Guards, fresh bool) error {
	if n := Lost(of, set); fresh && n >= guardian.Majority(len(set)) {
		return broken(LeaseFirst, "%d guardians have promised %v to others", n, of)
	}
	return nil
}
