package baseline

import (
	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/sim/scenario"
)

// ordered has an operator top a budget up, or burn tokens of it: all places have their part at once. Burned is what is there, where that is less.
func (r *run) ordered(f *scenario.Fault) {
	b, ok := r.binder.policy.Budget(f.Budget)
	if !ok {
		return
	}
	id, err := b.Instance(ledger.CharterID{}, f.Key)
	if err != nil {
		return // Parse lets none through
	}
	n := f.Tokens
	if f.Kind == scenario.Burn {
		n = -n
	}
	in := r.binder.instance(id, b)
	in.orders = append(in.orders, amount{r.now, n})
	for _, g := range r.order {
		if g.in == in {
			r.serve(g)
		}
	}
}

// order brings what operators ordered up to a time.
func (b *bucket) order(in *instance, until ledger.Millis) {
	for ; b.had < len(in.orders) && in.orders[b.had].at <= until; b.had++ {
		b.comes(in.orders[b.had])
	}
}

// comes adds the bucket's part of what is topped up, or takes that of what is burned, in the window in which it was said.
func (b *bucket) comes(o amount) {
	b.advance(o.at)
	if windowEnd(b.spec, o.at) != b.end {
		return // the bucket began later
	}
	b.avail += max(b.part.of(o.n), -max(b.avail, 0))
}
