package admit

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/policy/rollout"
)

const drifted = preamble + `
budgets:
  - {name: pool, token: compute, supply: {rate: 1M/s, burst: 1M}}
  - {name: calls, token: concurrency, supply: {slots: 500}}
rules:
  - {draw: [pool, calls], cost: {compute: prompt_tokens + max_output_tokens}}
`

// ended makes a call of an agent that puts out so much.
func (n *node) ended(agent, model string, output int64) {
	n.w.t.Helper()
	r := of(agent, model, 0)
	r.MaxOutputTokens = 10_000
	n.settle(n.must(r, Admit, CodeOK), Settlement{Usage: &Usage{CompletionTokens: output}})
}

// TestDriftByArm: what each arm puts out and costs is held to what was learned of the model before the trial, and for a model that
// was not known, to the first calls of the stable arm.
func TestDriftByArm(t *testing.T) {
	n := one(t, drifted)
	for i := range 100 {
		n.ended("before", "known", int64(90+i%20))
	}
	if n.e.Drifts() != nil {
		t.Error("arms of no trial")
	}
	_, split := n.try(strings.NewReplacer("revision: 1", "revision: 2", "+ max_output_tokens", "+ 2 * max_output_tokens").Replace(drifted))
	a, b := agents(split)
	for range 50 {
		n.ended(a, "known", 100)
		n.ended(b, "known", 300)
	}
	n.ended(b, "new", 5000) // is compared with nothing yet, and is no yardstick
	for range 10 {
		n.ended(b, "new", 10)
	}
	for range sizeFrom {
		n.ended(a, "new", 10)
	}
	for range 10 {
		n.ended(a, "new", 10)
		n.ended(b, "new", 10) // costs twice as much
	}
	// What nobody counted is not compared: one that is charged as reserved, one of which one kind of tokens is known, one that is released, one that ends after the trial.
	n.settle(n.must(of(b, "known", 10), Admit, CodeOK), Settlement{Usage: &Usage{PromptTokens: 10}, Partial: true})
	n.settle(n.must(of(b, "known", 10), Admit, CodeOK), Settlement{})
	if _, err := n.e.Release(n.w.now, n.must(of(b, "known", 10), Admit, CodeOK)); err != nil {
		t.Fatal(err)
	}
	// Of one whose caller says the cost, only that is known.
	n.settle(n.must(of(b, "known", 10), Admit, CodeOK), Settlement{Used: []policy.Amount{{Token: "compute", Amount: 1}}})
	s, c, _ := n.e.Outcomes()
	if want := (rollout.Drift{Outputs: 60, Long: 0, Costs: 60, Dear: 0}); s.Drift != want {
		t.Errorf("stable %+v, want %+v", s.Drift, want)
	}
	if want := (rollout.Drift{Outputs: 60, Long: 50, Costs: 61, Dear: 60}); c.Drift != want {
		t.Errorf("candidate %+v, want %+v", c.Drift, want)
	}
	list := n.e.Drifts()
	if len(list) != 2 || list[0].Model != "known" || list[0].Usual < 109 || list[0].Usual > 136 || len(list[0].Costs) != 1 || list[0].Costs[0].Budget != "pool" {
		t.Fatalf("%+v", list)
	}
	if o := list[0].Output; o != [2]ArmDrift{{50, 0, 100}, {50, 50, 300}} {
		t.Errorf("%+v", o)
	}
	if k := list[1].Costs[0].Cost; k != [2]ArmDrift{{10, 0, 10}, {10, 10, 20}} || list[1].Usual != 11 {
		t.Errorf("%+v", list[1])
	}
	late := n.must(of(b, "known", 10), Admit, CodeOK)
	n.e.SetPolicy(n.w.policy)
	n.settle(late, Settlement{Usage: &Usage{CompletionTokens: 5}})
	if n.e.Drifts() != nil {
		t.Error("arms of no trial")
	}
}

// TestDriftOfCheaperCalls: a call that was made cheaper is held to the model that it ran with.
func TestDriftOfCheaperCalls(t *testing.T) {
	n := one(t, strings.Replace(degrading, "below: 40%", "below: 100%", 1))
	n.must(model("large", 1, 1), Admit, CodeOK)
	n.w.pass(1100e6)
	for range 40 {
		n.settle(n.must(model("large", 1, 1), Degrade, CodeOK), Settlement{Usage: &Usage{PromptTokens: 1, CompletionTokens: 1}})
	}
	for _, z := range n.e.Sizes() {
		if z.Model == "large" && z.Calls > 0 {
			t.Errorf("%+v", z)
		}
	}
	if !slices.ContainsFunc(n.e.Sizes(), func(z Size) bool { return z.Model == "mini" && z.Calls == 40 }) {
		t.Errorf("%+v", n.e.Sizes())
	}
}

// TestDriftOfNewModel: a model that the candidate puts in the place of another is held to what that one came to, as it has no past of its own;
// from the stable arm's first calls on to its own. Where neither has a past, calls are counted as held to nothing.
func TestDriftOfNewModel(t *testing.T) {
	const moved = preamble + `
budgets:
  - {name: pool, token: compute, supply: {window: 24h, amount: 100M}}
rules:
  - {draw: [pool], cost: {compute: prompt_tokens + max_output_tokens}}
  - {when: model != "fresh", draw: [pool]}
`
	n := one(t, moved)
	for i := range 100 {
		n.ended("before", "known", int64(90+i%20))
	}
	_, split := n.try(strings.NewReplacer("revision: 1", "revision: 2", `"fresh", draw: [pool]`, `"fresh", draw: [pool], degrade: {below: 100%, model: fresh}`).Replace(moved))
	a, b := agents(split)
	n.must(of(a, "known", 10), Admit, CodeOK) // so that less than all is left
	n.w.pass(time.Second)
	call := func(agent, model string, verdict Verdict, output int64) {
		t.Helper()
		r := of(agent, model, 0)
		r.MaxOutputTokens = 10_000
		n.settle(n.must(r, verdict, CodeOK), Settlement{Usage: &Usage{CompletionTokens: output}})
	}
	for range 20 {
		call(a, "known", Admit, 100)
		call(b, "known", Degrade, 300)
	}
	call(b, "unheard", Degrade, 300)
	s, c, _ := n.e.Outcomes()
	if want := (rollout.Drift{Outputs: 20, Costs: 20}); s.Drift != want {
		t.Errorf("stable %+v, want %+v", s.Drift, want)
	}
	if want := (rollout.Drift{Outputs: 20, Long: 20, Costs: 20, Dear: 20}); c.Drift != want {
		t.Errorf("candidate %+v, want %+v", c.Drift, want)
	}
	of := func(model string) Drifts {
		list := n.e.Drifts()
		return list[slices.IndexFunc(list, func(d Drifts) bool { return d.Model == model })]
	}
	if d := of("known"); d.Output != [2]ArmDrift{{20, 0, 100}, {20, 20, 300}} || d.Costs[0].Cost[1].Above != 20 || d.Free != [2]int64{} {
		t.Errorf("%+v", d)
	}
	if d := of("fresh"); d.Usual != -1 || d.Output != [2]ArmDrift{} || d.Free != [2]int64{0, 1} {
		t.Errorf("%+v", d)
	}
	for range sizeFrom {
		call(a, "fresh", Admit, 300)
	}
	call(b, "known", Degrade, 300)
	if d := of("fresh"); d.Output != [2]ArmDrift{1: {1, 0, 300}} || d.Free != [2]int64{sizeFrom, 1} {
		t.Errorf("%+v", d)
	}
}

// TestDriftIsBounded: models and budgets beyond the bounds are not compared.
func TestDriftIsBounded(t *testing.T) {
	d := newDrift(&sizes{})
	for i := range maxDrifting + 10 {
		if m := d.model(fmt.Sprint(i)); (m != nil) != (i < maxDrifting) {
			t.Fatalf("the model %d: %v", i, m)
		}
	}
	m := d.model("0")
	for i := range maxDriftCosts + 10 {
		if y := m.cost(fmt.Sprint(i)); (y != nil) != (i < maxDriftCosts) {
			t.Fatalf("the budget %d: %v", i, y)
		}
	}
}

// TestYardstickLaws: it never moves once a call was held to it, calls of the candidate do not make it, and each call that is held to
// it is counted once.
func TestYardstickLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		y := yardstick{usual: -1}
		for range rapid.IntRange(0, 40).Draw(t, "before") {
			y.seen.add(rapid.Int64Range(0, 1000).Draw(t, "seen"))
		}
		y.fix()
		stable, usual := y.seen.n, y.usual
		var calls, above [2]int64
		for range rapid.IntRange(0, 100).Draw(t, "calls") {
			arm, v := rapid.IntRange(0, 1).Draw(t, "arm"), rapid.Int64Range(0, 2000).Draw(t, "v")
			known, over := y.take(arm, v)
			if known != (usual >= 0) || known && over != (v > usual) {
				t.Fatalf("%d beside %d: known %v, over %v", v, usual, known, over)
			}
			if known {
				calls[arm]++
				if over {
					above[arm]++
				}
			} else if arm == 0 {
				if stable++; stable >= sizeFrom {
					usual = y.usual
				}
			}
			if y.usual != usual || (usual >= 0) != (stable >= sizeFrom) {
				t.Fatalf("it is %d, and was %d, by %d calls", y.usual, usual, stable)
			}
		}
		if y.calls != calls || y.above != above {
			t.Fatalf("counted %v %v, want %v %v", y.calls, y.above, calls, above)
		}
	})
}
