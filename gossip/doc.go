// Package gossip drives the one pool of the swarm: serf for membership, failure detection,
// coordinates, tags and key rotation, memberlist for the wire. It carries bytes that it does not
// understand: what a payload means, who forwards it and what is worth sending is the node's business.
//
// It owns the sockets, the frames, the queues in front of and behind them, their bounds and their
// counters. It never looks into a payload, never decides who may own what, never retries on its own
// (loss is the callers' normal case; they repeat until
// acknowledged; what it repeats is membership's own: joins, and asking whom serf takes for leaving) and imports nothing of ours.
// memberlist and serf are imported here only.
//
// Called by package node: [Open], then [Pool.Send] point to point, [Pool.Spread] and [Pool.Relay] to
// everyone, and [Delegate] the other way. All methods of [Pool] are safe for concurrent use.
package gossip
