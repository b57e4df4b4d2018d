// Package api is the node's HTTP door: admission (admit, settle, release), what operators read
// (budgets, members, decisions, policy, status) and do (policy, mint), health, metrics and, on
// loopback only, profiles and faults. It also mounts the proxy's handler, which it does not look into.
//
// It owns the JSON of those calls, their bounds and their errors, and a Go [Client] that speaks it.
// It never decides: everything is asked of a [Node]. It keeps no state but its metrics, and never
// stores or logs a body.
//
// Package node builds a [Server] over itself; cmd/swarmpurse and the tests use the [Client].
package api
