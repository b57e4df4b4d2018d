package result

import (
	"math"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// TestRecover has a call of 10 tokens arrive every 100 ms for a minute, from 10 s on, when the warmup is over. Those
// are settled that arrive when the case says so. Two of the 20 calls of a window may be lost, so it may begin that much
// before all are served.
func TestRecover(t *testing.T) {
	const sec = time.Second
	between := func(from, until time.Duration) func(time.Duration) bool {
		return func(at time.Duration) bool { return at < from || at >= until }
	}
	tenths := func(n int, from, until time.Duration) func(time.Duration) bool { // so many of ten within that time
		return func(at time.Duration) bool {
			return at < from || at >= until || int(at/(100*time.Millisecond))%10 < n
		}
	}
	cut := []Disturbance{{30 * sec, 40 * sec}}
	for name, c := range map[string]struct {
		list []Disturbance
		ok   func(at time.Duration) bool
		want float64
	}{
		"nothing is lost":                         {cut, between(0, 0), 0},
		"back before it ends":                     {cut, between(30*sec, 35*sec), 0},
		"three seconds later":                     {cut, between(30*sec, 43*sec), 2.75},
		"late a little":                           {cut, tenths(8, 30*sec, 45*sec), 4}, // of 20 calls the last two are lost
		"a tenth less is as before":               {cut, tenths(9, 30*sec, 60*sec), 0},
		"never":                                   {cut, between(30*sec, 59*sec), math.Inf(1)},
		"before, no more was served":              {cut, tenths(5, 0, 60*sec), 0},
		"what was long before does not count":     {cut, tenths(5, 20*sec, 60*sec), 0},
		"nothing was served before":               {cut, between(0, 45*sec), math.NaN()},
		"a moment":                                {[]Disturbance{{30 * sec, 30 * sec}}, between(30*sec, 31*sec), 0.75},
		"an end between two steps":                {[]Disturbance{{30 * sec, 40*sec + 100*time.Millisecond}}, between(30*sec, 40*sec), 0.15},
		"the longest of several":                  {[]Disturbance{{45 * sec, 46 * sec}, {30 * sec, 31 * sec}}, between(30*sec, 34*sec), 2.75},
		"those that overlap are one":              {[]Disturbance{{30 * sec, 40 * sec}, {35 * sec, 38 * sec}, {40 * sec, 42 * sec}}, between(30*sec, 44*sec), 1.75},
		"nothing disturbs":                        {nil, between(0, 0), math.NaN()},
		"in the warmup":                           {[]Disturbance{{5 * sec, 8 * sec}}, between(0, 0), math.NaN()},
		"too soon after the warmup":               {[]Disturbance{{11 * sec, 20 * sec}}, between(11*sec, 30*sec), math.NaN()},
		"soon after it":                           {[]Disturbance{{12 * sec, 20 * sec}}, between(12*sec, 21*sec), 0.75},
		"too near the end":                        {[]Disturbance{{30 * sec, 59 * sec}}, between(30*sec, 60*sec), math.NaN()},
		"another that is too near leaves the one": {[]Disturbance{{30 * sec, 40 * sec}, {50 * sec, 59 * sec}}, between(30*sec, 41*sec), 0.75},
	} {
		t.Run(name, func(t *testing.T) {
			y := NewTally(Swarm, testPolicies, 10*sec)
			for at := time.Duration(0); at < 60*sec; at += 100 * time.Millisecond {
				x := call(ledger.Millis(at.Milliseconds()), "a", "fast", 6, 4)
				y.Offered(x)
				if c.ok(at) {
					y.Settled(x)
				}
			}
			if got := y.Recover(c.list, 60*sec); got != c.want && !(math.IsNaN(got) && math.IsNaN(c.want)) {
				t.Errorf("got %v s, want %v s", got, c.want)
			}
		})
	}
}
