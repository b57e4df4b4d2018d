package core

import (
	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
)

// TickEvery is the pace of [Core.Tick] and [Core.Expire] in ms.
const TickEvery ledger.Millis = 50

// Rounds bounds how often a driver completes batches in a row that need no write before it takes in new inputs: each
// batch may let waiting calls run, which ask for more.
const Rounds = 8

// Core is one node's replica and engine, and the order in which they are driven:
//
//	inputs → Advance → Writes → the disk → Commit or Abort → inputs …
//
// Inputs are whatever changes the replica (Receive, SetPeers, Mint, Tick, …). None may come while a batch is on its
// way to the disk, so a driver keeps them until Writing is false again. What gives no input goes on meanwhile:
// Offer, Expire and Advance, and all that only reads. So a refusal, of which nothing is durable, waits for no disk, and
// neither does a call whose rights are at hand. What rests on the batch is usable after Commit only.
type Core struct {
	Replica *ledger.Replica
	Engine  *admit.Engine

	writing bool // a batch is on its way to the disk
	failed  bool // the last one could not be written
	needs   needs
	expired ledger.Instant // when reservations were looked through last
	stepped ledger.Millis  // what the replica has to hear of steps of the clock
}

// MessageBytes is what messages to single peers may cost in a second, of a ceiling for all that a node sends. The rest is
// for membership and digests, some fifth of the ceiling, and for rows that spread.
func MessageBytes(ceiling int64) int64 { return ceiling / 2 }

// expireEvery is the pace at which reservations whose time is over are ended, in ms: the wheel that finds them turns when
// a second begins.
const expireEvery = 1000

// Expire ends reservations whose time is over, and returns how many.
func (c *Core) Expire(now ledger.Instant) int {
	if now/expireEvery == c.expired/expireEvery {
		return 0
	}
	c.expired = now
	return c.Engine.Expire(now)
}

// Stepped says that the clock was put forward by so much, which was no time in which calls could run: none of those that
// run gets older by it. It may come at any time, before the Expire and the Tick that see the new time.
func (c *Core) Stepped(now ledger.Instant, by ledger.Millis) {
	c.Engine.Stepped(now, by)
	c.stepped += by
}

// Tick tells the replica that time goes on. It is an input.
func (c *Core) Tick(now ledger.Instant) {
	c.failed = false
	if c.stepped > 0 {
		c.Replica.Stepped(c.stepped)
		c.stepped = 0
	}
	c.Engine.Watch(now, c.Replica)
	c.Replica.Tick(now)
}

// Due returns when the first Tick, and the Expire and Advance with it, comes that does more than Idle, unless anything else is called
// before; it is not after now if the next one does. It is to be asked after a Tick at now, when its batch is complete. See [ledger.Replica.Due].
func (c *Core) Due(now ledger.Instant) ledger.Instant {
	if c.writing || c.failed || c.stepped > 0 || len(c.needs.list) > 0 {
		return now
	}
	return min(c.Engine.Due(now), c.Replica.Due(now), c.Engine.NextExpire())
}

// Idle stands for n ticks that did not come, the last of them at now: see [ledger.Replica.Idle].
func (c *Core) Idle(now ledger.Instant, n int) {
	c.Expire(now)
	c.Replica.Idle(now, n, TickEvery)
}

// Offer is [admit.Engine.Offer]. While a batch is written, a call that needs an instance opened waits for its end.
func (c *Core) Offer(now ledger.Instant, r *admit.Request) (admit.ID, *admit.Waiter, error) {
	if c.writing {
		return c.Engine.Offer(now, meanwhile{c}, r)
	}
	return c.Engine.Offer(now, c.Replica, r)
}

// Advance lets calls that wait try. It returns those that were decided, and whether there is a batch to complete,
// which may begin if Ready.
func (c *Core) Advance(now ledger.Instant) (decided []*admit.Waiter, pending bool) {
	if c.writing {
		return c.Engine.Pump(now, meanwhile{c}), false
	}
	decided = c.Engine.Pump(now, c.Replica)
	if c.Engine.Waits() {
		// A call that waits for this node's disk makes its accounts want a mark: the tick sees to it.
		c.Replica.Tick(now)
	}
	return decided, c.Replica.Pending()
}

// Writing reports that a batch is on its way to the disk: the replica takes no input.
func (c *Core) Writing() bool { return c.writing }

// Ready reports whether a batch may begin: none is being written, and if the last one failed, a Tick came since. So a
// disk that is full is tried again a few times a second, and not as fast as it refuses.
func (c *Core) Ready() bool { return !c.writing && !c.failed }

// Writes begins a batch, and returns what must be durable before Commit. Abort takes its place if that fails.
func (c *Core) Writes(now ledger.Instant) []ledger.Write {
	if c.writing {
		panic("BUG: a batch begins while another is written")
	}
	c.writing = true
	return c.Replica.Writes(now)
}

// Commit ends a batch that is durable, and returns what to do now.
func (c *Core) Commit(now ledger.Instant) ledger.Effects {
	fx := c.Replica.Commit(now)
	c.writing = false
	c.needs.tell(now, c.Replica)
	return fx
}

// Abort ends a batch whose write failed.
func (c *Core) Abort(now ledger.Instant) {
	c.Replica.Abort()
	c.writing, c.failed = false, true
	c.needs.tell(now, c.Replica)
}
