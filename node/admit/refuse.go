package admit

import (
	"errors"
	"fmt"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// refusal is why a call may not run.
type refusal struct {
	verdict Verdict
	code    string
	reason  string
	retry   time.Duration
	class   string // of the call; set when it is recorded
	short   *Shortage
	nearest *Neighbor  // that may decide on it
	shared  []Standing // for the note
}

// valid checks what of a request is not the policy's business.
func (r *Request) valid() error {
	switch {
	case r.TTL < 0 || r.TTL > MaxTTL:
		return fmt.Errorf("%w: ttl is %v, it must be between 0s and %v", ErrInvalid, r.TTL, MaxTTL)
	case len(r.IdempotencyKey) > MaxKeyLen:
		return fmt.Errorf("%w: idempotency_key has %d bytes, at most %d are allowed", ErrInvalid, len(r.IdempotencyKey), MaxKeyLen)
	}
	return nil
}

// invalid marks a policy's complaint about a call as the caller's; a rule that cannot be evaluated for it
// refuses it too.
func invalid(err error) error {
	if errors.Is(err, ErrInvalid) {
		return err
	}
	return fmt.Errorf("%w: %w", ErrInvalid, err)
}

// hopeless reports whether need cannot come before the deadline, as far as is known. spare is what must be left then; o is
// the outlook for need, spare and what calls ahead need together.
func hopeless(spec ledger.Spec, o ledger.Outlook, need, ahead, spare ledger.Tokens, deadline ledger.Instant) bool {
	if need+spare > o.Capacity {
		return true
	}
	if !o.Known {
		return false
	}
	switch spec.Kind {
	case ledger.Slots: // each settlement may bring one
		return false
	case ledger.Rate:
		return o.Swarm < need+ahead+spare && (o.NextAt == 0 || o.NextAt > deadline)
	case ledger.Windowed:
		if o.NextAt <= deadline {
			return false
		}
	}
	return o.Swarm+o.Reserved < need+spare
}

// explain says why need cannot be had, and when it may.
func (e *Engine) explain(now ledger.Instant, w *Waiter, t *boundTake, need, ahead, spare ledger.Tokens, o ledger.Outlook) refusal {
	spec := t.account.Spec()
	short := &Shortage{Instance: t.gate.id, Limit: o.Capacity, Remaining: min(o.Swarm, o.Capacity), Own: t.draw.Budget.Personal()}
	no := func(v Verdict, code string, retry time.Duration, format string, args ...any) refusal {
		head := fmt.Sprintf("budget %q: asked for %d %s tokens, ", t.gate.id.Name(), need, t.draw.Budget.Token)
		if ppm, _ := t.account.Part(now); ppm < whole {
			format += "; the provider refuses calls, so the rate is at %.0f%%"
			args = append(args, float64(ppm)/whole*100)
		}
		if v == Defer {
			retry = e.promise(now, &t.gate.promises, retry, slot(&spec, &o, need))
		}
		return refusal{verdict: v, code: code, reason: head + fmt.Sprintf(format, args...), retry: retry, short: short}
	}
	next := until(now, o.NextAt)
	soon := func(d time.Duration) time.Duration { // what running calls or peers may bring, unless the window turns before
		if spec.Kind == ledger.Windowed {
			return min(d, next)
		}
		return d
	}
	switch {
	case need > o.Capacity:
		return no(Deny, CodeTooLarge, 0, "it never holds more than %d", o.Capacity)
	case need+spare > o.Capacity:
		return no(Deny, CodeTooLarge, 0, "it never holds more than %d, of which class %q leaves %d to better ones", o.Capacity, w.bound.plan.Class.Name, spare)
	case spec.Kind == ledger.Rate && o.NextAt == 0 && o.Swarm < need:
		return no(Defer, CodeNoRights, 5*time.Second, "%d left, and the nodes that own its rate cannot be reached", o.Swarm)
	case spare > 0 && o.Swarm >= need && o.Swarm < need+spare && (spec.Kind == ledger.Rate || o.NextAt > 0 || o.Swarm+o.Reserved >= need+spare):
		retry := soon(2 * time.Second)
		switch {
		case spec.Kind == ledger.Rate:
			retry = next
		case spec.Kind == ledger.Windowed && o.Swarm+o.Reserved < need+spare:
			retry = next
		}
		return no(Defer, CodeHeadroom, retry, "%d left, of which class %q leaves %d to better ones", o.Swarm, w.bound.plan.Class.Name, spare)
	case spare > 0 && o.Swarm >= need && o.Swarm < need+spare:
		return no(Deny, CodeHeadroom, 0, "%d left, of which class %q leaves %d to better ones", o.Swarm, w.bound.plan.Class.Name, spare)
	case ahead > 0 && (o.Swarm >= need || spec.Kind == ledger.Rate):
		retry := soon(2 * time.Second)
		if spec.Kind == ledger.Rate {
			retry = next
		}
		return no(Defer, CodeExhausted, retry, "%d left and %d wanted by calls that wait already", o.Swarm, ahead)
	case o.Swarm >= need && o.Local < need:
		return no(Defer, CodeNoRights, soon(500*time.Millisecond), "%d here and %d with other nodes, which could not be had in time", o.Local, o.Swarm-o.Local)
	case o.Swarm >= need:
		return no(Defer, CodeExhausted, 50*time.Millisecond, "%d left now", o.Swarm)
	case spec.Kind == ledger.Rate:
		return no(Defer, CodeExhausted, next, "%d left", o.Swarm)
	case spec.Kind == ledger.Slots:
		return no(Defer, CodeExhausted, time.Second, "%d left of %d", o.Swarm, o.Capacity)
	case o.Swarm+o.Reserved >= need:
		return no(Defer, CodeExhausted, soon(2*time.Second), "%d left and %d reserved by calls that run now", o.Swarm, o.Reserved)
	case o.Swarm+o.Away >= need:
		return no(Defer, CodeNoRights, soon(5*time.Second), "%d left in reach, %d with nodes that cannot be reached", o.Swarm, o.Away)
	case !o.Known:
		return no(Defer, CodeNoRights, soon(time.Second), "%d left in reach; not all holders are known yet", o.Swarm)
	case spec.Kind == ledger.Windowed:
		return no(Defer, CodeExhausted, next, "%d left until the window ends", o.Swarm)
	}
	return no(Deny, CodeExhausted, 0, "%d left", o.Swarm)
}

// until is how long it is to an instant: at least 50 ms and at most a year. Accrual is rounded down, so that the
// last token may come a millisecond late.
func until(now, at ledger.Instant) time.Duration {
	const year = 366 * 24 * time.Hour
	ms := min(max(at-now+1, 50), ledger.Instant(year.Milliseconds()))
	return time.Duration(ms) * time.Millisecond
}

var fencedRefusal = refusal{
	verdict: Deny, code: CodeFenced,
	reason: "this node is fenced: its data directory is an older copy, or two processes run on copies of it; its /readyz says which, and what to do",
}

// jitter adds up to a quarter, at most 10 s, so that refused callers do not come back together.
func (e *Engine) jitter(d time.Duration) time.Duration {
	return d + time.Duration(e.cfg.Rand.Int64N(int64(min(d/4, 10*time.Second))+1))
}
