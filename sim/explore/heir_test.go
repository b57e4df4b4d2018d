package explore

import "testing"

// TestHeirScopes explores every scope of heirs. Run it with -v for the figures.
func TestHeirScopes(t *testing.T) {
	t.Parallel()
	for _, s := range HeirScopes() {
		t.Run(s.Name, func(t *testing.T) {
			t.Parallel()
			holds(t, s.Brief, func(lim Limits) (Result, error) { return RunHeirs(s, lim) })
		})
	}
}

// TestHeirSameTwice: a search has no chance in it.
func TestHeirSameTwice(t *testing.T) {
	for _, s := range HeirScopes() {
		same(t, func() (Result, error) { return RunHeirs(s, Limits{Depth: 3}) })
	}
}
