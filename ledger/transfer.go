package ledger

import "slices"

// Entry is an account's pairwise record with one other holder: cumulative counters of what was moved.
// Amounts are of Window; shares are of all time.
type Entry struct {
	SharesOut, SharesIn Shares
	First               Window // the latest first window of the shares out that are not acknowledged

	Window  Window
	Out, In Tokens

	// What the peer has acknowledged.
	AckedShares Shares
	AckedOut    Tokens
	// What was taken back of what went out, once the peer was claimed, as far as its final records do not show it as come.
	SharesBack Shares
	Back       Tokens
	Closed     bool // the peer was claimed, and both sides of its final records are booked here

	// Asked is when the oldest lent rate rights not acknowledged were asked for (the peer's clock).
	Asked Instant
}

// at brings the entry to window w: rights moved in older windows are gone with them.
func (e *Entry) at(w Window) {
	if e.Window != w {
		e.Window, e.Out, e.In, e.AckedOut, e.Asked, e.Back = w, 0, 0, 0, 0, 0
	}
}

// open reports whether the peer has not acknowledged all that it was given.
func (e *Entry) open(w Window) bool {
	return !e.Closed && (e.SharesOut > e.AckedShares || e.Window == w && e.Out > e.AckedOut)
}

// edge is an entry with its bookkeeping in memory.
type edge struct {
	Entry
	peer   Holder
	dirty  bool
	shut   bool // for an operator's word: nothing is given to the peer, nor taken from it
	listed bool // on the list of those not acknowledged
	told   Instant
	tries  int
	ask    uint64 // that what was given last answers, until it is told
	guards edgeGuard
	asks   [4]uint64 // the last asks of the peer that were answered with rights
}

// answered reports whether an ask of the peer was answered with rights already.
func (e *edge) answered(ask uint64) bool { return slices.Contains(e.asks[:], ask) }

func (e *edge) remember(ask uint64) {
	copy(e.asks[1:], e.asks[:])
	e.asks[0] = ask
}

// giveRights moves up to n rights out, as far as they are there, and returns how many. They leave the
// balance at once and are told to the peer only when durable. Caller holds mu.
func (a *Account) giveRights(e *edge, n Tokens, asked Instant) Tokens {
	n = min(n, a.givable())
	if n <= 0 || e.Closed || e.shut {
		return 0
	}
	e.at(a.s.Window)
	if a.spec.Kind == Rate {
		_, age := a.accrual.lend(a.last, n, a.spec.Lend)
		if asked -= Instant(age); e.Out == e.AckedOut || asked < e.Asked {
			e.Asked = asked
		}
	}
	e.Out += n
	a.s.Out += n
	a.rights -= n
	if a.spec.Kind != Rate {
		a.s.Mark = min(a.s.Mark, max(a.s.owned(), a.s.used()))
		a.lowerHeld()
	}
	return n
}

// givable is the rights that may leave: not what is owed, and of a rate not what soon lapses.
func (a *Account) givable() Tokens {
	if !a.open() || a.spec.Ceiling == Observe || a.spec.Kind == Rate && a.last >= a.leaseEnd {
		return 0
	}
	n := a.rights - a.s.Debt
	if a.spec.Kind == Rate {
		n = min(n, a.rights-a.accrual.lent+a.accrual.lendable(a.last))
	}
	return max(0, n)
}

// giveShares moves shares out. No share may be counted twice for one window. Free ones were not counted for the
// present window, so they may be there. Others count for the receiver from the first window that neither this
// account nor anyone before it has issued them for. Caller holds mu.
func (a *Account) giveShares(e *edge, n Shares, now Instant) Shares {
	n = min(n, a.s.Shares())
	if n <= 0 || a.fenced || a.retired || e.Closed || e.shut {
		return 0
	}
	first := Window(0)
	switch {
	case a.spec.Kind != Windowed:
	case n <= a.s.Free:
		first = a.s.Window
		a.s.Free -= n
	default:
		first = a.s.Window + 1
		if a.s.Arriving > 0 {
			first = max(first, a.s.ArrivingFirst+1)
		}
		if w, _, _ := a.spec.calendar().At(max(now, a.last)); w+1 > first {
			first = w + 1
		}
	}
	if e.SharesOut > e.AckedShares {
		first = max(first, e.First) // the peer cannot tell what is still on the way from what comes now
	}
	e.First = first
	e.SharesOut += n
	a.s.SharesOut += n
	// Counted shares leave first, free ones last.
	a.s.Free = min(a.s.Free, a.s.Shares())
	a.s.Arriving = min(a.s.Arriving, a.s.Shares()-a.s.Free)
	if a.spec.Kind == Rate {
		a.advance(now)
		a.retune()
		a.refunded() // what the rest has no room for lives on for as long as a loan
	}
	return n
}

// credit returns the change that books what a transfer tells above what is booked when the change is
// applied, which is when it is durable, and the rights in it; nil if there is nothing to book now. Caller holds mu.
func (a *Account) credit(e *edge, t *Transfer) (change func(*State, *Entry), rights Tokens) {
	in := e.In
	if e.Window != a.s.Window {
		in = 0
	}
	moreRights := a.ready && t.Window == a.s.Window && t.Out > in
	if moreRights {
		rights = t.Out - in
	}
	if !moreRights && t.SharesOut <= e.SharesIn {
		return nil, 0
	}
	windowed := a.spec.Kind == Windowed
	return func(s *State, e *Entry) { s.come(e, t, windowed, moreRights) }, rights
}

// come books what a giver tells, as far as it is not booked.
func (s *State) come(e *Entry, t *Transfer, windowed, rights bool) {
	if d := t.SharesOut - e.SharesIn; d > 0 {
		e.SharesIn += d
		s.SharesIn += d
		s.arrive(d, t.First, windowed)
	}
	if rights && s.Window == t.Window {
		e.at(t.Window)
		if d := t.Out - e.In; d > 0 {
			e.In += d
			s.In += d
		}
	}
}

// arrive has n shares that have come count for windows from first on.
func (s *State) arrive(n Shares, first Window, windowed bool) {
	switch {
	case !windowed || n <= 0:
	case s.Issues && first <= s.Window:
		s.Free += n // the next tick issues what they allow
	default:
		// Late is safe: all that is still on the way counts from the latest first window.
		s.ArrivingFirst = max(s.ArrivingFirst, first)
		s.Arriving += n
	}
}
