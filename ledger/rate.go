package ledger

import "math/bits"

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

// maxLots bounds the borrowed lots of one account; beyond it a new one joins the one that lapses first,
// which is early, so safe.
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
	if len(c.lots) == maxLots {
		c.lots[0].amount += n
		c.lots[0].expires = min(c.lots[0].expires, expires)
		return
	}
	i := len(c.lots)
	for i > 0 && c.lots[i-1].expires > expires {
		i--
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
	dt := a.last - c.at
	if dt <= 0 {
		return
	}
	c.at = a.last
	room := c.cap - (a.rights - c.lent)
	if room <= 0 {
		c.frac = 0
		return
	}
	hi, lo := bits.Mul64(c.perMs, uint64(dt))
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

// clampRate lapses own rights above what the shares allow. Caller holds mu.
func (a *Account) clampRate() {
	if over := a.rights - a.accrual.lent - a.accrual.cap; over > 0 {
		a.s.Lapsed += over
		a.rights -= over
	}
}
