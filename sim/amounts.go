package sim

import (
	"errors"
	"fmt"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/sim/scenario"
)

const (
	burnAgain = 20 * milli // until a node looks again whether what it asked for has come, as in production
	burnWaits = 3 * second
)

// order is an operator's word at one node to top a budget up, or to burn tokens of it.
type order struct {
	*scenario.Fault
	id    string // of which it happens once
	until micros // what a node lacks for it is asked for
	at    ledger.InstanceID
}

// ordered has a node top a budget up, or burn what is there; what it lacks for that it asks peers for, as for a call.
func (n *node) ordered(now ledger.Instant, o *order) {
	b, ok := n.w.sc.Policies[n.policy].Budget(o.Budget)
	if !ok {
		return // it has gone from the policy
	}
	id, err := b.Instance(n.w.charter.ID, o.Key)
	if err == nil {
		id, err = b.Present(now, id)
	}
	if err == nil && o.Kind == scenario.Mint {
		_, err = n.core.Replica.Mint(now, id, o.Tokens, o.id)
	} else if err == nil {
		_, err = n.core.Replica.Burn(now, id, o.Tokens, o.id)
	}
	n.touched = append(n.touched, id)
	switch {
	case err == nil && o.Kind == scenario.Mint:
		o.at = id
		n.minting = append(n.minting, o)
	case err == nil:
		n.w.judge.ordered(n, id, o)
	case n.w.now >= o.until: // the operator is told why: figures show that nothing came of it
	case errors.Is(err, ledger.ErrTooFew):
		n.core.Replica.Waiting(now, id, ledger.Need{First: o.Tokens, All: o.Tokens, Since: now, Until: now + ledger.Instant((o.until-n.w.now)/milli)})
		fallthrough
	default:
		n.w.plan(n.w.now+burnAgain, evOrder, n, o)
	}
}

// minted ends a batch with top-ups: they are there once they are durable. Whose disk takes none tries again, as its operator does.
func (n *node) minted(durable bool) {
	for _, o := range n.minting {
		if durable {
			n.w.judge.ordered(n, o.at, o)
		} else {
			n.w.plan(n.w.now+burnAgain, evOrder, n, o)
		}
	}
	n.minting = n.minting[:0]
}

// ordered notes what an operator was told of: what is topped up may be used in that window, what is burned is gone.
func (j *judge) ordered(n *node, id ledger.InstanceID, o *order) {
	spec, ok := n.resolve(id)
	if !ok {
		return
	}
	g := j.of(id, spec.Kind).window(windowOf(&spec, n.clockNow()), j.w.now)
	if o.Kind == scenario.Mint {
		g.minted += o.Tokens
	} else {
		g.burned += o.Tokens
	}
}

// closes holds grants to the equation of DESIGN 3.1 from outside, when all is at rest: what was issued is what callers were charged by their
// receipts, what operators topped up and burned by their words, and what accounts say has decayed, has expired and is left. It is for runs in which no process ended
// and one policy was in force: what a crash leaves counts as spent, and what a lower limit takes back as burned.
func (w *world) closes() {
	for _, n := range w.nodes {
		if n.life != 1 || n.followed > 0 {
			return
		}
	}
	if len(w.sc.Policies) > 1 {
		return
	}
	for _, id := range w.pool.ids {
		var sum ledger.State
		var gone ledger.Lapses
		grant := false
		for _, n := range w.nodes {
			acc := n.core.Replica.Account(id)
			if acc == nil {
				continue
			}
			s, spec, _, _ := acc.Peek()
			grant = spec.Kind == ledger.Grant
			l := s.Lapses()
			sum.Base += s.Base
			sum.Minted += s.Minted
			sum.Overdrawn += s.Overdrawn
			sum.Debt += s.Debt
			sum.Spent += s.Balance() // what is left
			gone.Decayed += l.Decayed
			gone.Expired += l.Expired
			gone.Burned += l.Burned
		}
		if !grant {
			continue
		}
		told := w.judge.capped(id)
		g := told.window(0, w.now)
		used := g.used + told.overrun - sum.Debt
		if left := sum.Spent; sum.Issued() != used+gone.Decayed+gone.Expired+gone.Burned+left || g.burned != gone.Burned || g.minted != sum.Minted {
			w.fail("the equation closes", "%s: issued %d, of which topped up %d (operators: %d); callers were charged %d, %d decayed, %d expired, %d burned (operators: %d), %d are left",
				id.Name(), sum.Issued(), sum.Minted, g.minted, used, gone.Decayed, gone.Expired, gone.Burned, g.burned, left)
		}
	}
}

// orderText says what an operator orders.
func orderText(f *scenario.Fault) string {
	what := fmt.Sprintf(" %d of %s", f.Tokens, f.Budget)
	for _, v := range f.Key {
		what += "/" + v
	}
	return what
}
