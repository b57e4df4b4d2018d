package node

import (
	"strings"
	"testing"

	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/policy/shadow"
)

const pooledDoc = `
apiVersion: swarmpurse/v1
revision: 1
tokens: {compute: {unit: token}}
classes: [{name: standard, latency_budget: 5s}]
upstreams:
  - {name: gpu, draw: [gpu-pool]}
  - {name: cloud, draw: [cloud-pool]}
budgets:
  - {name: all, token: compute, supply: {grant: 9000}}
  - {name: gpu-pool, token: compute, supply: {grant: 100}}
  - {name: cloud-pool, token: compute, supply: {grant: 100}}
rules:
  - {name: everybody, draw: [all], cost: {compute: prompt_tokens}}
`

// TestShadowOfUpstreamsBudgets: a shadow that differs in an upstream's budget alone is told of with every call that it would decide otherwise: of those that ran,
// were passed on to another upstream and were refused.
func TestShadowOfUpstreamsBudgets(t *testing.T) {
	g := newGate(t, pooledDoc)
	smaller := strings.NewReplacer("revision: 1", "revision: 2", "gpu, draw: [gpu-pool]}", "gpu, draw: [gpu-pool], cost: {compute: 2 * prompt_tokens}}").Replace(pooledDoc)
	if _, err := g.n.ApplyPolicy(t.Context(), api.ApplyRequest{Source: []byte(smaller), By: "test", Rollout: map[string]string{"shadow": "true", "bake": "1h"}}); err != nil {
		t.Fatal(err)
	}
	s := g.n.shade.Load()
	if s == nil {
		t.Fatal("no shadow is looked at")
	}
	eval := shadow.New(s.policy)
	for _, tt := range []struct {
		tokens   int64
		upstream string // of the stable revision
		want     string
	}{
		{40, "gpu", "amount 40 of gpu-pool → 80 of gpu-pool"},
		{55, "gpu", "draws all, gpu-pool → all, cloud-pool; route gpu → cloud"},
		{50, "cloud", ""},
		{60, "", "amount 60 of gpu-pool → 120 of gpu-pool"}, // refused by both
	} {
		a, err := g.n.Admit(t.Context(), &admit.Request{Call: policy.Call{Tenant: "t", PromptTokens: tt.tokens}, Wait: 0})
		if err != nil {
			t.Fatal(err)
		}
		s.look(eval)
		got := ""
		if c := g.n.shadowOf(a.ID); c != nil {
			var list []string
			for _, d := range c.Differences {
				list = append(list, d.What+" "+d.Stable+" → "+d.Shadow)
			}
			got = strings.Join(list, "; ")
		}
		upstream := ""
		if a.Upstream != nil {
			upstream = a.Upstream.Name
		}
		if got != tt.want || upstream != tt.upstream {
			t.Errorf("%d tokens: at %q %q, want at %q %q (%s)", tt.tokens, upstream, got, tt.upstream, tt.want, a.Reason)
		}
	}
}
