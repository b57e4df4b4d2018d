// Package rehearse decides on calls by a policy as a node would that has all of a swarm's rights, with no network, disk or
// time: what `swarmpurse policy test` and `policy diff` do. It drives the ledger and the engine that production runs.
//
// The package is pure, as those are. Who calls it: the commands.
package rehearse
