// Package admit decides on calls: it matches a call with the policy, works out what it costs, reserves on
// all budgets or on none, lets it wait for rights within its class's latency budget, by class and by tenant, and answers with a
// reason and an honest time to come back. It owns the reservations, which end exactly once (settled, released
// or expired), the decisions that are remembered, and the queue of calls that wait.
//
// It never spends: that is the ledger's. It never decides what a call costs: that is the policy's. It moves no
// rights between nodes; it only tells the ledger what waits.
//
// The package is pure: time and chance are arguments, it never logs, reads a clock or starts a goroutine.
// The node's loop and the simulator drive it.
//
// Concurrency: what takes a [Ledger], and [Engine.Cancel] and [Engine.Queued], belongs to the goroutine that owns
// the replica. Everything else may be called from any goroutine: above all [Engine.Try], which decides most
// calls, and [Engine.Settle].
//
// Who calls it: a door's goroutine calls Try; if that does not decide, it hands the call to the owner, which
// calls [Engine.Offer] and, after every batch of the ledger and on every tick, [Engine.Pump] and [Engine.Expire].
package admit
