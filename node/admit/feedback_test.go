package admit

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
)

const fedBack = `
apiVersion: swarmpurse/v1
revision: 1
tokens:
  compute: {unit: token}
classes:
  - {name: standard, latency_budget: 2s}
budgets:
  - {name: pool, token: compute, supply: {rate: 1000/s, burst: 2000}, feedback: {cut: 50%, least: 10%, recover: 100s, low: 5%}}
  - {name: tenant, token: compute, supply: {rate: 1000/s, burst: 2000}}
rules:
  - {draw: [pool, tenant]}
`

// TestFeedback: which answers of a provider lower which rates.
func TestFeedback(t *testing.T) {
	for _, tt := range []struct {
		name    string
		u       Upstream
		part    float64 // of the pool's rate
		outcome string
	}{
		{"all is well", Upstream{}, 1, "released"},
		{"much is left", Upstream{Known: true, Left: 0.5}, 1, "released"},
		{"what is left is not known", Upstream{Left: 0}, 1, "released"},
		{"little is left", Upstream{Known: true, Left: 0.04}, 0.5, "released"},
		{"just enough is left", Upstream{Known: true, Left: 0.05}, 1, "released"},
		{"refused", Upstream{Refused: true}, 0.5, OutcomeRefused},
		{"refused, and told to wait", Upstream{Refused: true, RetryAfter: 20 * time.Second}, 0.3, OutcomeRefused},
		{"refused, though much is left", Upstream{Refused: true, Known: true, Left: 0.9}, 0.5, OutcomeRefused},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := newSwarm(t, 2, fedBack, Config{})
			n := w.nodes[0]
			n.must(on("m", 0), Admit, CodeOK)
			full := n.account("pool").Rights(w.now)
			id := n.must(on("m", 100), Admit, CodeOK)
			fell, err := n.e.Feedback(w.now, id, tt.u)
			if err != nil || (len(fell) > 0) != (tt.part < 1) {
				t.Fatalf("%+v, %v", fell, err)
			}
			for _, l := range fell {
				if l.Budget != "pool" || l.Instance != n.account("pool").ID() || l.Part != tt.part {
					t.Errorf("%+v, want a part of %v of the pool", l, tt.part)
				}
			}
			if ppm, _ := n.account("pool").Part(w.now); float64(ppm)/whole != tt.part {
				t.Errorf("%d ppm of the pool's rate are in force, want %v", ppm, tt.part)
			}
			if ppm, _ := n.account("tenant").Part(w.now); ppm != whole {
				t.Errorf("a budget without feedback has %d ppm of its rate", ppm)
			}
			if _, err := n.e.Release(w.now, id); err != nil {
				t.Fatal(err)
			}
			want := full
			switch {
			case tt.u.Refused:
				want = 0
			case tt.part < 1:
				want = 100 // what had piled up has lapsed, and what the call had reserved has come back
			}
			if got := n.account("pool").Rights(w.now); got != want {
				t.Errorf("%d rights are there, want %d", got, want)
			}
			if got := n.account("tenant").Rights(w.now); got != full {
				t.Errorf("another budget got %d of its rights back, want all %d", got, full)
			}
			if d, err := n.e.Lookup(id); err != nil || d.Outcome != tt.outcome {
				t.Errorf("outcome %q, want %q", d.Outcome, tt.outcome)
			}
			n.check()
		})
	}
}

// TestFeedbackReachesPeers: a call at another node is told of the lower rate, and when to come back by it.
func TestFeedbackReachesPeers(t *testing.T) {
	w := newSwarm(t, 2, fedBack, Config{})
	a, b := w.nodes[0], w.nodes[1]
	b.must(on("m", 10), Admit, CodeOK)
	id := a.must(on("m", 10), Admit, CodeOK)
	if _, err := a.e.Feedback(w.now, id, Upstream{Refused: true}); err != nil {
		t.Fatal(err)
	}
	w.pass(200 * time.Millisecond)
	ppm, _ := b.account("pool").Part(w.now)
	if ppm < 500_000 || ppm > 503_000 {
		t.Fatalf("at the peer %d ppm are in force", ppm)
	}
	got, _, err := b.offer(on("m", 1900).wait(0))
	if err != nil {
		t.Fatal(err)
	}
	x := b.answer(got)
	// Nearly all of 1,900 are missing, and come at 500 a second, a little more by and by.
	if x.Verdict != Defer || x.RetryAfter < 3*time.Second || x.RetryAfter > 5*time.Second || !strings.HasSuffix(x.Reason, "; the provider refuses calls, so the rate is at 50%") {
		t.Errorf("%+v", x)
	}
}

func TestFeedbackOfUnknownCalls(t *testing.T) {
	n := one(t, fedBack)
	refused := n.must(on("m", 5000), Deny, CodeTooLarge)
	for _, id := range []ID{0, refused} {
		if fell, err := n.e.Feedback(n.w.now, id, Upstream{Refused: true}); !errors.Is(err, ErrUnknownID) || fell != nil {
			t.Errorf("%v: %v, %v", id, fell, err)
		}
	}
	if ppm, _ := n.account("pool").Part(n.w.now); ppm != ledger.Whole {
		t.Errorf("%d ppm", ppm)
	}
}
