package admit

import (
	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
)

// Lack is what bytes wait for at an instance: so much the first call in line, and so much all of them.
type Lack struct {
	Instance    ledger.InstanceID
	First, Need ledger.Tokens
}

// Pace charges bytes of a call that runs to the budgets of unit byte that it draws on, as many of them as there are rights for here. What
// has flowed cannot be given back, so it is charged at once, beside what is reserved. ok is false when nothing of the call is paced: it
// draws on no such budget, or has ended. While done is less than n the call has a place in line for the rest, for as long as it goes on
// asking: calls whose bytes wait are served in turn, whoever asks when. lack is then what lacks there for all of them. Safe for concurrent
// use.
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
		r.leaveLines(id) // its TTL has ended
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
	short := -1 // of takes
	if !owed {
		for j := range takes[:k] { // it takes its turn
			a, line := takes[j].Account, &r.bound.takes[draws[j]].gate.turns
			if line.n.Load() == 0 {
				continue
			}
			if n := line.may(now, id, done, a.Rights(now)-a.Headroom(takes[j].Headroom)); n < done {
				done, short = max(0, n), j
			}
		}
	}
	for try := 0; !owed && done > 0; try++ {
		for j := range takes[:k] {
			takes[j].Amount, takes[j].Cost = done, done
		}
		why, at := ledger.Reserve(now, now, takes[:k], true)
		if why == ledger.Enough {
			break
		}
		a := takes[at].Account
		short = at
		// What is here, if that is less.
		if done = min(done, a.Rights(now)-a.Headroom(takes[at].Headroom)); why != ledger.NoRights || try == k {
			done = 0
		}
	}
	done = max(done, 0)
	for j := range takes[:k] {
		g := r.bound.takes[draws[j]].gate
		if j == short && done < n {
			lack.Instance = g.id
			lack.First, lack.Need = g.turns.wait(now, id, n-done, done > 0)
		} else {
			g.turns.leave(id)
		}
	}
	if done == 0 {
		return 0, lack, true
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

// leaveLines takes a call that ends out of the lines in which its bytes wait.
func (r *record) leaveLines(id ID) {
	for j := range r.held() {
		r.bound.takes[j].gate.turns.leave(id)
	}
}

// settle ends what a draw still holds with what it is charged in all; what was charged on the way (see Pace) is part of both.
func (h *held) settle(now ledger.Instant, a *ledger.Account, amount ledger.Tokens) {
	way := h.charged
	h.charged, _ = a.Settle(now, h.reserved-way, max(0, amount-way), h.window)
	h.charged += way
}
