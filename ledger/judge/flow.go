package judge

import (
	"slices"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// Flow is what callers of a rate were told at one instant, over all nodes.
type Flow struct {
	At                 ledger.Instant // by a perfect clock
	Admitted, Refunded ledger.Tokens
}

// Flows is in order of time.
type Flows []Flow

// Add books n tokens admitted at an instant not before the last one, refunded if n is negative. It leaves f as it is.
func (f Flows) Add(at ledger.Instant, n ledger.Tokens) Flows {
	f = slices.Clone(f)
	if len(f) == 0 || f[len(f)-1].At < at {
		f = append(f, Flow{At: at})
	}
	last := &f[len(f)-1]
	last.Admitted += max(n, 0)
	last.Refunded += max(-n, 0)
	return f
}

// Check judges the last instant: in any time T that ends there, no more than rate × (T + L) + burst was admitted, and
// what was refunded in T + L (see ledger/DESIGN.md). ahead is by how much clocks ran ahead of time.
func (f Flows) Check(id ledger.InstanceID, spec *ledger.Spec, ahead ledger.Millis) error {
	if len(f) == 0 {
		return nil
	}
	now := f[len(f)-1].At
	var admitted ledger.Tokens
	for i := len(f) - 1; i >= 0; i-- {
		if f[i].Admitted == 0 {
			continue
		}
		admitted += f[i].Admitted
		span := ledger.Millis(now-f[i].At) + spec.Lend + ahead
		var refunds ledger.Tokens
		for _, e := range f {
			if e.At >= f[i].At-ledger.Instant(spec.Lend) {
				refunds += e.Refunded
			}
		}
		most := ledger.Tokens(float64(spec.Per)/float64(spec.PerMillis)*float64(span)) + spec.Amount + refunds
		if admitted > most {
			return broken(RateInLimit, "%s: %d tokens admitted in %d ms, at most %d may be", id, admitted, now-f[i].At, most)
		}
	}
	return nil
}
