package node

import (
	"sync/atomic"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// clock turns the machine's time into ledger instants that do not step back by more than a tick. It runs on the monotonic clock
// and follows the wall clock: a step forward (also a suspended machine that wakes) is taken at once, a step
// back is worked off by running a tenth slower, so that nothing is minted twice and nothing stands still.
type clock struct {
	start time.Time
	// skew is what is added to start + elapsed, in ms.
	skew atomic.Int64
}

func newClock(now time.Time) *clock { return &clock{start: now} }

// at returns the instant of a time read with time.Now. Safe for concurrent use.
func (c *clock) at(t time.Time) ledger.Instant {
	return ledger.Instant(c.start.UnixMilli() + t.Sub(c.start).Milliseconds() + c.skew.Load())
}

// steps below this are left alone: two readings are never quite the same moment.
const clockTolerance = 20 // ms

// follow corrects the skew by what the wall clock says. One goroutine calls it, every interval of real time.
// It returns how far the clock stepped forward, 0 for small corrections.
func (c *clock) follow(t time.Time, interval time.Duration) (stepped time.Duration) {
	return c.steer(t.UnixMilli(), t, interval)
}

func (c *clock) steer(wall int64, t time.Time, interval time.Duration) (stepped time.Duration) {
	switch d := wall - int64(c.at(t)); {
	case d > clockTolerance:
		c.skew.Add(d)
		if d > 1000 {
			stepped = time.Duration(d) * time.Millisecond
		}
	case d < -clockTolerance:
		c.skew.Add(-min(-d, max(1, interval.Milliseconds()/10)))
	}
	return stepped
}
