// Package core is what the loop of a node does apart from doors, disk and network: in which order calls that wait,
// the ledger's time and a batch come, what goes on while a batch is written, when a peer is told what this node
// knows, and how its clock follows the wall clock. The node's loop and the simulator drive the same code.
//
// It never decides on a call or a transfer: that is what packages admit and ledger are for.
//
// The package is pure: time and chance are arguments. But for [Clock.At], everything belongs to the goroutine that
// owns the replica.
package core
