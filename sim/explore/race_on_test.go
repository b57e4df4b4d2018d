//go:build race

package explore

// slow: the race detector makes a search some ten times slower.
const slow = true
