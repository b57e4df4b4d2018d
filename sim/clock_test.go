package sim

import (
	"context"
	"strings"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/policy"
)

// TestDecidedAt: a clock that was ahead works that off and steps back by some ms with every tick, so that the end of a
// window can come twice. Calls between the two are of the window that their account is in (seed 108 of the random
// scenarios had three of them).
func TestDecidedAt(t *testing.T) {
	p, err := policy.Parse("test", []byte(strings.Replace(steadyPolicy, "{rate: 50000/s, burst: 100000}", "{window: 10s, amount: 500k}", 1)))
	if err != nil {
		t.Fatal(err)
	}
	sc := steady(t, 1, 33*time.Second)
	sc.Policies = []*policy.Policy{p}
	w, err := newWorld(context.Background(), sc, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := w.run(Options{}); err != nil || r.Violation != nil {
		t.Fatalf("%v, %+v", err, r.Violation)
	}
	n, id := w.nodes[0], w.pool.ids[0]
	charges := []admit.Charge{{Instance: id, Amount: 1}}
	begins := ledger.Instant(n.core.Replica.Account(id).State(n.clockNow()).Window) * 1000
	for name, c := range map[string]struct{ latest, at, want ledger.Instant }{
		"in the middle":                          {5000, 5000, 5000},
		"a step back within the window":          {5000, 4995, 4995},
		"a step back across its begin":           {2, -3, 2},
		"the account has not turned again":       {10_002, 9_997, 9_997},
		"long after what another clock has said": {10_002, 5000, 5000},
	} {
		n.latest = begins + c.latest
		if got := n.decidedAt(charges, begins+c.at); got != begins+c.want {
			t.Errorf("%s: decided %d ms after the window began, want %d", name, got-begins, c.want)
		}
	}
}
