package admit

import (
	"math"
	"strings"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
)

// The level follows the time in which what is left would be used up, at what calls ask for less what is refilled.
func TestPressure(t *testing.T) {
	rate := ledger.Spec{Kind: ledger.Rate, Amount: 1000}
	window := ledger.Spec{Kind: ledger.Windowed, Amount: 1000}
	for _, c := range []struct {
		name  string
		spec  ledger.Spec
		o     ledger.Outlook
		level int
		left  float64 // seconds
	}{
		{"nobody asks", rate, ledger.Outlook{Swarm: 10, Refill: 100}, 0, math.Inf(1)},
		{"less than is refilled", rate, ledger.Outlook{Swarm: 0, Demand: 99, Refill: 100}, 0, math.Inf(1)},
		{"two minutes", rate, ledger.Outlook{Swarm: 1000, Demand: 108, Refill: 100}, 0, 125},
		{"forty seconds", rate, ledger.Outlook{Swarm: 1000, Demand: 125, Refill: 100}, 1, 40},
		{"ten seconds", rate, ledger.Outlook{Swarm: 1000, Demand: 200, Refill: 100}, 2, 10},
		{"two seconds", rate, ledger.Outlook{Swarm: 1000, Demand: 600, Refill: 100}, 3, 2},
		{"used up", rate, ledger.Outlook{Swarm: 0, Demand: 200, Refill: 100}, 3, 0},
		{"a full bucket", rate, ledger.Outlook{Swarm: 1000, Capacity: 1000, Demand: 5100, Refill: 100}, 0, 0.2},
		{"half of it", rate, ledger.Outlook{Swarm: 500, Capacity: 1000, Demand: 5100, Refill: 100}, 2, 0.1},
		{"a fifth of it", rate, ledger.Outlook{Swarm: 200, Capacity: 1000, Demand: 5100, Refill: 100}, 3, 0.04},
		{"a grant", ledger.Spec{Kind: ledger.Grant}, ledger.Outlook{Swarm: 1000, Demand: 100}, 2, 10},
		{"a window that lasts", window, ledger.Outlook{Swarm: 1000, Demand: 100, NextAt: begin + 9_000}, 0, math.Inf(1)},
		{"a window that does not", window, ledger.Outlook{Swarm: 1000, Demand: 100, NextAt: begin + 11_000}, 2, 10},
		{"slots", ledger.Spec{Kind: ledger.Slots}, ledger.Outlook{Swarm: 300}, 0, math.Inf(1)},
		{"a fifth of slots", ledger.Spec{Kind: ledger.Slots}, ledger.Outlook{Swarm: 200}, 1, math.Inf(1)},
		{"few slots", ledger.Spec{Kind: ledger.Slots}, ledger.Outlook{Swarm: 99}, 2, math.Inf(1)},
		{"no slot", ledger.Spec{Kind: ledger.Slots}, ledger.Outlook{}, 3, 0},
		{"metered only", ledger.Spec{Kind: ledger.Grant, Ceiling: ledger.Observe}, ledger.Outlook{Demand: 100}, 0, math.Inf(1)},
	} {
		if c.o.Known = true; c.o.Capacity == 0 {
			c.o.Capacity = 1000
			if c.spec.Kind == ledger.Rate {
				c.o.Capacity = 100_000
			}
		}
		b := &policy.Budget{Spec: c.spec, Levels: [3]time.Duration{time.Minute, 15 * time.Second, 3 * time.Second}}
		if p := pressure(begin, b, &c.o); p.Level != c.level || p.Exhausted != c.left || p.Velocity != c.o.Demand {
			t.Errorf("%s: %+v, want level %d and %v s", c.name, p, c.level, c.left)
		}
		c.o.Known = false
		if p := pressure(begin, b, &c.o); p.Level != 0 {
			t.Errorf("%s, but not all holders are known: %+v", c.name, p)
		}
	}
}

const pressed = `
apiVersion: swarmpurse/v1
revision: 1
tokens:
  compute: {unit: token}
classes:
  - {name: critical, weight: 16, latency_budget: 2s}
  - {name: standard, weight: 4, latency_budget: 2s, default: true}
  - {name: batch, weight: 1, latency_budget: 5m, sheddable: true}
budgets:
  - {name: pool, token: compute, supply: {rate: 100/s, burst: 1000}}
  - {name: side, token: compute, supply: {rate: 100/s, burst: 1000}}
rules:
  - {when: 'model in ["pool", "both"]', draw: [pool]}
  - {when: 'model in ["side", "both"]', draw: [side]}
backpressure:
  - {level: 2, defer: [standard]}
  - {level: 3, shed: [batch]}
`

// At each level those make way whom the policy names, whether a call comes to Try or to the owner; all answers tell the level; and
// once demand falls, so does the level, one after the other.
func TestBackpressure(t *testing.T) {
	n := one(t, pressed)
	for _, class := range []string{"critical", "standard", "batch"} {
		for _, model := range []string{"pool", "side", "both"} {
			if a := n.answer(n.must(on(model, 1).of(class), Admit, CodeOK)); a.Level != 0 {
				t.Fatalf("%+v", a)
			}
		}
	}
	press := func(perTick int64, until int) {
		t.Helper()
		for range 400 {
			if n.e.Pressure(n.account("pool").ID()).Level >= until {
				return
			}
			n.offer(on("pool", perTick).of("critical").wait(0))
			n.w.pass(50 * time.Millisecond)
			n.e.Watch(n.w.now, n.r)
		}
		t.Fatalf("level %d is not reached: %+v", until, n.e.Pressure(n.account("pool").ID()))
	}
	press(7, 2) // 140/s
	if a := n.answer(n.must(on("pool", 1), Defer, CodePressure)); a.Level != 2 || a.RetryAfter < 2*time.Second || !strings.Contains(a.Reason, `budget "pool" is at level 2`) {
		t.Errorf("%+v", a)
	}
	if _, ok := n.e.Try(n.w.now, on("pool", 1)); ok {
		t.Error("Try admits what is to be deferred")
	}
	n.must(on("both", 1), Defer, CodePressure)
	n.must(on("side", 1), Admit, CodeOK) // another budget
	if a := n.answer(n.must(on("pool", 1).of("batch"), Admit, CodeOK)); a.Level != 2 {
		t.Errorf("%+v", a)
	}
	press(40, 3)
	if a := n.answer(n.must(on("pool", 1).of("batch"), Deny, CodeShed)); a.Level != 3 || a.RetryAfter != 0 {
		t.Errorf("%+v", a)
	}
	if a := n.answer(n.must(on("both", 0).of("critical"), Admit, CodeOK)); a.Level != 3 {
		t.Errorf("the best class: %+v", a)
	}
	last := 3
	for range 120 { // nobody asks any more, and it falls by one at a time
		n.w.pass(250 * time.Millisecond)
		n.e.Watch(n.w.now, n.r)
		level := n.e.Pressure(n.account("pool").ID()).Level
		if level < last-1 {
			t.Errorf("from level %d to %d", last, level)
		}
		last = level
	}
	if last != 0 {
		t.Errorf("at rest the level is %d", last)
	}
	n.must(on("pool", 1), Admit, CodeOK)
	n.must(on("pool", 1).of("batch"), Admit, CodeOK)
}
