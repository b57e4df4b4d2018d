package policy

import "github.com/swarmpurse/swarmpurse/ledger"

// Guarantee is a tenant's floor in a budget: so much of the supply that others only use while the tenant does not, and that a
// hybrid price does not touch.
type Guarantee struct {
	Tenant string // "" in a budget that is per tenant: whoever's the instance is
	PPM    int64  // of what the supply brings by time, in parts per million
	// Meter counts the tenant's calls, so that every node knows what it asks for where; it keeps no call back. nil where
	// Tenant is "": the instance itself tells.
	Meter *Budget
}

// Guarantee is the tenant's floor in the budget, nil if it has none.
func (b *Budget) Guarantee(tenant string) *Guarantee {
	for i := range b.Guarantees {
		if g := &b.Guarantees[i]; g.Tenant == tenant || g.Tenant == "" {
			return g
		}
	}
	return nil
}

// meter adds a draw on the meter of each budget in which the caller has a guarantee, beside the draw on that budget, and says
// so in the latter.
func (plan *Plan) meter(c *Call) {
	for i := range plan.Draws {
		d := &plan.Draws[i]
		if d.Floor = d.Budget.Guarantee(c.Tenant); d.Floor == nil || d.Floor.Meter == nil {
			continue
		}
		m := *d
		m.Terms, m.Floor = &Terms{Budget: d.Floor.Meter, Cost: d.Cost, matched: d.matched}, nil
		plan.Draws = append(plan.Draws, m)
	}
}

// FloorRate is what a guarantee in the budget comes to in the whole swarm, in tokens per second.
func (b *Budget) FloorRate(g *Guarantee, now ledger.Instant) float64 {
	return b.SupplyRate(now) * float64(g.PPM) / million
}
