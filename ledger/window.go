package ledger

import "math"

// Everything here is the replica owner's: it runs under the account's lock, from one goroutine.

// countable returns the shares that count for the issue of window w.
func (s *State) countable(w Window) Shares {
	if s.Arriving > 0 && w < s.ArrivingFirst {
		return s.Shares() - s.Arriving
	}
	return s.Shares()
}

// due returns the window that should be issued at now, and whether it differs from what is. A clock that
// stepped back never reopens a window.
func (a *Account) due(now Instant) (w Window, end Instant, turn bool) {
	now = max(now, a.last)
	w, _, end = a.spec.Calendar.At(now)
	if a.s.Issues && w <= a.s.Window {
		return a.s.Window, a.end, false
	}
	return w, end, true
}

// issue returns the change that closes the present window, if any, and issues window w: what is reserved
// counts as spent, unspent rights lapse or roll over, and shares mint anew.
func (a *Account) issue(w Window, roll, chunk Tokens) func(*State) {
	spec := a.spec
	return func(s *State) {
		if s.Issues {
			spent := s.Spent + s.Reserved
			s.Past.Issued += s.Issued()
			s.Past.Spent += spent
			s.Past.Lapsed += s.owned() + s.Lapsed - spent - roll
		}
		n := State{
			Genesis: s.Genesis, SharesIn: s.SharesIn, SharesOut: s.SharesOut,
			Arriving: s.Arriving, ArrivingFirst: s.ArrivingFirst,
			Debt: s.Debt, Overrun: s.Overrun, Past: s.Past, MarkTill: s.MarkTill,
			Window: w, Issues: true, Rolled: roll,
		}
		n.Counted = n.countable(w)
		if w >= n.ArrivingFirst {
			n.Arriving = 0
		}
		if spec.Kind != Rate {
			n.Base = Worth(n.Counted, spec.Amount)
		}
		n.Mark = chunk
		if spec.Kind != Rate {
			n.Mark = min(chunk, n.owned())
		}
		*s = n
	}
}

// rollover returns how much of the present rights the next window keeps: this holder's part of the cap.
func (a *Account) rollover() Tokens {
	if a.spec.Kind != Windowed || a.spec.RolloverPPM == 0 {
		return 0
	}
	limit := Tokens(mulDiv(int64(a.spec.Amount), a.spec.RolloverPPM, 1_000_000))
	return max(0, min(a.rights, Worth(a.s.Counted, limit)))
}

// opened runs after an issue was applied.
func (a *Account) opened(now Instant, end Instant) {
	a.end = end
	a.ready = true
	a.last = max(a.last, now)
	a.decayed = a.last
	if a.spec.Kind == Rate {
		a.accrual.at = a.last
		a.retune()
	}
}

// decay lapses unspent rights by the half-life. What lapses is taken at once; disk learns it later, since
// a crash in between only gives back rights that were issued.
func (a *Account) decay() {
	if a.spec.HalfLife == 0 || a.rights <= 0 || !a.ready {
		a.decayed = a.last
		return
	}
	left := math.Exp2(-float64(a.last-a.decayed) / float64(a.spec.HalfLife))
	n := Tokens(float64(a.rights) * (1 - left))
	if n < 1 {
		return // the fraction is not lost: decayed stays where it is
	}
	a.decayed = a.last
	a.lapse(n)
}

func (a *Account) lapse(n Tokens) {
	a.s.Lapsed += n
	a.rights -= n
	a.s.Mark = min(a.s.Mark, a.s.owned())
}

// reconcile returns what the present limit lets the counted shares issue in addition, and takes back what
// it no longer covers as far as it is unspent. Not for Rate, whose worth follows the spec at once.
func (a *Account) reconcile() (grow Tokens) {
	if a.spec.Kind == Rate || !a.ready {
		return 0
	}
	want, have := Worth(a.s.Counted, a.spec.Amount), a.s.Base-a.s.Cut
	switch {
	case want > have:
		return want - have
	case want < have:
		if cut := min(have-want, a.rights); cut > 0 {
			a.s.Cut += cut
			a.lapse(cut)
		}
	}
	return 0
}

// chunk is how far the durable mark runs ahead of use: about a second of spending, a few calls at least,
// and a small part of the limit so that a quiet account seldom writes.
func (a *Account) chunk() Tokens {
	c := Tokens(max(float64(a.demand), 16*float64(a.meanCall)))
	return min(max(c, a.spec.Amount/4096, 1), MaxTokens)
}

// extend returns the mark that the account should have now, or 0 if the present one will do for a while.
func (a *Account) extend() (mark Tokens, till Instant) {
	if !a.ready {
		return 0, 0
	}
	chunk := a.chunk()
	want := a.s.used() + chunk
	if a.wantMark > 0 {
		want = max(want, a.wantMark+chunk)
	}
	most := MaxTokens
	if a.spec.Kind != Rate && a.spec.Ceiling != Observe {
		most = a.s.owned() + max(0, a.overdraftPart-a.s.Overdrawn)
	}
	want = min(want, most)
	if a.wantTill > a.s.MarkTill {
		till = a.wantTill + 60_000
	}
	if a.wantMark > a.s.Mark || a.s.Mark-a.s.used() < chunk/2 || till > 0 {
		if want > a.s.Mark {
			mark = want
		}
	}
	return mark, till
}

// restore makes the account what a crash leaves: everything up to the mark counts as spent.
func (a *Account) restore(now Instant) {
	s := &a.s
	switch a.spec.Kind {
	case Slots:
		a.phantom, a.phantomUntil = s.Mark, s.MarkTill
		s.Spent, s.Reserved = 0, s.Mark
	default:
		s.Spent, s.Reserved = max(s.Spent, s.Mark), 0
	}
	if a.spec.Kind == Rate {
		// The balance starts at zero: what was minted since the write is not known, and never used again.
		s.Base = 0
		s.Base = max(0, -s.Balance())
		s.Lapsed += s.Balance()
	}
	if lack := -s.Balance(); lack > 0 {
		s.Overdrawn += lack // Soft and Observe spent it before the crash
	}
	a.rights = s.Balance()
	a.last = max(now, s.At)
	_, _, a.end = a.spec.Calendar.At(a.last)
	a.ready = s.Issues
	a.decayed = a.last
	if w, _, _ := a.spec.Calendar.At(a.last); a.spec.Kind == Windowed && w != s.Window {
		if w > s.Window {
			a.end = a.last // over: the owner turns it before anything is admitted
		} else {
			a.end = a.spec.Calendar.endOf(s.Window)
		}
	}
	a.accrual.at = a.last
	a.retune()
}
