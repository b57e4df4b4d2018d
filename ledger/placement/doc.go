// Package placement decides where rights and shares go: whom to ask, what to give, where shares drift and
// which rows to send. It is one ledger.Strategy; the ledger stays safe whatever it answers.
//
// The package is pure: no clock, no I/O, chance by the view's dice. It is called by the replica, under
// whichever driver runs that: the node's loop or the simulator.
package placement
