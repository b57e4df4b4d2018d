package admit

import (
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
)

const glanced = preamble + `
data:
  "eu/*": {zones: [eu]}
upstreams:
  - {name: gpu, zones: [eu]}
  - {name: cloud, models: [big, small], zones: [us]}
budgets:
  - {name: pool, token: compute, supply: {grant: 32000}}
  - {name: eu-pool, token: compute, supply: {grant: 32000}, locality: {zones: [eu]}}
  - {name: calls, token: concurrency, supply: {slots: 2}}
  - {name: seen, token: compute, supply: {grant: 1}, ceiling: observe}
rules:
  - {when: agent == "local", draw: [eu-pool], stop: true}
  - {when: agent == "slot", draw: [calls], stop: true}
  - {when: agent == "seen", draw: [seen], stop: true}
  - {when: agent == "odd", draw: [pool], cost: {compute: "prompt_tokens > 10 ? 1 : 2"}, stop: true}
  - {when: agent == "less", draw: [pool], cost: {compute: "2000 - prompt_tokens"}, stop: true}
  - {when: agent == "cheapest", draw: [pool], route: price, stop: true}
  - {when: agent != "nobody", draw: [pool]}
default: deny
`

// TestGlance: what is known of calls before they are counted.
func TestGlance(t *testing.T) {
	for _, tt := range []struct {
		name   string
		agent  string
		data   string
		prompt int64
		known  bool // a call like it came before
		want   Glance
		to     string
	}{
		{"few of many", "", "", 1000, true, Glance{Ample: true, Placed: true}, "gpu"},
		{"more than a 32nd", "", "", 1001, true, Glance{Placed: true}, "gpu"},
		{"nothing like it came before", "", "", 10, false, Glance{Placed: true}, "gpu"},
		{"data of this zone", "", "eu/docs", 10, true, Glance{Ample: true, Placed: true}, "gpu"},
		{"data of this zone, first", "", "eu/docs", 10, false, Glance{Placed: true}, "gpu"},
		{"a budget of this zone", "local", "", 10, true, Glance{Ample: true, Placed: true}, "gpu"},
		{"does not depend on the prompt", "slot", "", 1 << 40, true, Glance{Ample: true, Placed: true}, "gpu"},
		{"only metered", "seen", "", 1 << 40, true, Glance{Ample: true, Placed: true}, "gpu"},
		{"a cost that is not linear", "odd", "", 10, true, Glance{Placed: true}, "gpu"},
		{"longer costs less", "less", "", 10, true, Glance{Placed: true}, "gpu"},
		{"the cheapest depends on it", "cheapest", "", 10, true, Glance{Placed: true}, "gpu"},
		{"no rule", "nobody", "", 10, false, Glance{Barred: true}, ""},
	} {
		n := in(t, "eu", glanced)
		r := reads(tt.agent)
		if r.forward(); tt.data != "" {
			r.Data = []string{tt.data}
		}
		n.e.SetReach([]string{"gpu", "cloud"})
		if tt.known {
			c := *r
			c.PromptTokens = 0
			n.drop(n.must(&c, Admit, CodeOK))
		}
		r.PromptTokens = tt.prompt
		got := n.e.Glance(n.w.now, r)
		to := ""
		if got.Upstream != nil {
			to = got.Upstream.Name
		}
		if got.Upstream = nil; got != tt.want || to != tt.to {
			t.Errorf("%s: %+v to %q, want %+v to %q", tt.name, got, to, tt.want, tt.to)
		}
	}

	away := in(t, "us", glanced)
	away.e.SetReach([]string{"cloud"})
	for _, r := range []*Request{reads("", "eu/docs").forward(), reads("local").forward()} {
		if g := away.e.Glance(away.w.now, r); g != (Glance{Barred: true}) {
			t.Errorf("in another zone %v: %+v", r.Call, g)
		}
	}
	counts := in(t, "", preamble+"\nbudgets: [{name: pool, token: compute, supply: {grant: 32000}}]\nrules: [{when: prompt_tokens < 10, draw: [pool]}]\n")
	if g := counts.e.Glance(counts.w.now, reads("")); g != (Glance{}) {
		t.Errorf("where rules look at it: %+v", g)
	}
}

// TestBoundsLeaveEnough: calls that are admitted by a bound take what they state and leave 31 of 32 parts to the next each time;
// how they were counted is remembered.
func TestBoundsLeaveEnough(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		w := newSwarm(t, 1, preamble+"\nbudgets: [{name: pool, token: compute, supply: {grant: 100000}}]\nrules: [{draw: [pool]}]\n", Config{})
		n := w.nodes[0]
		n.drop(n.must(&Request{Call: policy.Call{PromptTokens: 1}}, Admit, CodeOK))
		acct := n.account("pool")
		left := acct.Rights(w.now)
		for range rapid.IntRange(1, 40).Draw(t, "calls") {
			bound := rapid.Int64Range(4, 6000).Draw(t, "bound")
			r := &Request{Call: policy.Call{PromptTokens: bound}, About: bound / 4, Counted: Bounded}
			ample := n.e.Glance(w.now, r).Ample
			if ample != (bound*32 <= int64(left)) {
				t.Fatalf("%d of %d: ample is %v", bound, left, ample)
			}
			if !ample {
				continue
			}
			id, ok := n.e.Try(w.now, r)
			if !ok {
				return // the disk's mark: it is counted then
			}
			if left -= ledger.Tokens(bound); acct.Rights(w.now) != left {
				t.Fatalf("%d are left, want %d", acct.Rights(w.now), left)
			}
			if d, err := n.e.Lookup(id); err != nil || d.Counted != Bounded {
				t.Fatalf("%+v %v", d, err)
			}
		}
	})
}

// drop gives back what a call reserved.
func (n *node) drop(id ID) {
	n.w.t.Helper()
	if _, err := n.e.Release(n.w.now, id); err != nil {
		n.w.t.Fatalf("%v", err)
	}
}

// TestBoundsAreNoDemand: peers hear of what a call is about, not of what it holds to make sure.
func TestBoundsAreNoDemand(t *testing.T) {
	demand := func(r *Request) float64 {
		w := newSwarm(t, 1, preamble+"\nbudgets: [{name: pool, token: compute, supply: {rate: 1000/s, burst: 1000000}}]\nrules: [{draw: [pool]}]\n", Config{})
		w.pass(2 * time.Second)
		n := w.nodes[0]
		n.drop(n.must(&Request{Call: policy.Call{PromptTokens: 400}}, Admit, CodeOK))
		id, ok := n.e.Try(w.now, r)
		if !ok {
			t.Fatal("not admitted at once")
		}
		w.pass(time.Second)
		o := n.r.Outlook(w.now, n.account("pool").ID(), 1)
		n.drop(id)
		return o.Own
	}
	counted := demand(&Request{Call: policy.Call{PromptTokens: 100}})
	bounded := demand(&Request{Call: policy.Call{PromptTokens: 400}, About: 100, Counted: Bounded})
	if counted == 0 || counted != bounded {
		t.Errorf("demand of 100 tokens is %v, of a bound of 400 for about 100 %v", counted, bounded)
	}
}
