package rollout

import (
	"math"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/swarmpurse/swarmpurse/policy"
)

var guarded = policy.Guard{DenyRate: 50_000, P99Wait: 200_000, OutputLength: 200_000, Cost: 200_000}

// traffic is calls of agents that are split by a hash, some of which the swarm refuses.
type traffic struct {
	perSecond         float64
	canary            float64
	stable, candidate func(second int) float64 // the part that is refused
	waits             [2]func(r *rand.Rand) float64
	// longer is how many times as long the outputs are of each arm as they are as a rule, and how many times as much they cost; nil: 1.
	longer func(second int) [2]float64
}

// usualLength is what 95 % of outputs do not pass: log-normal, of sigma 0.6.
var usualLength = math.Exp(0.6 * 1.6449)

func always5(int) float64 { return 0.05 }

// second counts the calls of one second.
func (w *traffic) second(r *rand.Rand, at int, s, c *Counts) {
	n := poisson(r, w.perSecond)
	for range n {
		arm, deny, wait := s, w.stable, w.waits[0]
		if r.Float64() < w.canary {
			arm, deny, wait = c, w.candidate, w.waits[1]
		}
		g := &arm.Groups[arm.Calls%Groups] // of callers that are alike
		g.Calls++
		arm.Calls++
		if r.Float64() < deny(at) {
			arm.Refused++
			g.Refused++
			continue
		}
		times := 1.0
		if w.longer != nil {
			if times = w.longer(at)[0]; arm == c {
				times = w.longer(at)[1]
			}
		}
		arm.Outputs++
		arm.Costs++
		if times*math.Exp(0.6*r.NormFloat64()) > usualLength {
			arm.Long++
			arm.Dear++
		}
		if wait == nil {
			continue
		}
		x := wait(r)
		for i := range arm.Longer {
			if x > float64(i)*policy.WaitStep/1e6 {
				arm.Longer[i]++
			}
		}
	}
}

func poisson(r *rand.Rand, mean float64) int {
	return max(0, int(math.Round(mean+math.Sqrt(mean)*r.NormFloat64()))) // large means only
}

// judged is the second at which the guard rolls back, 0 if it does not within so many.
func (w *traffic) judged(seed uint64, seconds int) (int, *Breach) {
	r := rand.New(rand.NewPCG(seed, 1))
	var s, c Counts
	for at := 1; at <= seconds; at++ {
		w.second(r, at, &s, &c)
		if b := Judge(guarded, &s, &c); b != nil {
			return at, b
		}
	}
	return 0, nil
}

// TestBadRevisionIsFound: 500 calls/s, a tenth of them for the candidate, 200 seeds: how soon it is rolled back.
func TestBadRevisionIsFound(t *testing.T) {
	slow := func(mean float64) func(*rand.Rand) float64 {
		return func(r *rand.Rand) float64 { return r.ExpFloat64() * mean }
	}
	for _, test := range []struct {
		name              string
		stable, candidate float64
		waits             [2]func(*rand.Rand) float64
		within, found     int // seconds; of 200
		longer            float64
	}{
		{"30 of 100 calls more are refused", 0.02, 0.32, [2]func(*rand.Rand) float64{}, 10, 200, 1},
		{"30 % more than 40 of 100 are refused", 0.40, 0.52, [2]func(*rand.Rand) float64{}, 120, 190, 1},
		{"10 of 100 more", 0.02, 0.12, [2]func(*rand.Rand) float64{}, 120, 200, 1},
		{"waits four times as long", 0, 0, [2]func(*rand.Rand) float64{slow(0.03), slow(0.12)}, 120, 190, 1},
		{"puts out twice as much", 0.02, 0.02, [2]func(*rand.Rand) float64{}, 120, 190, 2},
		{"puts out three times as much", 0.02, 0.02, [2]func(*rand.Rand) float64{}, 15, 200, 3},
	} {
		found, last := 0, 0
		for seed := range uint64(200) {
			w := traffic{500, 0.1, func(int) float64 { return test.stable }, func(int) float64 { return test.candidate }, test.waits, func(int) [2]float64 { return [2]float64{1, test.longer} }}
			if at, b := w.judged(seed, test.within); b != nil {
				found, last = found+1, max(last, at)
				if b.Why == "" || !strings.Contains(b.Why, "allowed") {
					t.Errorf("%s: %+v", test.name, b)
				}
			}
		}
		t.Logf("%s: found in %d of 200 seeds, the last after %d s", test.name, found, last)
		if found < test.found {
			t.Errorf("%s: found in %d of 200 seeds within %d s, want %d", test.name, found, test.within, test.found)
		}
	}
}

// TestFalseAlarms: a revision that does the same is rolled back in fewer than 1 of 100 seeds, looked at every second: also where
// both arms are refused more and less as the load goes, and where as much more is refused as is allowed.
func TestFalseAlarms(t *testing.T) {
	if testing.Short() {
		t.Skip("takes half a minute")
	}
	surge := func(at int) float64 { return 0.3 + 0.3*math.Sin(float64(at)/30) }
	wait := func(r *rand.Rand) float64 { return r.ExpFloat64() * 0.1 }
	for _, test := range []struct {
		name              string
		perSecond         float64
		seconds           int
		stable, candidate func(int) float64
		longer            func(int) [2]float64
	}{
		{"the same", 500, 120, always5, always5, nil},
		{"the same, for long", 50, 600, always5, always5, nil},
		{"surges", 50, 600, surge, surge, nil},
		{"as much worse as allowed", 50, 600, always5, func(int) float64 { return 0.1 }, nil},
		{"the model becomes longer, then shorter, in both arms", 50, 600, always5, always5, func(at int) [2]float64 {
			x := math.Exp(math.Sin(float64(at) / 60))
			return [2]float64{x, x}
		}},
		{"as much longer as allowed", 50, 600, always5, always5, func(int) [2]float64 { return [2]float64{1, math.Exp(0.6 * (1.6449 - 0.6745))} }}, // 25 of 100 above
	} {
		alarms := 0
		for seed := range uint64(1000) {
			w := traffic{test.perSecond, 0.1, test.stable, test.candidate, [2]func(*rand.Rand) float64{wait, wait}, test.longer}
			if _, b := w.judged(seed, test.seconds); b != nil {
				alarms++
			}
		}
		t.Logf("%s: %d false alarms in 1000 seeds", test.name, alarms)
		if alarms >= 10 {
			t.Errorf("%s: %d false alarms in 1000 seeds", test.name, alarms)
		}
	}
}

func TestJudge(t *testing.T) {
	counts := func(calls, refused int64, longer ...int64) Counts {
		c := Counts{Calls: calls, Refused: refused}
		copy(c.Longer[:], longer)
		return c
	}
	long := counts(1000, 0)
	for i := range 10 {
		long.Longer[i] = 200
	}
	drifts := func(outputs, long, costs, dear int64) Counts {
		return Counts{Calls: max(outputs, costs), Drift: Drift{outputs, long, costs, dear}}
	}
	none := policy.Guard{DenyRate: policy.Unguarded, P99Wait: policy.Unguarded, OutputLength: policy.Unguarded, Cost: policy.Unguarded}
	for _, test := range []struct {
		name              string
		guard             policy.Guard
		stable, candidate Counts
		what              string
	}{
		{"nothing yet", guarded, Counts{}, Counts{}, ""},
		{"one call that is refused", guarded, counts(1000, 0), counts(1, 1), ""},
		{"ten of ten", guarded, counts(1000, 0), counts(10, 10), "deny_rate"},
		{"nothing to compare with", guarded, Counts{}, counts(1000, 1000), ""},
		{"better than the stable one", guarded, counts(1000, 900), counts(1000, 10), ""},
		{"not guarded", none, counts(1000, 0), long, ""},
		{"counters of two moments", guarded, counts(1000, 0), counts(10, 900), ""},
		{"waits", guarded, counts(100_000, 0), long, "p99_wait"},
		{"as long at both", guarded, long, long, ""},
		{"longer outputs", guarded, drifts(1000, 50, 0, 0), drifts(100, 60, 0, 0), "output_length"},
		{"longer outputs of both", guarded, drifts(1000, 600, 0, 0), drifts(100, 60, 0, 0), ""},
		{"dearer", guarded, drifts(0, 0, 1000, 50), drifts(0, 0, 100, 60), "cost"},
		{"dearer on purpose", none, drifts(0, 0, 1000, 50), drifts(0, 0, 100, 100), ""},
		{"as much dearer as allowed", guarded, drifts(0, 0, 1000, 50), drifts(0, 0, 1000, 250), ""},
	} {
		b := Judge(test.guard, &test.stable, &test.candidate)
		if got := ""; b != nil {
			if got = b.What; got != test.what {
				t.Errorf("%s: %+v", test.name, b)
			}
		} else if test.what != "" {
			t.Errorf("%s: nothing, want %s", test.name, test.what)
		}
	}
}
