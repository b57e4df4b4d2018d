// Package chaos tries a swarm of real node processes under real faults: a network that is cut, slow and
// lossy, processes that are killed, stopped and replaced, disks that fill up and clocks that step.
//
// A run draws its timeline of faults from a seed (schedule.go), puts every node into a network namespace of
// its own behind a relay (space_linux.go, relay.go), has callers spend at all nodes at once (load.go), and
// keeps a book of what those callers were told (book.go). In the end the book judges the swarm (judge.go):
// no hard budget was exceeded, nothing that was admitted is missing from the totals, all nodes agree.
//
// It asks nodes only through their HTTP API, and believes none of them about what was spent. It is for tests
// alone: `make chaos`, and a short run among the tests. Everything it makes lives in namespaces that end with
// its process, so it leaves nothing behind, however it ends.
package chaos
