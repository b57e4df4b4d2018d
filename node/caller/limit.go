package caller

import (
	"sync/atomic"
	"time"
)

// use is what a key has used of its limits at this node.
type use struct {
	due      atomic.Int64 // Unix ns: when the next request is due if all came evenly (the generic cell rate algorithm)
	inFlight atomic.Int64
	lasts    atomic.Int64 // ns: how long its requests take, smoothed

	requests, rate, busy atomic.Uint64
}

// Limit says which limit refuses a request.
type Limit uint8

const (
	None        Limit = iota
	Rate              // too many in its time
	Concurrency       // too many at once
)

// Bounds of what is said when too many requests run at once: nobody knows when one of them will end.
const (
	leastWait = 100 * time.Millisecond
	mostWait  = 30 * time.Second
)

// Enter lets a request in, or says which limit refuses it and when to come back: for the rate exactly, for the concurrency by how long
// requests of this key take. A request that was let in must Leave.
func (c *Caller) Enter(now time.Time) (Limit, time.Duration) {
	u := c.use
	if n := u.inFlight.Add(1); c.Concurrency > 0 && n > int64(c.Concurrency) {
		u.inFlight.Add(-1)
		u.busy.Add(1)
		return Concurrency, min(max(time.Duration(u.lasts.Load())/time.Duration(c.Concurrency), leastWait), mostWait)
	}
	if wait := c.take(now.UnixNano()); wait > 0 {
		u.inFlight.Add(-1)
		u.rate.Add(1)
		return Rate, wait
	}
	u.requests.Add(1)
	return None, 0
}

// take books one request, or says how long until there is room for it.
func (c *Caller) take(now int64) time.Duration {
	if c.every == 0 {
		return 0
	}
	for {
		was := c.use.due.Load()
		due := max(was, now)
		if due > now+c.slack+c.every { // the clock was set back, or the rate raised: nobody is locked out by it
			due = now + c.slack
		}
		if early := due - now - c.slack; early > 0 {
			return time.Duration(early)
		}
		if c.use.due.CompareAndSwap(was, due+c.every) {
			return 0
		}
	}
}

// Leave ends a request that took so long.
func (c *Caller) Leave(took time.Duration) {
	u := c.use
	u.inFlight.Add(-1)
	if c.Concurrency > 0 {
		was := u.lasts.Load()
		u.lasts.CompareAndSwap(was, was+(int64(took)-was)/8)
	}
}
