package admit

import (
	"errors"
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/policy/outcome"
)

const split = preamble + `
budgets:
  - {name: large, token: compute, supply: {grant: 1000}}
  - {name: small, token: compute, supply: {grant: 100000}}
flags:
  cheap: {by: tenant, targets: [t]}
experiments:
  - name: sizes
    when: model == "large"
    arms:
      - {name: control}
      - {name: mini, model: mini, max_output_tokens: 5, temperature: 0.3}
rules:
  - {draw: [large], when: model == "large", degrade: {model: tiny, max_output_tokens: 3}}
  - {draw: [small], when: model == "mini", degrade: {below: 10%, max_output_tokens: 1}}
  - {draw: [small], when: model == "tiny"}
`

// members finds an agent of each arm.
func members(p *policy.Policy) (control, mini string) {
	for i := 0; control == "" || mini == ""; i++ {
		a := fmt.Sprint("agent-", i)
		plan, err := p.Match(&policy.Call{Tenant: "t", Agent: a, Model: "large"})
		if err != nil {
			panic(err)
		}
		if plan.Arm.Name == "mini" {
			mini = a
		} else {
			control = a
		}
	}
	return control, mini
}

// TestExperiment: calls run, are priced and counted as their arm says, decided by the owner or at once; callers are told; what becomes of them
// and what they say of answers is counted by arm.
func TestExperiment(t *testing.T) {
	n := one(t, split)
	control, mini := members(n.w.policy)
	ask := func(agent string) *Request {
		return &Request{Call: policy.Call{Tenant: "t", Agent: agent, Model: "large", PromptTokens: 10, MaxOutputTokens: 20}}
	}
	for range 2 { // decided by the owner, then at once
		for _, test := range []struct {
			agent, arm, budget string
			amount             int64
		}{{control, "control", "large", 30}, {mini, "mini", "small", 15}} {
			id := n.must(ask(test.agent), Admit, CodeOK)
			d, err := n.e.Lookup(id)
			if err != nil || d.Experiment != "sizes" || d.ExperimentArm != test.arm || d.Reserved[0].Budget != test.budget || int64(d.Reserved[0].Amount) != test.amount || d.Model != "large" || !slices.Equal(d.Flags, []string{"cheap"}) {
				t.Fatalf("%+v, %v", d, err)
			}
			if a := d.Advice; (a != nil) != (test.arm == "mini") || a != nil && (a.Model != "mini" || a.MaxOutputTokens != 5 || *a.Temperature != 0.3 || a.TopP != nil) {
				t.Fatalf("%+v", a)
			}
			n.w.pass(500 * time.Millisecond)
			score := 0.5
			if _, err := n.e.Settle(n.w.now, id, Settlement{Usage: &Usage{PromptTokens: 10, CompletionTokens: 4}, Score: &score}); err != nil {
				t.Fatal(err)
			}
			if kept, repeated, err := n.e.Score(id, 0.9); kept != 0.5 || !repeated || err != nil { // the first counts
				t.Fatal(kept, repeated, err)
			}
		}
	}
	if _, ok := n.e.Try(n.w.now, ask(mini)); !ok {
		t.Error("a call of an arm is not decided at once")
	}
	// Calls that cannot be changed, and others, take no part.
	as := ask(mini)
	as.AsIs, as.Fixed = true, true
	if a := n.answer(n.must(as, Admit, CodeOK)); a.Experiment != "" || a.Advice != nil || a.Reserved[0].Budget != "large" {
		t.Errorf("%+v", a)
	}
	// A call of an arm that is then made cheaper stays in its arm.
	n.must(ask(control), Admit, CodeOK)
	big := ask(control)
	big.MaxOutputTokens = 2000
	if a := n.answer(n.must(big, Degrade, CodeOK)); a.ExperimentArm != "control" || a.Advice.Model != "tiny" {
		t.Errorf("%+v", a)
	}
	list := n.e.Experiments()
	if len(list) != 1 {
		t.Fatalf("%+v", list)
	}
	arms := list[0].Arms
	half, cost := outcome.Moments{N: 2, Sum: 1, Squares: 0.5}, outcome.Moments{N: 2, Sum: 28, Squares: 2 * 14 * 14}
	if arms[0] != (outcome.Sums{Calls: 4, Latency: half, Cost: cost, Score: half}) || arms[1] != (outcome.Sums{Calls: 3, Latency: half, Cost: cost, Score: half}) {
		t.Errorf("%+v", arms)
	}
	// Counts go on under a policy that has the same experiment, and end with it.
	n.e.SetPolicy(parse(t, split+"# the same\n"))
	n.must(ask(mini), Admit, CodeOK)
	if got := n.e.Experiments()[0].Arms[1].Calls; got != 4 {
		t.Errorf("%v calls", got)
	}
	n.e.SetPolicy(parse(t, tried))
	if got := n.e.Experiments(); got != nil {
		t.Errorf("%+v", got)
	}
	if n.r.Conservation() != 0 {
		t.Error("the equation does not close")
	}
}

// TestScore: bounded, finite, of admitted calls that are known, and kept with the decision whether they take part in an experiment or not.
func TestScore(t *testing.T) {
	n := one(t, tried)
	id := n.must(of("a", "m", 5), Admit, CodeOK)
	for _, v := range []float64{-0.1, 1.1, math.NaN(), math.Inf(1)} {
		if _, _, err := n.e.Score(id, v); !errors.Is(err, ErrInvalid) {
			t.Errorf("%v: %v", v, err)
		}
		if _, err := n.e.Settle(n.w.now, id, Settlement{Score: &v}); !errors.Is(err, ErrInvalid) {
			t.Errorf("%v: %v", v, err)
		}
	}
	if kept, repeated, err := n.e.Score(id, 0.25); kept != 0.25 || repeated || err != nil { // before it is settled
		t.Error(kept, repeated, err)
	}
	n.settle(id, Settlement{})
	if d, err := n.e.Lookup(id); err != nil || *d.Score != 0.25 {
		t.Errorf("%+v, %v", d, err)
	}
	again := n.must(of("a", "m", 5), Admit, CodeOK)
	n.settle(again, Settlement{})
	v := 0.75
	if rc, err := n.e.Settle(n.w.now, again, Settlement{Score: &v}); err != nil || !rc.Repeated { // with a settlement that is repeated
		t.Errorf("%+v, %v", rc, err)
	}
	if d, _ := n.e.Lookup(again); d.Score == nil || *d.Score != 0.75 {
		t.Errorf("%+v", d)
	}
	no := n.must(of("a", "m", 5000), Deny, CodeTooLarge)
	if _, _, err := n.e.Score(no, 1); !errors.Is(err, ErrUnknownID) {
		t.Error(err)
	}
	if _, _, err := n.e.Score(ID(12345), 1); !errors.Is(err, ErrUnknownID) {
		t.Error(err)
	}
}
