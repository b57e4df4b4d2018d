package node

import (
	"bytes"
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/events"
	"github.com/swarmpurse/swarmpurse/policy"
)

const watched = `
apiVersion: swarmpurse/v1
revision: 1
tokens: {compute: {unit: token}}
classes: [{name: quick, latency_budget: 0s, objective: 99%}, {name: batch, latency_budget: 5s}]
budgets:
  - {name: pool, token: compute, supply: {grant: 1000}, ceiling: hard}
  - {name: each, token: compute, per: [tenant], supply: {grant: 100}, ceiling: hard}
rules: [{name: all, draw: [pool, each]}]
default: deny
`

func callOf(tenant string, amount ledger.Tokens) *admit.Request {
	return &admit.Request{Call: policy.Call{Tenant: tenant, Class: "quick", Tokens: []policy.Amount{{Token: "compute", Amount: amount}}}}
}

// TestEventsOfANode: who follows hears of calls, their ends and what operators do, in the words of the audit log, though this
// node keeps none; until then nothing is kept, and with the drain it ends.
func TestEventsOfANode(t *testing.T) {
	n, _ := alone(t, watched)
	say := func() admit.Answer {
		t.Helper()
		a, err := n.Admit(t.Context(), callOf("<b>a</b>", 40))
		if err != nil || a.Verdict != admit.Admit {
			t.Fatalf("%+v, %v", a, err)
		}
		return a
	}
	say()
	f, _, err := n.events.Follow("")
	if err != nil {
		t.Fatal(err)
	}
	defer f.Close()
	a := say()
	if _, err := n.Settle(a.ID, admit.Settlement{Used: []policy.Amount{{Token: "compute", Amount: 50}}, Outcome: "ok"}); err != nil {
		t.Fatal(err)
	}
	if _, err := n.Settle(a.ID, admit.Settlement{}); err != nil { // says nothing new
		t.Fatal(err)
	}
	if d, err := n.Admit(t.Context(), callOf("<b>a</b>", 90)); err != nil || d.Verdict.Admitted() {
		t.Fatalf("%+v, %v", d, err)
	}
	if _, err := n.Freeze(t.Context(), api.FreezeRequest{Tenant: "x", Why: "why"}, true); err != nil {
		t.Fatal(err)
	}
	var list []events.Event
	for len(list) < 4 {
		<-f.Wake()
		more, _ := f.Take()
		list = append(list, more...)
	}
	var rs []api.AuditRecord
	for _, e := range list {
		var r api.AuditRecord
		if err := json.Unmarshal(e.Data, &r); err != nil || r.Kind != e.Kind || time.Since(r.At).Abs() > time.Minute {
			t.Fatalf("%s: %v", e.Data, err)
		}
		rs = append(rs, r)
	}
	if d := rs[0]; d.Kind != "decision" || d.ID != a.ID || d.Tenant != "<b>a</b>" || d.Decision != "admit" || d.Class != "quick" || len(d.Draws) != 2 || d.Draws[0].Amount != 40 {
		t.Errorf("the decision: %+v", d)
	}
	if e := rs[1]; e.Kind != "end" || e.ID != a.ID || e.State != "settled" || e.Outcome != "ok" || e.Draws[0].Amount != 50 || e.Draws[0].Overrun != 10 {
		t.Errorf("its end: %+v", e)
	}
	if d := rs[2]; d.Decision == "admit" || d.Code == "" || d.Reason == "" {
		t.Errorf("the refusal: %+v", d)
	}
	if z := rs[3]; z.Kind != "freeze" || z.Instance == "" || z.Why != "why" {
		t.Errorf("the freeze: %+v", z)
	}
	if bytes.Contains(list[0].Data, []byte(`"index"`)) {
		t.Errorf("an event has an index: %s", list[0].Data)
	}
	go n.drain()
	<-n.events.Ended()
}

// TestOverviewOfANode: the few instances that are shown are those nearest to their end, and one is found by its name.
func TestOverviewOfANode(t *testing.T) {
	n, _ := alone(t, strings.Replace(watched, "latency_budget: 0s", "latency_budget: 20s", 1)) // of which a busy machine misses none
	for _, tenant := range []string{"a", "b", "c/d"} {
		for range map[string]int{"a": 1, "b": 3, "c/d": 2}[tenant] {
			if _, err := n.Admit(t.Context(), callOf(tenant, 30)); err != nil {
				t.Fatal(err)
			}
		}
	}
	if _, err := n.Freeze(t.Context(), api.FreezeRequest{Tenant: "x"}, true); err != nil {
		t.Fatal(err)
	}
	v := n.Overview(1)
	if len(v.Budgets) != 2 || len(v.Budgets[0].Instances) != 1 || v.Budgets[0].Truncated != 0 || len(v.Budgets[1].Instances) != 1 || v.Budgets[1].Truncated != 2 {
		t.Fatalf("%+v", v.Budgets)
	}
	if len(v.Members) != 1 || len(v.Frozen) != 1 || v.Policy.Revision != 1 || v.Policy.Trial != nil || v.Status.Node != "n1" || v.LeftOut["decision"] != 0 {
		t.Errorf("%+v", v)
	}
	if len(v.Classes) != 2 || v.Classes[0].Name != "quick" || v.Classes[0].Met != 6 || v.Classes[0].Objective != 0.99 || len(v.Classes[0].Decisions) != 1 || v.Classes[0].Decisions[0].Calls != 6 {
		t.Errorf("%+v", v.Classes)
	}
	if all := n.Overview(9).Budgets[1].Instances; len(all) != 3 || all[0].Instance != "each/a" {
		t.Errorf("%+v", all)
	}
	b, err := n.Instance("each/c%2Fd", api.View{All: true})
	if err != nil || len(b.Instances) != 1 || b.Instances[0].Local.Reserved != 60 || len(b.Instances[0].Holders) != 1 {
		t.Errorf("%+v, %v", b, err)
	}
	for _, name := range []string{"each/none", "each", "none", ""} {
		if _, err := n.Instance(name, api.View{All: true}); err == nil {
			t.Errorf("%q is an instance", name)
		}
	}
}

// TestNobodyFollows: a decision that nobody hears of costs no allocation more.
func TestNobodyFollows(t *testing.T) {
	n, _ := alone(t, watched)
	r, a := callOf("a", 1), admit.Answer{ID: "x"}
	if allocs := testing.AllocsPerRun(1000, func() { n.publishDecision(r, &a) }); allocs != 0 {
		t.Errorf("%v allocations", allocs)
	}
}
