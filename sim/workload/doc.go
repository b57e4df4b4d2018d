// Package workload makes the calls of simulated callers: by chance in several forms, or as a recorded trace. It
// owns what a stream of calls is, how its calls are drawn, and the CSV form of traces. The simulator takes the
// calls one by one; the demo reads traces with it.
//
// It is pure: seeds are arguments, and the same seed makes the same calls.
package workload
