package admit

import (
	"fmt"
	"math"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
)

// Pressure is how near an instance is to its end.
type Pressure struct {
	Level    int     // 0 to policy.MaxLevel
	Velocity float64 // what calls ask for in the whole swarm, tokens per second, smoothed
	// Exhausted is when the instance will be used up at that velocity, in seconds; +Inf if it will not be.
	Exhausted float64
}

// Free parts of slots at which backpressure is at level 1 and 2; at level 3 none is free.
const (
	slotsTight  = 0.25
	slotsScarce = 0.1
)

// pressure judges an instance by what is known of it.
func pressure(now ledger.Instant, b *policy.Budget, o *ledger.Outlook) Pressure {
	p := Pressure{Velocity: o.Demand, Exhausted: math.Inf(1)}
	if !o.Known || o.Capacity <= 0 || b.Spec.Ceiling == ledger.Observe {
		return p
	}
	net := o.Demand
	switch b.Spec.Kind {
	case ledger.Slots: // they come back: what counts is how many are free
		switch free := float64(o.Swarm) / float64(o.Capacity); {
		case o.Swarm == 0:
			p.Level, p.Exhausted = policy.MaxLevel, 0
		case free < slotsScarce:
			p.Level = 2
		case free < slotsTight:
			p.Level = 1
		}
		return p
	case ledger.Rate:
		net -= o.Refill
	}
	if net <= 0 {
		return p
	}
	p.Exhausted = float64(o.Swarm) / net
	if b.Spec.Kind == ledger.Windowed && p.Exhausted >= float64(o.NextAt-now)/1000 {
		p.Exhausted = math.Inf(1) // it lasts until the window turns
		return p
	}
	most := policy.MaxLevel
	if b.Spec.Kind == ledger.Rate {
		// However much is asked for: what a full bucket cannot hold is lost.
		most = int(max(0, 4*(1-float64(o.Swarm)/float64(o.Capacity))))
	}
	for p.Level < min(most, policy.MaxLevel) && p.Exhausted < b.Levels[p.Level].Seconds() {
		p.Level++
	}
	return p
}

// press takes over what was judged: a level rises at once, and falls by one with each look.
func (w *watch) press(g *gate, p Pressure) {
	if old := int(g.level.Load()); p.Level < old {
		p.Level = old - 1
	}
	w.pressure = p
	g.level.Store(int32(p.Level))
}

// Pressure is how near an instance is to its end, as far as calls of this node draw on it; if none does, it is far. The owner's.
func (e *Engine) Pressure(id ledger.InstanceID) Pressure {
	if g := e.gates[id]; g != nil && g.watch != nil {
		return g.watch.pressure
	}
	return Pressure{Exhausted: math.Inf(1)}
}

// level is the highest level of what a plan draws on.
func (b *bound) level() int {
	if b == nil {
		return 0
	}
	level := int32(0)
	for i := range b.takes {
		level = max(level, b.takes[i].gate.level.Load())
	}
	return int(level)
}

// pressing is that level but for budgets in which the caller has had less than its guarantee: there it makes way for nobody.
func (b *bound) pressing() int {
	level := int32(0)
	for i := range b.takes {
		if t := &b.takes[i]; !t.first() {
			level = max(level, t.gate.level.Load())
		}
	}
	return int(level)
}

// yields reports whether newcomers of a class make way at a level.
func yields(c *policy.Class, level int) bool {
	return c.ShedAt > 0 && level >= c.ShedAt || c.DeferAt > 0 && level >= c.DeferAt
}

// shed refuses a newcomer whose class makes way; nil if it does not. What is refused here is demand all the same, or the level
// would fall with it and all would come at once.
func (e *Engine) shed(now ledger.Instant, w *Waiter) *refusal {
	class := w.bound.plan.Class
	level := w.bound.pressing()
	if !yields(class, level) {
		return nil
	}
	for i := range w.takes {
		w.takes[i].Account.Turned(w.takes[i].Amount)
	}
	at := 0
	for t := &w.bound.takes[at]; int(t.gate.level.Load()) < level || t.first(); t = &w.bound.takes[at] {
		at++
	}
	g := w.bound.takes[at].gate
	head := fmt.Sprintf("budget %q is at level %d of backpressure, at which calls of class %q are ", g.id.Name(), level, class.Name)
	if class.ShedAt > 0 && level >= class.ShedAt {
		return &refusal{verdict: Deny, code: CodeShed, reason: head + "shed"}
	}
	return &refusal{
		verdict: Defer, code: CodePressure, reason: head + "deferred",
		retry: e.promise(now, &g.promises, time.Duration(level)*watchPause*time.Millisecond, stockSlot), // it falls by one a look
	}
}
