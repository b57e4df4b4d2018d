package admit

import (
	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/freeze"
	"github.com/swarmpurse/swarmpurse/policy"
)

// SetFrozen takes over what operators froze; nil is nothing. Calls that draw on it are denied from then on: those to come at
// once, those that wait with the next Pump. What runs is settled as ever. The owner's.
func (e *Engine) SetFrozen(v *freeze.View) {
	e.frozen.Store(v)
	for _, g := range e.gates {
		g.freeze(v)
	}
	e.queue.frozen = true
}

// freeze takes over whether the gate's instance is frozen.
func (g *gate) freeze(v *freeze.View) {
	g.frozen.Store(v.Instance(g.id.Name()) != nil)
}

// frozen reports whether one of the instances that a plan draws on is.
func (b *bound) frozen() bool {
	for i := range b.takes {
		if b.takes[i].gate.frozen.Load() {
			return true
		}
	}
	return false
}

// frozenCaller is the word that stops whoever makes a call by that plan; nil if there is none. Such a call opens no instance.
func (e *Engine) frozenCaller(r *Request, p *policy.Plan) *freeze.Word {
	if v := e.frozen.Load(); v != nil && len(p.Draws) > 0 {
		return v.Caller(r.Tenant, r.Agent)
	}
	return nil
}

// stopped refuses a call whose caller, or an instance that it draws on, is frozen; nil if none is. A call that draws on nothing
// is nobody's to stop. The owner's.
func (e *Engine) stopped(r *Request, b *bound) *refusal {
	v := e.frozen.Load()
	if v == nil || len(b.plan.Draws) == 0 {
		return nil
	}
	w := e.frozenCaller(r, b.plan)
	for i := 0; w == nil && i < len(b.takes); i++ {
		w = v.Instance(b.takes[i].gate.id.Name())
	}
	if w == nil {
		return nil
	}
	return &refusal{verdict: Deny, code: CodeFrozen, reason: w.Reason()}
}

// stopWaiting ends the wait of calls that are frozen since they came.
func (e *Engine) stopWaiting(now ledger.Instant, decided []*Waiter) []*Waiter {
	if !e.queue.frozen {
		return decided
	}
	e.queue.frozen = false
	if e.frozen.Load() == nil {
		return decided
	}
	var stopped []*Waiter
	for _, g := range e.queue.busy {
		for w := range g.all() {
			if no := e.stopped(w.Request, w.bound); no != nil {
				w.ID = e.refused(now, w.Request, w.bound, *no, w.waited(now))
				stopped = append(stopped, w)
			}
		}
	}
	for _, w := range stopped {
		e.queue.leave(w)
	}
	return append(decided, stopped...)
}
