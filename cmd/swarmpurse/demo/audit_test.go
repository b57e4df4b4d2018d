package demo

import (
	"math/rand/v2"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/llm/standin"
	"github.com/swarmpurse/swarmpurse/policy"
)

// noon is where the tables below begin; a window of any length used begins there.
var noon = time.Date(2026, 3, 4, 12, 0, 0, 0, time.UTC)

// at makes slots from seconds since noon, with what was used in each.
func at(t *testing.T, pairs ...float64) (counts []SlotCount, used []int64) {
	t.Helper()
	for i := 0; i < len(pairs); i += 2 {
		counts = append(counts, SlotCount{Start: noon.Add(time.Duration(pairs[i] * float64(time.Second)))})
		used = append(used, int64(pairs[i+1]))
	}
	return counts, used
}

func TestJudge(t *testing.T) {
	window := ledger.Spec{Kind: ledger.Windowed, Amount: 100, Calendar: ledger.Calendar{Length: 10_000}}
	soft := window
	soft.Ceiling, soft.OverdraftPPM = ledger.Soft, 250_000
	rolling := window
	rolling.RolloverPPM = 100_000
	rate := ledger.Spec{Kind: ledger.Rate, Amount: 50, Per: 10, PerMillis: 1000, Lend: 2000}
	grant := ledger.Spec{Kind: ledger.Grant, Amount: 100}
	for _, c := range []struct {
		name string
		spec ledger.Spec
		used []float64 // second, tokens, …
		want int64
	}{
		{"a grant that is kept", grant, []float64{0, 60, 30, 40}, 0},
		{"a grant that is passed", grant, []float64{0, 60, 30, 41}, 1},
		{"windows that are full", window, []float64{1, 100, 11, 100, 21, 100}, 0},
		{"one window that is passed", window, []float64{1, 10, 11, 60, 19, 45, 25, 1}, 5},
		{"it may have been admitted before the turn", window, []float64{5, 40, 10.25, 60, 12, 100}, 0},
		{"not if there was no room before the turn either", window, []float64{5, 90, 10.25, 60, 12, 60}, 10},
		{"what comes in the first moments fits into the window before, or not", window, []float64{0, 150, 5, 100}, 50},
		{"windows in a row, each full with what may be of the one before", window, []float64{2, 100, 10, 50, 12, 100, 20, 50, 22, 100}, 100},
		{"a quiet window in between is room, but only for itself", window, []float64{2, 100, 22, 130}, 30},
		{"a soft window may be passed again and again", soft, []float64{1, 120, 11, 110, 21, 90}, 20},
		{"rollover adds to a window", rolling, []float64{1, 50, 11, 110}, 0},
		{"but not without end", rolling, []float64{1, 50, 11, 111}, 1},
		// 10/s with a burst of 50, L = 2 s, and a second on the way: 80 at once, and 10 for each second.
		{"a rate's burst", rate, []float64{0, 82}, 0},
		{"a rate passed at once", rate, []float64{0, 90}, 7}, // a slot is a quarter of a second: 2.5
		{"a rate kept for long", rate, []float64{0, 80, 1, 10, 2, 10, 3, 10, 4, 10}, 0},
		{"a rate passed in the end", rate, []float64{0, 1, 60, 60, 61, 60}, 27}, // 80 + 12.5 in 1.25 s
		{"long pauses save nothing", rate, []float64{0, 82, 1000, 95}, 12},
	} {
		counts, used := at(t, c.used...)
		a := &account{name: "x", budget: &policy.Budget{Name: "x", Spec: c.spec}}
		r := judge(a, counts, used)
		if r.Overspend != c.want {
			t.Errorf("%s: overspend %d, want %d (%+v)", c.name, r.Overspend, c.want, r)
		}
	}
}

// The audit of windows and rates against the definition, span by span.
func TestJudgeIsTheWorstSpan(t *testing.T) {
	r := rand.New(rand.NewPCG(11, 0))
	for range 3000 {
		var counts []SlotCount
		var used []int64
		for s := 0; s < 60; s++ {
			if r.IntN(3) == 0 {
				counts = append(counts, SlotCount{Start: noon.Add(time.Duration(s) * slotLength)})
				used = append(used, int64(r.IntN(30)))
			}
		}
		spec := ledger.Spec{Kind: ledger.Windowed, Amount: 60, Calendar: ledger.Calendar{Length: 2000}}
		want := int64(0)
		for i := -1; i < 8; i++ { // the one before the first, too
			for j := i; j < 8; j++ { // what must lie within windows i to j
				from, to := noon.Add(time.Duration(2*i)*time.Second+onTheWay), noon.Add(time.Duration(2*j+2)*time.Second)
				sum := int64(0)
				for k, c := range counts {
					if !c.Start.Before(from) && c.Start.Before(to) {
						sum += used[k]
					}
				}
				want = max(want, sum-60*int64(j-i+1))
			}
		}
		a := &account{name: "w", budget: &policy.Budget{Spec: spec}}
		if got := judge(a, counts, used).Overspend; got != want {
			t.Fatalf("windows: overspend %d, want %d\n%v\n%v", got, want, counts, used)
		}

		spec = ledger.Spec{Kind: ledger.Rate, Amount: 20, Per: 8, PerMillis: 1000, Lend: 1000}
		worst := 0.0
		for i := range counts {
			sum := int64(0)
			for j := i; j < len(counts); j++ {
				sum += used[j]
				span := counts[j].Start.Sub(counts[i].Start) + slotLength
				worst = max(worst, float64(sum)-8*(span.Seconds()+1+onTheWay.Seconds())-20)
			}
		}
		a = &account{name: "r", budget: &policy.Budget{Spec: spec}}
		if got := judge(a, counts, used).Overspend; got != int64(worst) {
			t.Fatalf("rate: overspend %d, want %g\n%v\n%v", got, worst, counts, used)
		}
	}
}

const testPolicy = `apiVersion: swarmpurse/v1
revision: 1
tokens:
  compute: {unit: token}
  calls: {unit: request}
  open: {unit: slot}
classes: [{name: standard, weight: 1, latency_budget: 1s}]
budgets:
  - {name: pool, token: compute, supply: {grant: 1000}}
  - {name: agent, token: compute, per: [tenant, agent], supply: {grant: 500}}
  - {name: calls, token: calls, supply: {grant: 3}}
  - {name: open, token: open, supply: {slots: 2}}
  - {name: odd, token: compute, supply: {grant: 100}}
rules:
  - name: all
    draw: [pool, agent, calls, open]
  - name: odd
    when: tenant == "search"
    draw: [odd]
    cost: {compute: "prompt_tokens > 100 ? 1 : 2"}
default: deny
`

func testBook(t *testing.T, doc string, w *Workload) *book {
	t.Helper()
	p, err := policy.Parse("test.yaml", []byte(doc))
	if err != nil {
		t.Fatal(err)
	}
	b, err := newBook(p, w)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

func TestBookTellsWhatCallsDrawOn(t *testing.T) {
	w := &Workload{
		Agents: []Agent{{Name: "a1", Tenant: "search"}, {Name: "a2", Tenant: "support"}},
		Calls:  []Call{{Agent: 0, Prompt: 10, Limit: 5}, {Agent: 1, Prompt: 20, Limit: 5}, {Agent: 0, Prompt: 30, Limit: 5}},
	}
	b := testBook(t, testPolicy, w)
	if len(b.keys) != 2 || b.kind[0] != b.kind[2] || b.kind[0] == b.kind[1] {
		t.Fatalf("calls are of kinds %v, want two kinds, by agent", b.kind)
	}
	first, second := b.keys[b.kind[0]].name, b.keys[b.kind[1]].name
	counts := []SlotCount{{noon, map[string]standin.Sums{
		first:     {Calls: 3, Errors: 1, PromptTokens: 40, CompletionTokens: 9},
		second:    {Calls: 1, PromptTokens: 20, CompletionTokens: 1000},
		"foreign": {Calls: 9, PromptTokens: 9},
	}}}
	got := map[string]BudgetAudit{}
	for _, a := range b.audit(counts) {
		got[a.Instance] = a
	}
	for name, want := range map[string]struct{ counted, over int64 }{
		"pool": {1069, 69}, "agent/search/a1": {49, 0}, "agent/support/a2": {1020, 520}, "calls": {3, 0}, "open": {0, 0},
	} {
		if a := got[name]; a.Counted != want.counted || a.Overspend != want.over || a.Skipped != "" || !a.hard {
			t.Errorf("%s: %+v, want counted %d, overspend %d", name, a, want.counted, want.over)
		}
	}
	if got["odd"].Skipped == "" {
		t.Error("a cost that is not linear was judged by sums")
	}
	g := b.gauges(first)
	if len(g) != 1 || b.gauges("") != nil || b.gauges("k99") != nil {
		t.Fatalf("a call holds %d gauges", len(g))
	}
	for range 3 {
		g[0].add(1)
	}
	g[0].add(-1)
	for _, a := range b.audit(nil) {
		if a.Instance == "open" && (a.Counted != 3 || a.Overspend != 1) {
			t.Errorf("slots: %+v, want 3 at once and 1 too many", a)
		}
	}
}

func TestProbe(t *testing.T) {
	for cost, exact := range map[string]bool{
		"prompt_tokens + 3 * max_output_tokens": true,
		"prompt_tokens + 100":                   true,
		"7":                                     true,
		"double(prompt_tokens) * 0.5":           false,
		"prompt_tokens > 9 ? 1 : 0":             false,
	} {
		doc := "apiVersion: swarmpurse/v1\nrevision: 1\ntokens:\n  compute: {unit: token}\nbudgets:\n" +
			"  - {name: b, token: compute, supply: {grant: 10}}\nrules:\n  - name: r\n    draw: [b]\n    cost: {compute: \"" + cost + "\"}\n"
		p, err := policy.Parse("x", []byte(doc))
		if err != nil {
			t.Fatal(err)
		}
		plan, err := p.Match(&policy.Call{})
		if err != nil {
			t.Fatal(err)
		}
		l := probe(&plan.Draws[0])
		if (l != nil) != exact {
			t.Errorf("%s: exact is %v, want %v", cost, l != nil, exact)
		}
		if l == nil {
			continue
		}
		one, _ := plan.Draws[0].Settle(12, 34)
		two, _ := plan.Draws[0].Settle(56, 78)
		if got := l.of(2, 12+56, 34+78); got != int64(one+two) {
			t.Errorf("%s: two calls cost %d together, and %d each by each", cost, got, one+two)
		}
	}
}

func TestDemoPolicyIsFitted(t *testing.T) {
	for _, length := range []time.Duration{2 * time.Second, time.Minute, 5 * time.Minute} {
		for _, nodes := range []int{1, 5, 9} {
			o := Defaults()
			o.Duration, o.Nodes = length, nodes
			if err := o.complete(); err != nil {
				t.Fatal(err)
			}
			w, err := newWorkload(&o)
			if err != nil {
				t.Fatal(err)
			}
			p, err := loadPolicy(&o, w)
			if err != nil {
				t.Fatal(err)
			}
			b, err := newBook(p, w)
			if err != nil {
				t.Fatal(err)
			}
			_, _, largest := w.Demand()
			for _, a := range b.accounts {
				if a.skipped != "" || int64(a.budget.Spec.Amount) < largest {
					t.Errorf("%v, %d nodes: %s holds %d tokens, a call takes up to %d; %s", length, nodes, a.name, a.budget.Spec.Amount, largest, a.skipped)
				}
			}
			if len(b.accounts) != 2+2*len(tenants) {
				t.Errorf("%d accounts", len(b.accounts))
			}
		}
	}
}
