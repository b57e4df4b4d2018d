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
	now = min(max(now, a.last, a.begins), a.ends-1) // a life has the windows that begin in it
	w, _, end = a.spec.calendar().At(now)
	end = min(end, a.ends)
	if a.s.Issues && w <= a.s.Window {
		return a.s.Window, a.end, false
	}
	return w, end, true
}

// issue returns the change that closes the present window, if any, and issues window w: what is reserved
// counts as spent, unspent rights lapse or roll over, and shares mint anew.
func (a *Account) issue(w Window, chunk Tokens) func(*State) {
	at := a.last
	return func(s *State) {
		spec := &a.spec // the present one when this is written and applied
		n := State{
			Genesis: s.Genesis, Seats: s.Seats, Kept: s.Kept, SharesIn: s.SharesIn, SharesOut: s.SharesOut,
			Arriving: s.Arriving, ArrivingFirst: s.ArrivingFirst,
			Debt: s.Debt, Overrun: s.Overrun, Past: s.Past, MarkTill: s.MarkTill, HeldTill: s.HeldTill,
			Window: w, Issues: true,
		}
		n.Counted = n.countable(w)
		if w >= n.ArrivingFirst {
			n.Arriving = 0
		}
		if spec.Kind != Rate || !s.Issues {
			n.Base = max(0, a.worth(&n)) // a rate starts with a full burst, once, at genesis
			if spec.Kind == Rate && a.ends < maxInstant {
				n.Base = a.accruedBy(at, n.Counted) // or with what has come since its life began
			}
		}
		if spec.Kind == Windowed {
			n.recount(spec.Amount)
		}
		if s.Issues {
			n.Rolled = max(0, min(s.Balance(), spec.rollover(n.Counted)))
			n.Past.Issued += s.Issued() + s.Taken.Issued
			n.Past.Spent += s.used() + s.Taken.Spent
			n.Past.Lapsed += s.Lapsed + s.Balance() - n.Rolled + s.Taken.Lapsed
			n.Past.Decayed += s.Decayed + s.Taken.Decayed
			n.Past.Burned += s.Burned + s.Cut + s.Taken.Burned
			n.Past.Rolled += s.Rolled
			n.Past.Minted += s.Minted + s.Taken.Minted
			n.Past.Overdrawn += s.Overdrawn
		}
		n.Mark = chunk
		if spec.Kind != Rate {
			n.Mark = min(chunk, n.owned())
		}
		if a.autonomy > 0 && chunk > 0 {
			n.Held = min(a.span(), a.mostMark(&n))
		}
		*s = n
	}
}

// recount counts no more shares than what is issued needs: the others are free, and may issue elsewhere together
// with others' (see giveShares). Shares behind what was rolled over stay counted: elsewhere they would carry
// again. It reports whether there were any.
func (s *State) recount(limit Tokens) bool {
	here := s.Shares() - s.Free - s.Arriving // counted, and not given away since
	n := min(s.Counted-SharesFor(s.Base-s.Cut, limit), here)
	if n <= 0 || s.Rolled > 0 {
		return false
	}
	s.Counted -= n
	s.Free += n
	return true
}

// worth is what this account issues of its own. A window is issued by shares, rounded down, and a rate, too, so
// that up to a token's part for every holder stays out until free shares come together. What is issued once and
// in small numbers cannot bear that: of 8 slots no node of nine would get any. So grants and slots are issued by seats;
// below 0, this account owes what those issued who held its seats before the limit fell.
func (a *Account) worth(s *State) Tokens {
	switch a.spec.Kind {
	case Windowed:
		return Issue(s.Counted+s.Free, a.spec.Amount)
	case Rate:
		return Worth(s.Counted, a.spec.Amount)
	}
	return a.bySeats(s, a.spec.Amount)
}

// rollover returns the most that shares may carry into the window that counts them. Were it the window
// that ends, shares given away in between would carry twice: with the giver's old rights and with the
// receiver's.
func (s *Spec) rollover(counted Shares) Tokens {
	if s.Kind != Windowed || s.RolloverPPM == 0 {
		return 0
	}
	return Issue(counted, Tokens(mulDiv(int64(s.Amount), s.RolloverPPM, 1_000_000)))
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

// decay lapses unspent rights by the half-life, in steps of a thousandth at least, so that the disk is not
// written for less. It reports whether it did.
func (a *Account) decay() bool {
	if a.spec.HalfLife == 0 || a.rights <= 0 || !a.open() || a.spec.Kind == Rate || a.spec.Kind == Slots {
		a.decayed = a.last
		return false
	}
	left := math.Exp2(-float64(a.last-a.decayed) / float64(a.spec.HalfLife))
	n := Tokens(float64(a.rights) * (1 - left))
	if n < max(1, a.rights/1024) {
		return false // the fraction is not lost: decayed stays where it is
	}
	// Whole tokens go: the time in which the fraction beside them decays is taken next time.
	if a.rights > n {
		took := -math.Log2(float64(a.rights-n)/float64(a.rights)) * float64(a.spec.HalfLife)
		a.decayed = min(a.last, a.decayed+Instant(took))
	} else {
		a.decayed = a.last
	}
	a.s.Decayed += n
	a.lapse(n)
	return true
}

func (a *Account) lapse(n Tokens) {
	a.s.Lapsed += n
	a.rights -= n
	a.s.Mark = min(a.s.Mark, a.s.owned())
	a.lowerHeld()
}

// reconcile takes back what the present limit no longer covers, as far as it is unspent, and frees shares that
// the issue does not need any more. It reports whether that changed anything, and whether the limit and the
// shares let more be issued (see extra). Not for Rate, whose worth follows the spec at once.
func (a *Account) reconcile() (more, changed bool) {
	if a.spec.Kind == Rate || !a.open() {
		return false, false
	}
	want, have := a.worth(&a.s), a.s.Base-a.s.Cut
	if want > have {
		return true, false
	}
	if cut := min(have-want, a.rights); cut > 0 {
		a.s.Cut += cut
		a.lapse(cut)
		changed = true
	}
	if a.spec.Kind == Windowed && a.s.recount(a.spec.Amount) {
		changed = true
	}
	return false, changed
}

// extra returns the change that issues in window w what the limit and the shares allow in addition when it is
// applied: free shares may have been given away until then.
func (a *Account) extra(w Window) func(*State) {
	return func(s *State) {
		n := a.worth(s) - (s.Base - s.Cut)
		if s.Window != w || n <= 0 {
			return
		}
		s.Base += n
		if a.spec.Kind == Windowed {
			count := min(max(0, SharesFor(s.Base-s.Cut, a.spec.Amount)-s.Counted), s.Free)
			s.Counted += count
			s.Free -= count
		}
	}
}

// chunk is how far the durable mark runs ahead of use: about a second of spending, a few calls at least,
// and a small part of the limit so that a quiet account seldom writes.
func (a *Account) chunk() Tokens {
	c := Tokens(max(float64(a.demand), 16*float64(a.meanCall)))
	return min(max(c, a.spec.Amount/4096, 1), MaxTokens)
}

// extend returns the mark that the account should have now, or 0 if the present one will do for a while.
func (a *Account) extend() (mark Tokens, till Instant) {
	if !a.ready || a.resting {
		return 0, 0
	}
	chunk := a.chunk()
	want := a.s.used() + chunk
	if a.wantMark > 0 {
		want = max(want, a.wantMark+chunk)
	}
	want = min(want, a.mostMark(&a.s))
	// Reservations of slots may live for an hour: a mark on time in good time saves them waiting for the disk.
	if a.wantTill+30_000 > a.s.MarkTill && a.wantTill > 0 {
		till = a.wantTill + 60_000
	}
	if (a.wantMark > a.s.Mark || a.s.Mark-a.s.used() < chunk/2 || till > 0) && want > a.s.Mark {
		mark = want
	}
	return mark, till
}

// mostMark is the highest mark that a crash could make good: what the account owns. Rate counts from
// nothing after a crash, Observe and Soft may overdraw.
func (a *Account) mostMark(s *State) Tokens {
	if a.spec.Kind == Rate || a.spec.Ceiling == Observe {
		return MaxTokens
	}
	return max(s.owned()+max(0, a.mayHaveOverdrawn()-s.Overdrawn), s.used())
}

// restore makes the account what a crash leaves: everything up to the mark counts as spent.
func (a *Account) restore(now Instant) {
	s := &a.s
	if a.spec.Kind == Slots {
		a.phantom, a.phantomUntil = s.Mark, s.MarkTill
		s.Spent, s.Reserved = 0, s.Mark
	} else {
		s.Spent, s.Reserved = max(s.used(), s.Mark), 0
	}
	if a.spec.Kind == Rate {
		// The balance starts at zero: what was minted since the write is not known, and never used again.
		s.Base = 0
		s.Base = max(0, -s.Balance())
		s.Lapsed += s.Balance()
	}
	if lack := -s.Balance(); lack > 0 {
		// Soft and Observe may have spent it before the crash.
		if a.spec.Ceiling == Hard {
			s.Spent -= lack
			s.Debt += lack
		} else {
			s.Overdrawn += lack
		}
	}
	s.Mark = max(s.Mark, s.used())
	if a.autonomy > 0 {
		s.Held, s.HeldTill = max(s.Held, s.used()), max(s.HeldTill, s.MarkTill)
	}
	a.rights = s.Balance()
	a.last = max(now, s.At)
	a.decayed = s.At // rights decay while the node is down, too
	a.ready = s.Issues
	a.end = minInstant // the owner issues before anything is admitted
	if s.Issues {
		a.end = min(a.ends, a.spec.calendar().endOf(s.Window))
	}
	a.accrual.at = a.last
	a.retune()
}
