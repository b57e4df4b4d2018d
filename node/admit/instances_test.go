package admit

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/freeze"
	"github.com/swarmpurse/swarmpurse/policy"
)

const perRun = preamble + `
budgets:
  - {name: pool, token: compute, supply: {grant: 1000k}}
  - {name: tenant, token: compute, per: [tenant], supply: {grant: 1000k}}
  - {name: run, token: compute, per: [tenant, run], instances: 100, supply: {grant: 1000}}
rules:
  - {draw: [pool, tenant]}
  - {when: 'run != ""', draw: [run]}
`

func run(tenant, name string, tokens int64) *Request {
	return &Request{Call: policy.Call{Tenant: tenant, Run: name, MaxOutputTokens: tokens}}
}

// soon is the answer to a call that may wait as long as its class lets it.
func (n *node) soon(r *Request) Answer {
	n.w.t.Helper()
	id, w := n.admit(r.wait(UseClassDefault))
	for i := 0; w != nil && w.ID == 0; i++ {
		if i == 100 {
			n.w.t.Fatalf("%+v still waits", r.Call)
		}
		n.w.pass(50 * time.Millisecond)
	}
	if w != nil {
		n.decided()
		id = w.ID
	}
	return n.answer(id)
}

// TestInstancesAreBounded: a runaway agent that names ever new runs gets no further than the budget's instances go, and keeps
// nobody from anything else: runs that are known, other budgets, other tenants that name no run.
func TestInstancesAreBounded(t *testing.T) {
	n := one(t, perRun)
	for i := range 100 {
		n.must(run("a", fmt.Sprint(i), 10), Admit, CodeOK)
	}
	before := len(n.r.Instances())
	for i := range 50 {
		id := n.must(run("b", fmt.Sprint(i), 10), Deny, CodeInstances)
		if a := n.answer(id); a.Class != "standard" || a.Excused() ||
			a.Reason != fmt.Sprintf(`budget "run": "run/b/%d" would be one instance more than there may be (100, or 65536 of all budgets): use fewer values of tenant, run, or raise instances in the policy`, i) {
			t.Fatalf("%+v", a)
		}
	}
	if now := len(n.r.Instances()); now != before || n.r.Count("run") != 100 || n.r.Count("tenant") != 1 {
		t.Errorf("%d instances after %d: refused calls left some behind", now, before)
	}
	n.must(run("a", "7", 10), Admit, CodeOK)
	n.must(run("c", "", 10), Admit, CodeOK)
	n.must(run("b", "", 10), Admit, CodeOK)

	// A policy that allows more lets more in; one that allows less takes nothing away.
	for _, c := range []struct {
		most string
		code string
		v    Verdict
	}{{"101", CodeOK, Admit}, {"50", CodeInstances, Deny}} {
		n.e.SetPolicy(parse(t, strings.Replace(perRun, "instances: 100", "instances: "+c.most, 1)))
		n.must(run("b", "of "+c.most, 10), c.v, c.code)
		n.must(run("a", "9", 10), Admit, CodeOK)
	}
}

// TestInstancesAreBoundedInTheSwarm: what other nodes opened counts as soon as their rows are known.
func TestInstancesAreBoundedInTheSwarm(t *testing.T) {
	w := newSwarm(t, 3, perRun, Config{})
	for i := range 100 {
		w.nodes[i%2].must(run("a", fmt.Sprint(i), 10), Admit, CodeOK)
	}
	w.pass(3 * time.Second)
	n := w.nodes[2]
	n.must(run("a", "another", 10), Deny, CodeInstances)
	if a := n.soon(run("a", "3", 10)); a.Code != CodeOK { // another node's
		t.Errorf("%+v", a)
	}
	if n.r.Count("run") != 100 {
		t.Errorf("%d instances are known", n.r.Count("run"))
	}
}

// TestFrozenOpensNothing: an agent that is frozen leaves no instances behind, whatever it names.
func TestFrozenOpensNothing(t *testing.T) {
	n := one(t, perRun)
	n.must(run("a", "1", 10), Admit, CodeOK)
	before := len(n.r.Instances())
	n.freeze(freeze.Key{Tenant: "a"})
	for i := range 10 {
		if a := n.answer(n.must(run("a", fmt.Sprint("new", i), 10), Deny, CodeFrozen)); a.Class != "standard" {
			t.Errorf("%+v", a)
		}
	}
	if now := len(n.r.Instances()); now != before {
		t.Errorf("%d instances after %d", now, before)
	}
}

// TestIdleInstancesLoseNothing: runs that nobody has heard of for a day are there to the token, at the node where they ran, at
// another, and on disk; meanwhile they cost no message and no write.
func TestIdleInstancesLoseNothing(t *testing.T) {
	w := newSwarm(t, 3, perRun, Config{})
	const runs = 60
	for i := range runs {
		n := w.nodes[i%3]
		a := n.soon(run("a", fmt.Sprint(i), 400))
		id, err := n.e.Parse(a.ID)
		if err != nil || a.Code != CodeOK {
			t.Fatalf("%+v, %v", a, err)
		}
		n.settle(id, forTokens(300))
	}
	for range 600 { // demand fades, and peers hear of it once
		w.now += 1000
		w.tick()
	}
	rows := func() map[string]uint64 {
		at := map[string]uint64{}
		for _, n := range w.nodes {
			for _, id := range n.r.Instances() {
				for _, k := range n.r.Rows(w.now, id) {
					at[n.self.Node+string(id)+k.Holder.Node] = k.Version
				}
			}
		}
		return at
	}
	version := rows()
	for range 24 {
		w.pass(time.Second)
		w.now += 3600_000 - 1000
		w.tick()
	}
	changed := 0
	for k, v := range rows() {
		if version[k] != v {
			changed++
		}
	}
	if changed > 0 {
		t.Errorf("%d rows of %d were told anew though nothing happened", changed, len(version))
	}
	for i := range runs {
		n := w.nodes[(i+1)%3]
		if a := n.soon(run("a", fmt.Sprint(i), 701)); a.Code != CodeExhausted {
			t.Fatalf("run %d has more than 700 left: %+v", i, a)
		}
		a := n.soon(run("a", fmt.Sprint(i), 700))
		if a.Code != CodeOK {
			t.Fatalf("run %d has not got 700 left: %+v", i, a)
		}
		id, err := n.e.Parse(a.ID)
		if err != nil {
			t.Fatal(err)
		}
		n.settle(id, forTokens(700))
	}
	for _, n := range w.nodes {
		if off := n.r.Conservation(); off != 0 {
			t.Errorf("%s is off by %d", n.self.Node, off)
		}
	}
	w.pass(2 * time.Second)
	var spent ledger.Tokens
	for _, n := range w.nodes {
		for i := range runs {
			b, _ := w.policy.Budget("run")
			id, err := b.Instance(n.r.Charter().ID, []string{"a", fmt.Sprint(i)})
			if err != nil {
				t.Fatal(err)
			}
			if a := n.r.Account(id); a != nil {
				spent += a.State(w.now).Spent
			}
		}
	}
	if spent != runs*1000 {
		t.Errorf("%d spent of %d", spent, runs*1000)
	}
}
