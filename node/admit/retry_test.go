package admit

import (
	"slices"
	"testing"
	"time"
)

// A thousand callers who are refused at one moment are told to come back one after the other, at the pace at which what
// they need comes, and not before it has come.
func TestRefusedCallersDoNotReturnTogether(t *testing.T) {
	for _, c := range []struct {
		name, model string
		used, need  int64
		callers     int
		first       time.Duration // at least
		together    int           // in one second, at most
		last        time.Duration // at most
	}{
		// 10 of 100/s each: ten in a second would be served.
		{"a rate", "pool", 1000, 10, 500, 100 * time.Millisecond, 21, 52 * time.Second},
		// What is beyond a minute is spread over it.
		{"a rate, far too many", "pool", 1000, 10, 1800, 100 * time.Millisecond, 60, 63 * time.Second},
		// All comes at once, when the window turns in 1 h 46 m.
		{"a window", "day", 1000, 10, 1000, time.Hour + 46*time.Minute, 130, time.Hour + 47*time.Minute + 20*time.Second},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := one(t, oneOfEach)
			n.settle(n.must(on(c.model, c.used), Admit, CodeOK), forTokens(1000))
			var at []time.Duration
			for range c.callers {
				a := n.answer(n.must(on(c.model, c.need).wait(0), Defer, CodeExhausted))
				at = append(at, a.RetryAfter)
			}
			slices.Sort(at)
			if at[0] < c.first || at[len(at)-1] > c.last {
				t.Errorf("they come back after %v to %v", at[0], at[len(at)-1])
			}
			for i := range at {
				j, _ := slices.BinarySearch(at, at[i]+time.Second)
				if j-i > c.together {
					t.Fatalf("%d come back within a second after %v, at most %d may", j-i, at[i], c.together)
				}
			}
		})
	}
}

// Promises are of one instance, and those that were made do not hold for ever.
func TestPromisesPass(t *testing.T) {
	n := one(t, oneOfEach)
	n.must(on("pool", 1000), Admit, CodeOK)
	for range 200 {
		n.must(on("pool", 10).wait(0), Defer, CodeExhausted)
	}
	n.must(on("day", 1000), Admit, CodeOK)
	if a := n.answer(n.must(on("day", 10).wait(0), Defer, CodeExhausted)); a.RetryAfter > 3*time.Second {
		t.Errorf("the first at another instance is told %v", a.RetryAfter)
	}
	n.w.pass(25 * time.Second)
	n.must(on("pool", 990), Admit, CodeOK)
	if a := n.answer(n.must(on("pool", 100).wait(0), Defer, CodeExhausted)); a.RetryAfter > 2*time.Second {
		t.Errorf("25 s later the first is told %v", a.RetryAfter)
	}
}
