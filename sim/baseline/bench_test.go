package baseline

import (
	"fmt"
	"testing"

	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/sim/scenario"
	"github.com/swarmpurse/swarmpurse/sim/workload"
)

// BenchmarkRun is 1,000 nodes for 5 minutes at 500 calls a second: 150,000 calls on a pool and a budget for each of
// 50 tenants, a third of whose calls may wait for 10 s, with a partition. At half load nearly nobody waits, at
// double nearly everybody.
func BenchmarkRun(b *testing.B) {
	for _, load := range []int{50, 200} {
		p, err := policy.Parse("bench.yaml", []byte(fmt.Sprintf(`
apiVersion: swarmpurse/v1
revision: 1
tokens:
  compute: {unit: token}
classes:
  - {name: fast, weight: 4, latency_budget: 500ms}
  - {name: slow, weight: 1, latency_budget: 10s, default: true}
budgets:
  - {name: pool, token: compute, supply: {rate: %d/s, burst: %d}}
  - {name: tenant, token: compute, per: [tenant], supply: {window: 1m, amount: 1500k}}
rules:
  - {name: all, draw: [pool, tenant]}
`, 500*700*100/load, 2*500*700*100/load)))
		if err != nil {
			b.Fatal(err)
		}
		sc := &scenario.Scenario{
			Nodes: 1000, Duration: 300 * sec, Rest: 60 * sec, Policies: []*policy.Policy{p},
			Faults: []scenario.Fault{{Kind: scenario.Partition, At: 100 * sec, For: 60 * sec, Fraction: 0.5}},
		}
		stream := workload.Stream{
			Kind: workload.Poisson, Rate: 333, Class: "fast", Tenants: 50, Skew: 1,
			Prompt: workload.Size{Median: 300, P99: 1000}, Output: workload.Size{Median: 300, P99: 1000}, Max: 1000,
			Runs: workload.Delay{Median: 2 * sec, P99: 10 * sec},
		}
		slow := stream
		slow.Class, slow.Rate = "slow", 167
		source := func() (workload.Source, error) {
			return workload.New(workload.Config{
				Streams: []workload.Stream{stream, slow}, Zones: make([]string, sc.Nodes), Duration: sc.Duration,
			})
		}
		for _, kind := range Kinds() {
			b.Run(fmt.Sprintf("load=%d%%/%s", load, kind), func(b *testing.B) {
				for range b.N {
					s, err := Run(kind, sc, source, Options{GossipDelay: 500 * ms})
					if err != nil {
						b.Fatal(err)
					}
					b.ReportMetric(float64(s.Offered), "calls")
					b.ReportMetric(float64(s.GoodputTokens)/float64(s.OfferedTokens), "goodput/offered")
					b.ReportMetric(s.Overspend, "overspend")
				}
			})
		}
	}
}
