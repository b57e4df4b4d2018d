package policy

import (
	"fmt"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

const experimenting = head + `tokens: {c: {unit: token}, d: {unit: call}}
budgets: [{name: a, token: c, supply: {grant: 1M}}, {name: b, token: c, supply: {grant: 1M}}]
experiments:
  - {name: sizes, when: 'model.startsWith("large")', by: tenant, cost: d, arms: [{name: control}, {name: small, weight: 3, model: small, max_output_tokens: 100, temperature: 0.25, top_p: 1}]}
  - {name: heat, by: agent, arms: [{name: cool, temperature: 0}, {name: hot, temperature: 2}]}
rules:
  - {name: large, when: model.startsWith("large"), draw: [a]}
  - {name: small, when: model == "small", draw: [b]}
`

// TestAssign: a call takes part in the first experiment that it fits, and rules see what its arm makes of it.
func TestAssign(t *testing.T) {
	p := mustParse(t, experimenting)
	seen := map[string]int{}
	for i := range 400 {
		c := Call{Tenant: fmt.Sprint("t", i), Agent: fmt.Sprint("a", i), Model: "large-1", PromptTokens: 10, MaxOutputTokens: 200}
		plan, err := p.Match(&c)
		if err != nil || plan.Arm == nil || plan.Arm.Experiment.Name != "sizes" {
			t.Fatalf("%+v, %v", plan, err)
		}
		seen[plan.Arm.Name]++
		if want := map[string]string{"control": "large", "small": "small"}[plan.Arm.Name]; plan.Rules[0] != want {
			t.Errorf("arm %s matches %s", plan.Arm.Name, plan.Rules)
		}
		if plan.Arm.Apply(&c); plan.Arm.Name == "small" && (c.Model != "small" || c.MaxOutputTokens != 100) {
			t.Errorf("%+v", c)
		}
	}
	if seen["small"] < 270 || seen["small"] > 330 || seen["control"]+seen["small"] != 400 {
		t.Errorf("%v", seen)
	}
	for _, test := range []struct {
		call Call
		want string
	}{
		{Call{Model: "m", Agent: "a", Tenant: "t"}, "heat"}, {Call{Model: "large", Agent: "a"}, "heat"}, {Call{Model: "m", Tenant: "t"}, ""},
		{Call{Model: "m", Agent: "a", Fixed: true}, ""}, {Call{Model: "large", Tenant: "t", Fixed: true}, ""},
	} {
		plan, err := p.Match(&test.call)
		if err != nil {
			t.Fatal(err)
		}
		if got := plan.Arm; (got == nil) != (test.want == "") || got != nil && got.Experiment.Name != test.want {
			t.Errorf("%+v: %+v", test.call, got)
		}
	}
	if e := p.Experiments(); e[0].Cost != "d" || e[1].Cost != "c" || e[0].ID == e[1].ID || e[0].ID != mustParse(t, experimenting+"# x\n").Experiments()[0].ID ||
		e[0].ID == mustParse(t, strings.Replace(experimenting, "weight: 3", "weight: 2", 1)).Experiments()[0].ID {
		t.Error("an experiment is not what its definition says")
	}
	if got := p.Experiments()[0].Arms[1].Params.String(); got != "model small, at most 100 tokens of output, temperature 0.25, top_p 1" {
		t.Error(got)
	}
	// What cannot be evaluated fails closed.
	q := mustParse(t, strings.Replace(experimenting, `model.startsWith("large")', by`, `attributes.team == "x"', by`, 1))
	if _, err := q.Match(&Call{Tenant: "t"}); err == nil || !strings.Contains(err.Error(), "experiment sizes") {
		t.Error(err)
	}
}

// TestArmLaws: arms get their parts by weight, all calls of one value go together, and calls that share a key share an arm.
func TestArmLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		e := &Experiment{Name: rapid.StringMatching(`[a-z]{1,6}`).Draw(t, "name"), By: "agent"}
		for i := range rapid.IntRange(2, MaxArms).Draw(t, "arms") {
			e.Arms = append(e.Arms, Arm{Name: fmt.Sprint(i), Weight: rapid.Int64Range(1, 20).Draw(t, "weight")})
		}
		e.init()
		p := &Policy{experiments: []*Experiment{e}}
		const all = 4000
		got := make([]int, len(e.Arms))
		for i := range all {
			c := Call{Agent: fmt.Sprint("agent-", i), Tenant: fmt.Sprint(i % 7)}
			a := e.arm(&c)
			got[a.Index]++
			if c.Tenant = "other"; e.arm(&c) != a || p.armsOf(&c)>>armShift != uint64(a.Index+1) {
				t.Fatal("it is not sticky")
			}
		}
		for i, n := range got {
			part := float64(e.Arms[i].Weight) / float64(e.total)
			if d := float64(n) - all*part; d*d > 25*all*part*(1-part)+25 {
				t.Fatalf("arm %d of weights %v got %d of %d", i, e.Arms, n, all)
			}
		}
	})
}

func TestParseExperiments(t *testing.T) {
	const arms = "arms: [{name: a}, {name: b, model: m}]"
	for _, test := range []struct{ doc, want string }{
		{"experiments: [{" + arms + "}]", `p.yaml:3:15: an experiment lacks the field "name"`},
		{"experiments: [{name: x}]", `p.yaml:3:15: an experiment lacks the field "arms"`},
		{"experiments: [{name: x, arms: [{name: a}]}]", `p.yaml:3:31: an experiment of one arm compares nothing`},
		{"experiments: [{name: x, arms: [{name: a}, {name: a}]}]", `p.yaml:3:50: `},
		{"experiments: [{name: x, by: class, " + arms + "}]", `p.yaml:3:29: calls cannot be split by "class"`},
		{"experiments: [{name: x, cost: y, " + arms + "}]", `p.yaml:3:31: unknown token type "y"`},
		{"experiments: [{name: x, when: 5, " + arms + "}]", `p.yaml:3:31: when must be true or false`},
		{"experiments: [{name: x, arms: [{name: a, weight: 0}, {name: b}]}]", `p.yaml:3:50: weight must be a whole number from 1 to 1000000`},
		{"experiments: [{name: x, arms: [{name: a, temperature: 2.5}, {name: b}]}]", `p.yaml:3:55: temperature must be a number from 0 to 2`},
		{"experiments: [{name: x, arms: [{name: a, top_p: -1}, {name: b}]}]", `p.yaml:3:49: top_p must be a number from 0 to 1`},
		{"experiments: [{name: x, arms: [{name: a, model: ''}, {name: b}]}]", `p.yaml:3:49: model has 0 bytes`},
		{"experiments: [{name: x, arms: [{name: a, seed: 5}, {name: b}]}]", `p.yaml:3:42: unknown field "seed" in an arm`},
		{"experiments: [" + strings.TrimSuffix(strings.Repeat("{name: x, "+arms+"}, ", MaxExperiments+1), ", ") + "]", `p.yaml:3:`},
	} {
		_, err := Parse("p.yaml", []byte(head+test.doc+"\n"))
		if err == nil || !strings.HasPrefix(err.Error(), test.want) {
			t.Errorf("%s\n got %v\nwant %s", test.doc, err, test.want)
		}
	}
	warnings := fmt.Sprint(Check(mustParse(t, head+"experiments: [{name: x, by: model, arms: [{name: a}, {name: b}]}, {name: y, by: model, "+arms+"}]\n")))
	for _, want := range []string{`the arms of experiment "x" do the same`, `experiment "x" is split by model`, `so none is left for experiment "y"`} {
		if !strings.Contains(warnings, want) {
			t.Errorf("no warning %q in %s", want, warnings)
		}
	}
}

// FuzzParseExperiments: whatever parses is in bounds, and each call has one arm by plan and by key.
func FuzzParseExperiments(f *testing.F) {
	for _, s := range []string{"{name: x, arms: [{name: a}, {name: b, model: m}]}", "{name: x, when: 'agent != \"\"', by: tenant, arms: [{name: a, weight: 5, temperature: 0.5}, {name: b, top_p: 1, max_output_tokens: 5k}]}",
		"{name: x, arms: []}", "5", "{name: x, by: attributes.team, cost: c, arms: [{name: a}, {name: b}, {name: c}]}"} {
		f.Add(s, "a")
	}
	f.Fuzz(func(t *testing.T, section, value string) {
		p, err := Parse("p.yaml", []byte(head+"tokens: {c: {unit: token}}\nexperiments:\n  - "+section+"\n"))
		if err != nil {
			return
		}
		for _, e := range p.Experiments() {
			if len(p.Experiments()) > MaxExperiments || len(e.Arms) < 2 || len(e.Arms) > MaxArms || e.total < 2 {
				t.Fatalf("%+v", e)
			}
			for i := range e.Arms {
				a := &e.Arms[i]
				if a.Weight < 1 || a.Temperature < Unset || a.Temperature > maxTemperature || a.TopP < Unset || a.TopP > million || a.MaxOutput < 0 || len(a.Model) > MaxFieldLen || a.Experiment != e {
					t.Fatalf("%+v", a)
				}
			}
		}
		c := Call{Tenant: value, Agent: value, Run: value, Model: value, Attributes: map[string]string{"team": value}}
		if p.Valid(&c) != nil {
			return
		}
		plan, err := p.Match(&c)
		k, ok := p.Key(&c)
		if err != nil || plan.Arm == nil || !ok {
			return
		}
		i := 0
		for p.experiments[i] != plan.Arm.Experiment {
			i++
		}
		if k.Chosen>>(armShift+armBits*i)&(1<<armBits-1) != uint64(plan.Arm.Index+1) {
			t.Fatalf("arm %+v, key %+v", plan.Arm, k)
		}
	})
}
