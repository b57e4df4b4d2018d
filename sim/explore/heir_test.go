package explore

import (
	"fmt"
	"testing"
	"time"
)

// TestHeirScopes explores every scope of heirs. Run it with -v for the figures.
func TestHeirScopes(t *testing.T) {
	for _, s := range HeirScopes() {
		t.Run(s.Name, func(t *testing.T) {
			began := time.Now()
			lim := Limits{Depth: *depth, States: *states}
			if lim.Depth == 0 && slow {
				lim.Depth = s.Brief
			}
			if *most > 0 {
				lim.Stop = func() bool { return time.Since(began) > *most }
			}
			r, err := RunHeirs(s, lim)
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

// TestHeirSameTwice: a search has no chance in it.
func TestHeirSameTwice(t *testing.T) {
	for _, s := range HeirScopes() {
		a, err := RunHeirs(s, Limits{Depth: 3})
		if err != nil {
			t.Fatal(err)
		}
		b, _ := RunHeirs(s, Limits{Depth: 3})
		if fmt.Sprint(a) != fmt.Sprint(b) {
			t.Errorf("first\n%v\nthen\n%v", a, b)
		}
	}
}
