package explore

import (
	"fmt"
	"testing"
	"time"
)

// TestGuardScopes explores every scope of guardians. Run it with -v for the figures.
func TestGuardScopes(t *testing.T) {
	for _, s := range GuardScopes() {
		t.Run(s.Name, func(t *testing.T) {
			began := time.Now()
			lim := Limits{Depth: *depth, States: *states}
			if lim.Depth == 0 && slow {
				lim.Depth = s.Brief
			}
			if *most > 0 {
				lim.Stop = func() bool { return time.Since(began) > *most }
			}
			r, err := RunGuards(s, lim)
			if err != nil {
				t.Fatal(err)
			}
			took := time.Since(began).Seconds()
			t.Logf("%s, %.1f s, %.0f states/s", r, took, float64(r.Distinct)/took)
			if r.Failure != nil {
				t.Error(r.Failure)
			}
		})
	}
}

// TestGuardSameTwice: a search has no chance in it.
func TestGuardSameTwice(t *testing.T) {
	for _, s := range GuardScopes() {
		a, err := RunGuards(s, Limits{Depth: 4})
		if err != nil {
			t.Fatal(err)
		}
		b, _ := RunGuards(s, Limits{Depth: 4})
		if fmt.Sprint(a) != fmt.Sprint(b) {
			t.Errorf("first\n%v\nthen\n%v", a, b)
		}
	}
}
