package admit

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/swarmpurse/swarmpurse/policy"
	"pgregory.net/rapid"
)

// TestSizeSteps: every length is counted in one step, in order, and is no more than a quarter below the step's end.
func TestSizeSteps(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := rapid.Int64Range(0, 1<<sizeOctaves-1).Draw(t, "length")
		i := sizeStep(n)
		if most := sizeMost(i); most < n || n > 0 && float64(most) > 1.25*float64(n) {
			t.Fatalf("%d is counted in step %d, which ends at %d", n, i, most)
		}
		if i > 0 && sizeMost(i-1) >= n {
			t.Fatalf("%d is counted in step %d, though the step before ends at %d", n, i, sizeMost(i-1))
		}
	})
	if i := sizeStep(math.MaxInt64); i != sizeSteps*sizeOctaves {
		t.Errorf("the longest is counted in step %d", i)
	}
}

// TestSizeIsTheQuantile: what is reserved is enough for the part of calls that the budget asks for, and little more; and it
// follows when a model becomes longer, which is seen before that.
func TestSizeIsTheQuantile(t *testing.T) {
	dice := rand.New(rand.NewPCG(1, 2))
	z := (&sizes{}).of(sizeKey{"r", "m", 950_000})
	draw := func(calls int, mean float64) (above float64, all []int64) {
		var over int
		for range calls {
			n := int64(mean * math.Exp(dice.NormFloat64()/2))
			if q := z.reserve(100_000); n > q {
				over++
			}
			z.learn(n)
			all = append(all, n)
		}
		return float64(over) / float64(calls), all
	}
	if z.reserve(700) != 700 || z.reserve(0) != 0 {
		t.Error("nothing is learned yet")
	}
	_, all := draw(4000, 200)
	slices.Sort(all)
	want := float64(all[len(all)*95/100])
	if q := float64(z.reserve(100_000)); q < want*0.9 || q > want*1.3 {
		t.Errorf("%v is reserved, the quantile is %v", q, want)
	}
	if q := z.reserve(10); q != 10 {
		t.Errorf("%d is reserved for a call that states 10", q)
	}
	if q := z.reserve(0); float64(q) < want*0.9 {
		t.Errorf("%d is reserved for a call that states nothing", q)
	}
	if above, _ := draw(1000, 200); above < 0.01 || above > 0.08 {
		t.Errorf("%.1f %% of calls put out more than was reserved", 100*above)
	}
	if z.above > 0.15 {
		t.Errorf("%.2f above", z.above)
	}
	draw(60, 600)
	if z.above < 0.3 {
		t.Errorf("the model has become three times as long, and only %.2f are above", z.above)
	}
	draw(4000, 600)
	if q := float64(z.reserve(100_000)); q < 2.5*want || q > 3.6*want {
		t.Errorf("%v is reserved for a model that is three times as long, it was %v", q, want)
	}
}

const sized = preamble + `
budgets:
  - {name: soft, token: compute, supply: {rate: 100k/s, burst: 1M}, ceiling: {soft: 10%}}
  - {name: hard, token: compute, supply: {rate: 100k/s, burst: 1M}}
  - {name: stated, token: compute, supply: {rate: 100k/s, burst: 1M}, ceiling: {soft: 10%, size: 100%}}
rules:
  - {draw: [soft, hard, stated]}
`

// TestSizeOfReservations: a soft ceiling reserves what was learned of a model, the others what the call states; what a call
// uses above it is an overrun.
func TestSizeOfReservations(t *testing.T) {
	n := one(t, sized)
	reserved := func(a Answer) map[string]int64 {
		m := map[string]int64{}
		for _, c := range a.Reserved {
			m[c.Budget] = int64(c.Amount)
		}
		return m
	}
	for i := range 100 {
		id := n.must(model("short", 10, 1000), Admit, CodeOK)
		n.settle(id, Settlement{Usage: &Usage{PromptTokens: 10, CompletionTokens: int64(90 + i%11)}})
	}
	id := n.must(model("short", 10, 1000), Admit, CodeOK)
	got := reserved(n.answer(id))
	if got["hard"] != 1010 || got["stated"] != 1010 || got["soft"] < 110 || got["soft"] > 10+125 {
		t.Errorf("%v", got)
	}
	rc := n.settle(id, Settlement{Usage: &Usage{PromptTokens: 10, CompletionTokens: 500}})
	for _, c := range rc.Charged {
		if want := max(0, 510-got[c.Budget]); c.Amount != 510 || int64(c.Overrun) != want {
			t.Errorf("%+v, overrun %d", c, want)
		}
	}
	if got := reserved(n.answer(n.must(model("other", 10, 1000), Admit, CodeOK))); got["soft"] != 1010 {
		t.Errorf("another model: %v", got)
	}
	sizes := n.e.Sizes()
	if len(sizes) != 2 || sizes[0].Model != "short" || sizes[0].Calls != 101 || sizes[0].Reserved < 100 || sizes[1].Reserved != -1 {
		t.Errorf("%+v", sizes)
	}
	var budgets []string
	for _, c := range sizes[0].Costs {
		if budgets = append(budgets, c.Budget); c.Usual < 105 || c.Usual > 110 || c.Late < 105 || c.Late > 120 { // the last one cost 510
			t.Errorf("%+v", c)
		}
	}
	if !slices.Equal(budgets, []string{"soft", "hard", "stated"}) || len(sizes[1].Costs) > 0 {
		t.Errorf("costs are known of %v and %+v", budgets, sizes[1].Costs)
	}
	if n.r.Conservation() != 0 {
		t.Error("the equation does not close")
	}
}

const unsized = preamble + `
budgets:
  - {name: hard, token: compute, supply: {rate: 100k/s, burst: 1M}}
  - {name: dear, token: compute, supply: {rate: 100k/s, burst: 1M}, price: {base: 3}}
  - {name: calls, token: concurrency, supply: {slots: 5}}
rules:
  - {name: all, draw: [hard, dear, calls]}
`

// TestDriftBelowHardCeilings: nothing is reserved by what outputs came to, but that a model has become longer and dearer is seen,
// model by model.
func TestDriftBelowHardCeilings(t *testing.T) {
	n := one(t, unsized)
	call := func(name string, output int64) {
		t.Helper()
		id := n.must(model(name, 0, 1000), Admit, CodeOK)
		n.settle(id, Settlement{Usage: &Usage{CompletionTokens: output}})
	}
	of := func(name string) Size {
		t.Helper()
		i := slices.IndexFunc(n.e.Sizes(), func(z Size) bool { return z.Model == name && z.Rule == "all" })
		if i < 0 {
			t.Fatalf("nothing is known of %s: %+v", name, n.e.Sizes())
		}
		return n.e.Sizes()[i]
	}
	for range 300 {
		call("a", 100)
		call("b", 40)
	}
	for range 64 {
		call("a", 300)
		call("b", 40)
	}
	a, b := of("a"), of("b")
	if a.Above < 2*a.Expected || b.Above > 0.05 || a.Calls != 364 {
		t.Errorf("%+v\n%+v", a, b)
	}
	if len(a.Costs) != 2 || a.Costs[0].Budget != "hard" || a.Costs[1].Budget != "dear" {
		t.Fatalf("%+v", a.Costs)
	}
	for i, price := range []float64{1, 3} {
		// Most of the late mean is the new cost; of the usual one, 64 calls of 364.
		if c := a.Costs[i]; c.Late < price*200 || c.Late > price*300 || c.Usual < price*130 || c.Usual > price*140 {
			t.Errorf("%+v", c)
		}
		if c := b.Costs[i]; math.Abs(c.Late-price*40) > 0.01 || math.Abs(c.Usual-price*40) > 0.01 {
			t.Errorf("%+v", c)
		}
	}
}

// TestSizesAreBounded: models beyond the bound push the oldest out; calls of those go on.
func TestSizesAreBounded(t *testing.T) {
	n := one(t, sized)
	for i := range maxSizes + 10 {
		n.must(&Request{Call: policy.Call{Tenant: "t", Model: fmt.Sprint(i), PromptTokens: 1}}, Admit, CodeOK)
	}
	if list := n.e.Sizes(); len(list) != maxSizes || list[0].Model != "10" || len(n.e.sizes.by) != maxSizes {
		t.Errorf("%d, the first is %+v", len(list), list[0])
	}
	n.must(model("0", 1, 1), Admit, CodeOK)
}

// TestCostsOfEarlierPoliciesMakeRoom: what a call takes of a budget is learned also after policies whose budgets had other names.
func TestCostsOfEarlierPoliciesMakeRoom(t *testing.T) {
	z := &size{}
	for i := range 3 * policy.MaxDraws {
		z.charge(fmt.Sprint("b", i), 10)
	}
	if n := len(z.costs); n != policy.MaxDraws || z.costs[n-1].budget != fmt.Sprint("b", 3*policy.MaxDraws-1) {
		t.Errorf("%d, the last is %+v", n, z.costs[n-1].budget)
	}
}
