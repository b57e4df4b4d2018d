package sim

import (
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/sim/beside"
	"github.com/swarmpurse/swarmpurse/sim/scenario"
)

const steadyPolicy = `apiVersion: swarmpurse/v1
revision: 1
tokens:
  compute: {unit: token}
classes:
  - {name: standard, weight: 4, latency_budget: 2s}
budgets:
  - name: pool
    token: compute
    supply: {rate: 50000/s, burst: 100000}
rules:
  - draw: [pool]
    cost: {compute: prompt_tokens + max_output_tokens}
`

func helper() Helper { return beside.New[Heard]() }

func steady(t testing.TB, nodes int, d time.Duration) *scenario.Scenario {
	p, err := policy.Parse("test", []byte(steadyPolicy))
	if err != nil {
		t.Fatal(err)
	}
	return &scenario.Scenario{
		Name: "steady", Seed: 1, Nodes: nodes, Founders: min(5, nodes), Warmup: 10 * time.Second, Duration: d, Rest: 30 * time.Second,
		Policies: []*policy.Policy{p},
		Network: scenario.Network{
			SameZone: scenario.Delay{Median: time.Millisecond, P99: 5 * time.Millisecond}, OtherZone: scenario.Delay{Median: 20 * time.Millisecond, P99: 50 * time.Millisecond},
			Loss: 0.01,
		},
		Disk:     scenario.Disk{Sync: scenario.Delay{Median: 2 * time.Millisecond, P99: 10 * time.Millisecond}},
		Workload: []scenario.Stream{{Name: "s", Kind: scenario.Poisson, Rate: 20, Class: "standard", Model: "m", Prompt: scenario.Size{Median: 800, P99: 2000}, Output: scenario.Size{Median: 300, P99: 900}, Max: 1000, Tenant: "t", Tenants: 3}},
	}
}
