package boottime

import (
	"testing"
	"time"
)

// TestAgreesWithTheMonotonicClock: while the machine runs, both clocks measure the same. A stretch on the one lies between
// the stretches on the other that it encloses and that enclose it.
func TestAgreesWithTheMonotonicClock(t *testing.T) {
	const grain = 16 * time.Millisecond // of the coarsest of the clocks
	last := Now()
	for range 5 {
		before := time.Now()
		from := Now()
		inside := time.Now()
		for time.Since(inside) < 20*time.Millisecond {
			now := Now()
			if now < last {
				t.Fatalf("it went back by %v", last-now)
			}
			last = now
		}
		shorter := time.Since(inside)
		got := Now() - from
		if longer := time.Since(before); got < shorter-grain || got > longer+grain {
			t.Errorf("%v, and the monotonic clock says %v to %v", got, shorter, longer)
		}
	}
}

func BenchmarkNow(b *testing.B) {
	for b.Loop() {
		Now()
	}
}
