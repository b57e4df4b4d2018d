// Package judge says whether a swarm of ledgers keeps its promises: the invariants of DESIGN 3.1. It sees what an
// outsider can see (disks, messages, accounts as they are) and is told what callers were told; it knows nothing of
// how accounts work. The tests of package ledger and the simulators use it.
//
// It never drives a replica. It is pure, and a [Book] or [Disk] belongs to one goroutine.
package judge
