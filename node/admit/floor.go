package admit

import (
	"sync/atomic"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
)

// floor is what a guarantee comes to at one node: the part of it that the tenant's demand here is of its demand in the swarm.
// While the tenant has had less than that its calls go first, and pay the base price where the price is hybrid.
type floor struct {
	// under says that the tenant has had less than its floor. The owner sets it, and a call that uses the floor up clears it.
	under    atomic.Bool
	quota    atomic.Int64 // how much that is, when the owner looked last
	used     atomic.Int64 // by calls that were admitted within the floor since then
	large    atomic.Int64 // a large call of late: so much may always pile up
	reserved atomic.Int64 // for calls that have ended since then, and what they used
	charged  atomic.Int64

	tenant string // "": whoever's the instance is; its calls have nobody to go ahead of

	// The rest is the owner's.
	total     ledger.Tokens // admitted within the floor until the owner looked last
	guarantee *policy.Guarantee
	meter     ledger.InstanceID // that tells what the tenant asks for where
	rate      float64           // tokens per ms, at this node
	level     float64           // what the tenant may still have; below 0 once a call was larger
	free      bool              // the tenant asks for less than its floor in the whole swarm: whatever comes here is within it
	ended     ratio             // what calls of late used of what was reserved for them
	at        ledger.Instant
}

// ratio is a quotient of sums in which what is older counts less.
type ratio struct{ of, to float64 }

func (r *ratio) part() float64 {
	if r.of < 1 {
		return 1
	}
	return min(r.to/r.of, 1)
}

const (
	// floorPile is for how long the part of a tenant piles up that it does not use, in ms: so much goes ahead of others at once.
	floorPile = 2000
	// floorFades is how fast older calls count less for what calls use of what is reserved, for each look.
	floorFades = 0.99
)

// floorOf returns the floor of a draw's caller at a gate, making it; nil if it has none. The owner's.
func (e *Engine) floorOf(now ledger.Instant, l Ledger, g *gate, p *policy.Plan, d *policy.Draw, charter ledger.CharterID) *floor {
	if d.Floor == nil {
		return nil
	}
	meter := g.id
	for i := range p.Draws {
		if m := &p.Draws[i]; d.Floor.Meter != nil && m.Budget == d.Floor.Meter {
			if id, err := m.Instance(charter); err == nil {
				meter = id
			}
		}
	}
	for _, f := range g.floors {
		if f.tenant == d.Floor.Tenant {
			f.guarantee, f.meter = d.Floor, meter
			return f
		}
	}
	f := &floor{tenant: d.Floor.Tenant, guarantee: d.Floor, meter: meter, at: now}
	f.tune(now, l, d.Budget, whole)
	f.level = max(f.rate*floorPile, 1) // its first call goes first even where it asks for much elsewhere
	g.floors = append(g.floors, f)
	g.refresh(now)
	return f
}

// tune works out what the floor comes to here: by demand, as rows tell it. Nodes that have not heard of each other's demand
// all take the whole floor; that lasts as long as their rows take.
func (f *floor) tune(now ledger.Instant, l Ledger, b *policy.Budget, inForce int64) {
	part := 1.0
	o := l.Outlook(now, f.meter, 0)
	rate := b.FloorRate(f.guarantee, now) * float64(inForce) / whole
	if o.Own < 1 { // its first call here is not kept waiting because nobody knows of it yet
		f.level = max(f.level, 1)
	}
	if o.Demand > o.Own {
		part = o.Own / o.Demand
	}
	f.large.Store(f.large.Load() * 19 / 20)
	f.free = part < 1 && o.Demand <= rate
	f.rate = rate * part / 1000
}

// refresh brings a floor up to date.
func (f *floor) refresh(now ledger.Instant) {
	f.ended.of = f.ended.of*floorFades + float64(f.reserved.Swap(0))
	f.ended.to = f.ended.to*floorFades + float64(f.charged.Swap(0))
	used := f.used.Swap(0)
	f.total += ledger.Tokens(used)
	f.level += f.rate*float64(min(max(0, now-f.at), floorPile)) - float64(used)*f.ended.part()
	f.level = min(f.level, max(f.rate*floorPile, float64(f.large.Load())*f.ended.part()))
	if f.free {
		f.level = max(f.level, 1)
	}
	f.at = now
	f.quota.Store(int64(f.level / max(f.ended.part(), 1e-3)))
	f.under.Store(f.level > 0)
}

// take counts a call that was admitted, and reports whether it was within the floor. Safe for concurrent use.
func (f *floor) take(n ledger.Tokens) bool {
	if !f.under.Load() {
		return false
	}
	if int64(n) > f.large.Load() {
		f.large.Store(int64(n))
	}
	if f.used.Add(int64(n)) >= f.quota.Load() {
		f.under.Store(false)
	}
	return true
}

// end counts what a call used of what was reserved for it. Safe for concurrent use.
func (f *floor) end(h *held) {
	f.reserved.Add(int64(h.reserved))
	f.charged.Add(int64(h.charged))
}

// first reports whether a draw's caller goes ahead of others now.
func (t *boundTake) first() bool {
	return t.floor != nil && t.floor.tenant != "" && t.floor.under.Load()
}

// first reports whether a call that waits at a gate, or is about to, goes first for its tenant's floor.
func (w *Waiter) first(g *gate) bool { return len(g.floors) > 0 && w.bound.takes[w.at(g)].first() }

// aheadOfFirst is what calls need that come before one that goes first: its tenant's own that came before it, in all classes,
// and those of other tenants that go first.
func (g *gate) aheadOfFirst(w *Waiter) (sum ledger.Tokens) {
	for _, l := range g.lines {
		if l.n == 0 || l.headroom > w.bound.plan.Class.Headroom {
			continue
		}
		for _, f := range g.floors {
			b := l.by[f.tenant]
			if b == nil || !f.under.Load() {
				continue
			}
			if f.tenant != w.Request.Tenant {
				sum = min(sum+min(b.need, ledger.Tokens(max(0, f.level))), ledger.MaxTokens)
				continue
			}
			for _, x := range b.calls {
				if x.seq < w.seq {
					sum = min(sum+x.needs(g), ledger.MaxTokens)
				}
			}
		}
	}
	return sum
}

// wantedFirst is what the calls need that go first beside the asker, as far as they are within the floor.
func (g *gate) wantedFirst(asker *Waiter) ledger.Tokens {
	need := asker.needs(g)
	b := asker.line.favored
	if b == nil {
		return need
	}
	sum := ledger.Tokens(0)
	for _, x := range b.calls[:min(len(b.calls), askedTogether)] {
		sum = min(sum+x.needs(g), ledger.MaxTokens)
	}
	level := 0.0
	for _, f := range g.floors {
		if f.tenant == b.tenant {
			level = f.level
		}
	}
	return max(need, min(sum, ledger.Tokens(level)))
}

// refresh brings the floors and shares at a gate up to date, and finds which calls that wait go first for them.
func (g *gate) refresh(now ledger.Instant) {
	if len(g.floors) == 0 && g.fair == nil {
		return
	}
	for _, f := range g.floors {
		f.refresh(now)
	}
	if g.fair != nil {
		g.fair.refresh(now)
	}
	g.favor()
}

// refreshedAtOnce bounds the instances whose floors are brought up to date in one go where nobody waits.
const refreshedAtOnce = 256

// refreshFloors brings floors up to date of instances at which nobody waits, in turn: what refills shows in prices.
func (e *Engine) refreshFloors(now ledger.Instant) {
	for range min(len(e.watched), refreshedAtOnce) {
		if e.nextFloor >= len(e.watched) {
			e.nextFloor = 0
		}
		if g := e.watched[e.nextFloor]; len(g.floors) > 0 && g.n == 0 {
			g.refresh(now)
		}
		e.nextFloor++
	}
}

func (g *gate) favor() {
	for _, l := range g.lines {
		l.favor(g.floors)
	}
}

// favor finds the tenant of the line that goes first for its floor: of several the one that has most of it left.
func (l *classLine) favor(floors []*floor) {
	l.favored = nil
	l.choose()
	most := 0.0
	for _, f := range floors {
		if f.tenant == "" || !f.under.Load() || l.favored != nil && f.level <= most {
			continue
		}
		if b := l.by[f.tenant]; b != nil && len(b.calls) > 0 {
			l.favored, most = b, f.level
		}
	}
}

// favors reports whether calls wait that go first for a floor, of classes that do not have to leave more to others than such a
// headroom.
func (g *gate) favors(headroom int64) bool {
	for _, l := range g.lines {
		if l.favored != nil && l.n > 0 && l.headroom <= headroom {
			return true
		}
	}
	return false
}

// forgetFloors ends the guarantees at a gate.
func (g *gate) forgetFloors() {
	for _, f := range g.floors {
		f.under.Store(false)
	}
	g.favor()
	g.floors = nil
}

// tuneFloors works out anew what guarantees come to here, and drops those that the budget does not give any more.
func (g *gate) tuneFloors(now ledger.Instant, l Ledger, b *policy.Budget, inForce int64) {
	if len(g.floors) == 0 {
		return
	}
	kept := g.floors[:0]
	for _, f := range g.floors {
		if own := b.Guarantee(f.tenant); own != nil && own.Tenant == f.tenant {
			f.guarantee = own
			f.tune(now, l, b, inForce)
			kept = append(kept, f)
		} else {
			f.under.Store(false)
		}
	}
	clear(g.floors[len(kept):])
	g.favor()
	g.floors = kept
	g.refresh(now)
}

// Floor is how a guarantee stands at this node.
type Floor struct {
	Budget   string // that counts the tenant's calls: the meter, or the budget itself where it is per tenant
	Instance ledger.InstanceID
	Tenant   string
	Rate     float64       // tokens per second that go first here
	Under    bool          // the tenant has had less
	Total    ledger.Tokens // admitted within the guarantee here
}

// Floors lists the guarantees of tenants that called here. The owner's.
func (e *Engine) Floors() (list []Floor) {
	for _, g := range e.watched {
		for _, f := range g.floors {
			name := g.watch.budget.Name
			if f.guarantee.Meter != nil {
				name = f.guarantee.Meter.Name
			}
			list = append(list, Floor{name, g.id, f.tenant, f.rate * 1000, f.under.Load(), f.total + ledger.Tokens(f.used.Load())})
		}
	}
	return list
}
