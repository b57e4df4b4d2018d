package admit

import (
	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
)

// Left is what is left of one instance that a call drew on.
type Left struct {
	Budget   *policy.Budget
	Instance ledger.InstanceID
	Limit    ledger.Tokens // the most that the instance can have at once, with top-ups
	// Left is what may be used now: exactly what this node has, and what others had when this one looked last, at most some
	// seconds ago; of holders that have never used the instance nothing is known. Of a budget that only observes it is what this node has.
	Left ledger.Tokens
}

// Left appends what is left of the instances that a decision drew on. Nothing is appended for one that is forgotten, or was refused
// before its budgets were known. Safe for concurrent use.
func (e *Engine) Left(now ledger.Instant, id ID, list []Left) []Left {
	s, i, ok := e.find(id)
	if !ok {
		return list
	}
	b := s.rec(i).bound
	s.mu.Unlock()
	if b == nil {
		return list
	}
	for i := range b.takes {
		t := &b.takes[i]
		if t.draw.Budget.Meters != nil {
			continue
		}
		l := Left{Budget: t.draw.Budget, Instance: t.gate.id, Limit: ledger.Tokens(t.gate.most.Load()), Left: t.account.Rights(now)}
		if l.Limit == 0 {
			l.Limit = t.account.Spec().Amount
		}
		l.Left += ledger.Tokens(t.gate.others.Load())
		l.Left = min(l.Left, l.Limit)
		list = append(list, l)
	}
	return list
}
