package scenario

import (
	"bytes"
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// Random scenarios are cheap, and between them they have everything in them that can go wrong.
func TestRandomScenarios(t *testing.T) {
	const seeds = 500
	kinds, streams, supplies, ceilings := map[FaultKind]int{}, map[Kind]int{}, map[ledger.Kind]int{}, map[ledger.Ceiling]int{}
	market := map[string]int{"half_life": 0, "headroom": 0, "degrade": 0, "renew": 0, "guarantee": 0, "fairness": 0, "mode: dynamic": 0, "mode: hybrid": 0, "size": 0, "feedback": 0}
	total, most := 0, 0
	for seed := uint64(MarketSeeds); seed < MarketSeeds+seeds; seed++ {
		for word := range market {
			if bytes.Contains(RandomSource(seed), []byte(word+":")) || bytes.Contains(RandomSource(seed), []byte(word+",")) {
				market[word]++
			}
		}
		s := Random(seed) // panics when it cannot be parsed
		if s.Nodes > randomNodes || s.Rest < 30*sec || s.Seed != seed {
			t.Errorf("seed %d: %d nodes, rest %v", seed, s.Nodes, s.Rest)
		}
		for _, st := range s.Workload {
			streams[st.Kind]++
		}
		for _, b := range s.Policies[0].Budgets() {
			supplies[b.Spec.Kind]++
			ceilings[b.Spec.Ceiling]++
		}
		for _, e := range Timeline(s) {
			kinds[e.Kind]++
			if e.Until != Never && e.Until > s.Duration {
				t.Errorf("seed %d: a fault goes on until %v", seed, e.Until)
			}
		}
		src, err := s.Source()
		if err != nil {
			t.Fatalf("seed %d: %v", seed, err)
		}
		n := 0
		for c, ok := src.Next(); ok; c, ok = src.Next() {
			n += 1 + c.Depth
		}
		total, most = total+n, max(most, n)
	}
	t.Logf("%d calls on average, %d at most; policies with %v", total/seeds, most, market)
	if most > 4000 {
		t.Errorf("%d calls in one scenario", most)
	}
	if mean := total / seeds; mean < 500 || mean > 2500 {
		t.Errorf("%d calls on average", mean)
	}
	for _, k := range FaultKinds {
		if kinds[k] < 20 {
			t.Errorf("%d faults of kind %s", kinds[k], k)
		}
	}
	for word, n := range market {
		if n < 10 {
			t.Errorf("%d policies with %s", n, word)
		}
	}
	if len(streams) != 7 || len(supplies) != 4 || len(ceilings) != 3 {
		t.Errorf("streams %v, supplies %v, ceilings %v", streams, supplies, ceilings)
	}
	if a, b := RandomSource(7), RandomSource(7); !bytes.Equal(a, b) || bytes.Equal(a, RandomSource(8)) {
		t.Error("the seed does not make the scenario")
	}
}
