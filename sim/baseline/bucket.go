package baseline

import (
	"math"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/sim/scenario"
)

// bucket is a part of one instance's supply in one place that knows all that happens to it. Times are from the
// start of the run.
type bucket struct {
	spec *ledger.Spec
	part part
	rate ratio

	avail ledger.Tokens // may be negative: what was used above a reservation, or spent by others unseen
	extra ledger.Tokens // left of a soft ceiling's overdraft
	open  ledger.Tokens // reserved by calls that run
	rem   uint64        // what has accrued of the next token
	at    ledger.Millis
	end   ledger.Millis // of the present window
	decay ledger.Millis // unspent tokens have decayed up to here
	had   int           // orders of operators that it has had
}

const forever = ledger.Millis(math.MaxInt64)

func newBucket(spec *ledger.Spec, p part, now ledger.Millis) bucket {
	b := bucket{spec: spec, part: p, at: now, decay: now, end: windowEnd(spec, now)}
	b.rate = p.rate(spec)
	b.avail = p.of(spec.Amount)
	b.extra = b.overdraft()
	return b
}

// windowEnd is the end of the window that now is in.
func windowEnd(spec *ledger.Spec, now ledger.Millis) ledger.Millis {
	if spec.Kind != ledger.Windowed {
		return forever
	}
	_, _, end := spec.Calendar.At(scenario.Epoch + ledger.Instant(now))
	return ledger.Millis(end - scenario.Epoch)
}

// overdraft is the bucket's part of what a soft ceiling allows beyond the limit: in each window, or once.
func (b *bucket) overdraft() ledger.Tokens {
	if b.spec.Ceiling != ledger.Soft {
		return 0
	}
	return b.part.of(ppm(b.spec.Amount, b.spec.OverdraftPPM))
}

// rollover is the most that a window carries into the next.
func (b *bucket) rollover() ledger.Tokens { return b.part.of(ppm(b.spec.Amount, b.spec.RolloverPPM)) }

// full is what the bucket has when nothing was used.
func (b *bucket) full() ledger.Tokens { return b.part.of(b.spec.Amount) }

// most is the most that one call can ever get of that part.
func (b bucket) most(p part) ledger.Tokens {
	b.part = p
	if b.spec.Ceiling == ledger.Observe {
		return ledger.MaxTokens
	}
	n := b.full() + b.overdraft()
	if b.spec.Kind == ledger.Windowed {
		n += b.rollover()
	}
	return n
}

// advance brings what time does up to now: windows turn, a rate accrues, unspent tokens decay.
func (b *bucket) advance(now ledger.Millis) {
	for now >= b.end {
		b.lapse(b.end)
		b.turn()
	}
	if now <= b.at {
		return
	}
	if b.spec.Kind == ledger.Rate {
		var n ledger.Tokens
		n, b.rem = b.rate.mint(now-b.at, b.rem)
		b.avail += n
		b.clamp()
	}
	b.lapse(now)
	b.at = now
}

// turn begins the next window. What is reserved counts as spent, and what was spent beyond the limit is forgotten.
func (b *bucket) turn() {
	b.avail = b.full() + min(max(b.avail, 0), b.rollover())
	b.extra = b.overdraft()
	b.open = 0
	b.at, b.decay = b.end, b.end
	b.end = windowEnd(b.spec, b.at)
}

// clamp keeps a rate within its burst.
func (b *bucket) clamp() {
	if full := b.full(); b.avail >= full {
		b.avail, b.rem = full, 0
	}
}

// lapse lets unspent tokens of a grant or window decay, in steps of a thousandth at least.
func (b *bucket) lapse(now ledger.Millis) {
	if b.spec.HalfLife == 0 || b.spec.Kind == ledger.Rate || b.spec.Kind == ledger.Slots || now <= b.decay {
		return
	}
	if b.avail <= 0 {
		b.decay = now
		return
	}
	n := ledger.Tokens(float64(b.avail) * (1 - math.Exp2(-float64(now-b.decay)/float64(b.spec.HalfLife))))
	if n < max(1, b.avail/1024) {
		return // the fraction is not lost: decay stays where it is
	}
	b.avail -= n
	b.decay = now
}

// left is what a call can get now.
func (b *bucket) left() ledger.Tokens {
	if b.spec.Ceiling == ledger.Observe {
		return ledger.MaxTokens
	}
	return b.avail + b.extra
}

// take takes n, whether it is there or not, and says to which window it belongs.
func (b *bucket) take(n ledger.Tokens) (window ledger.Millis) {
	b.spend(n)
	b.open += n
	return b.end
}

func (b *bucket) spend(n ledger.Tokens) {
	b.avail -= n
	if over := min(-b.avail, b.extra); over > 0 {
		b.extra -= over
		b.avail += over
	}
}

// give ends a reservation made in a window. A refund whose window is over is dropped; what was used above the
// reservation is debt.
func (b *bucket) give(reserved, used ledger.Tokens, window ledger.Millis) {
	same := window == b.end
	switch {
	case b.spec.Kind == ledger.Slots:
		b.open -= reserved
		b.avail += reserved
		return
	case same:
		b.open -= reserved
		b.avail += max(0, reserved-used)
	}
	if used > reserved {
		b.spend(used - reserved)
	}
	if b.spec.Kind == ledger.Rate {
		b.clamp()
	}
}

// when is the time at which n will be there if nobody takes or gives; false if never.
func (b *bucket) when(n ledger.Tokens) (ledger.Millis, bool) {
	switch {
	case n <= b.left():
		return b.at, true
	case b.spec.Kind == ledger.Rate && n-b.extra <= b.full():
		dt, ok := b.rate.until(n-b.left(), b.rem)
		return b.at + dt, ok
	case b.spec.Kind == ledger.Windowed && n <= b.most(b.part):
		return b.end, true
	}
	return 0, false
}

// respec brings another limit into force. What was spent stays spent.
func (b *bucket) respec(spec *ledger.Spec) {
	before, over := b.full(), b.overdraft()
	b.spec = spec
	b.rate = b.part.rate(spec)
	b.rem = 0
	b.extra = max(0, b.extra+b.overdraft()-over)
	if spec.Kind == ledger.Rate {
		b.clamp()
	} else {
		b.avail += b.full() - before
	}
}
