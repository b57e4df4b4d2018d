package admit

import (
	"strings"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/policy"
)

var selling = strings.Replace(preamble, "tokens:\n", "tokens:\n  priority: {unit: point}\n", 1) + `
budgets:
  - {name: pool, token: compute, supply: {rate: 100/s, burst: 100}}
  - {name: points, token: priority, per: [tenant], supply: {window: 24h, amount: 20}}
rules:
  - {name: bought, when: priority, draw: [points], cost: {priority: 10}}
  - {draw: [pool]}
`

func asks(class string, priority bool, tokens int64) *Request {
	return &Request{Call: policy.Call{Tenant: "t", Class: class, Priority: priority, PromptTokens: tokens}, Wait: UseClassDefault}
}

// TestPriorityLifts: points buy one class better for one call. Who has none left runs in the class that he named, and says so; who
// asks for nothing, or has the best class already, pays nothing.
func TestPriorityLifts(t *testing.T) {
	n := one(t, selling)
	for _, c := range []struct {
		name    string
		call    *Request
		class   string
		points  int64
		because string
	}{
		{"no priority", asks("", false, 1), "standard", 0, "rights at hand"},
		{"lifted", asks("", true, 1), "critical", 10, `in class "critical" for priority points`},
		{"one class only", asks("batch", true, 1), "standard", 10, `in class "standard" for priority points`},
		{"no points left", asks("", true, 1), "standard", 0, "no points for priority were left"},
		{"nor again, decided at once or not", asks("", true, 1), "standard", 0, "no points for priority were left"},
		{"the best class already", asks("critical", true, 1), "critical", 0, "rights at hand"},
		{"the proxy's, which cannot be changed", func() *Request { r := asks("", true, 1); r.AsIs = true; return r }(), "standard", 0, "no points"},
	} {
		a := n.answer(n.must(c.call, Admit, CodeOK))
		got := int64(0)
		for _, r := range a.Reserved {
			if r.Budget == "points" {
				got += int64(r.Amount)
			}
		}
		if a.Class != c.class || got != c.points || !strings.Contains(a.Reason, c.because) || a.Advice != nil {
			t.Errorf("%s: class %s, %d points, %q; want %s, %d, %q", c.name, a.Class, got, a.Reason, c.class, c.points, c.because)
		}
	}
	// A release gives the points back.
	id := n.must(&Request{Call: policy.Call{Tenant: "u", Priority: true, PromptTokens: 1}}, Admit, CodeOK)
	n.release(id)
	if r := n.account("points", "u").Rights(n.w.now); r != 20 {
		t.Errorf("%d points after a release", r)
	}
}

// TestPriorityGoesFirst: a call that paid is served before those of its own class that came before it, and one that could not pay
// is not.
func TestPriorityGoesFirst(t *testing.T) {
	for _, c := range []struct {
		name  string
		spent bool
		first bool
	}{{"paid", false, true}, {"no points", true, false}} {
		t.Run(c.name, func(t *testing.T) {
			n := one(t, selling)
			n.must(asks("", false, 1), Admit, CodeOK) // so the pool is looked at before the points
			n.w.pass(time.Second)
			if c.spent {
				n.must(asks("", true, 1), Admit, CodeOK)
				n.must(asks("", true, 1), Admit, CodeOK)
				n.w.pass(time.Second)
			}
			n.must(asks("", false, 100), Admit, CodeOK)
			for range 10 {
				n.waits(asks("", false, 10))
			}
			paid := n.waits(asks("", true, 10))
			n.w.pass(2 * time.Second)
			at := 0
			for i, w := range n.decided() {
				if w == paid {
					at = i + 1
				}
				if a := n.answer(w.ID); a.Verdict != Admit {
					t.Errorf("%+v", a)
				}
			}
			if at == 0 || at > 3 == c.first || at < 11 != c.first {
				t.Errorf("of 11 it was served as the %d.", at)
			}
		})
	}
}
