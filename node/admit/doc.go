// Package admit decides on calls: it matches a call with the policy, works out what it costs, reserves on
// all budgets or on none, lets it wait for rights within its class's latency budget, and answers with a
// reason and an honest time to come back. It owns the reservations and the queue of calls that wait.
//
// The package is pure: time and chance are arguments, it never logs, reads a clock or starts a goroutine.
// The node's loop and the simulator drive it.
//
// Concurrency: [Engine.Try], [Engine.Settle], [Engine.Release], [Engine.Lookup] and [Engine.Answer] may be
// called from any goroutine; what takes a [Ledger] belongs to the goroutine that owns the replica.
package admit
