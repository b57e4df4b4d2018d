package sim

import (
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
)

// told: a caller of node a is given so many tokens now.
func told(budget string, n ledger.Tokens) step {
	return func(h *history) { h.tell(budget, n) }
}

func (h *history) tell(budget string, n ledger.Tokens) *call {
	c := &call{charges: []admit.Charge{{Instance: h.id(budget), Amount: n}}, at: h.a.clockNow()}
	h.judge.admitted(h.a, c)
	return c
}

// refunded: a call of node a is given so many tokens, so long later uses some of them, and overruns by others.
func refunded(budget string, n ledger.Tokens, later micros, used, over ledger.Tokens) step {
	return func(h *history) {
		c := h.tell(budget, n)
		h.now += later
		h.judge.settled(h.a, c, &admit.Receipt{Charged: []admit.Charge{{Instance: h.id(budget), Amount: used + over, Overrun: over}}})
	}
}

// loses: node b dies and comes back without its disk.
func loses(h *history) {
	h.b.stop()
	h.b.wipe()
	h.b.start()
}

// adopts: a node goes over to the second policy, by which the rate is a tenth. reverts: it goes back.
func adopts(n int) step { return func(h *history) { h.nodes[n].adopt(1) } }
func reverts(n int) step {
	return func(h *history) {
		h.measure.adopted[1]--
		h.measure.adopted[0]++
		h.nodes[n].policy = 0
		h.inForce(0)
	}
}

// steps: a clock does so.
func steps(by micros) step { return func(h *history) { h.judge.stepped(by) } }

// passes: time goes on.
func passes(t micros) step { return func(h *history) { h.now += t } }

// TestJudge: callers may be given what the limit says, and not a token more.
func TestJudge(t *testing.T) {
	for _, c := range []struct {
		name  string
		right []step
		wrong step
		want  string
	}{
		{"a grant", []step{told("pot", 600), told("pot", 400)}, told("pot", 1), "no budget is exceeded"},
		{"a grant, of which something came back", []step{told("pot", 600), refunded("pot", 400, second, 300, 0), told("pot", 100)}, told("pot", 1), "no budget is exceeded"},
		{"overrun is debt, and not given to callers by this limit", []step{told("pot", 600), refunded("pot", 400, second, 400, 50)}, told("pot", 1), "no budget is exceeded"},
		{"a grant that falls: rights that have moved on cannot be cut", []step{adopts(0), adopts(1), told("pot", 1000)}, told("pot", 1), "no budget is exceeded"},
		{"a soft ceiling, with its overdraft", []step{told("loose", 1100)}, told("loose", 1), "no budget is exceeded"},
		{"a soft ceiling, of which a node that lost its disk has a part anew", []step{told("loose", 1100), loses, told("loose", 50)}, told("loose", 1), "no budget is exceeded"},
		{"a window, with what may roll over", []step{told("day", 1200), passes(10 * second), told("day", 1200)}, told("day", 1), "no budget is exceeded"},
		{"what comes back after its window is over", []step{told("day", 800), refunded("day", 400, 10*second, 0, 0), told("day", 1200)}, told("day", 1), "no budget is exceeded"},
		{"a rate at its start: the burst", []step{told("flow", 500)}, told("flow", 2), "no rate is exceeded"},
		{"a rate: burst, and what L brings", []step{passes(9 * second), told("flow", 500), told("flow", 100)}, told("flow", 2), "no rate is exceeded"},
		{"a rate: what time brings comes on top", []step{passes(9 * second), told("flow", 600), passes(3 * second), told("flow", 300)}, told("flow", 2), "no rate is exceeded"},
		{"a rate: time before anything was used brings nothing", []step{passes(50 * second), told("flow", 600)}, told("flow", 2), "no rate is exceeded"},
		{"a rate: what came back may be given once more", []step{passes(9 * second), refunded("flow", 600, 0, 100, 0), told("flow", 500)}, told("flow", 2), "no rate is exceeded"},
		{"a rate that falls: while nodes disagree the larger one holds", []step{passes(9 * second), told("flow", 600), adopts(0), passes(3 * second), told("flow", 300)}, told("flow", 2), "no rate is exceeded"},
		{"a rate that falls: when all agree the smaller one", []step{passes(9 * second), told("flow", 600), adopts(0), adopts(1), passes(3 * second), told("flow", 30)}, told("flow", 2), "no rate is exceeded"},
		{"a rate that falls: what was there is lent until L is over", []step{passes(9 * second), adopts(0), adopts(1), told("flow", 600)}, told("flow", 2), "no rate is exceeded"},
		{"a rate that falls: and no longer", []step{passes(9 * second), adopts(0), adopts(1), passes(2 * second), told("flow", 60)}, told("flow", 2), "no rate is exceeded"},
		{"a rate that falls and rises", []step{passes(9 * second), adopts(0), adopts(1), passes(60 * second), reverts(0), passes(second), told("flow", 600)}, told("flow", 2), "no rate is exceeded"},
		{"a rate, and clocks that step", []step{passes(9 * second), told("flow", 600), steps(second), told("flow", 100), passes(60 * second), told("flow", 700)}, told("flow", 2), "no rate is exceeded"},
		{"a receipt that charges more than was reserved", []step{refunded("pot", 10, second, 10, 5)}, refunded("pot", 10, second, 11, 0), "a receipt charges what was reserved or overrun"},
	} {
		t.Run(c.name, func(t *testing.T) { newHistory(t).finds(t, c.right, c.wrong, c.want) })
	}
	h := newHistory(t)
	if told("watched", 5000)(h); h.violation != nil {
		t.Errorf("a budget that is only observed: %+v", h.violation)
	}
}

// TestRightsMovedOnAreNotCut: why a grant is not held to its limit of now. Of 1,000 each of two founders has 500; one gives
// the other 400, and the limit halves. What it has left, 100, is cut, and 250 of the other's own part: 650 are there.
func TestRightsMovedOnAreNotCut(t *testing.T) {
	h := newHistory(t)
	id := h.id("pot")
	goOn := func() {
		h.a.flush()
		h.b.flush()
		h.until(h.now+5*second, Options{})
	}
	for _, n := range h.nodes {
		if _, err := n.core.Replica.Open(n.clockNow(), id); err != nil {
			t.Fatal(err)
		}
	}
	goOn()
	if got := h.a.core.Replica.GiveRights(h.a.clockNow(), id, h.b.self, 400, h.a.clockNow()); got != 400 {
		t.Fatalf("%d given", got)
	}
	goOn()
	h.a.adopt(1)
	h.b.adopt(1)
	goOn()
	var all ledger.Tokens
	for _, n := range h.nodes {
		s, _, _, _ := n.core.Replica.Account(id).Peek()
		all += s.Balance()
	}
	if all != 650 || h.violation != nil {
		t.Errorf("%d tokens can be spent of a limit of 500: %+v", all, h.violation)
	}
}

// finds demands that nothing is found until the wrong step, and the invariant of that name then.
func (h *history) finds(t *testing.T, right []step, wrong step, want string) {
	t.Helper()
	for i, s := range right {
		s(h)
		if v := h.violation; v != nil {
			t.Fatalf("after right step %d: %s: %s", i+1, v.Invariant, v.Detail)
		}
	}
	wrong(h)
	if v := h.violation; v == nil {
		t.Error("not found")
	} else if v.Invariant != want {
		t.Errorf("found as %q: %s", v.Invariant, v.Detail)
	}
}
