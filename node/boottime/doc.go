// Package boottime reads the clock that counts the time for which a machine was suspended. Leases run by it (DESIGN
// 3.5): Go's own monotonic clock stands still on a suspended Linux or macOS machine, which would then wake up
// with a lease that its guardians hold for ended.
//
// Only differences of two readings on one machine mean anything. A virtual machine that its host pauses does not notice.
package boottime
