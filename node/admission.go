package node

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/telemetry"
)

// pending is a call whose caller waits for the loop.
type pending struct {
	n      *Node
	waiter *admit.Waiter // the loop's
	id     admit.ID
	answer admit.Answer
	err    error
	done   chan struct{} // closed when the call is decided, or cannot be
}

// decided runs in the loop. It looks the answer up at once: refusals are soon forgotten when many come.
func (p *pending) decided(id admit.ID, err error) {
	if p.id, p.err = id, err; err == nil {
		p.answer, p.err = p.n.engine.Answer(id)
	}
	if p.waiter != nil {
		p.waiter = nil
		p.n.waiting.Add(-1)
	}
	close(p.done)
}

// Admit decides on a call. See admit.Admitter.
func (n *Node) Admit(ctx context.Context, r *admit.Request) (admit.Answer, error) {
	if r.IdempotencyKey == "" {
		return n.admit(ctx, r)
	}
	return n.idem.do(ctx, r, func() (admit.Answer, error) { return n.admit(ctx, r) })
}

func (n *Node) admit(ctx context.Context, r *admit.Request) (admit.Answer, error) {
	if n.traces == nil {
		return n.decide(ctx, r, time.Now())
	}
	begin := time.Now()
	r, span := n.traces.Decide(r, begin)
	a, err := n.decide(ctx, r, begin)
	span.End(&a, err)
	return a, err
}

func (n *Node) decide(ctx context.Context, r *admit.Request, begin time.Time) (admit.Answer, error) {
	a, ok, err := n.try(r, begin)
	switch {
	case ok:
	case r.About > 0:
		return admit.Answer{}, admit.ErrBound
	default:
		a, err = n.offer(ctx, r)
	}
	return n.decided(r, a, err, begin)
}

// Glance says what is known of a call before its prompt is counted. See admit.Admitter.
func (n *Node) Glance(r *admit.Request) admit.Glance { return n.engine.Glance(n.now(), r) }

// TryAdmit is Admit for what can be decided at once, on the goroutine of the caller; false: ask Admit, which may have to wait. Safe for
// concurrent use.
func (n *Node) TryAdmit(r *admit.Request) (admit.Answer, bool, error) {
	if r.IdempotencyKey != "" || n.traces != nil {
		return admit.Answer{}, false, nil
	}
	begin := time.Now()
	a, ok, err := n.try(r, begin)
	if ok {
		a, err = n.decided(r, a, err, begin)
	}
	return a, ok, err
}

func (n *Node) try(r *admit.Request, begin time.Time) (a admit.Answer, ok bool, err error) {
	if n.jumped(begin) || !n.starting.over.Load() {
		return a, false, nil
	}
	id, ok := n.engine.Try(n.at(begin), r)
	if ok {
		a, err = n.engine.Answer(id)
	}
	return a, ok, err
}

// decided counts and tells what became of a call.
func (n *Node) decided(r *admit.Request, a admit.Answer, err error, begin time.Time) (admit.Answer, error) {
	if err != nil {
		return admit.Answer{}, err
	}
	n.metrics.Flags(a.Flags)
	took := time.Since(begin)
	n.metrics.Decision(a.Verdict.String(), a.Code, a.Class, a.Excused(), a.Waited, took)
	if r.Trace.ID != [16]byte{} && !r.Trace.Quiet { // some tracer has it: ours or the caller's
		n.metrics.Traced(a.Class, a.Waited, took, telemetry.TraceOf{ID: r.Trace.ID, Span: r.Trace.Span}, begin)
	}
	n.publishDecision(r, &a)
	return a, nil
}

// offer has the loop decide, and waits.
func (n *Node) offer(ctx context.Context, r *admit.Request) (admit.Answer, error) {
	if err := n.awaitBegun(ctx); err != nil {
		return admit.Answer{}, err
	}
	// The caller may go before the loop is done, so the loop works on a copy.
	c := *r
	c.Tokens, c.Data, c.Digests, c.Attributes = slices.Clone(r.Tokens), slices.Clone(r.Data), slices.Clone(r.Digests), maps.Clone(r.Attributes)
	p := &pending{n: n, done: make(chan struct{})}
	err := n.submit(n.looks, func(now ledger.Instant) {
		id, w, err := n.core.Offer(now, &c)
		if w == nil {
			p.decided(id, err)
			return
		}
		n.waiting.Add(1)
		p.waiter, w.Notify = w, p
	})
	if err != nil {
		return admit.Answer{}, fmt.Errorf("%w: %w", api.ErrNotReady, err)
	}
	select {
	case <-p.done:
		if errors.Is(p.err, admit.ErrNotReady) {
			return admit.Answer{}, fmt.Errorf("%w: %w", api.ErrNotReady, p.err)
		}
		return p.answer, p.err
	case <-n.stopped:
		return admit.Answer{}, fmt.Errorf("%w: %w", api.ErrNotReady, errStopped)
	case <-ctx.Done():
	}
	// Whatever the loop decides now, nobody hears of it: take the call out, or give back what it got.
	_ = n.submit(n.looks, func(now ledger.Instant) {
		if p.waiter != nil {
			n.engine.Cancel(p.waiter)
			n.waiting.Add(-1)
			p.waiter = nil
		} else if p.err == nil {
			_, _ = n.engine.Release(now, p.id) // a refusal has nothing to release
		}
	})
	return admit.Answer{}, ctx.Err()
}

// Settle books the real cost of a call. See admit.Admitter.
func (n *Node) Settle(id string, s admit.Settlement) (admit.Receipt, error) {
	return n.end(id, telemetry.Settled, s.Outcome, func(now ledger.Instant, i admit.ID) (admit.Receipt, error) { return n.engine.Settle(now, i, s) })
}

// Release gives back what a call that never ran had reserved. See admit.Admitter.
func (n *Node) Release(id string) (admit.Receipt, error) {
	return n.end(id, telemetry.Released, "", n.engine.Release)
}

// Score takes in how good the answer to a call was. See admit.Admitter.
func (n *Node) Score(id string, v float64) (kept float64, repeated bool, err error) {
	i, err := n.engine.Parse(id)
	if err != nil {
		return 0, false, err
	}
	return n.engine.Score(i, v)
}

func (n *Node) end(id, how, outcome string, f func(ledger.Instant, admit.ID) (admit.Receipt, error)) (admit.Receipt, error) {
	i, err := n.engine.Parse(id)
	if err != nil {
		return admit.Receipt{}, err
	}
	begin := time.Now()
	rc, err := f(n.at(begin), i)
	if err != nil {
		return rc, err
	}
	if !rc.Repeated {
		n.publishEnd(&rc, how, outcome)
	}
	switch {
	case rc.Repeated:
		how = telemetry.Repeated
	case rc.Late:
		how = telemetry.Late
	}
	n.metrics.Settlement(how)
	if n.traces != nil && !rc.Repeated {
		n.traces.Ended(&rc, how, outcome, begin)
	}
	if !rc.Repeated {
		for _, c := range rc.Charged {
			n.metrics.Charge(c.Budget, int64(c.Amount), int64(c.Overrun))
		}
		if n.waiting.Load() > 0 {
			select { // rights came back: calls that wait may run
			case n.poke <- struct{}{}:
			default:
			}
		}
	}
	return rc, nil
}
