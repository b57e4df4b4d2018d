package admit

import (
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/freeze"
	"github.com/swarmpurse/swarmpurse/policy"
)

const freezing = preamble + `
budgets:
  - {name: pool, token: compute, supply: {grant: 1000}}
  - {name: day, token: compute, per: [tenant], supply: {grant: 500}}
rules:
  - {when: model == "local", stop: true}
  - {draw: [pool, day]}
`

// freeze has an operator say what is frozen, and nothing else.
func (n *node) freeze(keys ...freeze.Key) {
	var s freeze.Set
	for _, k := range keys {
		if _, err := s.Say(int64(n.w.now), "n1", k, true, "op", "it runs away"); err != nil {
			n.w.t.Fatalf("%v", err)
		}
	}
	n.e.SetFrozen(s.View())
}

func by(tenant, agent, model string) *Request {
	return &Request{Call: policy.Call{Tenant: tenant, Agent: agent, Model: model, MaxOutputTokens: 10}}
}

// TestFrozen: calls that draw on what is frozen are denied, with the operator's reason, whether their plan is known or not; others
// are not touched; and once it is not frozen any more they run.
func TestFrozen(t *testing.T) {
	for _, c := range []struct {
		name   string
		key    freeze.Key
		denied []*Request
		free   []*Request
	}{
		{"a tenant", freeze.Key{Tenant: "a"}, []*Request{by("a", "", ""), by("a", "x", "")}, []*Request{by("b", "", ""), by("b", "a", ""), by("a", "", "local")}},
		{"an agent of a tenant", freeze.Key{Tenant: "a", Agent: "x"}, []*Request{by("a", "x", "")}, []*Request{by("a", "", ""), by("a", "y", ""), by("b", "x", "")}},
		{"an agent of any", freeze.Key{Agent: "x"}, []*Request{by("a", "x", ""), by("b", "x", "")}, []*Request{by("a", "y", ""), by("x", "", "")}},
		{"an instance", freeze.Key{Instance: "day/a"}, []*Request{by("a", "", ""), by("a", "x", "")}, []*Request{by("b", "", ""), by("a", "", "local")}},
		{"an instance that all draw on", freeze.Key{Instance: "pool"}, []*Request{by("a", "", ""), by("b", "x", "")}, []*Request{by("a", "", "local")}},
		{"a budget that has no such instance", freeze.Key{Instance: "day"}, nil, []*Request{by("a", "", ""), by("b", "x", "")}},
	} {
		for _, known := range []bool{false, true} {
			n := one(t, freezing)
			all := append(append([]*Request{}, c.denied...), c.free...)
			if known {
				for _, r := range all {
					n.must(r, Admit, CodeOK)
				}
			}
			n.freeze(c.key)
			for _, r := range c.denied {
				if _, ok := n.e.Try(n.w.now, r); ok {
					t.Errorf("%s: %+v is decided at once", c.name, r.Call)
				}
				id := n.must(r, Deny, CodeFrozen)
				a := n.answer(id)
				if !strings.HasPrefix(a.Reason, c.key.String()+" is frozen by an operator since ") || !strings.HasSuffix(a.Reason, ": it runs away") || a.RetryAfter != 0 || !a.Excused() {
					t.Errorf("%s: %+v", c.name, a)
				}
				if d, err := n.e.Lookup(id); err != nil || d.Code != CodeFrozen || d.State != Refused || len(d.Reserved) != 0 {
					t.Errorf("%s: %+v, %v", c.name, d, err)
				}
			}
			for _, r := range c.free {
				n.must(r, Admit, CodeOK)
				n.w.pass(time.Second) // marks run ahead
				if _, ok := n.e.Try(n.w.now, r); !ok {
					t.Errorf("%s: %+v is not decided at once", c.name, r.Call)
				}
			}
			n.freeze()
			for _, r := range all {
				n.must(r, Admit, CodeOK)
				n.w.pass(time.Second) // marks run ahead
				if _, ok := n.e.Try(n.w.now, r); !ok {
					t.Errorf("%s, ended: %+v is not decided at once", c.name, r.Call)
				}
			}
			if n.r.Conservation() != 0 {
				t.Errorf("%s: the equation does not close", c.name)
			}
		}
	}
}

// TestFrozenWhileItRuns: what runs is settled and charged as ever, what waits is denied with the next Pump, and the calls of others
// that waited behind go on.
func TestFrozenWhileItRuns(t *testing.T) {
	n := one(t, freezing)
	runs := n.must(call("a", 400), Admit, CodeOK)
	n.must(call("b", 450), Admit, CodeOK)
	waits := n.waits(call("a", 300).wait(time.Second)) // a's own budget has 100 left, the pool 150
	other := n.waits(call("b", 160).wait(time.Second))
	n.freeze(freeze.Key{Tenant: "a"})
	n.pump()
	got := n.decided()
	if len(got) != 1 || got[0] != waits || n.answer(waits.ID).Code != CodeFrozen {
		t.Fatalf("%d decided", len(got))
	}
	if rc, err := n.e.Settle(n.w.now, runs, forTokens(100)); err != nil || rc.Charged[0].Amount != 100 {
		t.Fatalf("%+v, %v", rc, err)
	}
	n.freeze()
	n.w.pass(2 * time.Second)
	if got := n.decided(); len(got) != 1 || got[0] != other || n.answer(other.ID).Code == CodeFrozen {
		t.Fatalf("%d decided", len(got))
	}
	n.check()
}

// TestFrozenCheaper: a call does not run cheaper from what is frozen.
func TestFrozenCheaper(t *testing.T) {
	n := one(t, degrading)
	n.must(model("large", 10, 20), Admit, CodeOK)
	n.w.pass(time.Second)
	n.must(model("large", 10, 30), Admit, CodeOK)
	n.w.pass(1100 * time.Millisecond)
	n.must(model("large", 1, 1), Degrade, CodeOK)
	n.freeze(freeze.Key{Instance: "small"})
	if a := n.answer(n.must(model("large", 1, 1), Admit, CodeOK)); a.Reserved[0].Budget != "pool" {
		t.Errorf("%+v", a)
	}
	n.must(model("large", 10, 90), Defer, CodeExhausted)
	n.freeze(freeze.Key{Instance: "pool"})
	n.must(model("large", 1, 1), Deny, CodeFrozen)
	n.must(model("mini", 1, 1), Admit, CodeOK)
}

// TestFrozenOthersCostNothing: decisions on calls that are not frozen are made at once, without an allocation.
func TestFrozenOthersCostNothing(t *testing.T) {
	n := one(t, benched)
	r := by("a", "x", "m")
	n.must(r, Admit, CodeOK)
	n.freeze(freeze.Key{Tenant: "b"}, freeze.Key{Agent: "y"}, freeze.Key{Instance: "tenant/b"}, freeze.Key{Tenant: "a", Agent: "z"})
	if allocs := testing.AllocsPerRun(100, func() {
		if _, ok := n.e.Try(n.w.now, r); !ok {
			t.Fatal("not decided at once")
		}
	}); allocs >= 1 {
		t.Errorf("%v allocations", allocs)
	}
}

// TestLawsOfFreezing: whatever comes, waits, is settled, frozen and unfrozen, a call is denied as frozen if and only if what it
// draws on or who makes it is frozen at that time, and the books close.
func TestLawsOfFreezing(t *testing.T) {
	keys := []freeze.Key{{Tenant: "a"}, {Tenant: "b"}, {Agent: "x"}, {Tenant: "a", Agent: "y"}, {Instance: "pool"}, {Instance: "day/b"}}
	rapid.Check(t, func(t *rapid.T) {
		n := newSwarm(t, 1, freezing, Config{}).nodes[0]
		frozen := map[freeze.Key]bool{}
		stopped := func(r *Request) bool {
			return frozen[freeze.Key{Tenant: r.Tenant}] || frozen[freeze.Key{Agent: r.Agent}] || frozen[freeze.Key{Tenant: r.Tenant, Agent: r.Agent}] ||
				frozen[freeze.Key{Instance: "pool"}] || frozen[freeze.Key{Instance: "day/" + r.Tenant}]
		}
		var open []ID
		waiting := map[*Waiter]bool{}
		judge := func(r *Request, id ID) {
			switch code := n.answer(id).Code; {
			case code == CodeFrozen != stopped(r):
				t.Fatalf("%+v: %s, frozen are %v", r.Call, code, frozen)
			case code == CodeOK:
				open = append(open, id)
			}
		}
		for range rapid.IntRange(1, 60).Draw(t, "steps") {
			switch rapid.IntRange(0, 5).Draw(t, "step") {
			case 0, 1:
				r := by(rapid.SampledFrom([]string{"a", "b"}).Draw(t, "tenant"), rapid.SampledFrom([]string{"", "x", "y"}).Draw(t, "agent"), "")
				r.MaxOutputTokens = rapid.Int64Range(1, 300).Draw(t, "tokens")
				r.Wait = time.Duration(rapid.IntRange(0, 1).Draw(t, "wait")) * time.Second
				if id, w := n.admit(r); w != nil {
					if stopped(r) {
						t.Fatalf("%+v waits, frozen are %v", r.Call, frozen)
					}
					waiting[w] = true
				} else {
					judge(r, id)
				}
			case 2:
				k := rapid.SampledFrom(keys).Draw(t, "key")
				frozen[k] = !frozen[k]
				var list []freeze.Key
				for _, k := range keys {
					if frozen[k] {
						list = append(list, k)
					}
				}
				n.freeze(list...)
				n.pump()
			case 3:
				if len(open) > 0 {
					if _, err := n.e.Settle(n.w.now, open[0], forTokens(ledger.Tokens(rapid.IntRange(0, 100).Draw(t, "used")))); err != nil {
						t.Fatal(err)
					}
					open = open[1:]
					n.pump()
				}
			case 4:
				n.w.pass(300 * time.Millisecond)
			}
			for _, w := range n.decided() {
				judge(w.Request, w.ID)
				delete(waiting, w)
			}
			for w := range waiting {
				if stopped(w.Request) {
					t.Fatalf("%+v still waits, frozen are %v", w.Request.Call, frozen)
				}
			}
			n.check()
		}
		if n.r.Conservation() != 0 {
			t.Fatal("the equation does not close")
		}
	})
}
