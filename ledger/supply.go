package ledger

import (
	"fmt"
	"math/bits"
	"sort"
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

	// Feedback is how a Rate answers to a provider that refuses calls.
	Feedback Feedback
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
	case c.Length < dayMillis && (c.Length%1000 != 0 || dayMillis%c.Length != 0):
		return fmt.Errorf("a window shorter than a day must be whole seconds and divide a day")
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

// At returns the window that holds now, with its first instant and the first instant after it. A window is
// named by its first second, so that names stay in order when a policy changes the calendar.
func (c Calendar) At(now Instant) (w Window, start, end Instant) {
	switch {
	case c.Months > 0:
		y, m, _ := c.date(now)
		n := floorDiv(y*12+int64(m-1), int64(c.Months))
		start, end = c.firstOf(0, 1+n*int64(c.Months), 1), c.firstOf(0, 1+(n+1)*int64(c.Months), 1)
	case c.Length == 0:
		return 0, minInstant, maxInstant
	case c.Length < dayMillis:
		n := floorDiv(now+c.shift(), Instant(c.Length))
		start = n*Instant(c.Length) - c.shift()
		end = start + Instant(c.Length)
	default:
		// Days are counted from Monday 1970-01-05, so that a 7-day window is a calendar week.
		y, m, d := c.date(now)
		days := int64(c.Length / dayMillis)
		n := floorDiv(time.Date(int(y), m, d, 0, 0, 0, 0, time.UTC).Unix()/86400-4, days)
		start, end = c.firstOf(1970, 1, 5+n*days), c.firstOf(1970, 1, 5+(n+1)*days)
	}
	return Window(floorDiv(start, 1000)), start, end
}

// endOf returns the first instant after the window that begins at w, or that w is in if the calendar has
// changed since.
func (c Calendar) endOf(w Window) Instant {
	_, _, end := c.At(Instant(w) * 1000)
	return end
}

// shift is the location's offset at the epoch: fixed, so that short windows stay equally long.
func (c Calendar) shift() Instant {
	_, off := time.UnixMilli(0).In(c.loc()).Zone()
	return Instant(off) * 1000
}

// date returns the day that now belongs to. A day that has begun does not end when clocks are put back
// over midnight.
func (c Calendar) date(now Instant) (year int64, month time.Month, day int) {
	y, m, d := time.UnixMilli(int64(now)).In(c.loc()).Date()
	if now >= c.firstOf(int64(y), int64(m), int64(d)+1) {
		y, m, d = time.Date(y, m, d+1, 0, 0, 0, 0, time.UTC).Date()
	}
	return int64(y), m, d
}

// firstOf returns the first instant at which the location's date is the given one or a later one. Midnight
// itself may be missing, or come twice, where clocks change at night. (time.Time.ZoneBounds would be the way
// to look for changes, but its answer is wrong on the last day of leap years from 2040 on.)
func (c Calendar) firstOf(y, m, d int64) Instant {
	loc := c.loc()
	midnight := time.Date(int(y), time.Month(m), int(d), 0, 0, 0, 0, time.UTC).Unix()
	offset := func(at int64) int64 {
		_, off := time.Unix(at, 0).In(loc).Zone()
		return int64(off)
	}
	const hour, around = 3600, 26 * 3600
	from, to := midnight-around, midnight+around
	if off := offset(from); off == offset(midnight-off) && off == offset(to) {
		return Instant(midnight-off) * 1000
	}
	// The first instant whose local time is this midnight.
	for at := from; at <= to; at += hour {
		if off := offset(at); offset(midnight-off) == off {
			return Instant(midnight-off) * 1000
		}
	}
	// There is none: the instant at which clocks skip it.
	n := sort.Search(int(to-from), func(i int) bool {
		at := from + int64(i)
		return at+offset(at) >= midnight
	})
	return Instant(from+int64(n)) * 1000
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

// calendar is the spec's calendar: one window without end for supplies that have no windows.
func (s *Spec) calendar() Calendar {
	if s.Kind != Windowed {
		return Calendar{}
	}
	return s.Calendar
}

// Worth returns floor(shares × amount / TotalShares), in 128 bits.
func Worth(s Shares, amount Tokens) Tokens {
	return Tokens(mulDiv(int64(s), int64(amount), int64(TotalShares)))
}

// IssueSlack is what an issue by shares forgives, in token-shares: so much less than a token's worth of shares is
// a token still. Of a limit up to some 400 a part of k tokens can then be held in whole shares, k/limit of all of
// them rounded down. All holders together gain less than one token by it, since 2^20 times 400 is less than a
// token's worth: rounded down, nothing.
const IssueSlack = 400

// Issue returns what a window issues by shares: their part of the limit, rounded down but for the slack. The
// issues of shares of up to MaxRows holders that add up to TotalShares never add up to more than the limit.
func Issue(s Shares, limit Tokens) Tokens {
	if s <= 0 || limit <= 0 {
		return 0
	}
	hi, lo := bits.Mul64(uint64(s), uint64(limit))
	lo, carry := bits.Add64(lo, IssueSlack, 0)
	hi += carry
	if hi >= uint64(TotalShares) {
		return MaxTokens
	}
	q, _ := bits.Div64(hi, lo, uint64(TotalShares))
	return Tokens(min(q, uint64(MaxTokens)))
}

// SharesFor returns the least shares whose issue is n; all there are if none issue so much.
func SharesFor(n, limit Tokens) Shares {
	if n <= 0 {
		return 0
	}
	if n > limit {
		return TotalShares
	}
	hi, lo := bits.Mul64(uint64(n), uint64(TotalShares))
	lo, borrow := bits.Sub64(lo, IssueSlack, 0)
	hi -= borrow
	lo, carry := bits.Add64(lo, uint64(limit)-1, 0) // rounded up
	hi += carry
	q, _ := bits.Div64(hi, lo, uint64(limit)) // at most TotalShares, as n is at most the limit
	return Shares(q)
}

// PartFor returns n tokens' part of all shares, rounded down.
func PartFor(n, limit Tokens) Shares {
	return min(TotalShares, Shares(mulDiv(int64(n), int64(TotalShares), int64(max(1, limit)))))
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
