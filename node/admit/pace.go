package admit

import (
	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
)

// Lack is what bytes wait for: so much of an instance.
type Lack struct {
	Instance ledger.InstanceID
	Need     ledger.Tokens
}

// Pace charges bytes of a call that runs to the budgets of unit byte that it draws on, as many of them as there are rights for here. What
// has flowed cannot be given back, so it is charged at once, beside what is reserved. ok is false when nothing of the call is paced: it
// draws on no such budget, or has ended. lack is of what is short while done is less than n. Safe for concurrent use.
func (e *Engine) Pace(now ledger.Instant, id ID, n ledger.Tokens) (done ledger.Tokens, lack Lack, ok bool) {
	return e.flow(now, id, n, false)
}

// Owe books bytes that went on without waiting for rights: debt, paid before the next admission.
func (e *Engine) Owe(now ledger.Instant, id ID, n ledger.Tokens) { e.flow(now, id, n, true) }

// flow charges n bytes, all of them whatever rights there are if they are owed.
func (e *Engine) flow(now ledger.Instant, id ID, n ledger.Tokens, owed bool) (done ledger.Tokens, lack Lack, ok bool) {
	s, i, found := e.find(id)
	if !found {
		return 0, Lack{}, false
	}
	defer s.mu.Unlock()
	r := s.rec(i)
	if r.state != Reserved {
		return 0, Lack{}, false
	}
	var draws [policy.MaxDraws]int
	var takes [policy.MaxDraws]ledger.Take
	k := 0
	for j := range r.held() {
		if t := &r.bound.takes[j]; t.draw.Budget.Unit == policy.ByteUnit && !t.account.Retired() {
			draws[k], takes[k] = j, ledger.Take{Account: t.account, Amount: n, Cost: n, Headroom: r.bound.plan.Class.Headroom}
			k++
		}
	}
	if k == 0 {
		return 0, Lack{}, false
	}
	done = n
	for try := 0; !owed; try++ {
		for j := range takes[:k] {
			takes[j].Amount, takes[j].Cost = done, done
		}
		why, at := ledger.Reserve(now, now, takes[:k], true)
		if why == ledger.Enough {
			break
		}
		a := takes[at].Account
		lack = Lack{a.ID(), done}
		// What is here, if that is less.
		if done = min(done, a.Rights(now)-a.Headroom(takes[at].Headroom)); why != ledger.NoRights || done <= 0 || try == k {
			return 0, lack, true
		}
	}
	for j := range takes[:k] {
		h := &r.held()[draws[j]]
		if owed {
			takes[j].Account.Settle(now, 0, done, h.window)
		} else {
			takes[j].Account.Settle(now, done, done, takes[j].Window)
		}
		h.reserved += done
		h.charged += done
	}
	return done, lack, true
}

// settle ends what a draw still holds with what it is charged in all; what was charged on the way (see Pace) is part of both.
func (h *held) settle(now ledger.Instant, a *ledger.Account, amount ledger.Tokens) {
	way := h.charged
	h.charged, _ = a.Settle(now, h.reserved-way, max(0, amount-way), h.window)
	h.charged += way
}
