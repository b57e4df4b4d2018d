package admit

import (
	"slices"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
)

// Upstreams with budgets of their own. What a call draws on then depends on where it goes, so its plan is bound once for each upstream (its sites), and a call is decided
// by one of them: by that of the upstream that the policy's route chooses, and where that has no rights that could come in time, by the next. A call that fails over
// takes its reservation along.

// whole is the plan of which b is a site; b itself if it is none.
func (b *bound) whole() *bound {
	if b.root != nil {
		return b.root
	}
	return b
}

// index is which of its plan's sites b is.
func (b *bound) index() int { return slices.Index(b.root.sites, b) }

// pool reports whether the j-th take is of the upstream's budgets.
func (b *bound) pool(j int) bool {
	return b.root != nil && !slices.ContainsFunc(b.root.takes, func(t boundTake) bool { return t.account == b.takes[j].account })
}

// bindSites binds the sites of a plan. The owner's.
func (e *Engine) bindSites(now ledger.Instant, l Ledger, b *bound, model string) error {
	for _, p := range b.plan.Sites {
		s, err := e.bind(now, l, p, model)
		if err != nil {
			return err
		}
		s.root = b
		b.sites = append(b.sites, s)
	}
	return nil
}

// cheaperThan is a form of a plan, as what calls of another one become.
func (b *bound) cheaperThan(from *bound, i int) *bound {
	c := &bound{
		plan: b.plan, class: b.class, admit: b.admit, below: b.below, takes: b.takes, hash: b.hash, targets: b.targets, placed: b.placed, cheap: b.cheap, arm: b.arm, budget: b.budget,
		experiment: from.experiment, cheaper: &cheaper{from.plan, &from.plan.Degrades[i]}, beside: true,
	}
	for _, s := range b.sites {
		x := s.cheaperThan(from, i)
		x.root = c
		c.sites = append(c.sites, x)
	}
	return c
}

// site is the form of b by which a call is decided: of the upstream to which it goes, of those that were not passed over; b itself where what it draws on does not depend on
// that. nil if there is none. Safe for concurrent use.
func (e *Engine) site(now ledger.Instant, r *Request, call *policy.Call, b *bound, passed uint64) *bound {
	if b.sites == nil {
		return b
	}
	var few [inlineUpstreams]policy.Seen
	seen := few[:0]
	for i, s := range b.sites {
		t := &b.targets[i]
		seen = append(seen, policy.Seen{
			Out: passed&(1<<i) != 0 || !e.open(r, s), Avoid: t.meter.avoided(now), Latency: t.meter.expected(now, t.upstream),
		})
	}
	i := b.plan.Route.Choose(call.PromptTokens, call.MaxOutputTokens, e.cfg.Zone, seen)
	if i < 0 {
		return nil
	}
	return b.sites[i]
}

// open reports whether calls may run by a site at all.
func (e *Engine) open(r *Request, s *bound) bool {
	if v := e.frozen.Load(); v != nil && len(s.takes) > 0 && v.Caller(r.Tenant, r.Agent) != nil {
		return false
	}
	return e.runs(s, r)
}

// settleOn has a newcomer stand at the site by which it is decided; no says why there is none. The owner's.
func (e *Engine) settleOn(now ledger.Instant, w *Waiter) (no *refusal) {
	b := w.bound
	if b.sites == nil {
		return nil
	}
	if s := e.site(now, w.Request, w.call, b, 0); s != nil {
		w.bound = s
		return nil
	}
	for _, s := range b.sites {
		if no := e.stopped(w.Request, s); no != nil {
			return no
		}
	}
	for _, s := range b.sites {
		if !s.plan.Place.Holds(e.cfg.Zone) {
			return e.elsewhere(s.plan.Place)
		}
	}
	return &refusal{verdict: Deny, code: CodeNoUpstream, reason: "this node does not know where any upstream is that may take the call"}
}

// divert has a call that has just come, and for which its upstream's budgets have no room, go to the next upstream that may take it; when none has room, back to the first, to wait
// there or be refused. The owner's.
func (e *Engine) divert(now ledger.Instant, w *Waiter, at int) bool {
	b := w.bound
	if w.gate != nil || w.diverted || !b.pool(at) {
		return false
	}
	w.passed |= 1 << b.index()
	s := e.site(now, w.Request, w.call, b.root, w.passed)
	if s == nil || yields(s.class, s.level()) {
		if s, w.diverted = e.site(now, w.Request, w.call, b.root, 0), true; s == nil || s == b {
			return false
		}
	}
	w.bound = s
	w.takes, w.prices, w.overdraw, w.look, w.disk = nil, nil, false, 0, 0
	return true
}

// usedUp diverts a call that has just come if nobody in the swarm has what it needs of its upstream's budgets. The owner's.
func (e *Engine) usedUp(now ledger.Instant, l Ledger, w *Waiter) bool {
	if w.bound.root == nil || w.gate != nil || w.diverted {
		return false
	}
	for i := range w.bound.takes {
		t := &w.bound.takes[i]
		if !w.bound.pool(i) || t.terms.Budget.Spec.Ceiling != ledger.Hard {
			continue
		}
		if _, _, _, open := t.account.Peek(); !open { // its first tokens are on their way to the disk
			continue
		}
		need := min(w.takes[i].Amount+t.gate.kept(w), ledger.MaxTokens)
		if l.Outlook(now, t.gate.id, need).Swarm < need {
			return e.divert(now, w, i)
		}
	}
	return false
}

// detour admits a call that has waited in vain for what its upstream's budgets have at another upstream, if it can run there at once and without going ahead of others. The
// owner's.
func (e *Engine) detour(now ledger.Instant, w *Waiter, at int) bool {
	b := w.bound
	if !b.pool(at) {
		return false
	}
	for passed := uint64(1) << b.index(); ; {
		s := e.site(now, w.Request, w.call, b.root, passed)
		if s == nil {
			return false
		}
		passed |= 1 << s.index()
		if e.admitAs(now, w, w.call, s) {
			return true
		}
	}
}

// move takes a reservation along to another site of its plan: what both draw on stays as it is, what the new one draws on beside that is reserved at once or not at all,
// and what only the old one did returns, but for bytes that have passed. The record's shard is locked.
func (e *Engine) move(now ledger.Instant, id ID, r *record, to *bound, f *Failed) ledger.Short {
	from := r.bound
	call := policy.Call{Tenant: r.tenant, Agent: r.agent, Run: r.run, Model: r.model, PromptTokens: f.Prompt, MaxOutputTokens: f.Output}
	was := func(t *boundTake) int {
		return slices.IndexFunc(from.takes, func(o boundTake) bool { return o.account == t.account })
	}
	var takes []ledger.Take
	var prices []policy.PPM
	for j := range to.takes {
		t := &to.takes[j]
		if was(t) >= 0 {
			continue
		}
		price := t.price()
		n, cost, err := t.amount(&call, price)
		if err != nil || to.class.Headroom >= t.gate.closed.Load() {
			return ledger.NoRights
		}
		takes, prices = append(takes, ledger.Take{Account: t.account, Amount: n, Cost: cost, Headroom: to.class.Headroom}), append(prices, price)
	}
	if why, _ := ledger.Reserve(now, r.due, takes, false); why != ledger.Enough {
		return why
	}
	hs, short := r.held(), r.short()
	held := many{}
	var attained flags
	next := 0
	for j := range to.takes {
		t := &to.takes[j]
		if k := was(t); k >= 0 {
			if held.held[j], held.prices[j] = hs[k], short[k]; k < inline && j < inline && r.flags&(flagAttained<<k) != 0 {
				attained |= flagAttained << j
			}
			continue
		}
		held.held[j] = heldOf(&takes[next])
		if prices[next] != t.terms.Base() {
			held.prices[j] = prices[next].Short()
		}
		if t.floor != nil && t.floor.take(takes[next].Amount) {
			attained |= flagFloor
		}
		next++
	}
	forfeit := r.outcome != nil && *r.outcome == OutcomeRefused
	for k := range hs {
		t := &from.takes[k]
		if slices.ContainsFunc(to.takes, func(o boundTake) bool { return o.account == t.account }) {
			continue
		}
		t.gate.turns.leave(id)
		if h := &hs[k]; !forfeit || !t.account.Forfeit(now, h.reserved-h.charged) {
			h.settle(now, t.account, h.charged)
		}
		if t.floor != nil {
			t.floor.end(&hs[k])
		}
	}
	if r.flags >= flagAttained {
		e.corrections.left(r, to)
	}
	r.flags = r.flags&(flagAttained-1) | attained
	r.bound, r.n, r.many = to, uint8(len(to.takes)), nil
	if len(to.takes) > inline {
		r.many = &held
	} else {
		copy(r.few[:], held.held[:r.n])
		copy(r.prices[:], held.prices[:r.n])
	}
	return ledger.Enough
}

func heldOf(t *ledger.Take) held { return held{reserved: t.Amount, window: t.Window} }
