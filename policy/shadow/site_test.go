package shadow

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
)

const pooled = `apiVersion: swarmpurse/v1
revision: 1
tokens: {compute: {unit: token}}
upstreams:
  - {name: gpu, draw: [gpu-pool]}
  - {name: cloud, draw: [cloud-pool]}
  - {name: spare}
budgets:
  - {name: all, token: compute, supply: {grant: 9000}}
  - {name: gpu-pool, token: compute, supply: {grant: 100}}
  - {name: cloud-pool, token: compute, supply: {grant: 1000}}
rules:
  - {name: all, draw: [all], route: latency, cost: {compute: prompt_tokens}}
`

// sent is a stable decision that sent a call to an upstream of those that the node reaches, all but spare.
func sent(t *testing.T, p *policy.Policy, c *policy.Call, upstream string) *Seen {
	t.Helper()
	plan, err := p.Match(c)
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(plan.Route.Upstreams, func(u *policy.Upstream) bool { return u.Name == upstream })
	s := &Seen{
		Call: c, Admitted: true, Code: "ok", Plan: plan, Model: c.Model, Upstream: upstream,
		Known: func(u *policy.Upstream) policy.Seen { return policy.Seen{Out: u.Name == "spare", Latency: u.Latency} },
	}
	for j := range plan.Sites[i].Draws {
		d := &plan.Sites[i].Draws[j]
		n, err := d.Amount(c)
		if err != nil {
			t.Fatal(err)
		}
		s.Draws = append(s.Draws, Draw{Instance: Instance(d), Amount: n, Price: d.Base(), Left: 500_000, Room: -1})
	}
	return s
}

// TestBudgetsOfUpstreams: what a candidate says of upstreams' budgets is seen: by the upstream to which it would send the call, of which those had no room that the
// stable revision passed over.
func TestBudgetsOfUpstreams(t *testing.T) {
	refused := func(instance string, left ledger.Tokens) func(*Seen) {
		return func(s *Seen) {
			s.Admitted, s.Code, s.Short, s.Instance, s.Remaining = false, "budget_exhausted", true, instance, left
		}
	}
	for _, test := range []struct {
		name, old, new string // of the document
		to             string // the stable revision's upstream
		change         func(*Seen)
		want           string
		admitted       bool
		assumed        bool
	}{
		{"nothing", "revision: 1", "revision: 2", "gpu", nil, "", true, false},
		{"nothing where one was passed over", "revision: 1", "revision: 2", "cloud", nil, "", true, false},
		{"a budget that is new", "gpu, draw: [gpu-pool]", "gpu, draw: [gpu-pool, cloud-pool]", "gpu", nil, "draws: all, gpu-pool → all, cloud-pool, gpu-pool", true, true},
		{"one less", "{name: gpu, draw: [gpu-pool]}", "{name: gpu}", "gpu", nil, "draws: all, gpu-pool → all", true, false},
		{"none any more", "upstreams:\n  - {name: gpu, draw: [gpu-pool]}\n  - {name: cloud, draw: [cloud-pool]}\n", "upstreams:\n  - {name: gpu}\n  - {name: cloud}\n", "gpu", nil, "draws: all, gpu-pool → all", true, false},
		{"another cost", "gpu, draw: [gpu-pool]", "gpu, draw: [gpu-pool], cost: {compute: 2 * prompt_tokens}", "gpu", nil, "amount: 50 of gpu-pool → 100 of gpu-pool", true, true},
		{"one too small", "gpu-pool, token: compute, supply: {grant: 100}", "gpu-pool, token: compute, supply: {grant: 40}", "gpu", nil, "draws: all, gpu-pool → all, cloud-pool; route: gpu → cloud", true, true},
		{"both too small", "cloud-pool, token: compute, supply: {grant: 1000}", "cloud-pool, token: compute, supply: {grant: 40}", "cloud", nil,
			"decision: admitted → refused: budget_exhausted: gpu was passed over for want of room; draws: all, cloud-pool → all, gpu-pool", false, false},
		{"one larger that was passed over", "gpu-pool, token: compute, supply: {grant: 100}", "gpu-pool, token: compute, supply: {grant: 500}", "cloud", nil, "draws: all, cloud-pool → all, gpu-pool; route: cloud → gpu", true, true},
		{"one cheaper that was passed over", "gpu, draw: [gpu-pool]", "gpu, draw: [gpu-pool], cost: {compute: prompt_tokens / 2}", "cloud", nil, "draws: all, cloud-pool → all, gpu-pool; route: cloud → gpu", true, true},
		{"refused by all", "revision: 1", "revision: 2", "gpu", refused("gpu-pool", 7), "", false, false},
		{"refused by all, and one is enough now", "cloud, draw: [cloud-pool]", "cloud", "gpu", refused("gpu-pool", 7), "decision: refused: budget_exhausted → admitted, if its budgets have the rights; draws: all, gpu-pool → all", true, true},
		{"refused by what all draw on", "gpu, draw: [gpu-pool]", "gpu", "gpu", refused("all", 7), "draws: all, gpu-pool → all", false, false},
		{"the other is faster", "{name: gpu", "{name: gpu, latency: 2s", "gpu", nil, "draws: all, gpu-pool → all, cloud-pool; route: gpu → cloud", true, true},
	} {
		p, err := policy.Parse("stable", []byte(pooled))
		if err != nil {
			t.Fatal(err)
		}
		changed := strings.Replace(pooled, test.old, test.new, 1)
		candidate, err := policy.Parse("candidate", []byte(changed))
		if err != nil || changed == pooled {
			t.Fatalf("%s: %v", test.name, err)
		}
		s := sent(t, p, &policy.Call{Model: "m", PromptTokens: 50}, test.to)
		if test.change != nil {
			test.change(s)
		}
		r := New(candidate).Look(s)
		var got []string
		for i := range r.Differences {
			d := &r.Differences[i]
			got = append(got, fmt.Sprintf("%s: %s → %s", d.Name(), d.Stable, d.Candidate))
		}
		if text := strings.Join(got, "; "); text != test.want || r.Admitted != test.admitted || r.Assumed != test.assumed {
			t.Errorf("%s\n got %s (%v, %v)\nwant %s (%v, %v)", test.name, text, r.Admitted, r.Assumed, test.want, test.admitted, test.assumed)
		}
	}
}
