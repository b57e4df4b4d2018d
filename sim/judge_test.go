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
		{"a soft ceiling, with its overdraft", []step{told("loose", 1100)}, told("loose", 1), "no budget is exceeded"},
		{"a soft ceiling, of which a node that lost its disk has a part anew", []step{told("loose", 1100), loses, told("loose", 50)}, told("loose", 1), "no budget is exceeded"},
		{"a window, with what may roll over", []step{told("day", 1200), passes(10 * second), told("day", 1200)}, told("day", 1), "no budget is exceeded"},
		{"what comes back after its window is over", []step{told("day", 800), refunded("day", 400, 10*second, 0, 0), told("day", 1200)}, told("day", 1), "no budget is exceeded"},
		{"a rate: burst, and what L brings", []step{told("flow", 500), told("flow", 100)}, told("flow", 2), "no rate is exceeded"},
		{"a rate: what time brings comes on top", []step{told("flow", 600), passes(3 * second), told("flow", 300)}, told("flow", 2), "no rate is exceeded"},
		{"a rate: time before anything was used brings nothing", []step{passes(50 * second), told("flow", 600)}, told("flow", 2), "no rate is exceeded"},
		{"a rate: what came back may be given once more", []step{refunded("flow", 600, 0, 100, 0), told("flow", 500)}, told("flow", 2), "no rate is exceeded"},
		{"a receipt that charges more than was reserved", []step{refunded("pot", 10, second, 10, 5)}, refunded("pot", 10, second, 11, 0), "a receipt charges what was reserved or overrun"},
	} {
		t.Run(c.name, func(t *testing.T) { newHistory(t).finds(t, c.right, c.wrong, c.want) })
	}
	h := newHistory(t)
	if told("watched", 5000)(h); h.violation != nil {
		t.Errorf("a budget that is only observed: %+v", h.violation)
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
