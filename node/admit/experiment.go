package admit

import (
	"fmt"
	"sync"

	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/policy/outcome"
)

// A call that takes part in an experiment runs as its arm says, and is counted there, also if it is then made cheaper: what is compared is what
// comes of assigning calls to arms.

// experiments count what becomes of calls by arm. Counts go on under a policy that has the same experiment.
type experiments struct {
	mu sync.Mutex // guards by
	by map[policy.ExperimentID][]*experimentArm
}

// experimentArm is one arm. Each part of shards is guarded by the lock of the shard of the same number.
type experimentArm struct {
	arm    *policy.Arm
	shards []outcome.Sums
}

// of finds the arm's counters; nil for none.
func (x *experiments) of(a *policy.Arm, shards int) *experimentArm {
	if a == nil {
		return nil
	}
	x.mu.Lock()
	defer x.mu.Unlock()
	arms := x.by[a.Experiment.ID]
	if arms == nil {
		for i := range a.Experiment.Arms {
			arms = append(arms, &experimentArm{arm: &a.Experiment.Arms[i], shards: make([]outcome.Sums, shards)})
		}
		if x.by == nil {
			x.by = map[policy.ExperimentID][]*experimentArm{}
		}
		x.by[a.Experiment.ID] = arms
	}
	return arms[a.Index]
}

// keep forgets experiments that none of the policies has.
func (x *experiments) keep(ps ...*policy.Policy) {
	x.mu.Lock()
	defer x.mu.Unlock()
	for id := range x.by {
		if !has(ps, id) {
			delete(x.by, id)
		}
	}
}

func has(ps []*policy.Policy, id policy.ExperimentID) bool {
	for _, p := range ps {
		for _, e := range p.Experiments() {
			if e.ID == id {
				return true
			}
		}
	}
	return false
}

// Experimented is what became of an experiment's calls at this node, in this run, by arm.
type Experimented struct {
	Experiment *policy.Experiment
	Arms       []outcome.Sums
}

// Experiments tells of the experiments of the policies in force that calls have taken part in. Safe for concurrent use.
func (e *Engine) Experiments() (list []Experimented) {
	rev := e.rev.Load()
	ps := []*policy.Policy{rev.policy}
	if rev.trial != nil {
		ps = append(ps, rev.trial.candidate.policy)
	}
	for _, p := range ps {
		for _, x := range p.Experiments() {
			e.experiments.mu.Lock()
			arms := e.experiments.by[x.ID]
			e.experiments.mu.Unlock()
			if arms == nil || contains(list, x.ID) {
				continue
			}
			y := Experimented{x, make([]outcome.Sums, len(arms))}
			for k := range e.shards {
				s := &e.shards[k]
				s.mu.Lock()
				for i, a := range arms {
					y.Arms[i].Add(&a.shards[k])
				}
				s.mu.Unlock()
			}
			list = append(list, y)
		}
	}
	return list
}

func contains(list []Experimented, id policy.ExperimentID) bool {
	for i := range list {
		if list[i].Experiment.ID == id {
			return true
		}
	}
	return false
}

// settled takes in how long a call took and what it was charged. The record's shard is locked.
func (x *experimentArm) settled(sh uint32, seconds float64, r *record) {
	s := &x.shards[sh]
	s.Latency.Add(max(0, seconds))
	hs := r.held()
	for i := range hs {
		if r.bound.takes[i].draw.Budget.Token == x.arm.Experiment.Cost {
			s.Cost.Add(float64(hs[i].charged))
			return
		}
	}
}

// names are those of the experiment and the arm; "" for none.
func (x *experimentArm) names() (experiment, arm string) {
	if x == nil {
		return "", ""
	}
	return x.arm.Experiment.Name, x.arm.Name
}

// as is a call as its arm makes it; the call itself if there is none.
func (x *experimentArm) as(c *policy.Call) *policy.Call {
	if x == nil || !x.arm.Changes() {
		return c
	}
	as := *c
	x.arm.Apply(&as)
	return &as
}

// checkScore says what is wrong with a score.
func checkScore(v float64) error {
	if !(v >= 0 && v <= 1) {
		return fmt.Errorf("%w: score is %g, it must be between 0 and 1", ErrInvalid, v)
	}
	return nil
}

// scored takes in what a caller says of a call, the first time. The record's shard is locked.
func (r *record) scored(sh uint32, v float64) (first bool) {
	n := note{}
	if r.note != nil {
		if r.note.score != nil {
			return false
		}
		n = *r.note // others may share it
	}
	n.score = &v
	r.note = &n
	if x := r.bound.experiment; x != nil {
		x.shards[sh].Score.Add(v)
	}
	return true
}

// Score says how good the answer to an admitted call was, from 0 to 1, before or after the call is settled. The first score counts: kept is
// that. ErrUnknownID, or ErrInvalid. Safe for concurrent use.
func (e *Engine) Score(id ID, v float64) (kept float64, repeated bool, err error) {
	if err := checkScore(v); err != nil {
		return 0, false, err
	}
	s, i, ok := e.find(id)
	if !ok {
		return 0, false, e.forgotten(id)
	}
	defer s.mu.Unlock()
	r := s.rec(i)
	if r.state == Refused {
		return 0, false, fmt.Errorf("%w %q: that call was refused, so it has no answer to be scored", ErrUnknownID, e.Format(id))
	}
	sh, _, _ := id.split()
	first := r.scored(sh, v)
	return *r.note.score, !first, nil
}
