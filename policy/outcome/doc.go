// Package outcome is what became of calls, in sums that nodes tell one another, and what may be concluded from them. A [Board] is
// vectors of sums that only grow, by who counted them: a semilattice, as package rollout's tally is. [Sums] is what such a vector says of the
// arms of an experiment, and [Compare] how much better or worse one arm is than another, with intervals that hold whenever they are looked at.
//
// It evaluates no call and reads no clock. Who calls it: package admit counts, the node tells, keeps and shows.
package outcome
