package baseline

import (
	"slices"
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/sim/result"
	"github.com/swarmpurse/swarmpurse/sim/scenario"
)

// TestShippedScenarios runs all systems on the scenarios that ship: those that share limits out keep them, and then
// none does better than the omniscient one, but for the 2 % of TestOmniscientIsTheBound.
func TestShippedScenarios(t *testing.T) {
	for i, f := range scenario.Shipped() {
		if testing.Short() && i%4 > 0 {
			continue
		}
		sc, err := f.Parse()
		if err != nil {
			t.Fatal(err)
		}
		strict := !slices.ContainsFunc(sc.Policies[0].Budgets(), func(b *policy.Budget) bool { return b.Spec.Ceiling != ledger.Hard || b.Spec.HalfLife > 0 })
		var best result.System
		for _, kind := range Kinds() {
			s, err := Run(kind, sc, sc.Source, Options{GossipDelay: 500 * ms})
			if err != nil {
				t.Fatal(err)
			}
			switch kind {
			case result.Omniscient:
				best = s
				fallthrough
			case result.Split, result.SplitKnown:
				if s.OverspendTokens > 0 {
					t.Errorf("%s: %s overspends: %s", f.Name, kind, says(s))
				}
			}
			judged := strict || kind != result.Counters && kind != result.LocalOnly // they pass what a soft ceiling allows, or what has decayed, which nobody judges
			if judged && s.OverspendTokens == 0 && float64(s.GoodputTokens) > 1.02*float64(best.GoodputTokens) {
				t.Errorf("%s: %s has %d goodput, omniscient %d", f.Name, kind, s.GoodputTokens, best.GoodputTokens)
			}
			if s.Offered == 0 || s.Admitted+s.Deferred+s.Denied != s.Offered {
				t.Errorf("%s: %s: not every call is decided: %s", f.Name, kind, says(s))
			}
		}
	}
}
