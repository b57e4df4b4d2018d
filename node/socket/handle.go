package socket

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/caller"
	"github.com/swarmpurse/swarmpurse/node/frame"
	"github.com/swarmpurse/swarmpurse/policy"
)

// desk is what a reader uses again for each request.
type desk struct {
	call    frame.Call
	request admit.Request
	stated  []frame.Amount
	amounts []policy.Amount
	answer  frame.Answer
	receipt frame.Receipt
	charges []frame.Charge
}

// handle does what a frame asks.
func (c *conn) handle(f frame.Frame) {
	switch f.Kind {
	case frame.KindAdmit:
		c.admit(f)
	case frame.KindSettle:
		c.finish(settles, f)
	case frame.KindRelease:
		c.finish(releases, f)
	case frame.KindCancel:
		c.mu.Lock()
		cancel := c.cancels[f.ID]
		c.mu.Unlock()
		if cancel != nil {
			cancel()
		}
	default: // of a newer version
		c.put(func(b []byte) []byte {
			return frame.AppendError(b, f.ID, &frame.Error{Status: 400, Code: api.ErrCodeInvalid, Message: fmt.Sprintf("this node knows no frames of kind %d", f.Kind)})
		})
	}
	c.mu.Lock()
	long := len(c.out) > maxOut
	c.mu.Unlock()
	if long {
		c.flush()
	}
}

func malformed(err error) error {
	return &api.Error{Status: 400, Code: api.ErrCodeInvalid, Message: err.Error()}
}

// enter finds out who calls, and lets the request in; one who is not nil must Leave.
func (c *conn) enter() (*caller.Caller, time.Time, error) {
	if c.key == "" {
		return nil, time.Time{}, nil
	}
	now := time.Now()
	who, err := c.caller(now)
	if err == nil {
		err = c.calls.Enter(who, now)
	}
	if err != nil {
		return nil, now, err
	}
	return who, now, nil
}

func leave(who *caller.Caller, since time.Time) {
	if who != nil {
		who.Leave(time.Since(since))
	}
}

// amountsOf is amounts as policies have them; they are good until the next request.
func (d *desk) amountsOf(list []frame.Amount) []policy.Amount {
	d.stated, d.amounts = list, d.amounts[:0]
	for _, a := range list {
		d.amounts = append(d.amounts, policy.Amount{Token: a.Token, Amount: ledger.Tokens(a.Tokens)})
	}
	return d.amounts
}

// admit decides on a call, at once if it can be; one that has to wait is decided elsewhere.
func (c *conn) admit(f frame.Frame) {
	defer c.guard(admits, f.ID)
	d := &c.desk
	who, since, err := c.enter()
	if err != nil {
		c.fail(admits, f.ID, err)
		return
	}
	stated, err := frame.ReadCall(f.Body, &d.call, d.stated[:0])
	if err != nil {
		leave(who, since)
		c.fail(admits, f.ID, malformed(err))
		return
	}
	r := &d.request
	requestOf(&d.call, d.amountsOf(stated), r)
	if err = api.CheckCall(r); err == nil {
		err = c.calls.Fix(who, r)
	}
	var a admit.Answer
	if err == nil {
		var ok bool
		if a, ok, err = c.node.TryAdmit(r); !ok {
			c.wait(f.ID, *r, who, since)
			return
		}
	}
	leave(who, since)
	if err != nil {
		c.fail(admits, f.ID, err)
		return
	}
	d.charges = answerOf(&a, &d.answer, d.charges[:0])
	c.answered(f.ID, &a, &d.answer)
}

// wait has a call decided that cannot be at once.
func (c *conn) wait(id uint64, r admit.Request, who *caller.Caller, since time.Time) {
	r.Tokens = slices.Clone(r.Tokens) // the reader uses them again
	ctx, cancel := context.WithCancel(c.ctx)
	c.mu.Lock()
	_, twice := c.cancels[id]
	full := len(c.cancels) >= window
	if !twice && !full {
		c.cancels[id] = cancel
	}
	c.mu.Unlock()
	if twice || full {
		cancel()
		leave(who, since)
		c.metrics.refuse(refusedWindow)
		e := &api.Error{Status: 503, Code: api.ErrCodeNotReady, RetryAfter: 100 * time.Millisecond,
			Message: fmt.Sprintf("%d calls of this connection wait already, and no more may: send fewer at once, or over another connection", window)}
		if twice {
			e = &api.Error{Status: 400, Code: api.ErrCodeInvalid, Message: fmt.Sprintf("a request with the id %d is on its way already", id)}
		}
		c.fail(admits, id, e)
		return
	}
	c.waiting.Go(func() {
		defer c.flush()
		defer func() {
			cancel()
			c.mu.Lock()
			delete(c.cancels, id)
			c.mu.Unlock()
			leave(who, since)
		}()
		defer c.guard(admits, id)
		a, err := c.node.Admit(ctx, &r)
		if err == nil && c.ctx.Err() != nil && a.Verdict.Admitted() && r.IdempotencyKey == "" {
			_, err = c.node.Release(a.ID) // nobody will ever hear of it
		}
		if err != nil {
			c.fail(admits, id, err)
			return
		}
		var out frame.Answer
		answerOf(&a, &out, nil)
		c.answered(id, &a, &out)
	})
}

func (c *conn) answered(id uint64, a *admit.Answer, out *frame.Answer) {
	result := resultOK
	if !a.Verdict.Admitted() {
		result = resultRefused
	}
	c.metrics.requests[admits][result].Inc()
	c.put(func(b []byte) []byte { return frame.AppendAnswer(b, id, out) })
}

// finish ends a reservation.
func (c *conn) finish(call int, f frame.Frame) {
	defer c.guard(call, f.ID)
	d := &c.desk
	who, since, err := c.enter()
	if err != nil {
		c.fail(call, f.ID, err)
		return
	}
	var rc admit.Receipt
	if call == settles {
		rc, err = c.settle(who, f.Body)
	} else {
		rc, err = c.release(who, f.Body)
	}
	leave(who, since)
	if err != nil {
		c.fail(call, f.ID, err)
		return
	}
	d.charges = appendCharges(d.charges[:0], rc.Charged)
	d.receipt = frame.Receipt{ID: rc.ID, Charged: d.charges, Overrun: int64(rc.Overrun), Repeated: rc.Repeated, Late: rc.Late}
	c.metrics.requests[call][resultOK].Inc()
	c.put(func(b []byte) []byte { return frame.AppendReceipt(b, f.ID, &d.receipt) })
}

func (c *conn) settle(who *caller.Caller, body []byte) (admit.Receipt, error) {
	d := &c.desk
	in, used, err := frame.ReadSettlement(body, d.stated[:0])
	if err != nil {
		return admit.Receipt{}, malformed(err)
	}
	s := admit.Settlement{Used: d.amountsOf(used), Outcome: in.Outcome, Score: in.Score}
	if u := in.Usage; u != nil {
		s.Usage = &admit.Usage{PromptTokens: u.PromptTokens, CompletionTokens: u.CompletionTokens, CachedTokens: u.CachedTokens, ReasoningTokens: u.ReasoningTokens}
	}
	if err := api.CheckSettlement(in.ID, &s); err != nil {
		return admit.Receipt{}, err
	}
	u, err := upstreamOf(in.Upstream)
	if err != nil {
		return admit.Receipt{}, err
	}
	return c.calls.Settle(who, in.ID, s, u)
}

func (c *conn) release(who *caller.Caller, body []byte) (admit.Receipt, error) {
	in, err := frame.ReadRelease(body)
	if err != nil {
		return admit.Receipt{}, malformed(err)
	}
	if err := api.CheckRelease(in.ID); err != nil {
		return admit.Receipt{}, err
	}
	u, err := upstreamOf(in.Upstream)
	if err != nil {
		return admit.Receipt{}, err
	}
	return c.calls.Release(who, in.ID, u)
}

// fail answers an error.
func (c *conn) fail(call int, id uint64, err error) {
	e := api.ErrorOf(err)
	if e.Code == api.ErrCodeInternal {
		c.log.Error().Err(err).Msg("socket: failed")
	} else if log := c.log.Debug(); log.Enabled() && !errors.Is(err, context.Canceled) {
		log.Int("status", e.Status).Str("code", e.Code).Str("param", e.Param).Msg("socket: refused")
	}
	c.metrics.requests[call][resultError].Inc()
	c.put(func(b []byte) []byte { return frame.AppendError(b, id, wireError(e)) })
}

func wireError(e *api.Error) *frame.Error {
	return &frame.Error{Status: e.Status, Code: e.Code, Param: e.Param, Message: e.Message, RetryAfter: e.RetryAfter}
}
