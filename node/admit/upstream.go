package admit

import (
	"fmt"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
)

const (
	// avoided is for how long an upstream is passed over that was not reached, or refused a call without saying for how long; in ms, as all here.
	avoided = 5_000
	// avoidedMost bounds what it may say.
	avoidedMost = 60_000
	// faded is after how long what was measured counts half: an upstream that was slow is tried again.
	faded = 30_000
	// latencyShift is how much a new sample counts: an eighth.
	latencyShift = 3
)

// meter is what is known at this node of one upstream.
type meter struct {
	name    string
	reach   atomic.Bool  // the node can send calls there
	latency atomic.Int64 // until its answer begins, smoothed, in ns; 0: nothing was measured
	at      atomic.Int64 // when that was
	avoid   atomic.Int64 // until when it is passed over
	chosen  atomic.Int64 // calls that were sent there
	cost    atomic.Int64 // what they cost, as far as their usage is known, in micro-units of money

	mu sync.Mutex // of those who write latency, at and avoid
}

// heard takes in what an answer, or that none came, says of the upstream.
func (m *meter) heard(now ledger.Instant, u *Upstream) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if u.Refused || u.Unreachable {
		wait := int64(avoided)
		if u.RetryAfter > 0 {
			wait = min(max(1, u.RetryAfter.Milliseconds()), avoidedMost)
		}
		m.avoid.Store(max(m.avoid.Load(), int64(now)+wait))
		return
	}
	if u.Latency <= 0 {
		return
	}
	was := m.latency.Load()
	if was == 0 {
		was = int64(u.Latency)
	}
	m.latency.Store(max(1, was+(int64(u.Latency)-was)>>latencyShift))
	m.at.Store(int64(now))
}

// expected is how long the upstream's answer should take to begin: what was measured, and when that is old what is stated. 0 if neither is known, which
// has it tried.
func (m *meter) expected(now ledger.Instant, u *policy.Upstream) time.Duration {
	stated, measured := int64(u.Latency), m.latency.Load()
	if measured == 0 {
		return u.Latency
	}
	halvings := min(62, max(0, int64(now)-m.at.Load())/faded)
	return time.Duration(stated + (measured-stated)>>halvings)
}

func (m *meter) avoided(now ledger.Instant) bool { return int64(now) < m.avoid.Load() }

// meters are those of the policy's upstreams, by name: what was measured outlives a revision.
type meters struct {
	mu    sync.Mutex // guards all below
	by    map[string]*meter
	reach map[string]bool
}

// keep forgets upstreams that none of the policies has.
func (ms *meters) keep(ps ...*policy.Policy) {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	for name := range ms.by {
		if !slices.ContainsFunc(ps, func(p *policy.Policy) bool {
			return slices.ContainsFunc(p.Upstreams(), func(u *policy.Upstream) bool { return u.Name == name })
		}) {
			delete(ms.by, name)
		}
	}
}

func (ms *meters) of(name string) *meter {
	ms.mu.Lock()
	defer ms.mu.Unlock()
	m := ms.by[name]
	if m == nil {
		m = &meter{name: name}
		m.reach.Store(ms.reach[name])
		if ms.by == nil {
			ms.by = map[string]*meter{}
		}
		ms.by[name] = m
	}
	return m
}

// SetReach says which upstreams the node can send calls to. Safe for concurrent use.
func (e *Engine) SetReach(names []string) {
	ms := &e.meters
	ms.mu.Lock()
	defer ms.mu.Unlock()
	ms.reach = map[string]bool{}
	for _, name := range names {
		ms.reach[name] = true
	}
	for name, m := range ms.by {
		m.reach.Store(ms.reach[name])
	}
}

// Neighbor is another node.
type Neighbor struct {
	Name string
	Zone string
	HTTP string        // where its API is
	RTT  time.Duration // by coordinates; 0 if it is not known
}

// SetNeighbors says which nodes may be asked instead of this one. The owner's.
func (e *Engine) SetNeighbors(list []Neighbor) {
	e.nearest = map[string]Neighbor{}
	for _, n := range list {
		if best, ok := e.nearest[n.Zone]; !ok || n.nearer(&best) {
			e.nearest[n.Zone] = n
		}
	}
}

func (n *Neighbor) nearer(o *Neighbor) bool {
	if (n.RTT == 0) != (o.RTT == 0) {
		return n.RTT != 0
	}
	return n.RTT < o.RTT || n.RTT == o.RTT && n.Name < o.Name
}

// neighbor is the nearest node that may decide on a call; nil if none is known.
func (e *Engine) neighbor(p *policy.Place) (best *Neighbor) {
	for _, z := range p.Zones {
		if n, ok := e.nearest[z]; ok && (best == nil || n.nearer(best)) {
			best = &n
		}
	}
	return best
}

// target is one of the upstreams that the calls of a plan may go to.
type target struct {
	upstream *policy.Upstream
	meter    *meter
	notes    [numCounted]atomic.Pointer[note] // of decisions that have nothing else to note, once there was one
}

// targets are those of a plan.
func (e *Engine) targets(p *policy.Plan) []target {
	if p.Route == nil {
		return nil
	}
	ts := make([]target, len(p.Route.Upstreams))
	for i, u := range p.Route.Upstreams {
		ts[i] = target{upstream: u, meter: e.meters.of(u.Name)}
	}
	return ts
}

// mayRun reports whether a call may run by that plan as far as places go: at this node, and at an upstream.
func (e *Engine) mayRun(b *bound, r *Request) bool {
	p := b.plan
	if !b.placed {
		return true
	}
	if !p.Place.Holds(e.cfg.Zone) {
		return false
	}
	if p.Route == nil {
		return !r.Forward
	}
	if !r.Forward {
		return len(b.targets) > 0
	}
	for i := range b.targets {
		if b.targets[i].meter.reach.Load() {
			return true
		}
	}
	return false
}

// runs reports whether a call may take that form, as far as nothing is frozen and places go.
func (e *Engine) runs(to *bound, r *Request) bool { return !to.frozen() && e.mayRun(to, r) }

// astray refuses a call that may not be decided at this node, or for which there is no upstream; nil if neither. Nothing is opened for
// such a call. The owner's.
func (e *Engine) astray(p *policy.Plan, r *Request) *refusal {
	if p.Place == nil && p.Route == nil || !p.Admit {
		return nil
	}
	if !p.Place.Holds(e.cfg.Zone) {
		return e.elsewhere(p.Place)
	}
	no := func(format string, args ...any) *refusal {
		return &refusal{verdict: Deny, code: CodeNoUpstream, reason: fmt.Sprintf(format, args...)}
	}
	switch {
	case p.Route == nil && !r.Forward:
		return nil
	case p.Route == nil:
		return no("the call is bound by %s, and the policy has no upstreams: declare one whose zones are among those", p.Place.Why)
	case len(p.Route.Upstreams) == 0:
		return no("%s", p.Route.Why)
	case !r.Forward:
		return nil
	}
	names := make([]string, 0, len(p.Route.Upstreams))
	for _, u := range p.Route.Upstreams {
		if e.meters.of(u.Name).reach.Load() {
			return nil
		}
		names = append(names, u.Name)
	}
	return no("the call may go to %s only, and this node does not know where that is: start it with --upstream %s=URL", strings.Join(names, ", "), names[0])
}

// elsewhere refuses a call that nodes of other zones may decide on.
func (e *Engine) elsewhere(p *policy.Place) *refusal {
	no := &refusal{verdict: Deny, code: CodeLocality}
	if len(p.Zones) == 0 {
		no.reason = fmt.Sprintf("the call is bound by %s, which have no zone in common: it may run nowhere", p.Why)
		return no
	}
	where := "this node is in zone " + e.cfg.Zone
	if e.cfg.Zone == "" {
		where = "this node is in no zone (it is started with --zone)"
	}
	no.reason = fmt.Sprintf("%s, and the call is bound by %s: ", where, p.Why)
	n := e.neighbor(p)
	if n == nil {
		no.reason += "no node there is known"
		return no
	}
	no.nearest = n
	no.reason += fmt.Sprintf("ask %s in zone %s", n.Name, n.Zone)
	if n.RTT > 0 {
		no.reason += fmt.Sprintf(", %v away", n.RTT.Round(time.Millisecond/10))
	}
	if n.HTTP != "" {
		no.reason += ", at " + n.HTTP
	}
	return no
}

// inlineUpstreams is how many upstreams a call may go to without an allocation.
const inlineUpstreams = 8

// send chooses the upstream for a call that is admitted; nil if it is not routed.
func (e *Engine) send(now ledger.Instant, r *Request, call *policy.Call, b *bound) *target {
	if len(b.targets) == 0 {
		return nil
	}
	var few [inlineUpstreams]policy.Seen
	seen := few[:0]
	for i := range b.targets {
		t := &b.targets[i]
		seen = append(seen, policy.Seen{
			Out: r.Forward && !t.meter.reach.Load(), Avoid: t.meter.avoided(now), Latency: t.meter.expected(now, t.upstream),
		})
	}
	i := b.plan.Route.Choose(call.PromptTokens, call.MaxOutputTokens, e.cfg.Zone, seen)
	if i < 0 {
		return nil
	}
	return &b.targets[i]
}

// Knows is what a route goes by of an upstream, also one of a policy that is not in force; forward says whether this node would send the call. Safe for concurrent use.
func (e *Engine) Knows(now ledger.Instant, u *policy.Upstream, forward bool) policy.Seen {
	ms := &e.meters
	ms.mu.Lock()
	m, reach := ms.by[u.Name], ms.reach[u.Name]
	ms.mu.Unlock()
	s := policy.Seen{Out: forward && !reach, Latency: u.Latency}
	if m != nil {
		s.Avoid, s.Latency = m.avoided(now), m.expected(now, u)
	}
	return s
}

// UpstreamState is what a node knows of an upstream.
type UpstreamState struct {
	Name     string
	Chosen   int64         // calls that were sent there
	Cost     int64         // what they cost, in micro-units of money, as far as their usage was told
	Latency  time.Duration // until its answer begins, as expected; 0 if nothing is known
	Measured bool
	Avoided  bool // it refused calls or was not reached a while ago
	Reach    bool // the node can send calls there
}

// Upstreams tells of the policy's upstreams, in their order. Safe for concurrent use.
func (e *Engine) Upstreams(now ledger.Instant) (list []UpstreamState) {
	for _, u := range e.Policy().Upstreams() {
		m := e.meters.of(u.Name)
		list = append(list, UpstreamState{
			Name: u.Name, Chosen: m.chosen.Load(), Cost: m.cost.Load(), Latency: m.expected(now, u),
			Measured: m.latency.Load() > 0, Avoided: m.avoided(now), Reach: m.reach.Load(),
		})
	}
	return list
}
