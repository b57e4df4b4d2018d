package shadow

import (
	"fmt"
	"strings"
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/purity"
	"github.com/swarmpurse/swarmpurse/policy"
)

func TestPurity(t *testing.T) {
	purity.Check(t, purity.Allowed{"fmt": {"Sprintf"}, "slices": nil, "strings": nil, "github.com/swarmpurse/swarmpurse/ledger": nil, "github.com/swarmpurse/swarmpurse/policy": nil})
}

const stable = `apiVersion: swarmpurse/v1
revision: 1
tokens: {compute: {unit: token}}
classes: [{name: standard}, {name: batch, sheddable: true}]
budgets:
  - {name: pool, token: compute, supply: {grant: 1000}}
  - {name: day, token: compute, per: [tenant], supply: {window: 24h, amount: 500}}
flags: {new: {by: tenant, targets: [x]}}
rules:
  - {name: all, when: model != "none", draw: [pool], cost: {compute: prompt_tokens}}
`

// see is the stable decision on a call, with plenty of rights.
func see(t *testing.T, p *policy.Policy, c *policy.Call) *Seen {
	t.Helper()
	plan, err := p.Match(c)
	if err != nil {
		t.Fatal(err)
	}
	s := &Seen{Call: c, Admitted: plan.Admit, Code: "ok", Plan: plan, Model: c.Model}
	if !plan.Admit {
		s.Code, s.OfPolicy = "no_rule", true
	}
	for i := range plan.Draws {
		d := &plan.Draws[i]
		n, err := d.Amount(c)
		if err != nil {
			t.Fatal(err)
		}
		s.Draws = append(s.Draws, Draw{Instance: Instance(d), Amount: n, Price: d.Base(), Left: 500_000, Budget: d.Budget, Room: -1})
	}
	return s
}

// TestLook: each kind of difference is found, with what differs, and only that; what cannot be known is said.
func TestLook(t *testing.T) {
	for _, test := range []struct {
		old, new string // of the stable document
		call     policy.Call
		change   func(*Seen)
		want     string
		admitted bool
		assumed  bool
	}{
		{"revision: 1", "revision: 2", policy.Call{Model: "m", PromptTokens: 10}, nil, "", true, false},
		{`model != "none"`, `model != "none" && model != "mini"`, policy.Call{Model: "mini", PromptTokens: 10}, nil, "decision: admitted → refused: no_rule; rules: all → none; draws: pool → none", false, false},
		{`model != "none"`, `true`, policy.Call{Model: "none", PromptTokens: 10}, nil, "decision: refused: no_rule → admitted, if its budgets have the rights; rules: none → all; draws: none → pool", true, true},
		{"cost: {compute: prompt_tokens}", "cost: {compute: 2 * prompt_tokens}", policy.Call{Model: "m", PromptTokens: 10}, nil, "amount: 10 of pool → 20 of pool", true, true},
		{"cost: {compute: prompt_tokens}", "cost: {compute: 2 * prompt_tokens}", policy.Call{Model: "m", PromptTokens: 600}, nil, "decision: admitted → refused: exceeds_limit: 1200 of pool; amount: 600 of pool → 1200 of pool", false, false},
		{"draw: [pool]", "draw: [pool, day]", policy.Call{Model: "m", Tenant: "t", PromptTokens: 10}, nil, "draws: pool → day/t, pool", true, true},
		{"draw: [pool]", "draw: [pool, day]", policy.Call{Model: "m", PromptTokens: 10}, nil, `decision: admitted → refused: invalid: budget "day" is per tenant`, false, false},
		{"name: batch, sheddable: true", "name: batch, default: true", policy.Call{Model: "m", PromptTokens: 10}, nil, "class: standard → batch", true, false},
		{"{name: standard}", "{name: standard, sheddable: true}", policy.Call{Model: "m", PromptTokens: 10}, func(s *Seen) { s.Level = 3 }, "decision: admitted → refused: shed; draws: pool → none", false, false},
		{"draw: [pool]", "draw: [pool], degrade: {below: 60%, model: tiny, max_output_tokens: 5}", policy.Call{Model: "m", PromptTokens: 10}, nil, "model: m → tiny, at most 5 tokens of output", true, false},
		{"draw: [pool]", "draw: [pool], degrade: {below: 40%, model: tiny}", policy.Call{Model: "m", PromptTokens: 10}, nil, "", true, false},
		{"draw: [pool]", "draw: [pool], degrade: {below: 60%, model: tiny}", policy.Call{Model: "m", PromptTokens: 10}, func(s *Seen) { s.Fixed = true }, "", true, false},
		{"draw: [pool]", "draw: [pool], degrade: {model: tiny}", policy.Call{Model: "m", PromptTokens: 10}, nil, "", true, false},
		{"draw: [pool]", "draw: [pool], degrade: {model: tiny}", policy.Call{Model: "m", PromptTokens: 10}, func(s *Seen) { s.Instead, s.Model = true, "tiny" }, "", true, false},
		{"targets: [x]", "targets: [x, t]", policy.Call{Model: "m", Tenant: "t", PromptTokens: 10}, nil, "flags: none → new", true, false},
		{"rules:", "upstreams: [{name: eu}]\nrules:", policy.Call{Model: "m", PromptTokens: 10}, nil, "route: none → eu", true, false},
		// Refused for want of rights: less may be enough, as much is not.
		{"cost: {compute: prompt_tokens}", "cost: {compute: prompt_tokens / 2}", policy.Call{Model: "m", PromptTokens: 10}, short, "decision: refused: budget_exhausted → admitted; amount: 10 of pool → 5 of pool", true, false},
		{"revision: 1", "revision: 2", policy.Call{Model: "m", PromptTokens: 10}, short, "", false, false},
		// Another limit: what was left of the one in force tells what would be left of it.
		{"grant: 1000", "grant: 600", policy.Call{Model: "m", PromptTokens: 10}, room(410), "", true, false},
		{"grant: 1000", "grant: 600", policy.Call{Model: "m", PromptTokens: 10}, room(409), "decision: admitted → refused: budget_exhausted: 10 of pool, 9 left of its 600", false, false},
		{"grant: 1000", "grant: 600", policy.Call{Model: "m", PromptTokens: 10}, room(100), "decision: admitted → refused: budget_exhausted: 10 of pool, 0 left of its 600", false, false},
		{"grant: 1000", "grant: 600", policy.Call{Model: "m", PromptTokens: 10}, nil, "", true, false}, // the node does not know
		{"grant: 1000}", "grant: 600}, ceiling: {soft: 10%}", policy.Call{Model: "m", PromptTokens: 10}, room(100), "", true, false},
		{"grant: 1000", "rate: 600/s, burst: 600", policy.Call{Model: "m", PromptTokens: 10}, room(100), "", true, false},
		{"cost: {compute: prompt_tokens}", "cost: {compute: 2 * prompt_tokens}", policy.Call{Model: "m", PromptTokens: 10}, room(20), "amount: 10 of pool → 20 of pool", true, false},
		{"cost: {compute: prompt_tokens}", "cost: {compute: 2 * prompt_tokens}", policy.Call{Model: "m", PromptTokens: 10}, room(19), "decision: admitted → refused: budget_exhausted: 20 of pool, 19 left of its 1000; amount: 10 of pool → 20 of pool", false, false},
		{"grant: 1000", "grant: 1003", policy.Call{Model: "m", PromptTokens: 10}, short, "decision: refused: budget_exhausted → admitted", true, false},
		{"grant: 1000", "grant: 1002", policy.Call{Model: "m", PromptTokens: 10}, short, "", false, false},
		// The node's own state is the candidate's, too.
		{"cost: {compute: prompt_tokens}", "cost: {compute: prompt_tokens / 2}", policy.Call{Model: "m", PromptTokens: 10}, func(s *Seen) { s.Admitted, s.Code = false, "draining" }, "amount: 10 of pool → 5 of pool", false, false},
	} {
		p, err := policy.Parse("stable", []byte(stable))
		if err != nil {
			t.Fatal(err)
		}
		src := strings.Replace(stable, test.old, test.new, 1)
		candidate, err := policy.Parse("candidate", []byte(src))
		if err != nil || src == stable {
			t.Fatalf("%s: %v", test.new, err)
		}
		s := see(t, p, &test.call)
		if test.change != nil {
			test.change(s)
		}
		e := New(candidate)
		for range 2 { // matched, and with the plan that is kept
			r := e.Look(s)
			var got []string
			for i := range r.Differences {
				d := &r.Differences[i]
				got = append(got, fmt.Sprintf("%s: %s → %s", d.Name(), d.Stable, d.Candidate))
			}
			if text := strings.Join(got, "; "); text != test.want && !(strings.Contains(test.want, "invalid") && strings.HasPrefix(text, test.want)) || r.Admitted != test.admitted || r.Assumed != test.assumed {
				t.Errorf("%s\n got %s (%v, %v)\nwant %s (%v, %v)", test.new, text, r.Admitted, r.Assumed, test.want, test.admitted, test.assumed)
			}
		}
	}
}

// room has so much be left of the first budget.
func room(n ledger.Tokens) func(*Seen) { return func(s *Seen) { s.Draws[0].Room = n } }

func short(s *Seen) {
	s.Admitted, s.Code, s.Short, s.Instance, s.Remaining = false, "budget_exhausted", true, "pool", 7
}

func TestCounts(t *testing.T) {
	var c Counts
	c.Add(&Seen{Admitted: true}, &Result{Differences: []Difference{{Kind: Decision}, {Kind: Rules}}})
	c.Add(&Seen{}, &Result{Admitted: true, Assumed: true, Differences: []Difference{{Kind: Decision}}})
	c.Add(&Seen{Admitted: true}, &Result{Admitted: true})
	c.Dropped = 5
	want := Counts{Compared: 3, Differ: 2, Assumed: 1, Dropped: 5, Stricter: 1, Looser: 1}
	want.Kinds[Decision], want.Kinds[Rules] = 2, 1
	if c != want || CountsOf(c.Values()) != c || CountsOf(nil) != (Counts{}) {
		t.Errorf("%+v", c)
	}
}

func BenchmarkLook(b *testing.B) {
	p, _ := policy.Parse("stable", []byte(stable))
	c := &policy.Call{Model: "m", PromptTokens: 10}
	plan, err := p.Match(c)
	if err != nil {
		b.Fatal(err)
	}
	s := &Seen{Call: c, Admitted: true, Code: "ok", Plan: plan, Model: "m", Draws: []Draw{{Instance: "pool", Amount: 10, Price: plan.Draws[0].Base(), Left: 500_000, Budget: plan.Draws[0].Budget, Room: 500}}}
	e := New(p)
	b.ReportAllocs()
	for b.Loop() {
		e.Look(s)
	}
}
