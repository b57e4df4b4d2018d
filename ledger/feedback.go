package ledger

// Feedback says how a Rate answers to a provider that refuses calls: a refusal takes a part off the rate, in the whole
// swarm, and the rate comes back by itself in a straight line. It only ever lowers what is minted: the spec's rate stays
// the bound. The zero value is none.
type Feedback struct {
	Recover    Millis // how long the way back from nothing to the whole rate takes; 0: there is no feedback
	CutPPM     int64  // what a refusal takes off the rate in force, in parts per million
	LeastPPM   int64  // the rate never falls below that part
	RetryAfter Millis // the most that counts of how long a provider says to wait
}

// Whole is all of a rate, in parts per million.
const Whole = 1_000_000

// On reports whether there is any feedback.
func (f *Feedback) On() bool { return f.Recover > 0 }

const (
	// feedbackLag is how long a cut takes until all nodes have heard of it, about. What was sent before that says
	// nothing new of the provider.
	feedbackLag Millis = 1000
	// feedbackStep is the least by which the end of the way back is put off, or rows would tell of every refusal.
	feedbackStep Millis = 1000
)

// lack is what is missing from the whole rate `left` ms before it is whole again, in parts per million, rounded up.
func (f *Feedback) lack(left Millis) int64 {
	if left <= 0 {
		return 0
	}
	most := Whole - f.LeastPPM
	if left >= f.Recover {
		return most
	}
	return min(most, (int64(left)*Whole+int64(f.Recover)-1)/int64(f.Recover))
}

// way is how long it takes until nothing lacks any more, from so many parts per million on; rounded up.
func (f *Feedback) way(lack int64) Millis {
	return Millis((lack*int64(f.Recover) + Whole - 1) / Whole)
}

// longest is the most that the whole rate can be away.
func (f *Feedback) longest() Millis { return f.RetryAfter + f.way(Whole-f.LeastPPM) }

// lost is what lacks between two moments, so long before the rate is whole again, in ms of the whole rate times a million;
// rounded up by a little. from is the earlier one, so the larger number; to may lie beyond.
func (f *Feedback) lost(from, to Millis) uint64 {
	to = max(0, to)
	if from <= to {
		return 0
	}
	most := Whole - f.LeastPPM
	slope := Millis(most * int64(f.Recover) / Whole) // before that it is flat
	sum := uint64(most) * uint64(max(from, slope)-max(to, slope))
	if a, b := int64(min(from, slope)), int64(min(to, slope)); a > b {
		sum += uint64(mulDiv(a*a-b*b, Whole, 2*int64(f.Recover))) + 1
	}
	return sum
}

// slow is what an account knows of refusals by its provider. It is one moment, so that merging is a maximum, and the rule
// that everybody works it out by is a function of that moment and the clock.
type slow struct {
	whole Instant // when the whole rate is in force again; 0: it always was
	own   Instant // the same by refusals that this node saw, for its row
	fell  Instant // when the rate last fell here, 0 for never
}

// part is the part of the rate that is in force, in parts per million. Caller holds mu.
func (a *Account) part(at Instant) int64 {
	f := &a.spec.Feedback
	if a.spec.Kind != Rate || !f.On() {
		return Whole
	}
	return Whole - f.lack(Millis(a.slow.whole-at))
}

// Part is the part of a rate that is in force, in parts per million, and when all of it will be. Other supplies are
// always whole. Safe for concurrent use.
func (a *Account) Part(now Instant) (ppm int64, whole Instant) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.advance(now)
	if ppm = a.part(a.last); ppm == Whole {
		return ppm, a.last
	}
	return ppm, a.slow.whole
}

// Refused tells the account that the provider refused a call which was admitted at sent, by this node's clock, and how
// long it says to wait. The cut is reckoned from what was in force when the call was admitted, and what was admitted before
// the swarm can have heard of the last cut says nothing new: so a hundred refusals of one overload cut once. It returns the
// part of the rate in force, in parts per million, and whether it fell for this. Safe for concurrent use.
func (a *Account) Refused(now, sent Instant, wait Millis) (ppm int64, fell bool) {
	a.mu.Lock()
	defer a.mu.Unlock()
	a.advance(now)
	f := &a.spec.Feedback
	if a.spec.Kind != Rate || !f.On() {
		return Whole, false
	}
	if a.slow.fell == 0 || sent >= a.slow.fell+Instant(feedbackLag) {
		then := a.part(min(sent, a.last))
		to := max(f.LeastPPM, then-then*f.CutPPM/Whole)
		whole := a.last + Instant(min(max(0, wait), f.RetryAfter)) + Instant(f.way(Whole-to))
		if fell = a.slowed(whole); a.slow.whole == whole {
			a.slow.own = whole
			a.touch()
		}
	}
	return a.part(a.last), fell
}

// slowed puts off the moment from which on the whole rate is in force again, and reports whether the rate fell for that by
// a tenth or more. Then what has piled up lapses: the provider's own bucket is empty, so what is spent from now on is what is
// minted from now on. Caller holds mu, and the account is brought up to date.
func (a *Account) slowed(whole Instant) (fell bool) {
	was := a.part(a.last)
	if whole = min(whole, a.last+Instant(a.spec.Feedback.longest())); whole <= a.slow.whole {
		return false
	}
	before := a.slow.whole
	a.slow.whole = whole
	if fell = a.part(a.last)*10 <= was*9; !fell {
		if whole < before+Instant(feedbackStep) {
			a.slow.whole = before
		}
		return false
	}
	a.slow.fell = a.last
	if !a.open() {
		return true
	}
	a.s.Lapsed += a.rights
	a.rights = 0
	a.accrual.lots, a.accrual.lent, a.accrual.frac = a.accrual.lots[:0], 0, 0
	return true
}

// hearSlow takes in what a peer's row says of refusals that it saw. What is further ahead than any refusal can put it, since
// a clock is wrong, counts from now.
func (r *Replica) hearSlow(now Instant, in *instance, row, before *Row) {
	a := in.account
	if a == nil || row.Whole == 0 || before != nil && before.Whole == row.Whole {
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	a.advance(now)
	if a.spec.Kind != Rate || !a.spec.Feedback.On() {
		return
	}
	if a.slowed(row.Whole) {
		r.event(Event{Kind: Slowed, Instance: in.id, Peer: row.Holder, PPM: a.part(a.last)})
	}
}

// recallSlow has a new account know what rows say, and what that of the generation before knew.
func (r *Replica) recallSlow(now Instant, in *instance) {
	in.account.slow = in.slow
	for i := range in.rows {
		r.hearSlow(now, in, in.rows[i].Row, nil)
	}
}

// Forfeit ends a reservation of a Rate with feedback whose call the provider refused: nothing is spent, and what was reserved
// lapses. Given back it would be spent again at once, on calls that are refused as well, and no rate would hold. It reports
// whether it did; other reservations end by Settle. Safe for concurrent use; the caller sees to it that it happens once.
func (a *Account) Forfeit(now Instant, reserved Tokens) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.spec.Kind != Rate || !a.spec.Feedback.On() || a.retired {
		return false
	}
	a.advance(now)
	a.touch()
	a.s.Reserved -= reserved
	a.s.Lapsed += reserved
	return true
}
