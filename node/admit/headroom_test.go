package admit

import (
	"strings"
	"testing"
	"time"
)

// kept has a class that leaves 10 % to better ones, and one that leaves 30 %.
const kept = `
apiVersion: swarmpurse/v1
revision: 1
tokens:
  compute: {unit: token}
  concurrency: {unit: slot}
classes:
  - {name: critical, weight: 16, latency_budget: 300ms}
  - {name: standard, weight: 4, latency_budget: 2s, default: true, headroom: 10%}
  - {name: batch, weight: 1, latency_budget: 5m, headroom: 30%}
budgets:
  - {name: pot, token: compute, supply: {grant: 1000}}
  - {name: day, token: compute, supply: {window: 24h, amount: 1000}}
  - {name: pool, token: compute, supply: {rate: 100/s, burst: 1000}}
  - {name: soft, token: compute, supply: {window: 24h, amount: 1000}, ceiling: {soft: 10%}}
  - {name: seen, token: compute, supply: {window: 24h, amount: 1000}, ceiling: observe}
  - {name: calls, token: concurrency, supply: {slots: 10}}
rules:
  - {when: 'model == "pot"', draw: [pot]}
  - {when: 'model in ["day", "two"]', draw: [day]}
  - {when: 'model in ["pool", "two"]', draw: [pool]}
  - {when: 'model == "soft"', draw: [soft]}
  - {when: 'model == "seen"', draw: [seen]}
  - {when: 'model == "calls"', draw: [calls]}
`

// A class with headroom may use a budget up to that, the best one to its end, whether Try or the owner decides.
func TestHeadroom(t *testing.T) {
	for _, c := range []struct {
		model         string
		used          int64 // by the best class before
		class         string
		n             int64
		verdict       Verdict
		code          string
		reason        string
		retry, before time.Duration
	}{
		{"pot", 600, "batch", 100, Admit, CodeOK, "", 0, 0},
		{"pot", 600, "batch", 101, Defer, CodeHeadroom, `400 left, of which class "batch" leaves 300 to better ones`, 2 * time.Second, 3 * time.Second},
		{"pot", 600, "standard", 300, Admit, CodeOK, "", 0, 0},
		{"pot", 600, "standard", 301, Defer, CodeHeadroom, "leaves 100 to better ones", 0, 0},
		{"pot", 600, "critical", 400, Admit, CodeOK, "", 0, 0},
		{"pot", 0, "batch", 701, Deny, CodeTooLarge, `it never holds more than 1000, of which class "batch" leaves 300 to better ones`, 0, 0},
		{"day", 600, "batch", 101, Defer, CodeHeadroom, "leaves 300 to better ones", 2 * time.Second, 3 * time.Second},
		{"pool", 600, "batch", 100, Admit, CodeOK, "", 0, 0},
		{"pool", 600, "batch", 200, Defer, CodeHeadroom, "leaves 300 to better ones", time.Second, 1300 * time.Millisecond}, // 100 more at 100/s
		{"pool", 600, "critical", 400, Admit, CodeOK, "", 0, 0},
		{"calls", 6, "batch", 0, Admit, CodeOK, "", 0, 0},
		{"calls", 7, "batch", 0, Defer, CodeHeadroom, "3 left, of which class \"batch\" leaves 3", 0, 0},
		{"calls", 7, "standard", 0, Admit, CodeOK, "", 0, 0},
		// Who leaves a part of a soft ceiling to others does not overdraw it.
		{"soft", 600, "batch", 101, Defer, CodeHeadroom, "", 0, 0},
		{"soft", 1000, "batch", 10, Defer, "", "", 0, 0},
		{"soft", 1000, "critical", 10, Admit, CodeOK, "", 0, 0},
		{"seen", 1000, "batch", 500, Admit, CodeOK, "", 0, 0}, // nothing is held back of what is only metered
		{"two", 600, "batch", 101, Defer, CodeHeadroom, `budget "day"`, 0, 0},
	} {
		t.Run(strings.Join([]string{c.model, c.class, c.code}, " "), func(t *testing.T) {
			n := one(t, kept)
			if c.model == "calls" {
				for range c.used {
					n.must(on("calls", 0).of("critical"), Admit, CodeOK)
				}
			} else {
				n.must(on(c.model, c.used).of("critical"), Admit, CodeOK)
			}
			r := on(c.model, c.n).of(c.class).wait(0)
			for _, how := range []string{"offered", "tried"} {
				if how == "tried" {
					n.e.Offer(n.w.now, n.r, on(c.model, 0).of(c.class).wait(0)) // the plan is known now
				}
				id, ok := ID(0), false
				if how == "tried" {
					if id, ok = n.e.Try(n.w.now, r); ok != (c.verdict == Admit) && c.verdict != Admit {
						t.Fatalf("Try admits %+v", n.answer(id))
					}
				}
				if !ok {
					id, _ = n.admit(r)
				}
				a := n.answer(id)
				if c.verdict == Admit && how == "tried" {
					continue // the first took it
				}
				if a.Verdict != c.verdict || c.code != "" && a.Code != c.code || !strings.Contains(a.Reason, c.reason) ||
					a.RetryAfter < c.retry || how == "offered" && c.before > 0 && a.RetryAfter > c.before {
					t.Errorf("%s: %+v", how, a)
				}
			}
		})
	}
}

// While a class waits for what is beyond its headroom, better ones are decided at once, also by Try, and it is served once
// they leave enough.
func TestHeadroomHoldsUpNoBetterClass(t *testing.T) {
	n := one(t, kept)
	n.must(on("pool", 650).of("critical"), Admit, CodeOK)
	n.must(on("pool", 0).of("standard"), Admit, CodeOK)
	batch := n.waits(on("pool", 100).of("batch").wait(UseClassDefault))
	n.must(on("pool", 20), Admit, CodeOK)
	if _, ok := n.e.Try(n.w.now, on("pool", 20).of("critical")); !ok {
		t.Error("a call of a better class goes through the owner though it has nobody to wait for")
	}
	if _, ok := n.e.Try(n.w.now, on("pool", 1).of("batch")); ok {
		t.Error("a call of the same class passes")
	}
	// 310 are left. Batch needs 400.
	n.w.pass(850 * time.Millisecond)
	if batch.ID != 0 {
		t.Fatal("served from what it leaves to others")
	}
	n.w.pass(100 * time.Millisecond)
	if batch.ID == 0 || n.answer(batch.ID).Verdict != Admit {
		t.Fatal("not served when there is enough")
	}
	if left := n.account("pool").Rights(n.w.now); left < 295 {
		t.Errorf("%d left", left)
	}
}

// Over a swarm, a class with headroom borrows no rights while the swarm has no more than it leaves to others; better
// classes do.
func TestHeadroomOfTheSwarm(t *testing.T) {
	w := newSwarm(t, 3, kept, Config{})
	// Each owns a third, 333. n1 and n2 use theirs up.
	w.nodes[2].must(on("pot", 0), Admit, CodeOK)
	for _, n := range w.nodes[:2] {
		n.must(on("pot", 333).of("critical"), Admit, CodeOK)
	}
	w.pass(time.Second)
	n := w.nodes[0]
	before := n.account("pot").Rights(w.now)
	n.must(on("pot", 50).of("batch").wait(0), Defer, CodeHeadroom) // 333 are left, at n3, 300 of them for others
	if got := n.account("pot").Rights(w.now); got > before {
		t.Errorf("%d rights came for a class that may not use them", got)
	}
	batch := n.waits(on("pot", 50).of("batch").wait(UseClassDefault))
	w.pass(2 * time.Second)
	if batch.ID != 0 {
		t.Errorf("%+v", n.answer(batch.ID))
	}
	if id, wait := n.admit(on("pot", 200).of("critical").wait(300 * time.Millisecond)); wait != nil {
		w.pass(300 * time.Millisecond)
		if a := n.answer(wait.ID); a.Verdict != Admit {
			t.Errorf("%+v", a)
		}
	} else if a := n.answer(id); a.Verdict != Admit {
		t.Errorf("%+v", a)
	}
}
