// Package rls is the node's gRPC door: Envoy's rate limit service, version 3, with the standard health and reflection services.
//
// A descriptor of a request becomes a call, as the policy's `ratelimit` says, and the rules decide on it like on any other: see
// [policy.RateDomain]. The package owns what hits mean (asked for, told afterwards, given back, looked at only), the reservations that wait
// for a refund, and what Envoy is told. It never decides: everything is asked of a [Node]. It keeps no values of descriptors but
// those by which a refund finds its reservation.
//
// Package node builds a [Server] over itself.
package rls
