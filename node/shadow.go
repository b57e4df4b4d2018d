package node

import (
	"crypto/sha256"
	"slices"
	"sync"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/telemetry"
	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/policy/outcome"
	"github.com/swarmpurse/swarmpurse/policy/rollout"
	"github.com/swarmpurse/swarmpurse/policy/shadow"
)

// A shadow is a candidate that decides on nothing: a goroutine of its own compares what it would have decided with decisions that were made.

const (
	shadowEvery = 50 * time.Millisecond
	// maxShadowCalls bounds the decisions that are remembered because a shadow would have made them otherwise.
	maxShadowCalls = 512
	shownCalls     = 20
	// maxShadowsKept bounds the revisions, the highest, whose counts as shadows are kept.
	maxShadowsKept = 8
)

// shading is a shadow that is looked at.
type shading struct {
	n      *Node
	key    rollout.Key
	policy *policy.Policy
	stop   chan struct{} // the loop's; nil while it is not looked at

	mu     sync.Mutex // guards all below
	counts shadow.Counts
	recent []api.ShadowCall // a ring
	next   int
}

func shadowID(k rollout.Key) (id outcome.ID) {
	sum := sha256.Sum256(append([]byte("shadow "), k.Hash[:]...))
	copy(id[:], sum[:])
	return id
}

// over reports that a shadow's time is over.
func (t *trying) over(now ledger.Instant) bool {
	bake := t.trial.How.Bake.Milliseconds()
	return bake > 0 && int64(now) >= t.since+bake
}

// setShadow begins or ends looking at a shadow. The loop's, whenever what is in force changes, and as time goes by.
func (n *Node) setShadow(now ledger.Instant) {
	if n.engine == nil {
		return
	}
	t := n.trying.Load()
	want := t != nil && t.shadow && t.paused == nil && !t.over(now)
	s := n.shade.Load()
	if s != nil && s.stop != nil && (!want || s.key != t.key) {
		n.engine.SetShadow(false)
		n.countShadow(s)
		close(s.stop)
		s.stop = nil
		n.log.Info().Int64("revision", s.key.Revision).Msg("the shadow is looked at no more")
	}
	if !want || s != nil && s.stop != nil {
		return
	}
	if s == nil || s.key != t.key {
		s = &shading{n: n, key: t.key, policy: t.policy}
	}
	s.stop = make(chan struct{})
	n.shade.Store(s)
	n.engine.SetShadow(true)
	n.log.Info().Int64("revision", s.key.Revision).Dur("for", t.trial.How.Bake).Msg("a shadow is looked at: it decides on nothing")
	go s.run(s.stop)
}

// run compares until it is stopped.
func (s *shading) run(stop <-chan struct{}) {
	tick := time.NewTicker(shadowEvery)
	defer tick.Stop()
	eval := shadow.New(s.policy)
	for {
		select {
		case <-tick.C:
			s.look(eval)
		case <-stop:
			return
		case <-s.n.stopped:
			return
		}
	}
}

// look compares what decisions left.
func (s *shading) look(eval *shadow.Evaluator) {
	s.n.looking.Lock() // one that was ended a moment ago may still look
	defer s.n.looking.Unlock()
	dropped := s.n.engine.Shadows(func(x *admit.Shadowed) {
		seen := seenBy(x, s.n.opts.Zone)
		seen.Known = func(u *policy.Upstream) policy.Seen { return s.n.engine.Knows(x.At, u, x.Forward) }
		r := eval.Look(&seen)
		s.mu.Lock()
		defer s.mu.Unlock()
		s.counts.Add(&seen, &r)
		if len(r.Differences) > 0 {
			s.remember(x, &r)
		}
	})
	s.mu.Lock()
	defer s.mu.Unlock()
	s.counts.Dropped += float64(dropped)
}

func (s *shading) remember(x *admit.Shadowed, r *shadow.Result) {
	c := api.ShadowCall{
		ID: x.ID, At: timeOf(int64(x.At)), Revision: s.key.Revision, Tenant: x.Call.Tenant, Agent: x.Call.Agent, Model: x.Call.Model, Assumed: r.Assumed,
	}
	for i := range r.Differences {
		d := &r.Differences[i]
		c.Differences = append(c.Differences, api.ShadowDifference{What: d.Name(), Stable: clip(d.Stable, maxDifference), Shadow: clip(d.Candidate, maxDifference)})
	}
	if len(s.recent) < maxShadowCalls {
		s.recent = append(s.recent, c)
		return
	}
	s.recent[s.next] = c
	s.next = (s.next + 1) % maxShadowCalls
}

// maxDifference bounds what is told of one side of a difference, in bytes.
const maxDifference = 256

// seenBy is a decision as a shadow is compared with.
func seenBy(x *admit.Shadowed, zone string) shadow.Seen {
	s := shadow.Seen{
		Call: &x.Call, Fixed: x.Fixed, Zone: zone, Admitted: x.Verdict.Admitted(), Code: x.Code, Level: x.Level, Plan: x.Plan, Model: x.Call.Model, Upstream: x.Upstream,
	}
	switch x.Code {
	case admit.CodeNoRule, admit.CodeLocality, admit.CodeNoUpstream, admit.CodeTooLarge, admit.CodeShed, admit.CodePressure:
		s.OfPolicy = true
	case admit.CodeExhausted, admit.CodeNoRights, admit.CodeHeadroom:
		if x.Short != nil {
			s.Short, s.Instance, s.Remaining = true, x.Short.Instance.Name(), x.Short.Remaining
		}
	}
	if a := x.Advice; a != nil && s.Admitted {
		if s.Most = a.MaxOutputTokens; a.Model != "" {
			s.Model = a.Model
		}
	}
	if x.Came != nil && x.Came != x.Plan { // it was made cheaper
		p := *x.Plan
		p.Flags = x.Came.Flags
		s.Plan = &p
		s.Unlifted = x.Came.Lifted && !x.Plan.Lifted
		s.Instead = x.Verdict == admit.Degrade && !x.Low
	}
	for i := range x.Draws {
		d := &x.Draws[i]
		s.Draws = append(s.Draws, shadow.Draw{Instance: shadow.Instance(d.Draw), Amount: d.Amount, Price: d.Price, Left: d.Left, Budget: d.Draw.Budget, Room: d.Room})
	}
	return s
}

// countShadow takes what this run has compared to its board. The loop's.
func (n *Node) countShadow(s *shading) {
	if s == nil {
		return
	}
	s.mu.Lock()
	values := s.counts.Values()
	s.mu.Unlock()
	n.boards.Count(shadowID(s.key), values)
}

// shadowIDs are those whose counts are kept: of the highest revisions that were shadows. The loop's.
func (n *Node) shadowIDs() (ids []outcome.ID) {
	for _, e := range slices.Backward(n.roll.State.Entries()) {
		if e.Trial != nil && e.Trial.How.Shadow() && len(ids) < maxShadowsKept {
			ids = append(ids, shadowID(e.Key))
		}
	}
	return ids
}

// viewShadow is what a revision would have decided otherwise. The loop's.
func (n *Node) viewShadow(k rollout.Key) *api.Shadow {
	values, lives := n.boards.Sum(shadowID(k))
	c := shadow.CountsOf(values)
	v := &api.Shadow{
		Compared: int64(c.Compared), Differ: int64(c.Differ), Stricter: int64(c.Stricter), Looser: int64(c.Looser), Assumed: int64(c.Assumed), Dropped: int64(c.Dropped),
		Kinds: map[string]int64{}, Nodes: lives,
	}
	for i, name := range shadow.Kinds() {
		if x := int64(c.Kinds[i]); x > 0 {
			v.Kinds[name] = x
		}
	}
	return v
}

// shadowCalls are the last decisions that the shadow would have made otherwise, the newest first.
func (n *Node) shadowCalls(k rollout.Key) (list []api.ShadowCall) {
	s := n.shade.Load()
	if s == nil || s.key != k {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range min(shownCalls, len(s.recent)) {
		list = append(list, s.recent[(s.next-1-i+2*len(s.recent))%len(s.recent)])
	}
	return list
}

// shadowOf is what the shadow would have decided otherwise of one decision; nil if nothing that is remembered.
func (n *Node) shadowOf(id string) *api.ShadowCall {
	s := n.shade.Load()
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	for i := range s.recent {
		if s.recent[i].ID == id {
			c := s.recent[i]
			return &c
		}
	}
	return nil
}

// shadowState tells metrics of the shadow.
func (n *Node) shadowState() (v telemetry.ShadowState) {
	s, t := n.shade.Load(), n.trying.Load()
	if s == nil || t == nil || s.key != t.key {
		return v
	}
	s.mu.Lock()
	c := s.counts
	s.mu.Unlock()
	v = telemetry.ShadowState{On: true, Same: int64(c.Compared - c.Differ), Differ: int64(c.Differ), Dropped: int64(c.Dropped), Kinds: shadow.Kinds()}
	for _, k := range c.Kinds {
		v.Counts = append(v.Counts, int64(k))
	}
	return v
}

// experimentState tells metrics of experiments.
func (n *Node) experimentState() (list []telemetry.ExperimentState) {
	for _, x := range n.engine.Experiments() {
		for i := range x.Arms {
			a := &x.Arms[i]
			list = append(list, telemetry.ExperimentState{
				Experiment: x.Experiment.Name, Arm: x.Experiment.Arms[i].Name, Admitted: int64(a.Calls - a.Refused), Refused: int64(a.Refused),
				Scores: int64(a.Score.N), Score: a.Score.Mean(),
			})
		}
	}
	return list
}
