package admit

import (
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// of tenant: calls of tests name one.
func (r *Request) by(tenant string) *Request { r.Tenant = tenant; return r }

// Within a class, tenants get the same number of tokens, whatever the sizes and numbers of their calls, and by their
// weights where the policy gives them some.
func TestTenantsShareByWeight(t *testing.T) {
	for _, c := range []struct {
		name    string
		tenants string
		sizes   map[string]int64
		want    map[string]float64 // part of what is served
	}{
		{"equal sizes", "", map[string]int64{"a": 10, "b": 10}, map[string]float64{"a": 0.5, "b": 0.5}},
		{"one has larger calls", "", map[string]int64{"a": 5, "b": 20}, map[string]float64{"a": 0.5, "b": 0.5}},
		{"three", "", map[string]int64{"a": 5, "b": 20, "c": 10}, map[string]float64{"a": 1. / 3, "b": 1. / 3, "c": 1. / 3}},
		{"weights", "tenants: {a: {weight: 3}}\n", map[string]int64{"a": 10, "b": 10}, map[string]float64{"a": 0.75, "b": 0.25}},
	} {
		t.Run(c.name, func(t *testing.T) {
			n := emptied(t, strings.Replace(long, "classes:", c.tenants+"classes:", 1))
			for _, tenant := range slices.Sorted(func(yield func(string) bool) {
				for k := range c.sizes {
					if !yield(k) {
						return
					}
				}
			}) {
				for range 200 { // one after the other: whoever came first must not go first
					n.waits(on("pool", c.sizes[tenant]).by(tenant).wait(UseClassDefault))
				}
			}
			n.w.pass(8 * time.Second)
			got, all := map[string]float64{}, 0.0
			for _, w := range n.decided() {
				if n.answer(w.ID).Verdict == Admit {
					got[w.Request.Tenant] += float64(w.takes[0].Amount)
					all += float64(w.takes[0].Amount)
				}
			}
			for tenant, part := range c.want {
				if off := math.Abs(got[tenant] - part*all); off > 20 || all < 700 {
					t.Errorf("tenant %s got %v of %v tokens, want %v of them", tenant, got[tenant], all, part)
				}
			}
		})
	}
}

// A tenant that was away has no claim on what the others got meanwhile, and one that had more than the others does not
// gain by going away for a moment.
func TestCounterLift(t *testing.T) {
	n := emptied(t, long)
	for range 100 {
		n.waits(on("pool", 10).by("a").wait(UseClassDefault))
	}
	n.w.pass(3 * time.Second)
	n.decided()
	for range 100 {
		n.waits(on("pool", 10).by("b").wait(UseClassDefault))
	}
	got := map[string]int{}
	count := func(d time.Duration) {
		n.w.pass(d)
		for _, w := range n.decided() {
			got[w.Request.Tenant]++
		}
	}
	if count(2 * time.Second); got["b"] < 9 || got["b"] > 11 {
		t.Errorf("the newcomer gets %d of 20 calls, its half is 10", got["b"])
	}
	// c comes with one call that is larger than all of the others' and goes; it comes back and waits until they have had as much.
	n.waits(on("pool", 90).by("c").wait(UseClassDefault))
	for n.e.queue.classes[0].by["c"] != nil {
		count(100 * time.Millisecond)
	}
	c := n.waits(on("pool", 10).by("c").wait(UseClassDefault))
	clear(got)
	for c.ID == 0 {
		count(100 * time.Millisecond)
	}
	if got["a"] < 8 || got["b"] < 8 {
		t.Errorf("served again after %d and %d calls of 10 of the others, it had 90 tokens", got["a"], got["b"])
	}
}

// What a call did not use comes back to its tenant, and what it used beyond its reservation is charged.
func TestAttainedIsWhatWasUsed(t *testing.T) {
	n := emptied(t, long)
	a := n.waits(on("pool", 40).by("a").wait(UseClassDefault))
	for range 30 {
		n.waits(on("pool", 10).by("b").wait(UseClassDefault))
		n.waits(on("pool", 10).by("c").wait(UseClassDefault))
	}
	for a.ID == 0 {
		n.w.pass(50 * time.Millisecond)
	}
	line := n.e.gates[n.account("pool").ID()].line("standard")
	before := line.by["a"].attained
	n.settle(a.ID, forTokens(15))
	n.pump()
	if got := line.by["a"].attained; got != before-25 {
		t.Errorf("attained %v after %v: the call used 15 of 40", got, before)
	}
	n.settle(a.ID, forTokens(15))
	n.pump()
	if got := line.by["a"].attained; got != before-25 {
		t.Errorf("attained %v: settled twice", got)
	}
}

// A class's memory of tenants is bounded, whoever comes.
func TestTenantsAreBounded(t *testing.T) {
	n := emptied(t, long)
	n.waits(on("pool", 90).of("critical").wait(UseClassDefault))
	n.waits(on("pool", 90).of("batch").wait(UseClassDefault))
	for i := range 5 * maxRest {
		w := n.waits(on("pool", int64(i%7)).by(fmt.Sprintf("t%d", i)).of("batch").wait(UseClassDefault))
		if i%3 > 0 {
			n.e.Cancel(w)
		}
		n.check()
	}
	n.w.pass(5 * time.Second)
	n.check()
}

// TestAttainedGap is the law of fairness on one node: as long as calls of two tenants of one weight wait in one class, what
// they have attained never differs by more than N + R + O: N is the largest call, R the most that one of them has reserved
// at one time, O the most that calls of one use beyond what they had reserved. So over any time in which both wait, what
// they get differs by at most twice that. (Sheng et al. have 2·max(w_in·L_input, w_out·M), Theorem 4.4, where M is what runs
// at one time: theirs charge output as it comes, ours reserve it, and refund.)
func TestAttainedGap(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		n := newSwarm(t, 1, long, Config{}).nodes[0]
		n.must(on("pool", 100), Admit, CodeOK)
		dice := rand.New(rand.NewPCG(rapid.Uint64().Draw(t, "seed"), 0))
		tenants := []string{"a", "b", "c"}[:rapid.IntRange(2, 3).Draw(t, "tenants")]
		largest := rapid.Int64Range(6, 60).Draw(t, "largest")
		uses := rapid.SampledFrom([]string{"all", "less", "more"}).Draw(t, "uses")
		attained, reserved, most, over := map[string]float64{}, map[string]float64{}, 0.0, 0.0
		overrun := map[ID]float64{} // of running calls, when they end
		type open struct {
			id     ID
			tenant string
			n      ledger.Tokens
		}
		var running []open
		fill := func() { // more waits of each than can be served until the next look, were all refunded that runs
			enough := ledger.Tokens(160)
			for _, c := range running {
				enough += c.n
			}
			for _, tenant := range tenants {
				sum := ledger.Tokens(0)
				if c := n.e.queue.class("standard"); c != nil && c.by[tenant] != nil {
					for _, w := range c.by[tenant].calls {
						sum += w.takes[0].Amount
					}
				}
				for sum <= enough {
					r := on("pool", 1+dice.Int64N(largest)).by(tenant).wait(UseClassDefault)
					if _, w, err := n.e.Offer(n.w.now, n.r, r); w == nil || err != nil {
						t.Fatalf("%v does not wait", r)
					}
					sum += ledger.Tokens(r.PromptTokens)
				}
			}
		}
		fill()
		for range rapid.IntRange(10, 40).Draw(t, "steps") {
			n.w.pass(time.Duration(50+dice.IntN(350)) * time.Millisecond)
			for _, w := range n.decided() {
				if a := n.answer(w.ID); a.Verdict != Admit {
					t.Fatalf("%+v", a)
				}
				tenant, amount := w.Request.Tenant, w.takes[0].Amount
				attained[tenant] += float64(amount)
				reserved[tenant] += float64(amount)
				most = max(most, reserved[tenant])
				running = append(running, open{w.ID, tenant, amount})
				if uses == "more" {
					overrun[w.ID] = float64(dice.IntN(5))
				}
				open := 0.0
				for _, c := range running {
					if c.tenant == tenant {
						open += overrun[c.id]
					}
				}
				over = max(over, open)
			}
			fill()
			for len(running) > dice.IntN(12) {
				i := dice.IntN(len(running))
				c := running[i]
				running = slices.Delete(running, i, i+1)
				used := c.n + ledger.Tokens(overrun[c.id])
				if uses == "less" {
					// The first uses little of what it reserves, the last nearly all.
					used = c.n * ledger.Tokens(slices.Index(tenants, c.tenant)*dice.IntN(2)) / ledger.Tokens(len(tenants)-1)
				}
				n.settle(c.id, forTokens(used))
				attained[c.tenant] += float64(used - c.n)
				reserved[c.tenant] -= float64(c.n)
			}
			n.pump()
			bound := float64(largest) + most + over
			if uses != "less" {
				bound = float64(largest) + over // nothing is refunded
			}
			for _, a := range tenants {
				for _, b := range tenants {
					if gap := attained[a] - attained[b]; gap > bound {
						t.Fatalf("%s has attained %v more than %s, at most %v is allowed", a, gap, b, bound)
					}
				}
			}
		}
	})
}
