package ledger

// What a generation with guardians may use and tell: only what they hold. A held mark is written with the account and
// noted to them; a raise is usable once a majority has stored it, a lower one at once.

// noBound is the held mark of an account that guardians do not bind.
const noBound = Tokens(1) << 62

// heldBinds reports whether the account is bound by held marks. A rate is bound by the lease instead, as it has none;
// what is only metered is not bound at all.
func (a *Account) heldBinds() bool { return a.spec.Kind != Rate && a.spec.Ceiling != Observe }

// span is how far the held mark should run ahead: the autonomy's part of present spending, a call at least. While it is not known
// what calls take, it is as far as the disk mark.
func (a *Account) span() Tokens {
	if a.meanCall == 0 {
		return a.chunk()
	}
	return Tokens(min(max(float64(a.demand)*float64(a.autonomy)/1000, float64(a.meanCall), 1), float64(MaxTokens)))
}

// lowerHeld brings the held mark down to what the account owns. What is used of it is left.
func (a *Account) lowerHeld() {
	if a.autonomy == 0 || !a.heldBinds() {
		return
	}
	a.s.Held = min(a.s.Held, a.mostMark(&a.s))
	if a.held != noBound {
		a.held = min(a.held, a.s.Held)
	}
}

// heldNow makes the held mark usable as it is noted.
func (a *Account) heldNow() {
	a.held, a.heldTill = noBound, maxInstant
	if a.heldBinds() {
		a.held, a.heldTill = a.s.Held, a.s.HeldTill
	}
}

// heldPause is how long a held mark stays where it was raised to, in ms: a call that draws on several accounts needs
// the marks of all of them at once, and they are raised one after the other.
const heldPause = 10_000

// extendHeld raises the held mark in good time, and lets it down when spending has ebbed. Caller holds the account's lock.
func (r *Replica) extendHeld(now Instant, in *instance) {
	a := in.account
	if a.autonomy == 0 || a.resting || !a.heldBinds() || !a.ready {
		return
	}
	span := a.span()
	want := a.s.used() + span
	if a.wantMark > 0 {
		want = max(want, a.wantMark+span)
	}
	want = min(want, a.mostMark(&a.s))
	till := Instant(0)
	if a.wantTill+30_000 > a.s.HeldTill && a.wantTill > 0 {
		till = a.wantTill + 60_000
	}
	w := a.s.Window
	switch {
	case want > a.s.Held && (a.wantMark > a.s.Held || a.s.Held-a.s.used() < span/2 || a.s.Held == a.s.used()) || till > 0:
		in.raisedAt = now
		grow := r.growLater
		if a.wantMark > a.s.Held || a.s.Held == a.s.used() || a.wantTill > a.s.HeldTill { // a call waits, or the next one will
			grow = r.grow
		}
		grow(in, change{apply: func(s *State, _ *Entry) {
			if s.Window == w {
				s.Held = max(s.Held, want)
			}
			s.HeldTill = max(s.HeldTill, till)
		}})
	case a.s.Held-a.s.used() > 4*span && !r.waits(in) && due(now, in.raisedAt, heldPause):
		a.s.Held = a.s.used() + span
		a.lowerHeld()
		r.markLater(in)
	}
}

// heldOf raises the marks of a stock with the rights that come to it, as far as they are to be used soon: they need not be raised
// once more when they are here. Caller holds the account's lock.
func (r *Replica) heldOf(now Instant, in *instance) func(s *State) {
	a := in.account
	if a.autonomy == 0 || a.resting || a.spec.Kind == Rate || !a.heldBinds() {
		return func(*State) {}
	}
	in.raisedAt = now
	mark, held := in.need.All+a.chunk(), in.need.All+a.span()
	return func(s *State) {
		most := a.mostMark(s)
		s.Mark = max(s.Mark, min(s.used()+mark, most))
		s.Held = max(s.Held, min(s.used()+held, most))
	}
}

// waits reports whether the held mark of an account is on its way to the guardians.
func (r *Replica) waits(in *instance) bool { return in.waitsHeld }

// noteMark says that a version has a new held mark of an account. Of a new window nothing is usable before it is held.
// Caller holds the account's lock.
func (r *Replica) noteMark(in *instance, version uint64, fresh bool) {
	if !in.account.heldBinds() {
		in.account.heldNow()
		return
	}
	if fresh {
		in.account.held = 0
	}
	in.noted = version
	if !in.waitsHeld {
		in.waitsHeld = true
		r.guards.marks = append(r.guards.marks, in)
	}
}

// edgeGuard is what of the values given to a peer is held, and on its way to be held.
type edgeGuard struct {
	held, next, last versionedEntry
}

// versionedEntry is a pairwise record as it was durable in a version; 0 for none.
type versionedEntry struct {
	Entry
	version uint64
	ask     uint64
}

// written says that the record is durable in a version. One that is on its way is not overtaken, so that giving often
// does not keep it from being told.
func (e *edge) written(version uint64) {
	g := &e.guards
	g.last = versionedEntry{e.Entry, version, e.ask}
	if g.next.version <= g.held.version {
		g.next = g.last
	}
}

// holds takes over what is held now, and reports whether there is something new to tell.
func (e *edge) holds(version uint64) bool {
	g := &e.guards
	before := g.held
	switch {
	case g.last.version <= version:
		g.held = g.last
	case g.next.version <= version:
		g.held, g.next = g.next, g.last
	}
	return g.held.Out != before.Out || g.held.SharesOut != before.SharesOut || g.held.Window != before.Window
}

// tellable reports whether the peer has not acknowledged all of what is held.
func (e *edge) tellable(w Window) bool {
	h := &e.guards.held
	return !e.Closed && (h.SharesOut > e.AckedShares || h.Window == w && e.Window == w && h.Out > e.AckedOut)
}
