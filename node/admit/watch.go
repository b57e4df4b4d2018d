package admit

import (
	"slices"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
)

const (
	// watchedAtOnce bounds the instances that are looked at in one go, since each look goes through the rows of all holders.
	watchedAtOnce = 64
	// watchPause is the least time between two looks at one instance, in ms.
	watchPause = 1000
	// priceSteps is how often a price is reckoned while it responds once.
	priceSteps = 64
)

// watch is what decisions are told of an instance besides its rights: its price, if that moves, and how much of it is left
// in the swarm, if calls run cheaper when that is little, and the level of backpressure.
type watch struct {
	budget  *policy.Budget
	account *ledger.Account
	low     bool           // how much is left matters
	at      ledger.Instant // when it was looked at last
	due     ledger.Instant
	priced  ledger.Instant // when its price was reckoned last, and when it is due
	dueNext ledger.Instant

	pressure Pressure
}

func (w *watch) moves() bool { return w.budget.Pricing.Mode != policy.FixedPrice }

// watch registers an instance that a plan draws on, if there is anything to be told of it. The owner's.
func (e *Engine) watch(now ledger.Instant, l Ledger, g *gate, b *policy.Budget, a *ledger.Account, low bool) {
	if b.Pricing.Mode == policy.FixedPrice && !low && b.Spec.Ceiling == ledger.Observe {
		return
	}
	fresh := g.watch == nil
	if fresh {
		e.watched = append(e.watched, g)
		g.watch = &watch{priced: now}
	}
	w := g.watch
	w.budget, w.account = b, a
	if low && !w.low {
		w.low, w.due = true, 0
	}
	if fresh || w.due == 0 {
		w.look(now, g, l, e.Policy())
		e.watchDue = min(e.watchDue, w.due)
	}
}

// Price is what an instance multiplies costs by now, if that moves and the instance was used here; otherwise 0. The owner's.
func (e *Engine) Price(id ledger.InstanceID) policy.PPM {
	if g := e.gates[id]; g != nil {
		return policy.PPM(g.price.Load())
	}
	return 0
}

// Watch looks at the instances that are due, a bounded number of them: it moves prices, and sees what is left. The owner's;
// call it a few times a second.
func (e *Engine) Watch(now ledger.Instant, l Ledger) {
	p := e.Policy()
	if now >= e.watchedAt && now < e.watchDue && p == e.watchedBy {
		return
	}
	e.lookAt(now, l, p)
	e.watchedAt, e.watchedBy, e.watchDue = now, p, now+watchPause
	if len(e.watched) > watchedAtOnce {
		e.watchDue = now // some are left
	}
	for _, g := range e.watched[:min(len(e.watched), watchedAtOnce)] {
		e.watchDue = min(e.watchDue, g.watch.due)
	}
}

// Due returns when the first Watch or Pump comes that does something, if no call comes or ends and nothing else changes before; it is
// not after now if the next one does. The owner's.
func (e *Engine) Due(now ledger.Instant) ledger.Instant {
	if e.Waits() || len(e.queue.busy) > 0 || e.queue.frozen || e.corrections.any() ||
		now < e.watchedAt || e.Policy() != e.watchedBy || len(e.watched) > refreshedAtOnce {
		return now
	}
	for _, g := range e.watched {
		if len(g.floors) > 0 {
			return now // what refills is brought up to date with every Pump
		}
	}
	due := e.watchDue
	if e.renews > 0 {
		due = min(due, e.renews)
	}
	return due
}

// lookAt looks at those that are due, of so many as one go takes.
func (e *Engine) lookAt(now ledger.Instant, l Ledger, p *policy.Policy) {
	for range min(len(e.watched), watchedAtOnce) {
		if len(e.watched) == 0 {
			return
		}
		if e.nextWatched >= len(e.watched) {
			e.nextWatched = 0
		}
		g := e.watched[e.nextWatched]
		w := g.watch
		if b, ok := p.Budget(w.budget.Name); !ok || b != w.budget {
			// Of an earlier policy: the next call that draws on it registers it again, if there is still anything to tell. Its
			// price stays what it was until then, unless it does not move any more.
			if !ok || b.Pricing.Mode == policy.FixedPrice {
				g.price.Store(0)
			}
			w.account.SetPrice(0)
			g.watch = nil
			g.forgetFloors()
			g.endFair()
			w.account.SetClaims([ledger.MaxClaims]ledger.Claim{})
			w.account.SetSparing(false)
			g.level.Store(0)
			e.watched = slices.Delete(e.watched, e.nextWatched, e.nextWatched+1)
			continue
		}
		e.nextWatched++
		if now >= w.due || w.due > now+watchPause {
			w.look(now, g, l, p)
		}
	}
}

// look sees what is left of an instance, and reckons its price if that is due.
func (w *watch) look(now ledger.Instant, g *gate, l Ledger, p *policy.Policy) {
	dt := float64(min(max(1, now-w.at), 10*watchPause))
	w.at, w.due = now, now+watchPause
	o := l.Outlook(now, g.id, 0)
	w.press(g, pressure(now, w.budget, &o))
	if o.Known {
		g.most.Store(int64(o.Capacity))
	}
	g.others.Store(int64(o.Swarm - o.Local))
	if w.low {
		left := int64(whole)
		if o.Known && o.Capacity > 0 {
			left = int64(float64(o.Swarm) / float64(o.Capacity) * whole)
		}
		g.left.Store(left)
	}
	part, _ := w.account.Part(now)
	g.tuneFloors(now, l, w.budget, part)
	g.shareOut(now, dt, l, w.account, p, w.budget, &o, w.budget.SupplyRate(now)*float64(part)/whole)
	if !w.moves() {
		return
	}
	if response := ledger.Instant(w.budget.Pricing.Response); now < w.dueNext && w.dueNext <= now+response {
		return
	}
	pricing := &w.budget.Pricing
	price := pricing.Next(policy.PPM(g.price.Load()), ledger.Millis(now-w.priced), l.Market(now, g.id), w.budget.SupplyRate(now)*float64(part)/whole)
	g.price.Store(int64(price))
	w.account.SetPrice(ledger.Tokens(price))
	w.priced, w.dueNext = now, now+ledger.Instant(pricing.Response)/priceSteps
}
