package admit

import (
	"fmt"
	"slices"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
)

// Failed says how a call failed at an upstream that surely did not run it.
type Failed struct {
	Upstream   string        // which one, of a call that is not routed
	Why        string        // in a word or two: "unreachable", "429"
	RetryAfter time.Duration // how long the upstream says to wait; 0 if it does not
	Final      bool          // it will not take the call however often it is asked
	Stay       bool          // the call means nothing to any other upstream
	// Prompt and Output are what the call states, by which prices are compared, and what it draws on of another upstream's budgets.
	Prompt, Output int64
	// Now says that what it would draw on there and is not durable yet counts as not there. Otherwise the answer is ErrLater.
	Now bool
}

// Tried is an upstream that did not run a call.
type Tried struct {
	Upstream, Why string
	At            ledger.Instant
	until         ledger.Instant // before then it is not tried again
	final         bool
}

func (t Tried) String() string { return t.Upstream + " " + t.Why }

// Next is where a call goes that its upstream did not run.
type Next struct {
	Upstream *policy.Upstream // nil: where it was, of a call that is not routed
	Wait     time.Duration    // before it is sent
	Failover bool             // it is another upstream than before
}

// once is of policies that say nothing of retries.
var once = policy.Retry{Attempts: 1}

// retryJitter is the part of a wait that comes on top of it at the most: calls that were refused together come back apart.
const retryJitter = 4

// Retry says where a call goes next that its upstream surely did not run, by the policy that admitted it: to another upstream that may take it, at once, or to one that it was at
// already, after a while. Its reservation stays as it is, but for what upstreams draw on of their own: that moves along (see site.go). false means that it is not tried again: the policy does not
// say so, all tries are used up, waiting would take longer than its class waits, or it may not run any more. ErrUnknownID if no such call is open; ErrLater if what it draws on
// there waits for this node's disk or guardians: ask again soon, nothing has changed. Safe for concurrent use.
func (e *Engine) Retry(now ledger.Instant, id ID, f Failed) (Next, bool, error) {
	s, i, ok := e.find(id)
	if !ok {
		return Next{}, false, e.forgotten(id)
	}
	r := s.rec(i)
	if r.state != Reserved {
		s.mu.Unlock()
		return Next{}, false, fmt.Errorf("%w %q: it is %v, so its call cannot be sent again", ErrUnknownID, e.Format(id), r.state)
	}
	b, n := r.bound, note{}
	if r.note != nil {
		n = *r.note // others may share it
	}
	p := b.plan.Retry
	if p == nil {
		p = &once
	}
	_, _, seq := id.split()
	here := Tried{Upstream: f.Upstream, Why: f.Why, At: now, final: f.Final}
	if n.to != nil {
		here.Upstream = n.to.upstream.Name
	}
	wait := p.Backoff
	for _, t := range n.tried {
		if t.Upstream == here.Upstream {
			wait *= 2
		}
	}
	wait = max(wait, f.RetryAfter)
	wait += wait / retryJitter * time.Duration((seq*0x9e3779b97f4a7c15)>>48) >> 16
	here.until = now + ledger.Instant(wait.Milliseconds())
	n.tried = append(slices.Clip(n.tried), here)
	var next Next
	later := false
	sent := len(n.tried) < p.Attempts && !e.stops(r, b)
	was := r.copied()
	if sent {
		next, sent, later = e.elsewhereOrAgain(now, id, r, &n, &f)
	}
	if later {
		s.mu.Unlock()
		return Next{}, false, ErrLater
	}
	if sent && next.Failover {
		s.leaveAsItWas(i, &was)
	}
	r.note = &n
	if sent {
		r.outcome = nil // the refusal was not its end
	}
	data := sent && next.Failover && n.data
	as := *r
	s.mu.Unlock()
	if sent && next.Failover {
		n.to.meter.chosen.Add(1)
	}
	if data { // this upstream sees the data, too
		e.lineage.add(Touch{
			ID: id, At: now, Verdict: as.verdict, Code: CodeOK, Tenant: as.tenant, Agent: as.agent, Run: as.run, Class: b.plan.Class.Name, Model: as.model,
			Upstream: n.upstream(), Revision: b.plan.Policy.Revision(), Data: e.lineage.of(id),
		})
	}
	return next, sent, nil
}

// stops reports whether a call may not run any more.
func (e *Engine) stops(r *record, b *bound) bool {
	if e.draining.Load() {
		return true
	}
	v := e.frozen.Load()
	return v != nil && len(b.takes) > 0 && (v.Caller(r.tenant, r.agent) != nil || b.frozen())
}

// elsewhereOrAgain chooses for a call, and has its note say so. The record's shard is locked.
func (e *Engine) elsewhereOrAgain(now ledger.Instant, id ID, r *record, n *note, f *Failed) (next Next, sent, later bool) {
	b := r.bound.whole()
	tried := func(name string) int {
		return slices.IndexFunc(n.tried, func(t Tried) bool { return t.Upstream == name })
	}
	if n.to != nil && !f.Stay {
		seen := make([]policy.Seen, len(b.targets))
		for i := range b.targets {
			t := &b.targets[i]
			seen[i] = policy.Seen{
				Out:   !t.meter.reach.Load() || tried(t.upstream.Name) >= 0 || !b.plan.Retry.FailsOver(t.upstream),
				Avoid: t.meter.avoided(now), Latency: t.meter.expected(now, t.upstream),
			}
		}
		for {
			i := b.plan.Route.Choose(f.Prompt, f.Output, e.cfg.Zone, seen)
			if i < 0 {
				break
			}
			switch e.goes(now, id, r, i, f) {
			case ledger.Enough:
				n.to = &b.targets[i]
				return Next{Upstream: n.to.upstream, Failover: true}, true, false
			case ledger.NoRights, ledger.Ended:
			default:
				if !f.Now {
					return Next{}, false, true
				}
			}
			seen[i].Out = true
		}
	}
	// One that was tried, that which is ready first.
	best := -1
	for i, t := range n.tried {
		last := !slices.ContainsFunc(n.tried[i+1:], func(o Tried) bool { return o.Upstream == t.Upstream })
		usable := last && !t.final && (!f.Stay || i == len(n.tried)-1) && (n.to == nil || targetOf(b, t.Upstream) != nil)
		if usable && (best < 0 || t.until < n.tried[best].until) {
			best = i
		}
	}
	if best < 0 {
		return Next{}, false, false
	}
	t := &n.tried[best]
	if came := r.at - ledger.Instant(r.waited); t.until > came+ledger.Instant(b.plan.Class.LatencyBudget.Milliseconds()) {
		return Next{}, false, false
	}
	next = Next{Wait: time.Duration(max(0, t.until-now)) * time.Millisecond}
	if n.to != nil {
		to := targetOf(b, t.Upstream)
		if next.Failover = to.meter != n.to.meter; next.Failover {
			if why := e.goes(now, id, r, to.of(b), f); why != ledger.Enough {
				return Next{}, false, !f.Now && why != ledger.NoRights && why != ledger.Ended
			}
		}
		next.Upstream, n.to = to.upstream, to
	}
	return next, true, false
}

// goes has the reservation of a call be of the i-th upstream of its plan, and says why it is not: Enough means that it is. The record's shard is locked.
func (e *Engine) goes(now ledger.Instant, id ID, r *record, i int, f *Failed) ledger.Short {
	b := r.bound.whole()
	if b.sites == nil || b.sites[i] == r.bound {
		return ledger.Enough
	}
	s := b.sites[i]
	if !s.plan.Place.Holds(e.cfg.Zone) || s.frozen() {
		return ledger.NoRights
	}
	return e.move(now, id, r, s, f)
}

// of is which of a plan's targets t is.
func (t *target) of(b *bound) int {
	for i := range b.targets {
		if &b.targets[i] == t {
			return i
		}
	}
	panic("BUG: a target of another plan")
}

func targetOf(b *bound, name string) *target {
	for i := range b.targets {
		if t := &b.targets[i]; t.upstream.Name == name && t.meter.reach.Load() {
			return t
		}
	}
	return nil
}
