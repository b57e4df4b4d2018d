package admit

import (
	"errors"
	"sync"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
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

// TestPoolsUnderRace: calls that are admitted, fail over and end at once, each exactly once, leave nothing reserved, and are charged where they ran.
func TestPoolsUnderRace(t *testing.T) {
	n := poolsOf(t)
	for range 3 { // so that the marks of both pools are there
		id := n.must(big(100), Admit, CodeOK)
		for range 3 {
			if _, _, err := n.e.Retry(n.w.now, id, Failed{Why: "429", Prompt: 100}); err != nil && !errors.Is(err, ErrLater) {
				t.Fatal(err)
			}
			n.w.pass(50 * time.Millisecond)
		}
		n.drop(id)
		n.w.pass(time.Second)
	}
	now := n.w.now
	var all sync.WaitGroup
	var mu sync.Mutex
	charged := map[string]ledger.Tokens{}
	for g := range 4 {
		all.Go(func() {
			for i := range 200 {
				id, ok := n.e.Try(now, big(int64(1+i%7)))
				if !ok {
					continue
				}
				for range (i + g) % 4 {
					_, _, _ = n.e.Retry(now, id, Failed{Why: "429", Prompt: int64(1 + i%7), Now: true})
				}
				used := int64(i % 2)
				for range 2 { // the second changes nothing
					rc, err := n.e.Settle(now, id, Settlement{Usage: &Usage{PromptTokens: used}})
					if err != nil {
						t.Error(err)
					}
					if !rc.Repeated {
						mu.Lock()
						for _, c := range rc.Charged {
							charged[c.Budget] += c.Amount
						}
						mu.Unlock()
					}
				}
			}
		})
	}
	all.Wait()
	if charged["all"] == 0 {
		t.Error("nothing ran")
	}
	for _, b := range []string{"all", "gpu-pool", "cloud-pool", "slots"} {
		s := n.account(b).State(now)
		if s.Reserved != 0 || b != "slots" && s.Spent != charged[b] {
			t.Errorf("%s: %d are reserved, %d spent; calls were charged %d", b, s.Reserved, s.Spent, charged[b])
		}
	}
}
