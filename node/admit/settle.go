package admit

import (
	"fmt"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
)

// MaxOutcomeLen bounds Settlement.Outcome, in bytes.
const MaxOutcomeLen = 64

// Settle ends a reservation with the real cost. Settling again gives the first receipt. Safe for concurrent
// use.
func (e *Engine) Settle(now ledger.Instant, id ID, st Settlement) (Receipt, error) {
	if len(st.Outcome) > MaxOutcomeLen {
		return Receipt{}, fmt.Errorf("%w: outcome has %d bytes, at most %d are allowed", ErrInvalid, len(st.Outcome), MaxOutcomeLen)
	}
	return e.close(now, id, Settled, st.Outcome, func(b *bound, i int, reserved ledger.Tokens) (ledger.Tokens, error) {
		d := b.takes[i].draw
		for _, u := range st.Used {
			if u.Token == d.Budget.Token {
				if u.Amount < 0 || u.Amount > ledger.MaxTokens {
					return 0, fmt.Errorf("%w: used.%s is %d, it must be between 0 and %d", ErrInvalid, u.Token, u.Amount, ledger.MaxTokens)
				}
				return u.Amount, nil
			}
		}
		if st.Usage != nil {
			return price(d, st.Usage)
		}
		return reserved, nil
	})
}

// Release gives everything back, for a call that never ran. Releasing again, or after a settlement, gives the
// first receipt. Safe for concurrent use.
func (e *Engine) Release(now ledger.Instant, id ID) (Receipt, error) {
	return e.close(now, id, Released, "released", func(*bound, int, ledger.Tokens) (ledger.Tokens, error) { return 0, nil })
}

// close ends a reservation exactly once. used says what a draw is charged; its errors change nothing.
func (e *Engine) close(now ledger.Instant, id ID, to State, outcome string, used func(*bound, int, ledger.Tokens) (ledger.Tokens, error)) (Receipt, error) {
	s, i, ok := e.find(id)
	if !ok {
		return Receipt{}, fmt.Errorf("%w %q: it was never made here, or ended so long ago that it is forgotten", ErrUnknownID, e.Format(id))
	}
	defer s.mu.Unlock()
	r := &s.slots[i]
	switch r.state {
	case Refused:
		return Receipt{}, fmt.Errorf("%w %q: that call was refused, nothing is reserved for it", ErrUnknownID, e.Format(id))
	case Settled, Released:
		return e.receipt(id, r, true), nil
	}
	hs := r.held()
	var few [inline]ledger.Tokens
	amounts := few[:0]
	for j := range hs {
		n, err := used(r.bound, j, hs[j].reserved)
		if err != nil {
			return Receipt{}, err
		}
		amounts = append(amounts, n)
	}
	r.late = r.state != Reserved
	for j := range hs {
		h, a := &hs[j], r.bound.takes[j].account
		var over ledger.Tokens
		if h.booked {
			// Charged in full already: only what is above it is still to be booked.
			if extra := amounts[j] - h.reserved; extra > 0 {
				_, over = a.Settle(now, 0, extra, h.window)
			}
			h.charged = h.reserved + over
		} else {
			h.charged, over = a.Settle(now, h.reserved, amounts[j], h.window)
		}
		r.overrun += over
	}
	if r.state != Booked {
		s.unschedule(i)
		s.active--
		s.end(i)
	}
	r.state, r.outcome = to, outcome
	return e.receipt(id, r, false), nil
}

func (e *Engine) receipt(id ID, r *record, repeated bool) Receipt {
	rc := Receipt{ID: e.Format(id), Overrun: r.overrun, Late: r.late, Repeated: repeated}
	for j, h := range r.held() {
		c := charge(&r.bound.takes[j], h.charged)
		c.Overrun = max(0, h.charged-h.reserved)
		rc.Charged = append(rc.Charged, c)
	}
	return rc
}

func charge(t *boundTake, n ledger.Tokens) Charge {
	return Charge{Budget: t.draw.Budget.Name, Instance: t.gate.id, Token: t.draw.Budget.Token, Amount: n}
}

// Expire ends the reservations whose TTL has passed, and returns how many. On slots they return; on soft
// ceilings and observe they are charged as reserved; on hard ceilings they stay set aside until Grace is
// over, so that a late settlement can still correct them, and are then charged in full. Safe for concurrent
// use; call it a few times a second.
func (e *Engine) Expire(now ledger.Instant) (expired int) {
	for k := range e.shards {
		s := &e.shards[k]
		s.mu.Lock()
		s.due(now, func(i int32) {
			r := &s.slots[i]
			s.unschedule(i)
			if r.expires > now {
				s.schedule(i, r.expires)
				return
			}
			if r.state == Reserved {
				expired++
			}
			if r.state == Reserved && e.keepForGrace(now, r) {
				r.state = Expired
				r.expires += ledger.Instant(Grace.Milliseconds())
				s.schedule(i, r.expires)
				return
			}
			hs := r.held()
			for j := range hs {
				if !hs[j].booked {
					hs[j].charged, _ = r.bound.takes[j].account.Settle(now, hs[j].reserved, hs[j].reserved, hs[j].window)
					hs[j].booked = true
				}
			}
			r.state, r.outcome = Booked, "expired"
			s.active--
			s.end(i)
		})
		s.mu.Unlock()
	}
	return expired
}

// keepForGrace books what is not on a hard stock or rate, and reports whether anything stays set aside.
func (e *Engine) keepForGrace(now ledger.Instant, r *record) (keep bool) {
	hs := r.held()
	for j := range hs {
		a := r.bound.takes[j].account
		if spec := a.Spec(); spec.Ceiling == ledger.Hard && spec.Kind != ledger.Slots {
			keep = true
			continue
		}
		hs[j].charged, _ = a.Settle(now, hs[j].reserved, hs[j].reserved, hs[j].window)
		hs[j].booked = true
	}
	return keep
}

// Details is a decision with its path.
type Details struct {
	Answer
	At, Expires                      ledger.Instant
	State                            State
	Tenant, Agent, Run, Class, Model string
	Rules                            []string
	Charged                          []Charge
	Outcome                          string
	Overrun                          ledger.Tokens
}

// Answer returns what the caller of a decision is told. Safe for concurrent use.
func (e *Engine) Answer(id ID) (Answer, error) {
	d, err := e.Lookup(id)
	return d.Answer, err
}

// Lookup returns a decision that is still remembered. Safe for concurrent use.
func (e *Engine) Lookup(id ID) (Details, error) {
	s, i, ok := e.find(id)
	if !ok {
		return Details{}, fmt.Errorf("%w %q: the last %d decisions are remembered", ErrUnknownID, e.Format(id), MaxRecords)
	}
	r := s.slots[i]
	hs := append([]held(nil), s.slots[i].held()...)
	s.mu.Unlock()
	d := Details{
		Answer: Answer{
			ID: e.Format(id), Verdict: r.verdict, Reason: r.reason, Code: r.code, RetryAfter: r.retry,
			Node: e.cfg.Node, Class: r.class, Waited: r.waited,
		},
		At: r.at, Expires: r.expires, State: r.state,
		Tenant: r.tenant, Agent: r.agent, Run: r.run, Class: r.class, Model: r.model,
		Outcome: r.outcome, Overrun: r.overrun,
	}
	if r.bound == nil {
		d.Revision = e.Policy().Revision()
		return d, nil
	}
	p := r.bound.plan
	d.Revision, d.Rules = p.Policy.Revision(), p.Rules
	if d.Reason == "" {
		d.Reason = admitReason(p, r.waited)
	}
	prices := map[string]float64{}
	for j, h := range hs {
		t := &r.bound.takes[j]
		d.Reserved = append(d.Reserved, charge(t, h.reserved))
		if r.state != Reserved {
			d.Charged = append(d.Charged, charge(t, h.charged))
		}
		prices[t.draw.Budget.Name] = t.draw.Budget.Price
	}
	if len(prices) > 0 {
		d.Price = prices
	}
	return d, nil
}

func admitReason(p *policy.Plan, waited time.Duration) string {
	switch {
	case len(p.Draws) == 0 && !p.Matched:
		return "no rule matches, and the policy's default is admit: not counted"
	case len(p.Draws) == 0:
		return "the rules draw on no budget: not counted"
	case waited > 0:
		return fmt.Sprintf("rights came after %v", waited)
	}
	return "rights at hand"
}
