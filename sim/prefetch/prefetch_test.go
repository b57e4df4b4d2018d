package prefetch

import "testing"

// TestHarmless: it never faults, wherever a pointer leads, changes nothing, and allocates nothing. That it helps is
// measured, see the DESIGN.md of sim.
func TestHarmless(t *testing.T) {
	type object struct{ b [200]byte }
	Of[object](nil)
	Head[object](nil)
	x := object{}
	for i := range x.b {
		x.b[i] = byte(i)
	}
	Of(&x)
	Of(&x.b[199])
	Head(&x)
	Of(&struct{}{})
	for i := range x.b {
		if x.b[i] != byte(i) {
			t.Fatalf("byte %d became %d", i, x.b[i])
		}
	}
	if n := testing.AllocsPerRun(100, func() { Of(&x) }); n > 0 {
		t.Errorf("it allocates %v times", n)
	}
}
