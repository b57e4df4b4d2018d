// Package child starts nodes as processes, for programs that drive a swarm of real ones: the
// demonstration and the chaos tests. A child ends at the latest when its parent does.
//
// It owns the processes that it started and signals no others; what runs in them it does not know.
package child
