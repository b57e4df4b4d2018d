package admit

import (
	"errors"
	"fmt"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
)

// refusal is why a call may not run.
type refusal struct {
	verdict Verdict
	code    string
	reason  string
	retry   time.Duration
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

// hopeless reports whether need cannot come before the deadline, as far as is known.
func hopeless(spec ledger.Spec, o ledger.Outlook, need ledger.Tokens, deadline ledger.Instant) bool {
	if need > o.Capacity {
		return true
	}
	if spec.Kind == ledger.Slots || !o.Known || o.Swarm >= need {
		return false
	}
	if o.NextAt > 0 && o.NextAt <= deadline {
		return false
	}
	if spec.Kind == ledger.Rate {
		return o.NextAt > deadline || o.NextAt == 0
	}
	return o.Swarm+o.Reserved < need
}

// explain says why need cannot be had, and when it may.
func (e *Engine) explain(now ledger.Instant, t *boundTake, need ledger.Tokens, o ledger.Outlook) refusal {
	name, token := t.gate.id.Name(), t.draw.Budget.Token
	spec := t.account.Spec()
	head := fmt.Sprintf("budget %q: asked for %d %s tokens, ", name, need, token)
	until := func() time.Duration {
		return e.jitter(max(time.Duration(o.NextAt-now)*time.Millisecond, 50*time.Millisecond))
	}
	switch {
	case need > o.Capacity:
		return refusal{Deny, CodeTooLarge, head + fmt.Sprintf("it never holds more than %d", o.Capacity), 0}
	case o.Swarm >= need && o.Local < need:
		return refusal{Defer, CodeNoRights, head + fmt.Sprintf("%d here and %d with other nodes, which could not be had in time", o.Local, o.Swarm-o.Local), e.jitter(500 * time.Millisecond)}
	case spec.Kind == ledger.Rate:
		if o.NextAt == 0 {
			return refusal{Defer, CodeNoRights, head + fmt.Sprintf("%d left, and the nodes that own its rate cannot be reached", o.Swarm), e.jitter(5 * time.Second)}
		}
		return refusal{Defer, CodeExhausted, head + fmt.Sprintf("%d left", o.Swarm), until()}
	case spec.Kind == ledger.Slots:
		return refusal{Defer, CodeExhausted, head + fmt.Sprintf("%d left of %d", o.Swarm, o.Capacity), e.jitter(time.Second)}
	case o.Swarm+o.Reserved >= need && o.Swarm < need:
		return refusal{Defer, CodeExhausted, head + fmt.Sprintf("%d left and %d reserved by calls that run now", o.Swarm, o.Reserved), e.jitter(2 * time.Second)}
	case o.Swarm+o.Away >= need:
		return refusal{Defer, CodeNoRights, head + fmt.Sprintf("%d left in reach, %d with nodes that cannot be reached", o.Swarm, o.Away), e.jitter(5 * time.Second)}
	case !o.Known && o.Swarm < need:
		return refusal{Defer, CodeNoRights, head + fmt.Sprintf("%d left in reach; not all holders are known yet", o.Swarm), e.jitter(time.Second)}
	case spec.Kind == ledger.Windowed:
		return refusal{Defer, CodeExhausted, head + fmt.Sprintf("%d left until the window ends", o.Swarm), until()}
	}
	return refusal{Deny, CodeExhausted, head + fmt.Sprintf("%d left", o.Swarm), 0}
}

// jitter adds up to a quarter, at most 10 s, so that refused callers do not come back together.
func (e *Engine) jitter(d time.Duration) time.Duration {
	return d + time.Duration(e.cfg.Rand.Int64N(int64(min(d/4, 10*time.Second))+1))
}

// price is what settlement costs one draw, by the provider's count.
func price(d *policy.Draw, u *Usage) (ledger.Tokens, error) {
	n, err := d.Settle(u.PromptTokens, u.CompletionTokens)
	if err != nil {
		return 0, invalid(err)
	}
	return n, nil
}
