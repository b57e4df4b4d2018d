package explore

import "testing"

// TestGuardScopes explores every scope of guardians. Run it with -v for the figures.
func TestGuardScopes(t *testing.T) {
	t.Parallel()
	for _, s := range GuardScopes() {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			holds(t, s.Brief, func(lim Limits) (Result, error) { return RunGuards(s, lim) })
		})
	}
}

// TestGuardSameTwice: a search has no chance in it.
func TestGuardSameTwice(t *testing.T) {
	for _, s := range GuardScopes() {
		same(t, func() (Result, error) { return RunGuards(s, Limits{Depth: 4}) })
	}
}
