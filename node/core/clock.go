package core

import (
	"sync/atomic"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// Clock turns the machine's time into ledger instants that do not step back by more than a tick. It runs on the
// monotonic clock, told as the time since the start, and follows the wall clock: a step forward (also a suspended machine that wakes) is taken at once,
// a step back is worked off by running a tenth slower, so that nothing is minted twice and nothing stands still.
type Clock struct {
	start ledger.Instant
	// skew is what is added to start + elapsed, in ms.
	skew atomic.Int64
}

// NewClock returns a clock that starts at the wall clock's time.
func NewClock(wall ledger.Instant) *Clock { return &Clock{start: wall} }

// At returns the instant that is elapsed after the start. Safe for concurrent use.
func (c *Clock) At(elapsed ledger.Millis) ledger.Instant {
	return c.start + ledger.Instant(elapsed) + ledger.Instant(c.skew.Load())
}

// tolerance: steps below this are left alone, since two readings are never quite the same moment.
const tolerance = 20 // ms

// Steady reports whether Follow has nothing to correct.
func (c *Clock) Steady(wall ledger.Instant, elapsed ledger.Millis) bool {
	d := wall - c.At(elapsed)
	return -tolerance <= d && d <= tolerance
}

// Follow corrects the clock by what the wall clock says now. One goroutine calls it, every interval of real time.
// It returns how far the clock stepped forward, 0 for small corrections.
func (c *Clock) Follow(wall ledger.Instant, elapsed, interval ledger.Millis) (stepped ledger.Millis) {
	switch d := int64(wall - c.At(elapsed)); {
	case d > tolerance:
		c.skew.Add(d)
		if d > 1000 {
			stepped = ledger.Millis(d)
		}
	case d < -tolerance:
		c.skew.Add(-min(-d, max(1, int64(interval)/10)))
	}
	return stepped
}
