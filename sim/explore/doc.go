// Package explore is the small-scope checker: it tries all orders in which the ledger's rules can act in a swarm of
// three nodes with small amounts, breadth first and to a stated depth, and has package judge look at every state. It
// drives the production ledger.Replica with its batches, disks and restarts. Tests call [Run]; make check-deep goes
// deeper.
//
// Guarding has scopes of two kinds more: of the protocol alone ([RunGuards], guard_*.go: an owner, its guardians and
// claimants), and of what claims do to accounts, with the protocol as a choice of what could be decided ([RunHeirs], heir_*.go).
//
// A [Scope] is a world with its own actions; [Scopes] lists those that are explored. To have the checker try a new
// rule, add the action to input.go and node.do, a scope that has it, and a bug to planted_test.go that only it finds.
// State that a new rule adds to the ledger is told apart without more ado (see fingerprint.go).
//
// The package is pure: a search has no chance, clock or map order in it, so that it finds the same twice. A search
// belongs to one goroutine.
package explore
