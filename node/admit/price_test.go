package admit

import (
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
)

const moving = preamble + `
budgets:
  - name: pool
    token: compute
    supply: {rate: 1000/s, burst: 3000}
    price: {mode: dynamic, base: 1, target: 50%, max: 8}
rules:
  - {draw: [pool]}
`

func (n *node) poolPrice() float64 { return n.e.Price(n.account("pool").ID()).Float() }

// TestPriceMovesWithUse: while calls take all that a pool has, its price rises until they really use the target; every node
// has the same price, one that is new too; and it falls when they are gone.
func TestPriceMovesWithUse(t *testing.T) {
	w := newSwarm(t, 3, moving, Config{})
	load := func(d time.Duration) {
		for range d / (100 * time.Millisecond) {
			for i, n := range w.nodes[:2] {
				r := call(fmt.Sprintf("t%d", i), 300)
				r.Wait = 0
				if id, waiter := n.admit(r); waiter == nil && n.answer(id).Verdict == Admit {
					n.settle(id, Settlement{Usage: &Usage{PromptTokens: 150}}) // half of what is reserved
				}
			}
			w.pass(100 * time.Millisecond)
		}
	}
	load(90 * time.Second)
	a, b := w.nodes[0].poolPrice(), w.nodes[1].poolPrice()
	if math.Abs(a-2) > 0.15 || math.Abs(a/b-1) > 0.03 {
		t.Errorf("prices %v and %v, want 2: at that calls use half of the pool", a, b)
	}
	n := w.nodes[2]
	r := call("new", 10)
	r.Wait = 2 * time.Second
	n.admit(r)
	if c := n.poolPrice(); math.Abs(c/a-1) > 0.1 {
		t.Errorf("a node that comes to the pool has price %v, the others %v", c, a)
	}
	w.pass(3 * time.Minute)
	if a, b := w.nodes[0].poolPrice(), w.nodes[1].poolPrice(); a != 1 || b != 1 {
		t.Errorf("prices %v and %v when nobody calls", a, b)
	}
}

// setPrice has the pool cost so much, until the next step.
func (n *node) setPrice(times float64) {
	n.e.gates[n.account("pool").ID()].price.Store(int64(times * 1e6))
}

// TestPriceOfAdmission: what a call pays is the price when it was admitted, not when it came or when it ended.
func TestPriceOfAdmission(t *testing.T) {
	n := one(t, moving)
	n.must(call("a", 1), Admit, CodeOK)
	n.setPrice(2)
	id := n.must(call("a", 1000), Admit, CodeOK)
	n.setPrice(3)
	a := n.answer(id)
	if a.Reserved[0].Amount != 2000 || a.Prices()["pool"] != 2 {
		t.Errorf("%+v", a)
	}
	r := call("a", 690)
	r.Wait = 2 * time.Second
	w := n.waits(r) // 2,070 at that price, some 1,000 are left
	n.setPrice(1.5)
	n.w.pass(50 * time.Millisecond)
	if d := n.decided(); len(d) != 1 || d[0] != w {
		t.Fatalf("the call still waits: 1,035 would do")
	}
	if a := n.answer(w.ID); a.Reserved[0].Amount != 1035 || a.Prices()["pool"] != 1.5 {
		t.Errorf("%+v", a)
	}
	n.setPrice(8)
	if rc := n.settle(id, Settlement{Usage: &Usage{PromptTokens: 400}}); rc.Charged[0].Amount != 800 {
		t.Errorf("%+v", rc)
	}
	if rc := n.settle(w.ID, Settlement{Usage: &Usage{PromptTokens: 900}}); rc.Charged[0].Amount != 1350 || rc.Overrun != 315 {
		t.Errorf("%+v", rc)
	}
	if n.r.Conservation() != 0 {
		t.Error("the equation does not close")
	}
}

// TestPriceOfManyDraws: prices are kept for calls on more budgets than a record has room for.
func TestPriceOfManyDraws(t *testing.T) {
	doc, draws := preamble+"budgets:\n", ""
	for i := range inline + 2 {
		doc += fmt.Sprintf("  - {name: b%d, token: compute, supply: {rate: 1M/s, burst: 1M}, price: {mode: dynamic, base: 1, max: 8}}\n", i)
		draws += fmt.Sprintf("b%d, ", i)
	}
	n := one(t, doc+"rules:\n  - {draw: ["+draws+"]}\n")
	n.must(call("a", 1), Admit, CodeOK)
	for i := range inline + 2 {
		n.e.gates[n.account(fmt.Sprintf("b%d", i)).ID()].price.Store(int64(i+1) * 1e6)
	}
	id := n.must(call("a", 100), Admit, CodeOK)
	rc := n.settle(id, Settlement{Usage: &Usage{PromptTokens: 50}})
	for i := range inline + 2 {
		name := fmt.Sprintf("b%d", i)
		if got := n.answer(id).Prices()[name]; got != float64(i+1) {
			t.Errorf("%s at price %v", name, got)
		}
		for _, c := range rc.Charged {
			if c.Budget == name && c.Amount != ledger.Tokens(50*(i+1)) {
				t.Errorf("%s charged %d", name, c.Amount)
			}
		}
	}
}

// TestPriceAcrossPolicies: a new revision goes on from the present price, and one whose price is fixed forgets it.
func TestPriceAcrossPolicies(t *testing.T) {
	n := one(t, moving)
	n.must(call("a", 1), Admit, CodeOK)
	n.setPrice(4)
	n.w.policy = parse(t, moving+"  - {draw: [pool]}\n") // another document
	n.e.SetPolicy(n.w.policy)
	n.w.pass(100 * time.Millisecond)
	n.must(call("a", 1), Admit, CodeOK)
	n.w.pass(1200 * time.Millisecond)
	if p := n.poolPrice(); p < 3 || p > 4 {
		t.Errorf("price %v after a new revision, it was 4", p)
	}
	n.w.policy = parse(t, preamble+`
budgets:
  - {name: pool, token: compute, supply: {rate: 1000/s, burst: 3000}, price: {base: 1.5}}
rules:
  - {draw: [pool]}
`)
	n.e.SetPolicy(n.w.policy)
	n.w.pass(2 * time.Second)
	id, moving := n.must(call("a", 100), Admit, CodeOK), 0
	for _, g := range n.e.watched {
		if g.watch.moves() {
			moving++
		}
	}
	if n.answer(id).Prices()["pool"] != 1.5 || moving != 0 {
		t.Errorf("%+v, %d prices move", n.answer(id), moving)
	}
}

// TestOverdraftPrice: a call that overdraws a soft ceiling pays more, one that finds rights does not.
func TestOverdraftPrice(t *testing.T) {
	n := one(t, preamble+`
budgets:
  - {name: pool, token: compute, supply: {window: 24h, amount: 1000}, ceiling: {soft: 50%, price: 2}, price: {base: 1.5}}
rules:
  - {draw: [pool]}
`)
	id := n.must(call("a", 400), Admit, CodeOK) // 600
	if a := n.answer(id); a.Reserved[0].Amount != 600 || a.Prices()["pool"] != 1.5 {
		t.Errorf("%+v", a)
	}
	r := call("a", 300) // 450 with rights for 400: 900 at the overdraft price, so exactly the 500 that may be overdrawn
	r.Wait = 0
	id = n.must(r, Admit, CodeOK)
	if a := n.answer(id); a.Reserved[0].Amount != 900 || a.Prices()["pool"] != 3 {
		t.Errorf("%+v", a)
	}
	if rc := n.settle(id, Settlement{Usage: &Usage{PromptTokens: 100}}); rc.Charged[0].Amount != 300 {
		t.Errorf("%+v", rc)
	}
	if n.r.Conservation() != 0 {
		t.Error("the equation does not close")
	}
}
