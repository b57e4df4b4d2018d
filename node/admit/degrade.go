package admit

import (
	"errors"
	"fmt"
	"iter"
	"strings"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
)

// whole is all of a limit, in parts per million.
const whole = 1_000_000

// cheaper is how the calls of a plan are made cheaper, by the plan's Degrades.
type cheaper struct {
	from *policy.Plan
	by   *policy.Degrade
}

// low returns which of the plan's Degrades calls run by now, because less is left of a budget than it says; -1 for none.
func (b *bound) low() int {
	enough := true
	for i := range b.takes {
		enough = enough && b.takes[i].gate.left.Load() >= b.below
	}
	if enough {
		return -1
	}
	for i := range b.plan.Degrades {
		g := &b.plan.Degrades[i]
		if g.Below == 0 {
			continue
		}
		for j := range b.takes {
			if t := &b.takes[j]; t.gate.left.Load() < g.Below && b.watches(g, j) {
				return i
			}
		}
	}
	return -1
}

// mostBelow is the most of a limit that one of a plan's Degrades says, 0 for none.
func mostBelow(p *policy.Plan) (most int64) {
	for i := range p.Degrades {
		most = max(most, p.Degrades[i].Below)
	}
	return most
}

// forms goes through what the calls of a plan may become, the plan as it is first.
func (b *bound) forms() iter.Seq[*bound] {
	return func(yield func(*bound) bool) {
		whole := b.whole()
		for i := range 1 + len(whole.sites) {
			f := whole
			if i > 0 {
				f = whole.sites[i-1]
			}
			if !yield(f) {
				return
			}
			for i := range f.cheap {
				c := f.cheap[i].Load()
				if c == nil {
					continue
				}
				if !yield(c) {
					return
				}
				for _, s := range c.sites {
					if !yield(s) {
						return
					}
				}
			}
		}
	}
}

// watches reports whether the j-th take is one of those that a Degrade is for.
func (b *bound) watches(g *policy.Degrade, j int) bool {
	for i := range b.plan.Draws {
		if &b.plan.Draws[i] == b.takes[j].draw {
			return g.Watches(i)
		}
	}
	return false
}

// watched reports whether calls run cheaper when little is left at a draw.
func watched(p *policy.Plan, draw *policy.Draw) bool {
	for i := range p.Degrades {
		for j := range p.Draws {
			if p.Degrades[i].Below > 0 && &p.Draws[j] == draw && p.Degrades[i].Watches(j) {
				return true
			}
		}
	}
	return false
}

// degraded returns the bound plan of a call that is made cheaper by the i-th of its plan's Degrades, making it. It is nil if
// no rule lets that call run. The owner's.
func (e *Engine) degraded(now ledger.Instant, l Ledger, b *bound, i int, r *Request, call *policy.Call) (*bound, error) {
	if c := b.cheap[i].Load(); c != nil {
		return c, nil
	}
	rev := e.rev.Load().as(b.plan.Policy) // of the same revision, whatever the call is now
	if rev == nil {
		rev = e.rev.Load().of(&r.Call)
	}
	as := Request{Call: *call, Forward: r.Forward}
	as.Fixed = true // it has its arm
	to, err := e.planIn(now, l, &as, rev)
	if err != nil || !to.plan.Admit {
		return nil, err
	}
	c := to.cheaperThan(b, i)
	b.cheap[i].Store(c)
	return c, nil
}

// degrade makes a call cheaper that has come, if little is left of a budget that it draws on. The owner's.
func (e *Engine) degrade(now ledger.Instant, l Ledger, w *Waiter) error {
	i := -1
	if !w.Request.AsIs {
		i = w.bound.low()
	}
	if i < 0 {
		return nil
	}
	call := *w.call
	if !w.bound.plan.Degrades[i].Apply(&call) {
		return nil
	}
	to, err := e.degraded(now, l, w.bound, i, w.Request, &call)
	switch {
	case errors.Is(err, ErrLater):
		return err
	case to != nil && e.runs(to, w.Request):
		if to = e.site(now, w.Request, &call, to, 0); to != nil {
			w.bound, w.call = to, &call
		}
	}
	return nil // as it is, if what it would be cannot run
}

// recast makes a call cheaper that has just come and would be refused for one of its draws. Then it may wait as what it has
// become. The owner's.
func (e *Engine) recast(now ledger.Instant, l Ledger, w *Waiter, at int) bool {
	if e.divert(now, w, at) {
		return true
	}
	b := w.bound
	if w.gate != nil || b.changed() {
		return false
	}
	for i := range b.plan.Degrades {
		g, call := &b.plan.Degrades[i], *w.call
		if w.Request.AsIs && !g.Unlift || !b.watches(g, at) || !g.Apply(&call) {
			continue
		}
		if to, err := e.degraded(now, l, b, i, w.Request, &call); to != nil && err == nil && e.runs(to, w.Request) {
			if to = e.site(now, w.Request, &call, to, 0); to == nil {
				continue
			}
			if g.Unlift {
				if yields(to.plan.Class, to.level()) {
					continue // it could not run in its own class
				}
				w.deadline = w.since + ledger.Instant(latencyBudget(to.plan, w.Request).Milliseconds())
			}
			w.bound, w.call, w.passed, w.diverted = to, &call, 0, false
			w.takes, w.prices, w.overdraw, w.look, w.disk = nil, nil, false, 0, 0
			return true
		}
	}
	return false
}

// unpaid reports whether a call that was to be lifted lacks points that nobody in reach has: it does not wait for others to give theirs
// back. Points that peers have come as all rights do.
func (w *Waiter) unpaid(now ledger.Instant, l Ledger, t *boundTake, need, kept ledger.Tokens) bool {
	if !w.bound.plan.Lifted || t.draw.Budget.Token != policy.PriorityToken {
		return false
	}
	if l.Outlook(now, t.gate.id, min(need+kept, ledger.MaxTokens)).Swarm >= need+kept {
		return false
	}
	t.account.Missed(need)
	return true
}

// unlift has a call that has come and cannot pay for its better class stand in its own, before it waits for anything else among those
// who paid. It reports whether it does.
func (e *Engine) unlift(now ledger.Instant, l Ledger, w *Waiter) bool {
	if !w.bound.plan.Lifted {
		return false
	}
	for i := range w.bound.takes {
		t, need := &w.bound.takes[i], w.takes[i].Amount
		if _, _, _, open := t.account.Peek(); !open { // its first points are on their way to the disk
			continue
		}
		if t.draw.Budget.Token == policy.PriorityToken && t.account.Rights(now) < need && w.unpaid(now, l, t, need, 0) && e.recast(now, l, w, i) {
			return true
		}
	}
	return false
}

// again decides on a call that has been made cheaper, in its turn.
func (e *Engine) again(now ledger.Instant, l Ledger, w *Waiter) (done bool, at int) {
	if w.Err = w.price(); w.Err != nil {
		return true, 0
	}
	if i := e.overtakes(w); i >= 0 {
		return e.behind(now, l, w, i)
	}
	return e.decide(now, l, w)
}

// instead admits a call cheaper that has waited in vain at one of its draws, if it can run so at once and without going ahead
// of others. The owner's.
func (e *Engine) instead(now ledger.Instant, l Ledger, w *Waiter, at int) bool {
	if e.detour(now, w, at) {
		return true
	}
	b := w.bound
	if b.changed() {
		return false
	}
	for i := range b.plan.Degrades {
		g, call := &b.plan.Degrades[i], *w.call
		if w.Request.AsIs && !g.Unlift || !b.watches(g, at) || !g.Apply(&call) {
			continue
		}
		to, err := e.degraded(now, l, b, i, w.Request, &call)
		if to == nil || err != nil || !e.runs(to, w.Request) {
			continue
		}
		if to = e.site(now, w.Request, &call, to, 0); to == nil {
			continue
		}
		if e.admitAs(now, w, &call, to) {
			return true
		}
	}
	return false
}

// admitAs admits a call that waits as another one, by another plan, if it can run so at once and without going ahead of others. The owner's.
func (e *Engine) admitAs(now ledger.Instant, w *Waiter, call *policy.Call, to *bound) bool {
	c := Waiter{Request: w.Request, call: call, bound: to, seq: w.seq, since: w.since}
	if c.price() != nil || !c.clear(w) {
		return false
	}
	ttl := w.Request.ttl()
	if why, _ := c.reserve(now, ttl); why != ledger.Enough {
		return false
	}
	if e.finish(now, ttl, &c); !c.served {
		return false
	}
	e.charge(&c)
	w.ID = c.ID
	return true
}

// clear reports whether nobody waits whom the cheaper form of w would overtake.
func (c *Waiter) clear(w *Waiter) bool {
	for i := range c.bound.takes {
		g := c.bound.takes[i].gate
		switch {
		case g.n == 0:
		case w.gate == g: // it was served in order
			if l := g.first(w.bound.plan.Class.Headroom + 1); l == nil || l.head() != w {
				return false
			}
		case w.gate != nil || !g.passes(c):
			return false
		}
	}
	return true
}

// changed reports whether whoever makes the calls of a plan must change them.
func (b *bound) changed() bool { return b.cheaper != nil && !b.cheaper.by.Unlift }

// advice says how the calls of a plan must be changed; nil if they run as they are.
func (b *bound) advice() *Advice {
	x := b.experiment
	if x != nil && !x.arm.Changes() {
		x = nil
	}
	if x == nil && !b.changed() {
		return nil
	}
	a := &Advice{}
	if x != nil {
		a.Model, a.MaxOutputTokens = x.arm.Model, x.arm.MaxOutput
		a.Temperature, a.TopP = parameter(x.arm.Temperature), parameter(x.arm.TopP)
	}
	if b.changed() {
		if m := b.cheaper.by.Model; m != "" {
			a.Model = m
		}
		if most := b.cheaper.by.MaxOutput; most > 0 && (a.MaxOutputTokens == 0 || most < a.MaxOutputTokens) {
			a.MaxOutputTokens = most
		}
	}
	return a
}

// parameter is what an arm sets, nil if it does not.
func parameter(ppm int64) *float64 {
	if ppm == policy.Unset {
		return nil
	}
	v := float64(ppm) / whole
	return &v
}

// reason says why the calls of a plan run cheaper.
func (c *cheaper) reason() string {
	if c.by.Unlift {
		return "no points for priority were left: it runs in the class that it named"
	}
	var how []string
	if c.by.Model != "" {
		how = append(how, fmt.Sprintf("model %q", c.by.Model))
	}
	if c.by.MaxOutput > 0 {
		how = append(how, fmt.Sprintf("at most %d tokens of output", c.by.MaxOutput))
	}
	return fmt.Sprintf("little is left for the call as it was (%s): it runs with %s", c.by.Rule, strings.Join(how, " and "))
}

// came is the plan that a call came with.
func (b *bound) came() *policy.Plan {
	if b.cheaper != nil {
		return b.cheaper.from
	}
	return b.plan
}
