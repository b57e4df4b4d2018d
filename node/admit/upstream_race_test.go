package admit

import (
	"sync"
	"testing"
	"time"
)

// TestRoutesUnderRace: calls are routed, answered and looked up while reach and policy change; a bound call never goes anywhere but to gpu.
func TestRoutesUnderRace(t *testing.T) {
	n := in(t, "eu", placed)
	for range 3 {
		n.must(reads("fast"), Admit, CodeOK)
		n.must(reads("", "eu/docs"), Admit, CodeOK)
		n.w.pass(time.Second)
	}
	now := n.w.now
	var all sync.WaitGroup
	for g := range 3 {
		all.Go(func() {
			for i := range 300 {
				r := reads("fast")
				if i%2 == 0 {
					r = reads("", "eu/docs")
				}
				r.PromptTokens, r.Forward = 1, g == 0
				id, ok := n.e.Try(now, r)
				if !ok {
					continue
				}
				d, err := n.e.Lookup(id)
				if err != nil || d.Upstream == nil || len(r.Data) > 0 && d.Upstream.Name != "gpu" {
					t.Errorf("%+v, %v", d, err)
				}
				if _, err := n.e.Feedback(now, id, Upstream{Latency: time.Duration(i) * time.Millisecond, Refused: i%50 == 0}); err != nil {
					t.Error(err)
				}
				if _, err := n.e.Settle(now, id, Settlement{Usage: &Usage{PromptTokens: 1}}); err != nil {
					t.Error(err)
				}
			}
		})
	}
	all.Go(func() {
		for i := range 100 {
			n.e.SetReach([]string{"gpu", "cloud"}[:1+i%2])
			n.e.Upstreams(now)
			n.e.Touched("eu/docs", 5, nil)
		}
	})
	all.Wait()
}
