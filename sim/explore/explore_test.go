package explore

import (
	"flag"
	"fmt"
	"testing"
	"time"
)

var (
	depth  = flag.Int("explore.depth", 0, "explore paths of so many actions; 0: what each scope says")
	states = flag.Int("explore.states", 0, "stop a scope after so many distinct states; 0: no limit")
	most   = flag.Duration("explore.time", 0, "stop a scope after so long; 0: no limit")
)

// holds explores a scope and wants no promise to be broken. brief is its depth with -short, as under the race
// detector, which makes a search ten times slower.
func holds(t *testing.T, brief int, run func(Limits) (Result, error)) {
	t.Helper()
	began := time.Now()
	lim := Limits{Depth: *depth, States: *states}
	if lim.Depth == 0 && testing.Short() {
		lim.Depth = brief
	}
	if *most > 0 {
		lim.Stop = func() bool { return time.Since(began) > *most }
	}
	r, err := run(lim)
	if err != nil {
		t.Fatal(err)
	}
	took := time.Since(began).Seconds()
	t.Logf("%s, %.1f s, %.0f states/s", r, took, float64(r.Distinct)/took)
	if r.Failure != nil {
		t.Error(r.Failure)
	}
}

// same runs a search twice and wants the same of it.
func same(t *testing.T, run func() (Result, error)) {
	t.Helper()
	a, err := run()
	if err != nil {
		t.Fatal(err)
	}
	b, _ := run()
	if fmt.Sprint(a) != fmt.Sprint(b) {
		t.Errorf("first\n%v\nthen\n%v", a, b)
	}
}

// TestScopes explores every scope. Run it with -v for the figures.
func TestScopes(t *testing.T) {
	t.Parallel()
	for _, s := range Scopes() {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			holds(t, s.Brief, func(lim Limits) (Result, error) { return Run(s, lim) })
		})
	}
}

// TestSameTwice: a search has no chance in it, so that its figures can be quoted and its failures found again.
func TestSameTwice(t *testing.T) {
	for _, s := range Scopes() {
		same(t, func() (Result, error) { return Run(s, Limits{Depth: 3}) })
	}
}
