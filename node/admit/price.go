package admit

import (
	"slices"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
)

const (
	// pricedAtOnce bounds the instances whose prices are reckoned in one go, since each looks at the rows of all holders.
	pricedAtOnce = 64
	// pricePause is the least time between two looks at one price, in ms.
	pricePause = 1000
	// priceSteps is how often a price is reckoned while it responds once.
	priceSteps = 64
)

// pricing is the price of an instance that moves.
type pricing struct {
	budget  *policy.Budget
	account *ledger.Account
	at      ledger.Instant // when it was reckoned last
	due     ledger.Instant
}

// moves registers an instance that a plan draws on, if its price moves. The owner's.
func (e *Engine) moves(now ledger.Instant, l Ledger, g *gate, b *policy.Budget, a *ledger.Account) {
	if b.Pricing.Mode == policy.FixedPrice {
		return
	}
	fresh := g.pricing == nil
	if fresh {
		e.priced = append(e.priced, g)
		g.pricing = &pricing{at: now}
	}
	g.pricing.budget, g.pricing.account = b, a
	if fresh {
		g.pricing.step(now, g, l)
	}
}

// Price is what an instance multiplies costs by now, if that moves and the instance was used here; otherwise 0. The owner's.
func (e *Engine) Price(id ledger.InstanceID) policy.PPM {
	if g := e.gates[id]; g != nil {
		return policy.PPM(g.price.Load())
	}
	return 0
}

// Reprice moves the prices that are due, a bounded number of them. The owner's; call it a few times a second.
func (e *Engine) Reprice(now ledger.Instant, l Ledger) {
	if len(e.priced) == 0 {
		return
	}
	p := e.Policy()
	for range min(len(e.priced), pricedAtOnce) {
		if e.nextPriced >= len(e.priced) {
			e.nextPriced = 0
		}
		g := e.priced[e.nextPriced]
		pr := g.pricing
		if b, ok := p.Budget(pr.budget.Name); !ok || b != pr.budget {
			// Of an earlier policy: the next call that draws on it registers it again, if its price still moves. What it was
			// stays until then, unless it does not move any more.
			if !ok || b.Pricing.Mode == policy.FixedPrice {
				g.price.Store(0)
			}
			pr.account.SetPrice(0)
			g.pricing = nil
			e.priced = slices.Delete(e.priced, e.nextPriced, e.nextPriced+1)
			if len(e.priced) == 0 {
				return
			}
			continue
		}
		e.nextPriced++
		if now >= pr.due || pr.due > now+ledger.Instant(pr.budget.Pricing.Response) {
			pr.step(now, g, l)
		}
	}
}

// step reckons one price.
func (pr *pricing) step(now ledger.Instant, g *gate, l Ledger) {
	p := &pr.budget.Pricing
	price := p.Next(policy.PPM(g.price.Load()), ledger.Millis(now-pr.at), l.Market(now, g.id), pr.budget.SupplyRate(now))
	g.price.Store(int64(price))
	pr.account.SetPrice(ledger.Tokens(price))
	pr.at, pr.due = now, now+max(pricePause, ledger.Instant(p.Response)/priceSteps)
}
