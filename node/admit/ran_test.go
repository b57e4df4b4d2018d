package admit

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/freeze"
	"github.com/swarmpurse/swarmpurse/policy"
)

const ranDoc = `
apiVersion: swarmpurse/v1
revision: 1
tokens:
  compute: {unit: token}
  requests: {unit: request}
budgets:
  - {name: pot, token: compute, supply: {grant: 100}}
  - {name: tenant, token: compute, per: [tenant], supply: {grant: 80}, instances: 2}
  - {name: calls, token: requests, supply: {grant: 10}}
  - {name: seen, token: compute, supply: {grant: 5}, ceiling: observe}
rules:
  - {when: model == "two", draw: [pot, tenant, calls]}
  - {when: model == "one", draw: [pot]}
  - {when: model == "weighed", draw: [pot, calls], cost: {compute: 10 + 2 * prompt_tokens, requests: 1}}
  - {when: model == "seen", draw: [seen]}
`

func stated(tenant, model string, n ledger.Tokens) *Request {
	return &Request{Call: policy.Call{Tenant: tenant, Model: model, Tokens: []policy.Amount{{Token: "compute", Amount: n}}}}
}

// TestRan: what is told after a call is booked whatever is left, once, and what rights lack is debt that the next call waits behind.
func TestRan(t *testing.T) {
	n := one(t, ranDoc)
	e := n.e
	frozen := false
	ran := func(r *Request) Details {
		t.Helper()
		id, ok := e.TryRan(n.w.now, r)
		if !ok {
			var err error
			if id, err = e.Ran(n.w.now, n.r, r); err != nil {
				t.Fatal(err)
			}
			n.w.sync()
			if d, err := e.Lookup(id); err == nil && d.Verdict == Admit && !frozen {
				if _, ok := e.TryRan(n.w.now, stated(r.Tenant, r.Model, 0)); !ok {
					t.Error("a second report of the kind still needs the owner")
				}
			}
		}
		d, err := e.Lookup(id)
		if err != nil {
			t.Fatal(err)
		}
		n.w.sync()
		return d
	}
	is := func(a *ledger.Account, spent, debt ledger.Tokens) {
		t.Helper()
		if s := a.State(n.w.now); s.Spent != spent || s.Debt != debt || s.Reserved != 0 || a.Audit() != 0 {
			t.Fatalf("spent %d, debt %d, reserved %d; want %d, %d: %d off", s.Spent, s.Debt, s.Reserved, spent, debt, a.Audit())
		}
	}

	n.must(stated("a", "one", 1), Admit, CodeOK) // so that marks are on disk
	pot := n.account("pot")
	d := ran(stated("a", "one", 60))
	if d.Verdict != Admit || d.State != Settled || d.Outcome != OutcomeReported || d.Overrun != 60 || !strings.Contains(d.Reason, "had run already") {
		t.Errorf("%+v", d)
	}
	n.w.pass(time.Second)
	if s := pot.State(n.w.now); s.Spent != 60 || s.Reserved != 1 || s.Debt != 0 {
		t.Fatalf("%+v", s)
	}

	// More than there is: all of it is owed, at all budgets of the call, but no second request is counted.
	ran(stated("a", "two", 70))
	n.w.pass(time.Second)
	if s := pot.State(n.w.now); s.Spent+s.Debt != 130 || s.Spent > 100 || s.Debt < 30 {
		t.Fatalf("%+v", s)
	}
	is(n.account("tenant", "a"), 70, 0)
	is(n.account("calls"), 0, 0)
	n.must(stated("a", "one", 1), Defer, CodeExhausted) // the call that runs may give something back
	before := pot.State(n.w.now)
	ran(stated("a", "one", 5))
	if s := pot.State(n.w.now); s.Debt != before.Debt+5 {
		t.Errorf("a report behind a debt is lost: %+v", s)
	}

	// Costs are of the counts: what a rule charges for any call was charged at its admission.
	r := &Request{Call: policy.Call{Model: "weighed", PromptTokens: 3}}
	before = pot.State(n.w.now)
	ran(r)
	if s := pot.State(n.w.now); s.Debt != before.Debt+6 {
		t.Errorf("%d are owed, want 6 more than %d", s.Debt, before.Debt)
	}
	is(n.account("calls"), 0, 0)

	// Nothing stops it: not a freeze, not a drain, not a limit that only observes.
	frozen = true
	n.freeze(freeze.Key{Tenant: "a"})
	e.Drain()
	before = pot.State(n.w.now)
	ran(stated("a", "one", 1))
	if s := pot.State(n.w.now); s.Debt != before.Debt+1 {
		t.Errorf("%+v", s)
	}
	ran(stated("a", "seen", 50))
	n.w.pass(time.Second)
	is(n.account("seen"), 50, 0)

	// What no rule knows, or what would make an instance too many, cannot be booked, and says so.
	for _, tt := range []struct {
		r    *Request
		code string
	}{{stated("a", "other", 1), CodeNoRule}, {stated("b", "two", 1), CodeOK}, {stated("c", "two", 1), CodeInstances}} {
		if d := ran(tt.r); d.Code != tt.code {
			t.Errorf("%+v: %s %s", tt.r.Call, d.Code, d.Reason)
		}
	}
	if _, err := e.Ran(n.w.now, n.r, stated("", "two", 1)); !errors.Is(err, ErrInvalid) {
		t.Errorf("%v", err)
	}
	if _, active := e.Counts(); active != 1 {
		t.Errorf("%d reservations are open", active)
	}
}

// TestPartialUsageTeachesNothing: a count of prompt tokens alone says nothing of how long outputs are.
func TestPartialUsageTeachesNothing(t *testing.T) {
	n := one(t, ranDoc)
	for i, partial := range []bool{true, false} {
		id := n.must(&Request{Call: policy.Call{Model: "weighed", PromptTokens: 2}}, Admit, CodeOK)
		n.settle(id, Settlement{Usage: &Usage{PromptTokens: 1}, Partial: partial})
		if got := len(n.e.Sizes()); got != i {
			t.Errorf("partial %v: %d sizes are known", partial, got)
		}
	}
	if s := n.account("pot").State(n.w.now); s.Spent != 24 {
		t.Errorf("%+v", s)
	}
}

// TestLeft: what is left is exact on one node, and is seconds old of what others have.
func TestLeft(t *testing.T) {
	w := newSwarm(t, 2, ranDoc, Config{})
	n := w.nodes[0]
	left := func(id ID) (pot, limit ledger.Tokens) {
		t.Helper()
		for _, l := range n.e.Left(w.now, id, nil) {
			if l.Budget.Name == "pot" {
				return l.Left, l.Limit
			}
		}
		t.Fatal("nothing is known of the pot")
		return 0, 0
	}
	w.nodes[1].must(stated("a", "one", 0), Admit, CodeOK) // until it has used the pot, nobody knows what it has
	w.pass(time.Second)
	id := n.must(stated("a", "two", 10), Admit, CodeOK)
	w.pass(2 * time.Second)
	if pot, limit := left(id); pot != 90 || limit != 100 {
		t.Errorf("%d of %d are left", pot, limit)
	}
	id = n.must(stated("a", "one", 7), Admit, CodeOK)
	if pot, _ := left(id); pot != 83 {
		t.Errorf("%d are left, want 83 at once", pot)
	}
	w.nodes[1].must(stated("b", "one", 20), Admit, CodeOK)
	w.pass(5 * time.Second)
	if pot, _ := left(id); pot != 63 {
		t.Errorf("%d are left, want 63 when the other node was heard of", pot)
	}
	if list := n.e.Left(w.now, 1<<60, nil); len(list) != 0 {
		t.Errorf("%+v of a decision that never was", list)
	}
}
