package policy

import (
	"fmt"
	"strings"
	"testing"
)

const pooledDoc = `apiVersion: swarmpurse/v1
revision: 1
tokens: {compute: {unit: token}, money: {unit: micro}}
classes: [{name: standard, latency_budget: 1s}]
upstreams:
  - {name: gpu, zones: [eu], draw: [gpu-pool]}
  - {name: cloud, draw: [purse, all], cost: {money: 3 * max_output_tokens, compute: 7}}
  - {name: spare}
  - {name: far, zones: [us], draw: [eu-pool]}
  - {name: own, models: [mine], draw: [tenant-pool]}
budgets:
  - {name: all, token: compute, supply: {grant: 1000}}
  - {name: gpu-pool, token: compute, supply: {grant: 1000}}
  - {name: eu-pool, token: compute, supply: {grant: 1000}, locality: {zones: [eu]}}
  - {name: tenant-pool, token: compute, per: [tenant], supply: {rate: 10/s, burst: 1000}}
  - {name: purse, token: money, supply: {grant: 1000}}
rules:
  - {name: everybody, draw: [all], degrade: {model: small}}
`

// TestSites: what a call draws on by the upstream that it goes to.
func TestSites(t *testing.T) {
	p, err := Parse("p.yaml", []byte(pooledDoc))
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		model, tenant, want string
	}{
		{"m", "", "gpu: all=110 gpu-pool=110; cloud: all=110 purse=30; spare: all=110"},
		{"mine", "t", "gpu: all=110 gpu-pool=110; cloud: all=110 purse=30; spare: all=110; own: all=110 tenant-pool=110"},
	} {
		c := &Call{Model: tt.model, Tenant: tt.tenant, PromptTokens: 100, MaxOutputTokens: 10}
		plan, err := p.Match(c)
		if err != nil {
			t.Fatal(err)
		}
		var got []string
		for i, s := range plan.Sites {
			x := plan.Route.Upstreams[i].Name + ":"
			if len(s.Route.Upstreams) != 1 || s.Route.Upstreams[0] != plan.Route.Upstreams[i] || !s.Admit || s.Sites != nil || len(s.Degrades) != 1 || !s.Degrades[0].Watches(0) || s.Degrades[0].Watches(1) {
				t.Errorf("%s: %+v", x, s)
			}
			for j := range s.Draws {
				d := &s.Draws[j]
				n, err := d.Amount(c)
				if err != nil {
					t.Fatal(err)
				}
				if d.Budget.Meters != nil {
					x += " (20 %)"
					continue
				}
				x += fmt.Sprintf(" %s=%d", d.Budget.Name, n)
			}
			got = append(got, x)
		}
		if got := strings.Join(got, "; "); got != tt.want {
			t.Errorf("%s\nwant %s", got, tt.want)
		}
		if len(plan.Draws) != 1 {
			t.Errorf("before it goes anywhere it draws on %v", plan.Draws)
		}
	}
	warnings := fmt.Sprint(Check(p))
	if !strings.Contains(warnings, `upstream "far" draws on budget "eu-pool", which is bound to zone eu, where it does not lie`) || strings.Contains(warnings, `no rule draws on budget "gpu-pool"`) {
		t.Error(warnings)
	}
	for in, want := range map[string]string{
		"{name: gpu, draw: [nothing]}":                        `unknown budget "nothing"`,
		"{name: gpu, draw: [all, all]}":                       `draws on budget "all" twice`,
		"{name: gpu, draw: [all], cost: {money: 1}}":          `no budget that`,
		"{name: gpu, cost: {compute: 1}}":                     `no budget that`,
		"{name: gpu, draw: [purse]}":                          `what a call costs in token type "money" is not said`,
		"{name: gpu, draw: [all], cost: {compute: nonsense}}": `nonsense`,
	} {
		_, err := Parse("p.yaml", []byte(strings.Replace(pooledDoc, "{name: spare}", strings.Replace(in, "gpu", "spare", 1), 1)))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %s", in, err, want)
		}
	}
}
