package scenario

import (
	"testing"

	"github.com/swarmpurse/swarmpurse/policy"
)

func TestShippedScenariosAreGood(t *testing.T) {
	for _, f := range Shipped() {
		s, err := f.Parse()
		if err != nil {
			t.Errorf("%v", err)
			continue
		}
		if s.Name != f.Name || s.Description == "" || len(s.Bounds) == 0 {
			t.Errorf("%s has the name %q, the description %q and %d bounds", f.Name, s.Name, s.Description, len(s.Bounds))
		}
		for _, p := range s.Policies {
			for _, w := range policy.Check(p) {
				t.Errorf("%v", w)
			}
		}
		src, err := s.Source()
		if err != nil {
			t.Errorf("%s: %v", f.Name, err)
			continue
		}
		n, demand := 0, int64(0)
		for c, ok := src.Next(); ok; c, ok = src.Next() {
			n, demand = n+1, demand+c.Prompt+c.Max
		}
		if n == 0 || n > 200_000 {
			t.Errorf("%s: %d calls", f.Name, n)
		}
		t.Logf("%-20s %5d nodes %6d calls, %.0f tokens/s reserved", f.Name, s.Nodes, n, float64(demand)/s.Duration.Seconds())
	}
}
