package admit

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
)

// MaxOutcomeLen bounds Settlement.Outcome, in bytes.
const MaxOutcomeLen = 64

// Grace is how long a reservation on a hard ceiling can still be settled with a refund after its TTL.
const Grace = 10 * time.Minute

// Settle ends a reservation with the real cost. Settling again gives the first receipt. ErrUnknownID, or
// ErrInvalid for amounts that cannot be: then nothing has changed. Safe for concurrent use.
func (e *Engine) Settle(now ledger.Instant, id ID, st Settlement) (Receipt, error) {
	if len(st.Outcome) > MaxOutcomeLen {
		return Receipt{}, fmt.Errorf("%w: outcome has %d bytes, at most %d are allowed", ErrInvalid, len(st.Outcome), MaxOutcomeLen)
	}
	if st.Score != nil {
		if err := checkScore(*st.Score); err != nil {
			return Receipt{}, err
		}
	}
	return e.close(now, id, Settled, &st)
}

// Release gives everything back, for a call that never ran. Releasing again, or after a settlement, gives the
// first receipt. Safe for concurrent use.
func (e *Engine) Release(now ledger.Instant, id ID) (Receipt, error) {
	return e.close(now, id, Released, &Settlement{Outcome: "released"})
}

// close ends a reservation exactly once, and says how it ended.
func (e *Engine) close(now ledger.Instant, id ID, to State, st *Settlement) (Receipt, error) {
	s, r, repeated, err := e.end(now, id, to, st)
	if err != nil {
		return Receipt{}, err
	}
	defer s.mu.Unlock()
	return e.receipt(id, r, repeated), nil
}

// end returns the record with its shard locked, unless there is an error.
func (e *Engine) end(now ledger.Instant, id ID, to State, st *Settlement) (s *shard, r *record, repeated bool, err error) {
	s, i, ok := e.find(id)
	if !ok {
		return nil, nil, false, e.forgotten(id)
	}
	r = s.rec(i)
	switch r.state {
	case Refused:
		s.mu.Unlock()
		return nil, nil, false, fmt.Errorf("%w %q: that call was refused, nothing is reserved for it", ErrUnknownID, e.Format(id))
	case Settled, Released:
		if st.Score != nil {
			sh, _, _ := id.split()
			r.scored(sh, *st.Score)
		}
		return s, r, true, nil
	}
	var amounts [policy.MaxDraws]ledger.Tokens // zero for a release
	if to == Settled {
		if err := r.used(st, &amounts); err != nil {
			s.mu.Unlock()
			return nil, nil, false, err
		}
	}
	// From here on nothing can fail.
	r.leaveLines(id)
	hs := r.held()
	forfeit := to == Released && r.outcome != nil && *r.outcome == OutcomeRefused
	for j := range hs {
		h, a := &hs[j], r.bound.takes[j].account
		if r.booked&(1<<j) != 0 {
			if extra := amounts[j] - h.reserved; extra > 0 {
				// Charged as reserved already: what is above that is still to be booked.
				_, over := a.Settle(now, 0, extra, h.window)
				h.charged += over
			}
		} else if !forfeit || !a.Forfeit(now, h.reserved-h.charged) {
			h.settle(now, a, amounts[j])
		}
		if f := r.bound.takes[j].floor; f != nil {
			f.end(h)
		}
	}
	if r.flags >= flagAttained {
		e.corrections.add(r)
	}
	if r.state != Reserved {
		r.flags |= flagLate
	}
	if r.state != Booked {
		s.unschedule(i)
		s.active--
		s.push(&s.done, i)
	}
	r.state = to
	if r.outcome == nil { // or its provider has refused it
		r.outcome = ending(st.Outcome)
	}
	if st.Usage != nil && !st.Partial {
		e.learn(r, st.Usage.CompletionTokens)
		if n := r.note; n != nil && n.to != nil {
			n.to.meter.cost.Add(n.to.upstream.Cost(st.Usage.PromptTokens, st.Usage.CompletionTokens))
		}
	}
	if a := r.bound.arm; a != nil && to == Settled {
		a.drift.settled(a.candidate, r, st)
	}
	sh, _, _ := id.split()
	if x := r.bound.experiment; x != nil && to == Settled && r.flags&flagLate == 0 {
		x.settled(sh, float64(now-r.at)/1000, r)
	}
	if st.Score != nil {
		r.scored(sh, *st.Score)
	}
	e.leaveEnd(s, i, r, st.Usage)
	return s, r, false, nil
}

func (e *Engine) forgotten(id ID) error {
	return fmt.Errorf("%w %q: it was never made here, or ended so long ago that it is forgotten", ErrUnknownID, e.Format(id))
}

// used works out what each draw is charged.
func (r *record) used(st *Settlement, amounts *[policy.MaxDraws]ledger.Tokens) error {
	if st.amounts != nil {
		copy(amounts[:], st.amounts)
		return nil
	}
	if err := r.checkUsed(st.Used); err != nil {
		return err
	}
	hs := r.held()
next:
	for j := range hs {
		d := r.bound.takes[j].draw
		for _, u := range st.Used {
			if u.Token == d.Budget.Token {
				amounts[j] = u.Amount
				continue next
			}
		}
		amounts[j] = hs[j].reserved
		u := st.Usage
		if u == nil && d.Budget.Spec.Ceiling != ledger.Hard {
			u = st.Estimate
		}
		if u != nil {
			n, err := d.SettleAt(policy.Usage{Prompt: u.PromptTokens, Output: u.CompletionTokens, Cached: u.CachedTokens, Reasoning: u.ReasoningTokens}, r.price(j))
			if err != nil {
				return invalid(fmt.Errorf("usage: %w", err))
			}
			amounts[j] = n
		}
	}
	return nil
}

// checkUsed checks all stated amounts, also those that the call does not draw on: a misspelt token type must
// not pass for one that was not used.
func (r *record) checkUsed(list []policy.Amount) error {
	if len(list) > policy.MaxStatedTokens {
		return fmt.Errorf("%w: used states %d amounts, at most %d are allowed", ErrInvalid, len(list), policy.MaxStatedTokens)
	}
	for i, u := range list {
		if u.Amount < 0 || u.Amount > ledger.MaxTokens {
			return fmt.Errorf("%w: used.%.64s is %d, it must be between 0 and %d", ErrInvalid, u.Token, u.Amount, ledger.MaxTokens)
		}
		if slices.ContainsFunc(list[:i], func(o policy.Amount) bool { return o.Token == u.Token }) {
			return fmt.Errorf("%w: used states %.64q twice", ErrInvalid, u.Token)
		}
		if slices.ContainsFunc(r.bound.takes, func(t boundTake) bool { return t.draw.Budget.Token == u.Token }) {
			continue
		}
		if err := r.bound.plan.Policy.Valid(&policy.Call{Tokens: list[i : i+1]}); err != nil {
			return invalid(fmt.Errorf("used: %w", err))
		}
	}
	return nil
}

func (e *Engine) receipt(id ID, r *record, repeated bool) Receipt {
	rc := Receipt{ID: e.Format(id), Late: r.flags&flagLate != 0, Repeated: repeated}
	hs := r.held()
	if len(hs) > 0 {
		rc.Charged = make([]Charge, len(hs))
	}
	for j := range hs {
		rc.Charged[j] = charged(&r.bound.takes[j], &hs[j])
	}
	rc.Overrun = r.overrun()
	return rc
}

func (r *record) overrun() (sum ledger.Tokens) {
	for _, h := range r.held() {
		sum += h.overrun()
	}
	return sum
}

func charged(t *boundTake, h *held) Charge {
	c := charge(t, h.charged)
	c.Overrun = h.overrun()
	return c
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
		s.advance(now, func(i int32) {
			r := s.rec(i)
			s.unschedule(i)
			if r.state == Reserved {
				expired++
				if r.book(now, false); r.booked != 1<<r.n-1 {
					r.state = Expired
					// From now, not from the end of the TTL: a node that was suspended hears of its calls' ends after that.
					s.schedule(i, now+ledger.Instant(Grace.Milliseconds()))
					return
				}
			}
			r.book(now, true)
			r.state, r.outcome = Booked, ending("expired")
			e.leaveEnd(s, i, r, nil)
			s.active--
			s.push(&s.done, i)
		})
		s.mu.Unlock()
	}
	return expired
}

// NextExpire returns when the first Expire comes that may find something, if nothing is reserved or ends before, and if that is within
// two seconds: else some time then.
func (e *Engine) NextExpire() ledger.Instant {
	sec := int64(math.MaxInt64 / 1000)
	for k := range e.shards {
		s := &e.shards[k]
		s.mu.Lock()
		sec = min(sec, s.next())
		s.mu.Unlock()
	}
	return ledger.Instant(sec) * 1000
}

// Stepped says that the clock was put forward by so much, which was no time in which calls could run: reservations end so
// much later, or else a slot would be given to the next call while the one that has it still runs. Call it before the
// next Expire. Safe for concurrent use; a call that is admitted meanwhile may keep its reservation longer than it asked for.
func (e *Engine) Stepped(now ledger.Instant, by ledger.Millis) {
	for k := range e.shards {
		s := &e.shards[k]
		s.mu.Lock()
		s.stepped(now, by)
		s.mu.Unlock()
	}
}

// book charges as reserved what may not wait for a late settlement, or all.
func (r *record) book(now ledger.Instant, all bool) {
	hs := r.held()
	for j := range hs {
		if r.booked&(1<<j) != 0 {
			continue
		}
		a := r.bound.takes[j].account
		if spec := a.Spec(); !all && spec.Ceiling == ledger.Hard && spec.Kind != ledger.Slots {
			continue
		}
		hs[j].settle(now, a, hs[j].reserved)
		r.booked |= 1 << j
	}
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
	Data                             []Datum // that the call named
	Guaranteed                       bool    // it was admitted within its tenant's guarantee in one of its budgets
	Shared                           []Standing
	Score                            *float64 // what its caller said of its answer; nil for nothing
	Tried                            []Tried  // upstreams that did not run it, in order; not to be changed
	Counted                          Counted  // how its prompt was
}

// Answer returns what the caller of a decision is told. Safe for concurrent use.
func (e *Engine) Answer(id ID) (Answer, error) {
	d, _, err := e.lookup(id)
	return d.Answer, err
}

// Lookup returns a decision that is still remembered. Safe for concurrent use.
func (e *Engine) Lookup(id ID) (Details, error) {
	d, touched, err := e.lookup(id)
	if touched {
		d.Data = e.lineage.of(id)
	}
	return d, err
}

// TenantOf tells whose decision that is: ErrUnknownID. Safe for concurrent use.
func (e *Engine) TenantOf(id ID) (string, error) {
	s, i, ok := e.find(id)
	if !ok {
		return "", e.forgotten(id)
	}
	defer s.mu.Unlock()
	return s.rec(i).tenant, nil
}

// lookup reports whether the call named data sets instead of looking for them.
func (e *Engine) lookup(id ID) (d Details, touched bool, err error) {
	s, i, ok := e.find(id)
	if !ok {
		return Details{}, false, fmt.Errorf("%w %q: the last %d decisions are remembered", ErrUnknownID, e.Format(id), MaxRecords)
	}
	r := *s.rec(i)
	if r.many != nil {
		many := *r.many
		r.many = &many
	}
	s.mu.Unlock()
	touched = r.note != nil && r.note.data
	d = Details{
		Answer: Answer{
			ID: e.Format(id), Verdict: r.verdict, Code: CodeOK, Node: e.cfg.Node, Waited: r.waitedFor(),
			Level: int(r.flags / flagLevel % 4),
		},
		At: r.at, Expires: r.expires(), State: r.state,
		Tenant: r.tenant, Agent: r.agent, Run: r.run, Model: r.model,
		Overrun: r.overrun(), Guaranteed: r.flags&flagFloor != 0,
	}
	if r.outcome != nil {
		d.Outcome = *r.outcome
	}
	if n := r.note; n != nil {
		d.Score, d.Tried, d.Counted = n.score, n.tried, n.counted
		if d.Shared = n.shared; n.to != nil {
			d.Answer.Upstream = n.to.upstream
		}
	}
	if r.state == Refused {
		no := &r.note.no
		d.Nearest = no.nearest
		d.Reason, d.Code, d.RetryAfter, d.Short = no.reason, no.code, no.retry, no.short
		d.Answer.Class = no.class
	}
	if r.bound == nil { // refused before it was matched
		d.Class, d.Revision = d.Answer.Class, e.Policy().Revision()
		return d, touched, nil
	}
	p := r.bound.plan
	d.Revision, d.Rules, d.Arm = p.Policy.Revision(), p.Rules, r.bound.arm.name()
	d.Class, d.Answer.Class = p.Class.Name, p.Class.Name
	d.Flags = r.bound.came().Flags
	d.Experiment, d.ExperimentArm = r.bound.experiment.names()
	if r.state != Refused {
		d.Advice = r.bound.advice()
	}
	switch {
	case d.Reason != "":
	case r.bound.cheaper != nil:
		d.Reason = r.bound.cheaper.reason()
	default:
		d.Reason = r.admitReason(d.Waited)
	}
	hs := r.held()
	if len(hs) == 0 {
		return d, touched, nil
	}
	d.Reserved = make([]Charge, len(hs))
	for j := range hs {
		t := &r.bound.takes[j]
		d.Reserved[j] = charge(t, hs[j].reserved)
		d.Reserved[j].Price = r.price(j)
	}
	if r.state != Reserved {
		d.Charged = make([]Charge, len(hs))
		for j, h := range hs {
			if r.state == Expired && r.booked&(1<<j) == 0 {
				h.charged = h.reserved // stays charged in full until a settlement corrects it
			}
			d.Charged[j] = charged(&r.bound.takes[j], &h)
		}
	}
	return d, touched, nil
}

// lifted says that points were paid.
func lifted(p *policy.Plan) string {
	if !p.Lifted {
		return ""
	}
	return fmt.Sprintf(", in class %q for priority points", p.Class.Name)
}

func (r *record) admitReason(waited time.Duration) string {
	p := r.bound.plan
	switch {
	case r.note != nil && r.note.ran:
		return "it had run already: what it used is booked, and is debt where there are no rights"
	case len(p.Draws) == 0 && !p.Matched:
		return "no rule matches, and the policy's default is admit: not counted"
	case len(p.Draws) == 0:
		return "the rules draw on no budget: not counted"
	case waited > 0:
		return fmt.Sprintf("rights came after %v", waited) + lifted(p)
	}
	return "rights at hand" + lifted(p)
}
