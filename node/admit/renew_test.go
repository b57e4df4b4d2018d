package admit

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
)

const renewed = preamble + `
budgets:
  - {name: pool, token: compute, supply: {grant: 1000k}}
  - {name: agent, token: compute, per: [tenant, run], instances: 20, supply: {window: 1m, amount: 1000}, renew: 1m}
rules:
  - {draw: [pool, agent]}
`

// toTurn lets time go by until so long before the next minute.
func (w *swarm) toTurn(before time.Duration) {
	const minute = ledger.Instant(60_000)
	w.pass(time.Duration((w.now/minute+1)*minute-w.now)*time.Millisecond - before)
}

// TestRenewedInstancesMakeRoom: with each life as many new agents may come as the budget has instances, those of the life before
// leave nothing behind, and whoever comes back has its whole amount: no more, no less.
func TestRenewedInstancesMakeRoom(t *testing.T) {
	w := newSwarm(t, 2, renewed, Config{})
	n := w.nodes[0]
	n.w.toTurn(0)
	most := 0
	for minute := range 6 {
		for i := range 20 {
			name := fmt.Sprintf("%d-%d", minute, i)
			if i == 0 {
				name = "comes-back"
			}
			a := n.soon(run("a", name, 900))
			if a.Verdict != Admit {
				t.Fatalf("%s has less than its amount: %+v", name, a)
			}
			if minute < 5 { // what the others have is charged when its time is over
				id, err := n.e.Parse(a.ID)
				if err != nil {
					t.Fatal(err)
				}
				n.settle(id, Settlement{Used: []policy.Amount{{Token: "compute", Amount: 900}}})
			}
			if a := n.soon(run("a", name, 200)); a.Verdict == Admit {
				t.Fatalf("%s has more than its amount: %+v", name, a)
			}
		}
		n.must(run("a", fmt.Sprint(minute, "-too-many"), 10), Deny, CodeInstances)
		n.w.toTurn(0)
		most = max(most, len(n.r.Instances()), len(w.nodes[1].r.Instances()))
		if gates := len(n.e.gates); gates > 2*21+1 {
			t.Fatalf("%d gates are kept", gates)
		}
	}
	if most > 4*20+1 {
		t.Errorf("a node knew %d instances", most)
	}
	// When the time of those that nobody settled is over, all goes.
	n.w.pass(20 * time.Minute)
	for _, n := range w.nodes {
		if left := n.r.Instances(); len(left) != 1 {
			t.Errorf("%s keeps %v", n.self.Node, left)
		}
		for k := range n.disk {
			if strings.Contains(k, "agent/") {
				t.Errorf("%s keeps %q on its disk", n.self.Node, k)
			}
		}
	}
	if l := n.r.Lives("agent"); l.Forgotten != 6*20 || l.Over != 0 {
		t.Errorf("%+v", l)
	}
}

// TestWaitingCallsGoOnInTheNextLife: a call that waits when its instance's life ends is served by the next one, and one that was
// decided by a plan from before finds the next one, too.
func TestWaitingCallsGoOnInTheNextLife(t *testing.T) {
	n := one(t, renewed)
	n.w.toTurn(time.Second)
	n.must(run("a", "r", 1000), Admit, CodeOK)
	waiter := n.waits(run("a", "r", 600).wait(time.Hour))
	other := n.waits(run("a", "r", 600).wait(time.Hour))
	n.w.toTurn(0)
	n.w.pass(200 * time.Millisecond)
	if waiter.ID == 0 || n.answer(waiter.ID).Verdict != Admit {
		t.Fatalf("the first that waited: %+v", waiter)
	}
	if other.ID != 0 && n.answer(other.ID).Verdict == Admit {
		t.Fatal("1,200 of 1,000 were admitted")
	}
	n.w.toTurn(0)
	n.w.pass(100 * time.Millisecond)
	if a := n.soon(run("a", "r", 400)); a.Verdict != Admit {
		t.Fatalf("in the third life: %+v", a)
	}
}
