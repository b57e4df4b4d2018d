package sim

import (
	"math"
	"slices"
	"strings"
	"time"

	"github.com/swarmpurse/swarmpurse/policy/rollout"
	"github.com/swarmpurse/swarmpurse/sim/result"
	"github.com/swarmpurse/swarmpurse/sim/scenario"
)

// trials is what figures and reports tell of candidates, and of words that operators were refused.
type trials struct {
	list []trialOf
}

// trialOf is a revision that was tried, or a word that was refused.
type trialOf struct {
	result.Rollout
	index int    // of the policy
	ended micros // when the word was said that ended it, 0: not yet
	back  bool   // and that was a roll back
	all   micros // since when all go by that, 0: not yet
}

// said notes a word of a node's own.
func (t *trials) said(n *node, s rollout.Said) {
	e := &s.Now
	i, at := n.w.indexOf[e.Key], time.Duration(n.w.now)*time.Microsecond
	if e.Trial != nil && s.Old.Trial == nil {
		t.list = append(t.list, trialOf{index: i, Rollout: result.Rollout{Revision: e.Revision, At: at, Node: n.name, How: e.Trial.How.String()}})
	}
	j := slices.IndexFunc(t.list, func(x trialOf) bool { return x.index == i && x.Refused == "" })
	if j < 0 {
		return
	}
	x := &t.list[j]
	switch {
	case e.Back != nil && s.Old.Back == nil && !x.back: // the first word; it wins over a promotion that was said before
		x.back, x.ended, x.all = true, n.w.now, 0
		x.End, x.EndAt, x.EndNode, x.By, x.Why = result.RolledBack, at, n.name, e.Back.By, e.Back.Why
	case e.Whole != nil && s.Old.Whole == nil && x.ended == 0:
		x.ended = n.w.now
		x.End, x.EndAt, x.EndNode, x.By, x.Why = result.Promoted, at, n.name, e.Whole.By, e.Whole.Why
	}
}

// refuses notes an operator's word that a node did not take.
func (t *trials) refuses(n *node, f *scenario.Fault, err error) {
	why, _, _ := strings.Cut(strings.TrimPrefix(err.Error(), rollout.ErrRefused.Error()+": "), "\n")
	t.list = append(t.list, trialOf{index: -1, Rollout: result.Rollout{
		Revision: n.w.sc.Policies[f.Policy].Revision(), At: time.Duration(n.w.now) * time.Microsecond, Node: n.name, Refused: f.Act.Word() + ": " + why,
	}})
}

// look notes when all nodes that run go by the word that has ended a trial.
func (t *trials) look(w *world) {
	for i := range t.list {
		x := &t.list[i]
		if x.ended == 0 {
			continue
		}
		all := true
		for _, n := range w.nodes {
			goes := n.roll.tried != x.index && (x.back && n.policy != x.index || !x.back && n.policy >= x.index)
			all = all && (goes || !n.up)
		}
		switch {
		case !all:
			x.all = 0
		case x.all == 0:
			x.all = w.now
		}
	}
}

// figures are the longest from when a candidate was applied until all nodes went by its end, in seconds, by how it ended; NaN if none ended so.
func (t *trials) figures(s *result.System) {
	s.RolledBack, s.Promoted = math.NaN(), math.NaN()
	for i := range t.list {
		x := &t.list[i]
		if x.ended == 0 {
			continue
		}
		took := math.Inf(1)
		if x.all > 0 {
			took = (time.Duration(x.all)*time.Microsecond - x.At).Seconds()
		}
		into := &s.Promoted
		if x.back {
			s.Rollbacks++
			switch what, _, _ := strings.Cut(x.Why, ": "); {
			case x.By != rollout.Guardian:
			case what == rollout.OutputLength:
				s.TooLong++
			case what == rollout.Cost:
				s.TooDear++
			}
			into = &s.RolledBack
		}
		if math.IsNaN(*into) || took > *into {
			*into = took
		}
	}
}

func (t *trials) results() (list []result.Rollout) {
	for i := range t.list {
		x := &t.list[i]
		x.Everywhere = time.Duration(x.all) * time.Microsecond
		list = append(list, x.Rollout)
	}
	return list
}
