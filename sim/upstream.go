package sim

import (
	"math"
	"slices"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/sim/scenario"
	"github.com/swarmpurse/swarmpurse/sim/workload"
)

// unreachedTakes is the time from the admission of a call until its caller knows that the upstream does not answer, and unreachedAgain the pause
// until he comes back, as clients do.
const (
	unreachedTakes = scenario.RefusalTakes
	unreachedAgain = 500
)

// upstream is how one of the policy's upstreams really is.
type upstream struct {
	scenario.Upstream
	zone   int // -1: everywhere
	begins delay
}

func (w *world) initUpstreams() {
	for _, u := range w.sc.Upstreams {
		x := &upstream{Upstream: u, zone: -1, begins: newDelay(u.Begins)}
		if u.Zone != "" {
			x.zone = w.zones[u.Zone]
		}
		w.upstreams = append(w.upstreams, x)
	}
	for _, p := range w.sc.Policies {
		w.placed = w.placed || p.Placed()
	}
}

// upstreamNamed is how the upstream of that name is; nil if the scenario does not say.
func (w *world) upstreamNamed(name string) *upstream {
	for _, u := range w.upstreams {
		if u.Name == name {
			return u
		}
	}
	return nil
}

// reaches reports whether a node is on one side of all cuts with the upstream's zone.
func (n *node) reaches(u *upstream) bool {
	if u.zone < 0 || u.zone == n.zone {
		return true
	}
	for _, o := range n.w.nodes {
		if o.zone == u.zone {
			return !n.w.links.cut(n.end, o.end)
		}
	}
	return true
}

// sent has a call that was admitted go to its upstream. It holds the decision to what the scenario says of where such calls may run, which
// nothing of ours has read.
func (n *node) sent(c *call, d *admit.Details) (begins time.Duration, reached bool) {
	w := n.w
	stays := w.sc.Workload[c.Stream].Stays
	c.upstream = d.Upstream
	if len(stays) > 0 {
		here := w.zoneName(n.zone)
		away := func(zone string) bool { return !slices.Contains(stays, zone) }
		switch u := d.Upstream; {
		case away(here):
			w.fail("data stays in its zones", "call %d of stream %q was admitted at %s in zone %s, it may run in %v", c.Seq, w.sc.Workload[c.Stream].Name, n.name, here, stays)
		case u != nil && (len(u.Zones) == 0 || slices.ContainsFunc(u.Zones, away)):
			w.fail("data stays in its zones", "call %d of stream %q was sent to %s in %v, it may run in %v", c.Seq, w.sc.Workload[c.Stream].Name, u.Name, u.Zones, stays)
		}
	}
	if d.Upstream == nil {
		return 0, true
	}
	u := w.upstreamNamed(d.Upstream.Name)
	if u == nil {
		return 0, true
	}
	if !n.reaches(u) {
		return 0, false
	}
	u.writes(c, d.Advice)
	return time.Duration(u.begins.draw(n.dice)) * time.Microsecond, true
}

// writes has a call's answer be as long as this upstream's are, and take its time, beside what its stream says, however often it is sent anywhere.
func (u *upstream) writes(c *call, a *admit.Advice) {
	if u.Length == 0 && c.said == 0 {
		return
	}
	if c.said == 0 {
		c.said, c.ran = c.Output, c.Runs
	}
	most, length := c.Max, u.Length
	if a != nil && a.MaxOutputTokens > 0 {
		most = min(most, a.MaxOutputTokens)
	}
	if length == 0 {
		length = 1
	}
	c.Output = min(most, max(1, int64(math.Round(float64(c.said)*length))))
	c.Runs = max(0, c.ran+ledger.Millis((workload.DefaultRuns(0, c.Output)-workload.DefaultRuns(0, c.said)).Milliseconds()))
}

// answered tells the node how long the upstream took to begin, and counts what the call costs there.
func (n *node) answered(c *call) {
	if c.upstream == nil {
		return
	}
	if _, err := n.core.Engine.Feedback(n.clockNow(), c.id, admit.Upstream{Latency: c.begins}); err != nil {
		n.w.fail("an answer can be told", "call %d at %s: %v", c.Seq, n.name, err)
	}
	n.w.tally.Money(&c.Call, c.upstream.Cost(c.Prompt, c.Output), n.first(c).Cost(c.Prompt, c.Output))
}

// first is the first upstream of the policy at which the call might have run: where it would have gone without any route.
func (n *node) first(c *call) *policy.Upstream {
	stays := n.w.sc.Workload[c.Stream].Stays
	for _, u := range n.w.sc.Policies[n.policy].Upstreams() {
		if len(stays) == 0 || len(u.Zones) > 0 && !slices.ContainsFunc(u.Zones, func(z string) bool { return !slices.Contains(stays, z) }) {
			return u
		}
	}
	return c.upstream
}

// redirected has the caller of a call that a node may not decide on ask the one that it names, once.
func (n *node) redirected(c *call, d *admit.Details) bool {
	w := n.w
	if d.Code != admit.CodeLocality || d.Nearest == nil || c.redirected {
		return false
	}
	to := w.byName[d.Nearest.Name]
	if to == nil || w.links.cut(n.end, to.end) {
		return false // a caller beside the node reaches what it reaches
	}
	c.redirected, c.Node = true, to.i
	w.tally.Redirected(&c.Call)
	w.plan(w.now+w.links.latency(n.end, to.end), evCall, nil, c)
	return true
}

// neighbors tells the engine whom callers may ask instead.
func (n *node) neighbors() {
	var list []admit.Neighbor
	for i := range n.view.peers {
		p := &n.view.peers[i]
		if p.Alive && p.Holder.Node != n.name && p.Zone != "" && !p.Passing {
			list = append(list, admit.Neighbor{Name: p.Holder.Node, Zone: p.Zone, RTT: time.Duration(p.Distance) * time.Millisecond})
		}
	}
	n.core.Engine.SetNeighbors(list)
}
