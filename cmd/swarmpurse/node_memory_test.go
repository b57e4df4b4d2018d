package main

import "testing"

// TestGCPace: garbage may come to the spare memory while as much of it comes in four seconds as is alive; never to less than the default, and after
// some quiet seconds to that.
func TestGCPace(t *testing.T) {
	const mb = 1 << 20
	g := gcPace{percent: defaultGC}
	var ever uint64
	for i, step := range []struct {
		live, came uint64
		times      int
		want       int
	}{
		{40 * mb, 10 * mb, 20, 100}, // quiet
		{40 * mb, 100 * mb, 1, 320},
		{41 * mb, 100 * mb, 5, 320}, // not worth a change
		{64 * mb, 100 * mb, 1, 200},
		{64 * mb, 10 * mb, 9, 200},
		{64 * mb, 10 * mb, 1, 100},
		{64 * mb, 10 * mb, 3, 100},
		{1 * mb, 100 * mb, 1, 400},     // at most
		{1000 * mb, 2000 * mb, 1, 100}, // a large heap is Go's affair
		{1000 * mb, 200 * mb, 1, 100},
	} {
		got := 0
		for range step.times {
			ever += step.came
			got = g.next(step.live, ever)
		}
		if got != step.want {
			t.Errorf("step %d: %d %%, want %d", i, got, step.want)
		}
	}
}
