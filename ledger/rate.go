package ledger

import (
	"math/bits"
	"slices"
)

// accrual is what a Rate account needs beside its state. None of it is durable: after a restart the
// balance starts at zero, which is always safe.
type accrual struct {
	at    Instant // minted up to here
	perMs uint64  // tokens per millisecond of this account's shares, 32 fraction bits, rounded down
	frac  uint32  // part of a token minted, 2^-32
	cap   Tokens  // burst × shares
	lots  []lot   // borrowed rights, by expiry
	lent  Tokens  // sum of lots
}

// lot is borrowed rights that lapse.
type lot struct {
	amount  Tokens
	expires Instant
}

// maxLots bounds the borrowed lots of one account; beyond it a new one joins the last that lapses no later, which
// is early, so safe.
const maxLots = 16

// spend takes n from the borrowed lots first, those that lapse first.
func (c *accrual) spend(n Tokens) {
	for n > 0 && len(c.lots) > 0 {
		d := min(n, c.lots[0].amount)
		c.lots[0].amount -= d
		c.lent -= d
		n -= d
		if c.lots[0].amount == 0 {
			c.lots = append(c.lots[:0], c.lots[1:]...)
		}
	}
}

func (c *accrual) borrow(n Tokens, expires Instant) {
	c.lent += n
	i := len(c.lots)
	for i > 0 && c.lots[i-1].expires > expires {
		i--
	}
	if len(c.lots) == maxLots {
		to := &c.lots[max(0, i-1)]
		to.amount += n
		to.expires = min(to.expires, expires)
		return
	}
	c.lots = append(c.lots, lot{})
	copy(c.lots[i+1:], c.lots[i:])
	c.lots[i] = lot{n, expires}
}

// retune works out the account's part of the rate after its shares or the spec changed.
func (a *Account) retune() {
	if a.spec.Kind != Rate {
		return
	}
	s := a.s.Shares()
	a.accrual.cap = Worth(s, a.spec.Amount)
	// per × shares × 2^32 / (TotalShares × perMillis), rounded down twice.
	perMs := uint64(0)
	if s > 0 {
		den := uint64(TotalShares) * uint64(max(1, a.spec.PerMillis))
		hi, lo := bits.Mul64(uint64(a.spec.Per), uint64(s))
		q, r := bits.Div64(hi%den, lo, den) // whole tokens per ms, and the remainder
		if hi >= den || q >= 1<<31 {
			perMs = 1 << 63 // a rate that fills any burst at once
		} else {
			f, _ := bits.Div64(r>>32, r<<32, den)
			perMs = q<<32 + f
		}
	}
	a.accrual.perMs = perMs
}

// mint accrues by shares up to the part of the burst, and lets borrowed lots lapse. Caller holds mu.
func (a *Account) mint() {
	a.lapseLots()
	c := &a.accrual
	from := c.at
	dt := min(a.last, a.leaseEnd, a.ends) - from
	c.at = max(c.at, a.last)
	if dt <= 0 {
		return
	}
	room := c.cap - (a.rights - c.lent)
	if room <= 0 {
		c.frac = 0
		return
	}
	hi, lo := bits.Mul64(c.perMs, uint64(dt))
	if f := &a.spec.Feedback; a.slow.whole > from && f.On() {
		hi, lo = mulPPM(c.perMs, uint64(min(dt, longestMint))*Whole-f.lost(Millis(a.slow.whole-from), Millis(a.slow.whole-from-dt)))
	}
	lo, carry := bits.Add64(lo, uint64(c.frac), 0)
	hi += carry
	n := Tokens(MaxTokens)
	if hi < 1<<20 {
		n = Tokens(hi<<32 | lo>>32)
		c.frac = uint32(lo)
	}
	if n >= room {
		n, c.frac = room, 0
	}
	a.s.Base += n
	a.rights += n
}

// longestMint bounds the time that is minted for in one go while the rate is not whole, some 34 years.
const longestMint = Instant(1 << 40)

// mulPPM returns a × ppm / 10^6 in 128 bits, rounded down.
func mulPPM(a, ppm uint64) (hi, lo uint64) {
	hi, lo = bits.Mul64(a, ppm)
	top := hi / Whole
	lo, _ = bits.Div64(hi%Whole, lo, Whole)
	return top, lo
}

// lapseLots lets borrowed rights lapse whose time is over. Caller holds mu.
func (a *Account) lapseLots() {
	c := &a.accrual
	for len(c.lots) > 0 && c.lots[0].expires <= a.last {
		n := c.lots[0].amount
		c.lent -= n
		a.s.Lapsed += n
		a.rights -= n
		c.lots = append(c.lots[:0], c.lots[1:]...)
	}
}

// refunded keeps what came back beyond what the shares may hold as a borrowed lot: for as long as a loan lives it can
// still be spent here, or be returned to where there is room. Caller holds mu.
func (a *Account) refunded() {
	if over := a.rights - a.accrual.lent - a.accrual.cap; over > 0 {
		a.accrual.borrow(over, a.last+Instant(a.spec.Lend))
	}
}

// lendable is the borrowed rights that live long enough to be of use to a peer.
func (c *accrual) lendable(now Instant) (n Tokens) {
	for _, l := range c.lots {
		if l.expires >= now+lendableLife {
			n += l.amount
		}
	}
	return n
}

// lapsing is the borrowed rights that lapse before a moment.
func (c *accrual) lapsing(before Instant) (n Tokens) {
	for _, l := range c.lots {
		if l.expires < before {
			n += l.amount
		}
	}
	return n
}

// lend takes up to n from the borrowed lots that are lendable, and returns how much less than a whole loan's life the
// one of them has left that lapses first. What has left the shares lapses a loan's life later, through however many hands it goes.
func (c *accrual) lend(now Instant, n Tokens, life Millis) (taken Tokens, age Millis) {
	for i := 0; i < len(c.lots) && taken < n; i++ {
		l := &c.lots[i]
		if l.expires < now+lendableLife {
			continue
		}
		d := min(n-taken, l.amount)
		l.amount -= d
		c.lent -= d
		taken += d
		age = max(age, life-Millis(l.expires-now))
	}
	c.lots = slices.DeleteFunc(c.lots, func(l lot) bool { return l.amount == 0 })
	return taken, max(0, age)
}

// lendableLife is what borrowed rights must have left of their life to be given on, in ms.
const lendableLife = 1000

// clampRate lapses own rights above what the shares allow. Caller holds mu.
func (a *Account) clampRate() {
	if over := a.rights - a.accrual.lent - a.accrual.cap; over > 0 {
		a.s.Lapsed += over
		a.rights -= over
	}
}
