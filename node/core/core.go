package core

import (
	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
)

// TickEvery is the pace of [Core.Tick] in ms.
const TickEvery ledger.Millis = 50

// Rounds bounds how often a driver completes batches in a row before it takes in new inputs: each batch may let
// waiting calls run, which ask for more.
const Rounds = 8

// Core is one node's replica and engine. A driver gives inputs to either (Receive, Offer, …), and then, up to
// Rounds times while Advance says so: takes the replica's Writes, makes them durable, and commits.
type Core struct {
	Replica *ledger.Replica
	Engine  *admit.Engine

	expired ledger.Instant // when reservations were looked through last
}

// expireEvery is the pace at which reservations whose time is over are ended, in ms: the wheel that finds them turns once
// a second.
const expireEvery = 250

// Tick does what time brings. It returns how many reservations expired.
func (c *Core) Tick(now ledger.Instant) (expired int) {
	c.Replica.Tick(now)
	if now >= c.expired && now < c.expired+expireEvery {
		return 0
	}
	c.expired = now
	return c.Engine.Expire(now)
}

// Advance lets calls that wait try. It returns those that were decided, and whether there is a batch to complete.
func (c *Core) Advance(now ledger.Instant) (decided []*admit.Waiter, pending bool) {
	decided = c.Engine.Pump(now, c.Replica)
	if c.Engine.Waits() {
		// A call that waits for this node's disk makes its accounts want a mark: the tick sees to it.
		c.Replica.Tick(now)
	}
	return decided, c.Replica.Pending()
}
