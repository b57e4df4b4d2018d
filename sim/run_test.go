package sim

import (
	"math"
	"slices"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/sim/baseline"
	"github.com/swarmpurse/swarmpurse/sim/result"
	"github.com/swarmpurse/swarmpurse/sim/scenario"
)

// TestRun: the swarm stands first, then what it is compared with; all are offered the same calls, and bounds are
// judged as far as the systems that were run allow.
func TestRun(t *testing.T) {
	sc := steady(t, 1, 20*time.Second) // one node needs nobody, so that nothing else is tested here
	sc.Warmup = 0
	for _, text := range []string{"overspend", "goodput", "beside"} {
		b := scenario.Bound{Text: text, Figure: "overspend", Op: "<="}
		switch text {
		case "goodput":
			b.Figure, b.Op, b.Value = "goodput", ">=", 0.5
		case "beside":
			b.Figure, b.Op, b.Value, b.Beside = "goodput_tokens", ">=", 0.5, result.Split
		}
		sc.Bounds = append(sc.Bounds, b)
	}
	for _, c := range []struct {
		name           string
		systems        []string
		want, judgable []string
	}{
		{"all", nil, append([]string{result.Swarm}, baseline.Kinds()...), []string{"overspend", "goodput", "beside"}},
		{"alone", []string{result.Swarm}, []string{result.Swarm}, []string{"overspend"}},
		{"one", []string{result.Omniscient}, []string{result.Swarm, result.Omniscient}, []string{"overspend", "goodput"}},
	} {
		r, err := Run(t.Context(), sc, Options{Systems: c.systems})
		if err != nil {
			t.Fatal(err)
		}
		if r.Violation != nil {
			t.Fatalf("%s: %+v", c.name, r.Violation)
		}
		var names, bounds []string
		for _, s := range r.Systems {
			names = append(names, s.Name)
			if s.Offered != r.Systems[0].Offered || s.OfferedTokens != r.Systems[0].OfferedTokens || s.Offered == 0 {
				t.Errorf("%s: %s was offered %d calls, %d tokens", c.name, s.Name, s.Offered, s.OfferedTokens)
			}
			if known := r.System(result.Omniscient) != nil; math.IsNaN(s.Goodput) == known {
				t.Errorf("%s: goodput of %s is %v", c.name, s.Name, s.Goodput)
			}
		}
		for _, b := range r.Bounds {
			if b.Lacks == "" {
				bounds = append(bounds, b.Text)
			}
			if b.Failed() {
				t.Errorf("%s: bound %s, got %s", c.name, b.Text, b.Got)
			}
		}
		if !slices.Equal(names, c.want) || !slices.Equal(bounds, c.judgable) {
			t.Errorf("%s: systems %q, bounds %q", c.name, names, bounds)
		}
	}
}

// TestRunThatBreaksOff: figures of a swarm that stopped halfway stand beside nobody's.
func TestRunThatBreaksOff(t *testing.T) {
	sc := steady(t, 1, 20*time.Second)
	sc.Bounds = []scenario.Bound{{Text: "goodput", Figure: "goodput", Op: ">=", Value: 0.5}, {Text: "overspend", Figure: "overspend", Op: "<="}}
	r, err := Run(t.Context(), sc, Options{bug: bugSettleTwice})
	if err != nil {
		t.Fatal(err)
	}
	if r.Violation == nil || r.Violation.At >= sc.Duration {
		t.Fatalf("the planted bug was not found in time: %+v", r.Violation)
	}
	if len(r.Systems) != 1 || r.Bounds[0].Lacks != result.Omniscient || r.Bounds[1].Lacks != "" || r.Passed() {
		t.Errorf("%d systems, bounds %+v", len(r.Systems), r.Bounds)
	}
}
