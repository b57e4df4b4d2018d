// Package workload makes the calls of simulated callers: by chance in several forms, or as a recorded trace.
// It is pure: seeds are arguments, and the same seed makes the same calls.
package workload
