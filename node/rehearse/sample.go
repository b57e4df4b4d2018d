package rehearse

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/policy"
)

// Call is one call of a recorded sample.
type Call struct {
	At                          time.Duration // after the first
	Tenant, Agent, Class, Model string
	Prompt, Output              int64
}

// Comparison is what two policies make of one sample.
type Comparison struct {
	Calls    int
	Old, New map[string]int // calls by decision; those that are wrong by a policy count as "error"
	Moves    []Move         // from the most calls on
	Tenants  []Tenant       // whose calls are decided otherwise, from the most on; at most MaxTenants
	Budgets  []BudgetUse    // by name
}

// Move is calls that one policy decides on in one way and the other in another.
type Move struct {
	Old, New string // decision and code: "admit ok"
	Calls    int
	Example  string // of the second, in words
}

// Tenant is how many of a tenant's calls are decided otherwise.
type Tenant struct {
	Name           string
	Calls, Changed int
}

// BudgetUse is what calls were charged, over all instances.
type BudgetUse struct {
	Name     string
	Old, New ledger.Tokens
}

// MaxTenants bounds Comparison.Tenants.
const MaxTenants = 20

// Compare decides on the calls of a sample by two policies, each on one node that has all rights, in their order and at
// their times from begin on. Calls end at once with what they used, and none waits: what would wait counts as deferred. So what differs
// between the two is what the policies differ in.
func Compare(before, after *policy.Policy, begin ledger.Instant, calls []Call) Comparison {
	c := Comparison{Calls: len(calls), Old: map[string]int{}, New: map[string]int{}}
	a, b := newReplay(before, begin), newReplay(after, begin)
	moves, tenants := map[[2]string]*Move{}, map[string]*Tenant{}
	for i := range calls {
		x, y := a.decide(&calls[i]), b.decide(&calls[i])
		c.Old[x.verdict]++
		c.New[y.verdict]++
		t := tenants[calls[i].Tenant]
		if t == nil {
			t = &Tenant{Name: calls[i].Tenant}
			tenants[t.Name] = t
		}
		t.Calls++
		if x.what() == y.what() {
			continue
		}
		t.Changed++
		m := moves[[2]string{x.what(), y.what()}]
		if m == nil {
			m = &Move{Old: x.what(), New: y.what(), Example: y.reason}
			moves[[2]string{x.what(), y.what()}] = m
		}
		m.Calls++
	}
	for _, m := range moves {
		c.Moves = append(c.Moves, *m)
	}
	slices.SortFunc(c.Moves, func(x, y Move) int {
		return cmp.Or(cmp.Compare(y.Calls, x.Calls), cmp.Compare(x.Old, y.Old), cmp.Compare(x.New, y.New))
	})
	for _, t := range tenants {
		if t.Changed > 0 {
			c.Tenants = append(c.Tenants, *t)
		}
	}
	slices.SortFunc(c.Tenants, func(x, y Tenant) int { return cmp.Or(cmp.Compare(y.Changed, x.Changed), cmp.Compare(x.Name, y.Name)) })
	c.Tenants = c.Tenants[:min(len(c.Tenants), MaxTenants)]
	names := maps.Clone(a.charged)
	maps.Copy(names, b.charged)
	for _, name := range slices.Sorted(maps.Keys(names)) {
		c.Budgets = append(c.Budgets, BudgetUse{name, a.charged[name], b.charged[name]})
	}
	return c
}

type replay struct {
	*Stage
	charged map[string]ledger.Tokens
}

func newReplay(p *policy.Policy, begin ledger.Instant) *replay {
	var reach []string
	for _, u := range p.Upstreams() {
		reach = append(reach, u.Name)
	}
	return &replay{newAt(begin, p, "", reach), map[string]ledger.Tokens{}}
}

type result struct{ verdict, code, reason string }

func (r result) what() string { return r.verdict + " " + r.code }

func (r *replay) decide(c *Call) result {
	r.Leap(r.begin + ledger.Instant(c.At.Milliseconds()))
	d, err := r.Decide(&admit.Request{Call: policy.Call{
		Tenant: c.Tenant, Agent: c.Agent, Class: c.Class, Model: c.Model, PromptTokens: c.Prompt, MaxOutputTokens: c.Output,
	}})
	if err != nil {
		var call *policy.CallError
		code := "rule"
		if errors.As(err, &call) {
			code = call.Field
		}
		return result{failed, code, err.Error()}
	}
	if d.Verdict.Admitted() {
		charged, err := r.settle(d.ID, admit.Settlement{Usage: &admit.Usage{PromptTokens: c.Prompt, CompletionTokens: c.Output}, Outcome: "ok"})
		if err != nil {
			panic("BUG: a call that was just admitted cannot be settled: " + err.Error())
		}
		for _, x := range charged {
			r.charged[x.Budget] += x.Amount
		}
	}
	return result{d.Verdict.String(), d.Code, d.Reason}
}
