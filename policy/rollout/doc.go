// Package rollout is the life of policy revisions in a swarm: which one is in force, which one is a candidate, and what
// operators and the guard said of them. [State] is a join semilattice: nodes that were told the same words, in any order and any
// number of times, by any way, have the same state, and the same revisions in force. [Tally] is what became of calls under the two
// arms, a vector of counters that only grow, and [Judge] the sequential test on it.
//
// It holds no documents and evaluates no call: package policy does. The package is pure: times are arguments.
//
// [Watch] is what a node does about them: when it tells counters, whether it is one of those that judge, when it rolls back or promotes.
//
// Who calls it: the node's loop, and the simulator.
package rollout
