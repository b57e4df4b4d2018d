package admit

import (
	"errors"
	"fmt"
	"slices"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
)

// OutcomeReported is the outcome of a call of which the node heard when it had run.
const OutcomeReported = "reported"

// TryRan books what a call used that has run already, and for which nothing was reserved: that for which there are no rights is
// debt, paid before the next admission. Nothing refuses it: no ceiling, no freeze, no backpressure. Booked is what the request's
// counts and stated amounts cost; what a rule costs whatever they are belongs to the call's own admission. false means that the owner must do
// it, by Ran. Safe for concurrent use.
func (e *Engine) TryRan(now ledger.Instant, r *Request) (ID, bool) {
	rev := e.rev.Load().of(&r.Call)
	key, ok := rev.policy.Key(&r.Call)
	if !ok || e.fenced.Load() || r.valid() != nil || rev.policy.Valid(&r.Call) != nil {
		return 0, false
	}
	b := rev.get(&key)
	if b == nil || !b.plan.Admit || slices.ContainsFunc(b.takes, func(t boundTake) bool { return t.account.Ended(now) || t.account.Retired() }) {
		return 0, false
	}
	id, err := e.ran(now, r, b)
	return id, err == nil
}

// Ran is TryRan for any call. What cannot be booked is refused as calls are: no rule is for it, or it would make one instance too many. An error
// means that nothing was booked: ErrInvalid, or ErrNotReady, which wraps ErrLater while the ledger cannot open an instance. The owner's.
func (e *Engine) Ran(now ledger.Instant, l Ledger, r *Request) (ID, error) {
	e.renew(now, l)
	if err := r.valid(); err != nil {
		return 0, err
	}
	if e.isFenced(l) {
		return 0, fmt.Errorf("%w: %s", ErrNotReady, fencedRefusal.reason)
	}
	b, err := e.plan(now, l, r)
	var denied *deniedError
	if errors.As(err, &denied) && denied.no.code != CodeInstances { // an operator's word, or a place: too late for either
		b, err = e.bind(now, l, denied.plan, r.Model)
	}
	switch {
	case errors.As(err, &denied):
		b := &bound{plan: denied.plan}
		e.tried(b)
		return e.refused(now, r, b, denied.no, 0), nil
	case err != nil:
		return 0, err
	case !b.plan.Admit:
		return e.refused(now, r, b, refusal{verdict: Deny, code: CodeNoRule, reason: "no rule of the policy matches this call, and its default is deny: what it used is not counted"}, 0), nil
	}
	return e.ran(now, r, b)
}

// ran records the call, with nothing reserved, and settles it.
func (e *Engine) ran(now ledger.Instant, r *Request, b *bound) (ID, error) {
	var takes [policy.MaxDraws]ledger.Take
	var prices [policy.MaxDraws]policy.PPM
	var used [policy.MaxDraws]ledger.Tokens
	idle := r.Call
	idle.PromptTokens, idle.MaxOutputTokens = 0, 0
	idle.Tokens = slices.Clone(r.Tokens)
	for i := range idle.Tokens {
		idle.Tokens[i].Amount = 0
	}
	n := len(b.takes)
	for i := range b.takes {
		t := &b.takes[i]
		takes[i], prices[i] = ledger.Take{Account: t.account}, t.price()
		with, _, err := t.draw.AmountAt(&r.Call, prices[i])
		if err != nil {
			return 0, invalid(err)
		}
		without, _, err := t.draw.AmountAt(&idle, prices[i])
		if err != nil {
			return 0, invalid(err)
		}
		used[i] = max(0, with-without)
	}
	id, ok := e.admitted(now, r.ttl(), r, b, takes[:n], prices[:n], 0, &note{ran: true})
	if !ok {
		return 0, fmt.Errorf("%w: too many reservations are open at this node: settle or release some", ErrNotReady)
	}
	s, _, _, err := e.end(now, id, Settled, &Settlement{Outcome: OutcomeReported, amounts: used[:n]})
	if err != nil {
		panic("BUG: a record that was just made cannot be settled: " + err.Error())
	}
	s.mu.Unlock()
	return id, nil
}
