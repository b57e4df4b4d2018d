package telemetry

import (
	"math"
	"testing"
)

// TestKept: what is kept for a review is what a scrape tells, the most telling first, and bounded; what is infinite is left out.
func TestKept(t *testing.T) {
	m, reg := newMetrics(t)
	feed(m)
	source := *m.source.Load()
	m.SetSource(func() (State, bool) {
		s, ok := source()
		s.Budgets[0].Exhausted = math.Inf(1)
		return s, ok
	})
	list, err := Kept(reg, 1000)
	if err != nil {
		t.Fatal(err)
	}
	by := map[string]float64{}
	for _, s := range list {
		by[s.Name] = s.Value
	}
	for name, want := range map[string]float64{
		`swarmpurse_budget_limit_tokens{budget="pool", token="compute"}`:           9,
		`swarmpurse_budget_price{budget="pool", token="compute"}`:                  1.25,
		`swarmpurse_decisions_total{class="critical", code="ok", verdict="admit"}`: 1,
		`swarmpurse_members{state="failed"}`:                                       1,
		`swarmpurse_lease_seconds`:                                                 432.5,
		`swarmpurse_stuck_tokens{reason="lease", token="compute"}`:                 66,
		`swarmpurse_queue_calls{class="batch"}`:                                    2,
	} {
		if got, ok := by[name]; !ok || got != want {
			t.Errorf("%s is %v (%v), want %v", name, got, ok, want)
		}
	}
	for _, k := range kept {
		found := k.Name == budgetExhausted.Name
		for _, s := range list {
			found = found || len(s.Name) >= len(k.Name) && s.Name[:len(k.Name)] == k.Name
		}
		if !found {
			t.Errorf("%s is never kept", k.Name)
		}
	}
	if _, ok := by[`swarmpurse_budget_exhaustion_seconds{budget="pool", token="compute"}`]; ok {
		t.Error("infinity is kept")
	}
	few, err := Kept(reg, 3)
	if err != nil || len(few) != 3 || few[0] != list[0] {
		t.Errorf("%v %v", few, err)
	}
}
