package sim

import (
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/sim/workload"
)

// TestRest: each promise about a swarm at rest can be broken, and is named when it is.
func TestRest(t *testing.T) {
	// cut loses all that n sends and is sent, which the failure detector does not see.
	lose := func(w *world, n *node) {
		n.side |= 1
		w.links.cuts = append(w.links.cuts, cut{bit: 1})
	}
	pool := func(w *world) ledger.InstanceID { return w.pool.ids[0] }
	give := func(w *world, from, to *node) {
		got := from.core.Replica.GiveRights(from.clockNow(), pool(w), to.self, 10, from.clockNow())
		if got != 10 {
			t.Fatalf("%d given", got)
		}
		from.flush()
	}
	for _, c := range []struct {
		name  string
		plant func(w *world, a, b *node)
		want  string
	}{
		{"nothing", func(*world, *node, *node) {}, ""},
		{"a node that is down", func(w *world, a, b *node) { b.stop() }, "every node is back after the faults"},
		{"a node that is stopped", func(w *world, a, b *node) { b.paused = true }, "every node is back after the faults"},
		{"a node that left for good", func(w *world, a, b *node) { b.stop(); b.gone = true }, ""},
		{"a call that waits", func(w *world, a, b *node) { a.waiting[&call{}] = struct{}{} }, "queues drain"},
		{"a settlement out of nowhere", func(w *world, a, b *node) {
			acc := a.core.Replica.Account(pool(w))
			acc.Settle(a.clockNow(), 1_000_000, 0, acc.State(a.clockNow()).Window)
		}, "the equations of accounts close"},
		{"rights on the way that nobody takes, told many times", func(w *world, a, b *node) {
			lose(w, b)
			give(w, a, b)
			w.until(w.now+40*second, Options{})
		}, "nothing that was given is stuck"},
		{"rights on the way that chance loses, told many times", func(w *world, a, b *node) {
			b.end.linkLoss = 1
			give(w, a, b)
			w.until(w.now+40*second, Options{})
			b.end.linkLoss = 0
		}, ""},
		{"rights on the way that chance lost once, and nobody takes", func(w *world, a, b *node) {
			b.end.linkLoss = 1
			give(w, a, b)
			w.until(w.now+second, Options{})
			b.end.linkLoss = 0
			lose(w, b)
			w.until(w.now+40*second, Options{})
		}, "nothing that was given is stuck"},
		{"rights on the way that nobody takes, told just now", func(w *world, a, b *node) {
			lose(w, b)
			give(w, a, b)
		}, "what was given has come"},
		{"rights on the way", func(w *world, a, b *node) { give(w, a, b) }, ""},
		{"a call that is forgotten", func(w *world, a, b *node) { w.calls++ }, "every call ends"},
		{"calls that go on for ever", func(w *world, a, b *node) {
			for i := range micros(100) {
				c := workload.Call{Tenant: "t-1", Class: "standard", Model: "m", Prompt: 100, Output: 10, Max: 100, Runs: 100}
				w.plan(w.now+i*5*second, evCall, nil, &call{Call: c})
			}
		}, "the swarm comes to rest"},
		{"a row that a node does not know", func(w *world, a, b *node) {
			b.newest[0][w.pool.holder(a.self)] = seen{}
		}, "every node knows the same in the end"},
		{"a row of a node that left, which one does not know", func(w *world, a, b *node) {
			c := w.nodes[2]
			c.stop()
			c.gone = true
			b.newest[0][w.pool.holder(c.self)] = seen{}
		}, "every node knows the same in the end"},
		{"a row that says something else", func(w *world, a, b *node) {
			w.pool.latest(0, w.pool.holder(a.self)).row.Spent++
		}, "every node knows the same in the end"},
		{"a row with other shares", func(w *world, a, b *node) {
			w.pool.latest(0, w.pool.holder(a.self)).row.Shares--
		}, "every node knows the same in the end"},
	} {
		t.Run(c.name, func(t *testing.T) {
			sc := steady(t, 3, 20*time.Second)
			sc.Rest = 90 * time.Second // so that all demand has ebbed away
			w, err := newWorld(t.Context(), sc, Options{})
			if err != nil {
				t.Fatal(err)
			}
			w.until(w.end, Options{})
			if w.violation != nil {
				t.Fatal(w.violation)
			}
			c.plant(w, w.nodes[0], w.nodes[1])
			w.atRest()
			w.untilStill(Options{})
			got := ""
			if w.violation != nil {
				got = w.violation.Invariant
			}
			if got != c.want {
				t.Errorf("found %+v, want %q", w.violation, c.want)
			}
		})
	}
}

// TestDecayed: rights that decay on keep no swarm from its rest, and whatever else a row tells does.
func TestDecayed(t *testing.T) {
	before := ledger.Row{Version: 7, Spent: 100, Lapsed: 30, Decayed: 20, Surplus: 50}
	for _, c := range []struct {
		name  string
		since func(*ledger.Row)
		want  bool
	}{
		{"decay", func(r *ledger.Row) { r.Lapsed, r.Decayed, r.Surplus = 32, 22, 48 }, true},
		{"nothing", func(*ledger.Row) {}, false},
		{"a loan that ended, too", func(r *ledger.Row) { r.Lapsed, r.Decayed = 42, 22 }, false},
		{"spending, too", func(r *ledger.Row) { r.Lapsed, r.Decayed, r.Spent = 32, 22, 101 }, false},
	} {
		row := before
		row.Version++
		c.since(&row)
		if got := decayed(&news{row: ledger.SharedRow{Row: before}}, &row); got != c.want {
			t.Errorf("%s: %v, want %v", c.name, got, c.want)
		}
	}
	if decayed(nil, &before) {
		t.Error("the first row tells of decay alone")
	}
}
