// Package sim runs a whole swarm in one process on virtual time: the production ledger, placement, policy and
// admission of every node, with a simulated network, disk, clock and failure detector in place of the real ones.
// One seed makes a run; the same seed makes the same run, event by event, and the same trace hash.
//
// It owns the world (events, links, disks, clocks, the model of what serf and memberlist promise), the judge that
// knows only what callers were told, the audit that looks at what is on disks and in accounts, and the reduction of
// a failing run to a smaller one. It never decides how rights move or whether a call runs: that is the code under
// test. Workloads and scenarios have packages of their own, and so have the systems that a run is compared with.
//
// The package is pure: it reads no clock, starts no goroutine and does no I/O.
package sim
