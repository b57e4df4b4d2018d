//go:build unix

package node_test

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/api"
)

// triedPolicy is a policy whose second rule is what candidates change.
func triedPolicy(revision int, rule string) []byte {
	return fmt.Appendf(nil, `
apiVersion: swarmpurse/v1
revision: %d
tokens: {compute: {unit: token}}
budgets:
  - {name: pot, token: compute, supply: {window: 24h, amount: 900000}}
rules:
  - {%s, draw: [pot]}
`, revision, rule)
}

const (
	allModels = "when: model != 'none'"
	noMini    = "when: model != 'none' && model != 'mini'"
)

func (p *proc) apply(doc []byte, canary string) api.Policy {
	p.t.Helper()
	r := api.ApplyRequest{Source: doc}
	if canary != "" {
		r.Rollout = map[string]string{"canary": canary}
	}
	got, err := p.ApplyPolicy(p.t.Context(), r)
	if err != nil {
		p.t.Fatalf("%s: %v", p.set.Name, err)
	}
	return got
}

// revisions waits until nodes have these revisions in force, 0 for no candidate.
func revisions(t *testing.T, nodes []*proc, stable, candidate int64) time.Duration {
	t.Helper()
	return eventually(t, func() error {
		for _, p := range nodes {
			got, err := p.Policy(t.Context())
			if err != nil {
				return err
			}
			tried := int64(0)
			if got.Trial != nil {
				tried = got.Trial.Revision
			}
			if got.Revision != stable || tried != candidate {
				return fmt.Errorf("%s has revision %d and tries %d, want %d and %d", p.set.Name, got.Revision, tried, stable, candidate)
			}
		}
		return nil
	})
}

// calls sends calls of many agents to nodes until f says that it is enough.
func calls(t *testing.T, nodes []*proc, model string, enough func() bool) {
	t.Helper()
	ctx, stop := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for _, p := range nodes {
		all.Go(func() {
			for i := 0; ctx.Err() == nil; i++ {
				a, err := p.Admit(ctx, api.AdmitRequest{Agent: fmt.Sprint("agent-", i%50), Model: model, Tokens: map[string]ledger.Tokens{"compute": 1}, Wait: "0s"})
				if err == nil && a.Admitted() {
					_, _ = p.Settle(ctx, api.SettleRequest{ID: a.ID})
				}
			}
		})
	}
	defer all.Wait()
	defer stop()
	for end := time.Now().Add(2 * patience); !enough(); {
		if time.Now().After(end) {
			t.Error("not enough in all this time")
			return
		}
		time.Sleep(100 * time.Millisecond)
	}
}

// The life of candidates on three nodes: each agent's calls are decided by one revision wherever they come; a bad one is rolled
// back by the guard everywhere, which says why; operators on two sides of a cut do as they like, and all end alike; what was
// said survives that all are killed.
func TestRollout(t *testing.T) {
	t.Parallel()
	s := newSwarm(t, 3, string(triedPolicy(1, allModels)))
	a, b, c := s.nodes[0], s.nodes[1], s.nodes[2]

	// A bad candidate on half of the agents.
	a.apply(triedPolicy(2, noMini), "50%")
	revisions(t, s.nodes, 1, 2)
	arms := map[string]int{}
	for i := range 20 {
		agent := fmt.Sprint("agent-", i)
		var first string
		for _, p := range s.nodes {
			x, err := p.Admit(t.Context(), api.AdmitRequest{Agent: agent, Tokens: map[string]ledger.Tokens{"compute": 1}})
			if err != nil || !x.Admitted() {
				t.Fatalf("%+v, %v", x, err)
			}
			p.settle(x.ID)
			if first == "" {
				first = x.Policy.Arm
				arms[first]++
			}
			if x.Policy.Arm != first || (x.Policy.Revision == 2) != (first == admit.Candidate) {
				t.Fatalf("%s is in arm %s at %s, and was in %s", agent, x.Policy.Arm, p.set.Name, first)
			}
			d, err := p.Decision(t.Context(), x.ID)
			if err != nil || d.Arm != first {
				t.Fatalf("%+v, %v", d, err)
			}
		}
	}
	if len(arms) != 2 {
		t.Fatalf("arms %v", arms)
	}
	begin := time.Now()
	calls(t, s.nodes, "mini", func() bool {
		h, err := b.PolicyHistory(t.Context())
		return err == nil && h.Revisions[0].State == "rolled back"
	})
	t.Logf("the guard rolled back after %v", time.Since(begin).Round(time.Millisecond))
	rolledBack(t, s.nodes, "deny_rate: the candidate refused ")
	_, err := b.ApplyPolicy(t.Context(), api.ApplyRequest{Source: triedPolicy(2, noMini)})
	if err == nil || !strings.Contains(err.Error(), "revision 2 was rolled back by guard") {
		t.Errorf("it came again: %v", err)
	}

	// A good one, promoted on one side of a cut and rolled back on the other.
	a.apply(triedPolicy(3, noMini), "10%")
	revisions(t, s.nodes, 1, 3)
	s.cut(2)
	if _, err := a.ActOnPolicy(t.Context(), api.Promote, api.PolicyAct{Revision: 3}); err != nil {
		t.Fatal(err)
	}
	if _, err := c.ActOnPolicy(t.Context(), api.RollBack, api.PolicyAct{Revision: 3, Why: "not sure"}); err != nil {
		t.Fatal(err)
	}
	revisions(t, s.nodes[:2], 3, 0)
	revisions(t, s.nodes[2:], 1, 0)
	b.apply(triedPolicy(4, allModels), "20%") // beside revision 3, and then beside 1
	revisions(t, s.nodes[:2], 3, 4)
	s.heal()
	took := revisions(t, s.nodes, 1, 4)
	t.Logf("after the cut all had one policy within %v", took.Round(time.Millisecond))

	// It survives.
	for _, p := range s.nodes {
		p.kill()
	}
	for _, p := range s.nodes {
		p.restart()
	}
	s.ready()
	revisions(t, s.nodes, 1, 4)
	if _, err := b.ActOnPolicy(t.Context(), api.Pause, api.PolicyAct{}); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		if p, err := a.Policy(t.Context()); err != nil || p.Trial == nil || p.Trial.Paused == nil {
			return fmt.Errorf("%+v, %v", p.Trial, err)
		}
		return nil
	})
	if _, err := c.ActOnPolicy(t.Context(), api.Promote, api.PolicyAct{}); err != nil {
		t.Fatal(err)
	}
	revisions(t, s.nodes, 4, 0)

	// One that promotes itself, and a joiner that had nothing of it all.
	_, err = b.ApplyPolicy(t.Context(), api.ApplyRequest{Source: triedPolicy(5, allModels), Rollout: map[string]string{"canary": "50%", "bake": "2s"}})
	if err != nil {
		t.Fatal(err)
	}
	calls(t, s.nodes, "mini", func() bool {
		p, err := a.Policy(t.Context())
		return err == nil && p.Revision == 5
	})
	// And back, though it was promoted.
	p, err := a.ActOnPolicy(t.Context(), api.RollBack, api.PolicyAct{})
	if err != nil || p.Revision != 4 {
		t.Fatalf("%+v, %v", p, err)
	}
	revisions(t, s.nodes, 4, 0)
	d := s.add(s.settings("n4"))
	revisions(t, []*proc{d}, 4, 0)
	eventually(t, func() error { // the words on the others may come after those on the one in force
		h, err := d.PolicyHistory(t.Context())
		if err != nil || len(h.Revisions) != 5 || !slices.ContainsFunc(h.Revisions[0].Acts, func(a api.Act) bool { return a.By == "bake" && a.What == "promoted" }) {
			return fmt.Errorf("%+v, %v", h, err)
		}
		return nil
	})
}

// A candidate whose calls put out three times as much is rolled back by the guard at all nodes, with both arms' figures meanwhile and the
// reason after.
func TestRolloutOfLongerOutputs(t *testing.T) {
	t.Parallel()
	s := newSwarm(t, 3, string(triedPolicy(1, allModels)))
	drive := func(enough func() bool) {
		var all sync.WaitGroup
		ctx, stop := context.WithCancel(t.Context())
		for _, p := range s.nodes {
			all.Go(func() {
				for i := 0; ctx.Err() == nil; i++ {
					a, err := p.Admit(ctx, api.AdmitRequest{Agent: fmt.Sprint("agent-", i%50), Model: "m", Tokens: map[string]ledger.Tokens{"compute": 1}, Wait: "0s"})
					if err != nil || !a.Admitted() {
						continue
					}
					output := int64(100)
					if a.Policy.Arm == admit.Candidate {
						output = 300
					}
					_, _ = p.Settle(ctx, api.SettleRequest{ID: a.ID, Used: map[string]ledger.Tokens{"compute": 1}, Usage: &api.Usage{CompletionTokens: &output}})
				}
			})
		}
		defer all.Wait()
		defer stop()
		for end := time.Now().Add(2 * patience); !enough(); time.Sleep(50 * time.Millisecond) {
			if time.Now().After(end) {
				t.Fatal("not enough in all this time")
			}
		}
	}
	begin := time.Now()
	drive(func() bool { return time.Since(begin) > 500*time.Millisecond }) // so that the model is known
	s.nodes[0].apply(triedPolicy(2, allModels), "50%")
	revisions(t, s.nodes, 1, 2)
	begin = time.Now()
	var seen api.Trial
	drive(func() bool {
		if p, err := s.nodes[1].Policy(t.Context()); err == nil && p.Trial != nil && p.Trial.Candidate.Outputs > 0 {
			seen = *p.Trial
		}
		h, err := s.nodes[1].PolicyHistory(t.Context())
		return err == nil && h.Revisions[0].State == "rolled back"
	})
	t.Logf("rolled back after %v; last seen: stable %+v, candidate %+v", time.Since(begin).Round(time.Millisecond), seen.Stable, seen.Candidate)
	rolledBack(t, s.nodes, "output_length: 100.0% of the candidate's ")
}

// rolledBack demands that the first revision is in force everywhere again, and that all know that the guard said so, and why.
func rolledBack(t *testing.T, nodes []*proc, why string) {
	t.Helper()
	revisions(t, nodes, 1, 0)
	for _, p := range nodes {
		h, err := p.PolicyHistory(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		acts := h.Revisions[0].Acts
		if last := acts[len(acts)-1]; last.By != "guard" || !strings.HasPrefix(last.Why, why) {
			t.Errorf("%s: %+v", p.set.Name, h.Revisions[0])
		}
	}
}
