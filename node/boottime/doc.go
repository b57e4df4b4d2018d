// Package boottime reads the clock that counts the time for which a machine was suspended. A node tells by it a machine
// that was suspended from a clock that stepped. Leases (DESIGN 3.5) need it, too: Go's own monotonic clock stands still on
// a suspended Linux or macOS machine, which would then wake up with a lease that its guardians hold for ended.
//
// Only differences of two readings on one machine mean anything. A virtual machine that its host pauses does not notice.
package boottime
