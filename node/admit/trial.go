package admit

import (
	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/policy/rollout"
)

// While a candidate is tried, two revisions decide: for each call one of them, chosen by what the call says. They draw on the
// same accounts, wait in the same queues and see the same prices, so no budget is spent twice: see policy.Tryable for what
// they must agree on.

// Arms of a trial, as answers name them.
const (
	Stable    = "stable"
	Candidate = "candidate"
)

// trial is a candidate beside a stable revision.
type trial struct {
	split     *policy.Split
	candidate *revision
}

// of is the revision that decides on a call.
func (r *revision) of(c *policy.Call) *revision {
	if t := r.trial; t != nil && t.split.Chooses(c) {
		return t.candidate
	}
	return r
}

// as is the one of the revisions in force that has a policy, nil if none does any more.
func (r *revision) as(p *policy.Policy) *revision {
	switch {
	case r.policy == p:
		return r
	case r.trial != nil && r.trial.candidate.policy == p:
		return r.trial.candidate
	}
	return nil
}

// arm counts the outcomes of the calls of one arm. Each part of shards is guarded by the lock of the shard of the same number.
type arm struct {
	candidate bool
	split     *policy.Split // as it was when the trial began
	shards    []rollout.Counts
	drift     *drift // of both arms
}

func (a *arm) name() string {
	switch {
	case a == nil:
		return ""
	case a.candidate:
		return Candidate
	}
	return Stable
}

func (a *arm) admitted(shard uint32, call *policy.Call, waited, budget ledger.Millis) {
	c := &a.shards[shard]
	c.Calls++
	c.Groups[a.split.Group(call, rollout.Groups)].Calls++
	if waited == 0 || budget <= 0 {
		return
	}
	// Longer than i steps, for all i below the wait.
	for i := range min(rollout.WaitSteps, (int64(waited)*rollout.WaitSteps+int64(budget)-1)/int64(budget)) {
		c.Longer[i]++
	}
}

func (a *arm) refused(shard uint32, call *policy.Call) {
	c := &a.shards[shard]
	c.Calls++
	c.Refused++
	g := &c.Groups[a.split.Group(call, rollout.Groups)]
	g.Calls++
	g.Refused++
}

// SetTrial changes the policies for the calls to come as SetPolicy does: a candidate decides on those that split chooses; nil ends
// the trial. Outcomes are counted on while the candidate stays the same, and from nothing for another. Safe for concurrent use.
func (e *Engine) SetTrial(stable, candidate *policy.Policy, split *policy.Split) {
	rev := newRevision(stable)
	if candidate == nil {
		e.meters.keep(stable)
		e.experiments.keep(stable)
		e.rev.Store(rev)
		return
	}
	t := &trial{split, newRevision(candidate)}
	rev.best = max(rev.best, t.candidate.best)
	if old := e.rev.Load().trial; old != nil && old.candidate.policy == candidate {
		rev.arm, t.candidate.arm = e.rev.Load().arm, old.candidate.arm
	} else {
		d := newDrift(&e.sizes)
		rev.arm = &arm{split: split, shards: make([]rollout.Counts, len(e.shards)), drift: d}
		t.candidate.arm = &arm{candidate: true, split: split, shards: make([]rollout.Counts, len(e.shards)), drift: d}
	}
	rev.trial = t
	e.meters.keep(stable, candidate)
	e.experiments.keep(stable, candidate)
	e.rev.Store(rev)
}

// tried has a plan's calls counted, if they take part in an experiment, and if a candidate is tried: waits as parts of the latency budget that the stable revision gives
// their class, so that one that gives more shows as waiting longer.
func (e *Engine) tried(b *bound) {
	b.experiment = e.experiments.of(b.plan.Arm, len(e.shards))
	b.beside = b.experiment != nil
	rev := e.rev.Load()
	of := rev.as(b.plan.Policy)
	if of == nil || of.arm == nil {
		return
	}
	class := b.plan.Class
	if c, ok := rev.policy.Class(class.Name); ok {
		class = c
	}
	b.beside, b.arm, b.budget = true, of.arm, ledger.Millis(class.LatencyBudget.Milliseconds())
}

// budgetInForce is the budget of the stable revision that a draw by any of those in force is on: prices, levels and what is left are told
// by it.
func (e *Engine) budgetInForce(p *policy.Policy, b *policy.Budget) *policy.Budget {
	rev := e.rev.Load()
	if rev.policy != p && rev.as(p) != nil {
		if s, ok := rev.policy.Budget(b.Name); ok {
			return s
		}
	}
	return b
}

// Outcomes are what became of the calls of both arms since the candidate is tried here; false while none is. Safe for concurrent
// use.
func (e *Engine) Outcomes() (stable, candidate rollout.Counts, ok bool) {
	rev := e.rev.Load()
	if rev.trial == nil {
		return stable, candidate, false
	}
	for k := range e.shards {
		s := &e.shards[k]
		s.mu.Lock()
		stable.Add(&rev.arm.shards[k])
		candidate.Add(&rev.trial.candidate.arm.shards[k])
		s.mu.Unlock()
	}
	d := rev.arm.drift
	d.mu.Lock()
	defer d.mu.Unlock()
	stable.Drift.Add(&d.counts[0])
	candidate.Drift.Add(&d.counts[1])
	return stable, candidate, true
}
