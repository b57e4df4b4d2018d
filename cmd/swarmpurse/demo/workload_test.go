package demo

import (
	"math"
	"math/rand/v2"
	"reflect"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/node/llm"
)

func newDefault(t *testing.T, seed uint64) *Workload {
	t.Helper()
	o := Defaults()
	o.Seed = seed
	w, err := newWorkload(&o)
	if err != nil {
		t.Fatal(err)
	}
	return w
}

func TestWorkloadIsDrawnFromItsSeed(t *testing.T) {
	a, b, c := newDefault(t, 7), newDefault(t, 7), newDefault(t, 8)
	if !reflect.DeepEqual(a, b) {
		t.Error("one seed gave two workloads")
	}
	if reflect.DeepEqual(a.Calls, c.Calls) {
		t.Error("two seeds gave one workload")
	}
}

func TestWorkloadKeepsItsPromises(t *testing.T) {
	for seed := range uint64(20) {
		w := newDefault(t, seed)
		if n := len(w.Calls); n != 3600 || n < promised {
			t.Fatalf("seed %d: %d calls, want 60 agents × 60 s = 3600", seed, n)
		}
		tenantCalls := map[string]int{}
		for i, c := range w.Calls {
			if i > 0 && c.At < w.Calls[i-1].At {
				t.Fatalf("seed %d: call %d is before the one before it", seed, i)
			}
			if c.At < 0 || c.At >= time.Minute || c.Prompt < 1 || c.Output < 1 || c.Limit < 1 || c.Prompt > promptMax || c.Output > outputMax {
				t.Fatalf("seed %d: call %d is out of bounds: %+v", seed, i, c)
			}
			tenantCalls[w.Agents[c.Agent].Tenant]++
		}
		if len(tenantCalls) != len(tenants) {
			t.Errorf("seed %d: calls of %d tenants, want %d", seed, len(tenantCalls), len(tenants))
		}
	}
}

// The index of dispersion of a Poisson process is 1; a bursty load's is far above.
func TestWorkloadComesInBursts(t *testing.T) {
	sum, peak := 0.0, 0.0
	const seeds = 20
	for seed := range uint64(seeds) {
		perSecond := make([]float64, 60)
		for _, c := range newDefault(t, seed).Calls {
			perSecond[int(c.At/time.Second)]++
		}
		mean, variance := 60.0, 0.0
		for _, n := range perSecond {
			variance += (n - mean) * (n - mean) / 60
			peak = max(peak, n/mean)
		}
		sum += variance / mean
	}
	if d := sum / seeds; d < 10 {
		t.Errorf("index of dispersion %.1f, want 10 or more", d)
	}
	// The pool supplies 0.4 of the mean, so a second of 4 times the mean asks for 10 times the pool.
	if peak < 4 {
		t.Errorf("the busiest second has %.1f times the mean, want 4", peak)
	}
}

func TestPhasesCoverTheTime(t *testing.T) {
	r := rand.New(rand.NewPCG(3, 3))
	at, inA, total := 0.0, 0.0, 0.0
	for range 200 {
		at = 0
		for _, p := range phases(r, 90, 3, 1, 6, 2) {
			if p.from != at || p.to <= p.from {
				t.Fatalf("a phase from %g to %g follows %g", p.from, p.to, at)
			}
			at = p.to
			total += p.to - p.from
			if p.rate == 1 {
				inA += p.to - p.from
			}
		}
		if at != 90 {
			t.Fatalf("the phases end at %g", at)
		}
	}
	if part := inA / total; math.Abs(part-1.0/3) > 0.03 {
		t.Errorf("a third of the time should be busy, %.3f is", part)
	}
}

func TestAgentsAreSpread(t *testing.T) {
	for _, n := range []int{1, 2, 3, 7, 60, 200} {
		for _, nodes := range []int{1, 3, 5, 9} {
			agents := makeAgents(n, nodes, rand.New(rand.NewPCG(1, 1)))
			perNode, names := make([]int, nodes), map[string]bool{}
			for _, a := range agents {
				perNode[a.Node]++
				names[a.Name] = true
			}
			if len(agents) != n || len(names) != n {
				t.Fatalf("%d agents with %d names, want %d", len(agents), len(names), n)
			}
			for _, k := range perNode {
				if k < n/nodes || k > n/nodes+1 {
					t.Errorf("%d agents on %d nodes: %v", n, nodes, perNode)
				}
			}
		}
	}
}

func TestRequestsHaveExactlyTheirTokens(t *testing.T) {
	counter := llm.NewCounter()
	for i, n := range []int64{0, 1, 6, 7, 8, 100, 1469, 7437} {
		path, body := request(Call{Prompt: n, Limit: 5, Stream: i%2 == 0}, i)
		var got int64
		if path == "/completions" {
			got, _ = counter.Completions(modelName, string(body))
		} else {
			got = counter.Chat(modelName, string(body))
		}
		if got != n {
			t.Errorf("a prompt of %d tokens is counted as %d", n, got)
		}
	}
}
