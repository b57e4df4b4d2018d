package admit

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
)

const bare = `
apiVersion: swarmpurse/v1
revision: 1
tokens: {compute: {unit: token}}
`

const guaranteed = bare + `
classes:
  - {name: best, weight: 16, latency_budget: 2s}
  - {name: standard, weight: 1, latency_budget: 2s, default: true}
budgets:
  - name: pool
    token: compute
    supply: {rate: 1000/s, burst: 1000}
    guarantee: {search: 30%, ads: 20%}
rules:
  - {draw: [pool]}
`

// crowd has tenants of the best class ask for so many tokens a second, in calls of 50, for a while; beside them calls of others
// come, each so many tokens a second. It returns what all of them got, in tokens.
func (w *swarm) crowd(d time.Duration, at []int, crowd int64, others map[string]int64) map[string]float64 {
	got := map[string]float64{}
	count := func(n *node, id ID, r *Request) {
		if a := n.answer(id); a.Verdict == Admit {
			got[r.Tenant] += float64(a.Reserved[0].Amount)
			n.settle(id, forTokens(a.Reserved[0].Amount))
		}
	}
	send := func(n *node, r *Request) {
		if id, waits := n.admit(r); waits == nil {
			count(n, id, r)
		}
	}
	turn := int64(0)
	for range d / (50 * time.Millisecond) {
		turn++
		for _, i := range at {
			n := w.nodes[i]
			for k := range crowd / 20 / 50 {
				send(n, on("pool", 50).of("best").by(fmt.Sprintf("c%d", k%5)).wait(UseClassDefault))
			}
		}
		n := w.nodes[len(w.nodes)-1]
		for _, tenant := range []string{"ads", "search"} {
			for range others[tenant]/50*turn/20 - others[tenant]/50*(turn-1)/20 {
				send(n, on("pool", 50).by(tenant).wait(UseClassDefault))
			}
		}
		w.pass(50 * time.Millisecond)
		for _, n := range w.nodes {
			for _, x := range n.decided() {
				count(n, x.ID, x.Request)
			}
		}
	}
	return got
}

// TestGuaranteeComesBack: others use what a tenant does not. When it comes back it has its floor within 5 s, though they ask for
// five times what there is in a better class, and no more than its floor goes ahead of them. What one tenant leaves of its floor
// the other cannot claim.
func TestGuaranteeComesBack(t *testing.T) {
	if testing.Short() {
		t.Skip("one goroutine, and ten seconds under the race detector")
	}
	for _, c := range []struct {
		nodes  int
		others map[string]int64
		least  map[string]float64 // tokens per second
		most   map[string]float64
	}{
		{1, map[string]int64{"search": 300}, map[string]float64{"search": 285}, nil},
		{1, map[string]int64{"search": 100}, map[string]float64{"search": 95}, nil},
		{1, map[string]int64{"search": 2000}, map[string]float64{"search": 300}, map[string]float64{"search": 400}},
		{1, map[string]int64{"search": 300, "ads": 200}, map[string]float64{"search": 285, "ads": 190}, nil},
		{1, map[string]int64{"search": 100, "ads": 1000}, map[string]float64{"search": 95, "ads": 200}, map[string]float64{"ads": 300}},
		{5, map[string]int64{"search": 300}, map[string]float64{"search": 270}, nil},
	} {
		t.Run(fmt.Sprint(c.nodes, c.others), func(t *testing.T) {
			w := newSwarm(t, c.nodes, guaranteed, Config{})
			var all []int
			for i := range c.nodes {
				all = append(all, i)
			}
			crowd := int64(5000 / c.nodes)
			if got := w.crowd(20*time.Second, all, crowd, nil); got["c0"]+got["c1"]+got["c2"]+got["c3"]+got["c4"] < 20*950 {
				t.Errorf("with nobody there the others got %v", got)
			}
			w.crowd(5*time.Second, all, crowd, c.others)
			got := w.crowd(20*time.Second, all, crowd, c.others)
			sum := 0.0
			for tenant, n := range got {
				n /= 20
				sum += n
				if n < c.least[tenant] || c.most[tenant] > 0 && n > c.most[tenant] {
					t.Errorf("%s got %v tokens a second, want %v to %v", tenant, n, c.least[tenant], c.most[tenant])
				}
			}
			if sum < 950 {
				t.Errorf("all got %v tokens a second together", sum)
			}
		})
	}
}

// TestGuaranteeIsShed: who has had less than its floor makes way for nobody; beyond it, it does as others of its class do.
func TestGuaranteeIsNotShed(t *testing.T) {
	n := one(t, bare+`
classes:
  - {name: standard, latency_budget: 2s, sheddable: true}
budgets:
  - {name: pool, token: compute, supply: {rate: 1000/s, burst: 1000}, guarantee: {search: 30%}}
rules:
  - {draw: [pool]}
`)
	n.must(call("search", 10), Admit, CodeOK)
	n.e.gates[n.account("pool").ID()].level.Store(3)
	n.must(call("other", 10), Deny, CodeShed)
	n.must(call("search", 400), Admit, CodeOK)
	n.must(call("search", 300), Admit, CodeOK) // there were 2 s of 300
	n.must(call("search", 10), Deny, CodeShed)
}

const hybrid = preamble + `
budgets:
  - name: pool
    token: compute
    supply: {rate: 1000/s, burst: 5000}
    price: {mode: hybrid, base: 1, target: 50%, max: 8}
    guarantee: {search: 20%}
  - name: own
    token: compute
    per: [tenant]
    supply: {rate: 1000/s, burst: 5000}
    price: {mode: hybrid, base: 2, target: 50%, max: 8}
    guarantee: 10%
rules:
  - {when: model == "own", draw: [own]}
  - {when: model == "", draw: [pool]}
`

// TestHybridPrice: calls within a guarantee pay the base price, whatever others pay; beyond it, they pay what others do.
func TestHybridPrice(t *testing.T) {
	n := one(t, hybrid)
	pays := func(r *Request, want ledger.Tokens, price float64) {
		t.Helper()
		a := n.answer(n.must(r, Admit, CodeOK))
		got := a.Prices()[a.Reserved[0].Budget]
		if got == 0 {
			got = 1
		}
		if a.Reserved[0].Amount != want || math.Abs(got-price) > 1e-9 {
			t.Errorf("%+v pays %+v at %v, want %d at %v", r.Call, a.Reserved[0], got, want, price)
		}
	}
	own := func(tokens int64) *Request { r := call("x", tokens); r.Model = "own"; return r }
	pays(call("search", 10), 10, 1)
	pays(call("other", 10), 10, 1)
	pays(own(10), 20, 2)
	n.setPrice(3)
	n.e.gates[n.account("own", "x").ID()].price.Store(5e6)
	pays(call("other", 100), 300, 3)
	if d, err := n.e.Lookup(n.must(call("other", 1), Admit, CodeOK)); err != nil || d.Guaranteed {
		t.Errorf("%+v, %v", d, err)
	}
	if d, err := n.e.Lookup(n.must(call("search", 0), Admit, CodeOK)); err != nil || !d.Guaranteed {
		t.Errorf("%+v, %v", d, err)
	}
	pays(call("search", 100), 100, 1)
	pays(call("search", 300), 300, 1) // of 400 that piled up 10 and 100 were used
	pays(call("search", 100), 300, 3)
	pays(own(50), 100, 2)
	pays(own(50), 100, 2) // the last of 200: it was not used up yet
	pays(own(50), 250, 5)
	n.w.pass(500 * time.Millisecond)
	n.setPrice(3)
	pays(call("search", 90), 90, 1)
	pays(call("search", 90), 270, 3)
}

// TestGuaranteeCountsUse: a floor is of what calls use, not of what is reserved for them.
func TestGuaranteeCountsUse(t *testing.T) {
	n := one(t, guaranteed)
	for range 200 {
		n.settle(n.must(call("search", 100), Admit, CodeOK), forTokens(25))
		n.w.pass(400 * time.Millisecond)
	}
	f := n.e.gates[n.account("pool").ID()].floors[0]
	if q := f.quota.Load(); q < 2300 || q > 2500 {
		t.Errorf("%d tokens may be reserved within 600, of which calls use a quarter", q)
	}
}

// TestGuaranteeGone: a revision without a guarantee ends it; another part is the new one's.
func TestGuaranteeGone(t *testing.T) {
	n := one(t, guaranteed)
	n.must(call("search", 10), Admit, CodeOK)
	if fs := n.e.Floors(); len(fs) != 1 || fs[0].Budget != "pool:search" || fs[0].Rate != 300 || !fs[0].Under || fs[0].Total != 10 {
		t.Errorf("%+v", fs)
	}
	n.w.policy = parse(t, moving)
	n.e.SetPolicy(n.w.policy)
	n.w.pass(2 * time.Second)
	n.must(call("search", 10), Admit, CodeOK)
	if fs := n.e.Floors(); len(fs) != 0 {
		t.Errorf("%+v", fs)
	}
}
