package sim

import (
	"flag"
	"fmt"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/sim/hugepage"
)

var (
	benchNodes    = flag.Int("bench.nodes", 200, "nodes of BenchmarkSwarm")
	benchRate     = flag.Int("bench.rate", 100, "its calls per second")
	benchDuration = flag.Duration("bench.duration", 30*time.Second, "how long it has calls come, in virtual time")
)

// BenchmarkSwarm is the steady scenario, in which each node's part of the supply covers its own callers. By its flags it
// is the run of DESIGN.md, "Speed", for which the profiles of go test can be taken.
func BenchmarkSwarm(b *testing.B) {
	sc := shipped(b, "steady", [][2]string{
		{"nodes", fmt.Sprint(*benchNodes)},
		{"warmup", "0s"},
		{"duration", benchDuration.String()},
		{"policy.budgets.0.supply.rate", fmt.Sprintf("%d/s", *benchRate*10_000)},
		{"policy.budgets.0.supply.burst", fmt.Sprint(*benchRate * 20_000)},
		{"workload.0.rate", fmt.Sprintf("%d/s", *benchRate*3/5)},
		{"workload.1.rate", fmt.Sprintf("%d/s", *benchRate*2/5)},
	}...)
	hugepage.Heap(8 << 30) // as the command does
	var events uint64
	for b.Loop() {
		r, err := Swarm(b.Context(), sc, Options{Helper: helper})
		if err != nil {
			b.Fatal(err)
		}
		if r.Violation != nil {
			b.Fatalf("%+v", r.Violation)
		}
		events += r.Events
	}
	b.ReportMetric(float64(events)/b.Elapsed().Seconds(), "events/s")
	b.ReportMetric(float64(events)/float64(b.N), "events")
}
