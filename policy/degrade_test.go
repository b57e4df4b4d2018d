package policy

import (
	"fmt"
	"slices"
	"testing"
)

const degrading = head + `tokens: {compute: {unit: token}}
budgets:
  - {name: pool, token: compute, supply: {rate: 1000/s, burst: 3000}}
  - {name: day, token: compute, per: [tenant], supply: {window: 24h, amount: 1M}}
rules:
  - {name: all, draw: [day]}
  - name: large
    when: model == "gpt-4o"
    draw: [pool, day]
    cost: {compute: 10 * (prompt_tokens + max_output_tokens)}
    degrade: {below: 20%, model: gpt-4o-mini, max_output_tokens: 100}
  - {name: small, when: model != "gpt-4o", draw: [pool], degrade: {max_output_tokens: 50}}
`

func TestDegrade(t *testing.T) {
	p := mustParse(t, degrading)
	call := Call{Tenant: "t", Model: "gpt-4o", PromptTokens: 10, MaxOutputTokens: 400}
	plan, err := p.Match(&call)
	if err != nil {
		t.Fatal(err)
	}
	if len(plan.Degrades) != 1 {
		t.Fatalf("%+v", plan.Degrades)
	}
	g := plan.Degrades[0]
	watched := slices.Collect(func(yield func(string) bool) {
		for i, d := range plan.Draws {
			if g.Watches(i) && !yield(d.Budget.Name) {
				return
			}
		}
	})
	if g.Rule != "large" || g.Below != 200_000 || fmt.Sprint(watched) != "[day pool]" {
		t.Errorf("%+v watches %v", g, watched)
	}
	// A call that is made cheaper is another call: other rules match it.
	if !g.Apply(&call) || call.Model != "gpt-4o-mini" || call.MaxOutputTokens != 100 || call.PromptTokens != 10 {
		t.Errorf("%+v", call)
	}
	if g.Apply(&call) {
		t.Error("a call is made cheaper twice")
	}
	if plan, err = p.Match(&call); err != nil || len(plan.Degrades) != 1 || plan.Degrades[0].Rule != "small" || plan.Degrades[0].Below != 0 {
		t.Errorf("%+v, %v", plan, err)
	}
	if few := (Call{Model: "gpt-4o-mini", MaxOutputTokens: 30}); plan.Degrades[0].Apply(&few) || few.MaxOutputTokens != 30 {
		t.Errorf("%+v", few)
	}
	if stated := (Call{Model: "gpt-4o", Tokens: []Amount{{"compute", 5}}}); g.Apply(&stated) || stated.Model != "gpt-4o" {
		t.Errorf("%+v", stated)
	}
}
