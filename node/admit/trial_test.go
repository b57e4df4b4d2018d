package admit

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/policy/rollout"
)

const tried = preamble + `
budgets:
  - {name: pool, token: compute, supply: {grant: 1000}}
  - {name: moving, token: compute, supply: {rate: 1000/s, burst: 1000}, price: {mode: dynamic, base: 1, max: 4}}
rules:
  - {draw: [pool], when: model != "moving", cost: {compute: prompt_tokens}, degrade: {max_output_tokens: 1}}
  - {draw: [moving], when: model == "moving", cost: {compute: prompt_tokens}}
`

// dearer is a candidate that lets no mini run and takes twice as much.
var dearer = strings.NewReplacer("revision: 1", "revision: 2", "cost: {compute: prompt_tokens}", "cost: {compute: 2 * prompt_tokens}",
	`model != "moving"`, `model != "moving" && model != "mini"`).Replace(tried)

// try has a candidate tried on half of the agents.
func (n *node) try(doc string) (*policy.Policy, *policy.Split) {
	n.w.t.Helper()
	candidate := parse(n.w.t, doc)
	if waits, err := policy.Tryable(n.w.policy, candidate); err != nil || waits != nil {
		n.w.t.Fatalf("%v, %v", waits, err)
	}
	split := (&policy.Rollout{Canary: 500_000, By: "agent"}).Split(3, "")
	n.e.SetTrial(n.w.policy, candidate, split)
	return candidate, split
}

// agents finds one of each arm.
func agents(split *policy.Split) (stable, candidate string) {
	for i := 0; stable == "" || candidate == ""; i++ {
		if a := fmt.Sprint("agent-", i); split.Chooses(&policy.Call{Agent: a}) {
			candidate = a
		} else {
			stable = a
		}
	}
	return stable, candidate
}

func of(agent, model string, prompt int64) *Request {
	return &Request{Call: policy.Call{Tenant: "t", Agent: agent, Model: model, PromptTokens: prompt}}
}

func TestTrial(t *testing.T) {
	n := one(t, tried)
	_, split := n.try(dearer)
	a, b := agents(split)
	for range 3 { // by the owner, then at once
		old, cand := n.answer(n.must(of(a, "m", 10), Admit, CodeOK)), n.answer(n.must(of(b, "m", 10), Admit, CodeOK))
		if old.Arm != Stable || old.Revision != 1 || old.Reserved[0].Amount != 10 {
			t.Errorf("%+v", old)
		}
		if cand.Arm != Candidate || cand.Revision != 2 || cand.Reserved[0].Amount != 20 {
			t.Errorf("%+v", cand)
		}
	}
	if x := n.answer(n.must(of(b, "mini", 10), Deny, CodeNoRule)); x.Arm != Candidate || x.Revision != 2 {
		t.Errorf("%+v", x)
	}
	n.must(of(a, "mini", 10), Admit, CodeOK)
	s, c, ok := n.e.Outcomes()
	if !ok || s.Calls != 4 || s.Refused != 0 || c.Calls != 4 || c.Refused != 1 {
		t.Errorf("%+v, %+v, %v", s, c, ok)
	}
	n.e.Rebind()
	n.must(of(b, "m", 1), Admit, CodeOK)
	if _, c, _ := n.e.Outcomes(); c.Calls != 5 {
		t.Errorf("after plans were bound anew: %+v", c)
	}
	// One that has no room, for its arm takes twice as much.
	last := n.must(of(a, "m", 898), Admit, CodeOK)
	id := n.must(of(b, "m", 900), Deny, CodeTooLarge)
	if d, err := n.e.Lookup(id); err != nil || d.Arm != Candidate {
		t.Errorf("%+v, %v", d, err)
	}
	// The end of the trial.
	if _, err := n.e.Release(n.w.now, last); err != nil {
		t.Fatal(err)
	}
	n.e.SetPolicy(n.w.policy)
	if _, _, ok := n.e.Outcomes(); ok {
		t.Error("outcomes of no trial")
	}
	if x := n.answer(n.must(of(b, "m", 1), Admit, CodeOK)); x.Arm != "" || x.Revision != 1 {
		t.Errorf("%+v", x)
	}
}

// TestTrialWaits: waits count in steps of the latency budget that the stable revision gives.
func TestTrialWaits(t *testing.T) {
	a := arm{split: (&policy.Rollout{Canary: 100_000, By: "agent"}).Split(1, "")}
	a.shards = append(a.shards, rollout.Counts{})
	a.admitted(0, &policy.Call{Agent: "x"}, 0, 2000)
	a.admitted(0, &policy.Call{Agent: "x"}, 1, 2000)
	a.admitted(0, &policy.Call{Agent: "y"}, 100, 2000)  // one step exactly
	a.admitted(0, &policy.Call{}, 101, 2000)            // longer than one
	a.admitted(0, &policy.Call{Agent: "y"}, 9000, 2000) // longer than all
	if c := a.shards[0]; c.Calls != 5 || c.Longer[0] != 4 || c.Longer[1] != 2 || c.Longer[2] != 1 || c.Longer[len(c.Longer)-1] != 1 {
		t.Errorf("%+v", c)
	}
}

// TestTrialPrice: the price of an instance is one for both arms, and moves on though only calls of the candidate come.
func TestTrialPrice(t *testing.T) {
	n := one(t, tried)
	_, split := n.try(dearer)
	_, b := agents(split)
	for range 400 {
		id := n.must(of(b, "moving", 45), Admit, CodeOK) // 90 tokens in 0.1 s: 90 % of the rate
		n.settle(id, Settlement{Outcome: "ok"})
		n.w.pass(100 * time.Millisecond)
	}
	if p := n.e.Price(n.account("moving").ID()); p <= 1_010_000 {
		t.Errorf("the price is %v after 40 s of 90 %% use", p)
	}
}

// TestDegradedStaysInItsArm: what a call is made to may be another agent's, model's or run's, but by the same revision.
func TestDegradedStaysInItsArm(t *testing.T) {
	doc := strings.Replace(degrading, "below: 40%", "below: 100%", 1)
	n := one(t, doc)
	candidate := parse(t, strings.Replace(doc, "revision: 1", "revision: 2", 1))
	r := policy.Rollout{Canary: 500_000, By: "model"}
	for seed := uint64(0); ; seed++ {
		if s := r.Split(seed, ""); s.Chooses(&policy.Call{Model: "large"}) && !s.Chooses(&policy.Call{Model: "mini"}) {
			n.e.SetTrial(n.w.policy, candidate, s)
			break
		}
	}
	n.must(model("large", 1, 1), Admit, CodeOK)
	n.w.pass(1100 * time.Millisecond)
	for range 2 {
		if a := n.answer(n.must(model("large", 1, 1), Degrade, CodeOK)); a.Arm != Candidate || a.Revision != 2 {
			t.Errorf("%+v", a)
		}
	}
}

// TestTrialNeverOverspends: whatever two revisions take for calls, and whenever trials begin and end, a hard budget is never
// overspent: what is spent and reserved stays below what there is.
func TestTrialNeverOverspends(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := newSwarm(t, 1, tried, Config{}).nodes[0]
		r := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		open := []ID{n.must(of("agent-0", "m", 10), Admit, CodeOK)}
		for range 120 {
			switch r.IntN(12) {
			case 0:
				n.try(dearer)
			case 1:
				n.e.SetPolicy(n.w.policy)
			case 2, 3, 4:
				if len(open) > 0 {
					i := r.IntN(len(open))
					n.settle(open[i], Settlement{Usage: &Usage{PromptTokens: int64(r.IntN(20))}})
					open = append(open[:i], open[i+1:]...)
				}
			default:
				req := of(fmt.Sprint("agent-", r.IntN(6)), "m", int64(10+r.IntN(20)))
				req.Wait = 0
				if id, w := n.admit(req); w == nil && n.answer(id).Verdict.Admitted() {
					open = append(open, id)
				}
			}
			if s := n.account("pool").State(n.w.now); s.Reserved+s.Spent > 1000+s.Overrun || s.Balance() < 0 {
				t.Fatalf("spent %d and reserved %d of 1000, overrun %d", s.Spent, s.Reserved, s.Overrun)
			}
		}
	})
}
