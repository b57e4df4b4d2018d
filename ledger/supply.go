package ledger

import (
	"fmt"
	"math/bits"
	"time"
)

// Kind says how an instance gets its tokens.
type Kind uint8

const (
	Grant    Kind = iota // once, with top-ups
	Windowed             // an amount per calendar window
	Rate                 // tokens per second with a burst
	Slots                // a number of calls at once; settlement returns all
)

func (k Kind) String() string {
	switch k {
	case Grant:
		return "grant"
	case Windowed:
		return "window"
	case Rate:
		return "rate"
	case Slots:
		return "slots"
	}
	return fmt.Sprintf("kind(%d)", uint8(k))
}

// Spec is what the ledger must know of an instance: how it is supplied and what its ceiling is. It
// comes from the policy, is the same on every node of one policy revision, and is a value.
type Spec struct {
	Kind    Kind
	Ceiling Ceiling

	// Amount is the limit: the grant, the amount per window, the burst of a rate, the number of slots.
	Amount Tokens

	// Per and PerMillis give a rate: Per tokens every PerMillis. Zero for other kinds.
	Per       Tokens
	PerMillis Millis

	// Calendar cuts time into windows. Used by Windowed only.
	Calendar Calendar

	// RolloverPPM caps what a window carries into the next: parts per million of Amount.
	RolloverPPM int64

	// HalfLife makes unspent rights decay, 0 for never. Not for Rate and Slots.
	HalfLife Millis

	// OverdraftPPM is how far a Soft instance may go past its limit, in parts per million of Amount.
	OverdraftPPM int64

	// Lend is how long borrowed rights of a Rate live after they were asked for.
	Lend Millis
}

// DefaultLend is the life of borrowed rate rights when the policy does not say: 10 s.
const DefaultLend Millis = 10_000

// Calendar cuts time into windows that do not overlap and leave no gap. The zero value is one window
// without end. Windows shorter than a day are aligned to midnight of the location's standard time, so
// that they stay equally long when clocks change; windows of whole days and months follow the
// location's calendar.
type Calendar struct {
	Length Millis         // below a day: must divide a day; otherwise whole days; 0 with Months > 0
	Months int            // calendar months instead of Length
	Loc    *time.Location // nil is UTC
}

const dayMillis Millis = 24 * 60 * 60 * 1000

// Valid reports whether the calendar's length can be cut into windows as documented.
func (c Calendar) Valid() error {
	switch {
	case c.Months > 0 && c.Length == 0:
		return nil
	case c.Months != 0 || c.Length < 0:
		return fmt.Errorf("a window is either a length or a number of months")
	case c.Length == 0:
		return nil
	case c.Length < dayMillis && (c.Length < 1000 || dayMillis%c.Length != 0):
		return fmt.Errorf("a window shorter than a day must divide a day and last a second or more")
	case c.Length > dayMillis && c.Length%dayMillis != 0:
		return fmt.Errorf("a window longer than a day must be whole days")
	}
	return nil
}

func (c Calendar) loc() *time.Location {
	if c.Loc == nil {
		return time.UTC
	}
	return c.Loc
}

// At returns the window that holds now, with its first instant and the first instant after it.
func (c Calendar) At(now Instant) (w Window, start, end Instant) {
	switch {
	case c.Months > 0:
		t := time.UnixMilli(int64(now)).In(c.loc())
		w = floorDiv(Window(t.Year())*12+Window(t.Month()-1), Window(c.Months))
		return w, c.month(w), c.endOf(w)
	case c.Length == 0:
		return 0, minInstant, maxInstant
	case c.Length < dayMillis:
		w = Window(floorDiv(now+c.shift(), Instant(c.Length)))
		end = c.endOf(w)
		return w, end - Instant(c.Length), end
	default:
		t := time.UnixMilli(int64(now)).In(c.loc())
		days := Window(c.Length / dayMillis)
		// Days are counted from Monday 1970-01-05, so that a 7-day window is a calendar week.
		y, m, d := t.Date()
		day := Window(time.Date(y, m, d, 0, 0, 0, 0, time.UTC).Unix()/86400) - 4
		w = floorDiv(day, days)
		return w, c.day(w * days), c.endOf(w)
	}
}

// endOf returns the first instant after window w.
func (c Calendar) endOf(w Window) Instant {
	switch {
	case c.Months > 0:
		return c.month(w + 1)
	case c.Length == 0:
		return maxInstant
	case c.Length < dayMillis:
		return Instant(w+1)*Instant(c.Length) - c.shift()
	}
	return c.day((w + 1) * Window(c.Length/dayMillis))
}

// shift is the location's offset at the epoch: fixed, so that ordinals of short windows never step back.
func (c Calendar) shift() Instant {
	_, off := time.UnixMilli(0).In(c.loc()).Zone()
	return Instant(off) * 1000
}

func (c Calendar) month(w Window) Instant {
	return Instant(time.Date(0, time.Month(1+int(w)*c.Months), 1, 0, 0, 0, 0, c.loc()).UnixMilli())
}

func (c Calendar) day(n Window) Instant {
	return Instant(time.Date(1970, 1, 5+int(n), 0, 0, 0, 0, c.loc()).UnixMilli())
}

const (
	minInstant = Instant(-1 << 62)
	maxInstant = Instant(1 << 62)
)

func floorDiv[T ~int64](a, b T) T {
	q := a / b
	if a%b != 0 && (a < 0) != (b < 0) {
		q--
	}
	return q
}

// Worth returns floor(shares × amount / TotalShares), in 128 bits.
func Worth(s Shares, amount Tokens) Tokens {
	return Tokens(mulDiv(int64(s), int64(amount), int64(TotalShares)))
}

// mulDiv returns floor(a*b/c) for non-negative a and b and positive c, saturating at MaxTokens.
func mulDiv(a, b, c int64) int64 {
	if a <= 0 || b <= 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(a), uint64(b))
	if hi >= uint64(c) {
		return int64(MaxTokens)
	}
	q, _ := bits.Div64(hi, lo, uint64(c))
	return int64(min(q, uint64(MaxTokens)))
}
