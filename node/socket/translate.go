package socket

import (
	"math"
	"slices"
	"time"

	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/frame"
	"github.com/swarmpurse/swarmpurse/policy"
)

// requestOf is what a caller asks as the node is asked. Nothing is checked.
func requestOf(c *frame.Call, stated []policy.Amount, r *admit.Request) {
	wait := admit.UseClassDefault
	switch {
	case c.NoWait:
		wait = 0
	case c.Wait > 0:
		wait = c.Wait
	}
	*r = admit.Request{
		Call: policy.Call{
			Tenant: c.Tenant, Agent: c.Agent, Run: c.Run, Class: c.Class, Model: c.Model, Priority: c.Priority,
			PromptTokens: c.PromptTokens, MaxOutputTokens: c.MaxOutputTokens, Tokens: stated, Data: c.Data, Attributes: c.Attributes,
		},
		Wait: wait, TTL: c.TTL, IdempotencyKey: c.IdempotencyKey,
	}
	if c.Traceparent != "" {
		r.Trace = admit.ParseTrace(c.Traceparent)
	}
}

var decisions = map[admit.Verdict]frame.Decision{admit.Admit: frame.Admit, admit.Degrade: frame.Degrade, admit.Defer: frame.Defer, admit.Deny: frame.Deny}

// answerOf is what the node answers as callers are told. charges is what Reserved is put in, and is returned.
func answerOf(a *admit.Answer, out *frame.Answer, charges []frame.Charge) []frame.Charge {
	charges = appendCharges(charges, a.Reserved)
	*out = frame.Answer{
		ID: a.ID, Decision: decisions[a.Verdict], Reserved: charges, Reason: a.Reason, Code: a.Code, RetryAfter: a.RetryAfter, Waited: a.Waited,
		Level: a.Level, Revision: a.Revision, Arm: a.Arm, Node: a.Node,
	}
	if v := api.AdviceOf(a); v != nil {
		out.Advice = &frame.Advice{
			Model: v.Model, MaxOutputTokens: v.MaxOutputTokens, Temperature: v.Temperature, TopP: v.TopP, Upstream: v.Upstream, Flags: v.Flags,
			Experiment: v.Experiment, Arm: v.Arm, Node: v.Node, HTTP: v.HTTP, Zone: v.Zone, RTT: time.Duration(v.RTTMS * float64(time.Millisecond)),
		}
	}
	return charges
}

// appendCharges adds amounts up by budget, as HTTP's answers do.
func appendCharges(out []frame.Charge, list []admit.Charge) []frame.Charge {
	first := len(out)
	for i := range list {
		c := &list[i]
		if k := slices.IndexFunc(out[first:], func(o frame.Charge) bool { return o.Budget == c.Budget }); k >= 0 {
			out[first+k].Tokens += int64(c.Amount)
			continue
		}
		out = append(out, frame.Charge{Budget: c.Budget, Tokens: int64(c.Amount), Price: c.Price.Float()})
	}
	return out
}

// upstreamOf checks what a caller says of its provider; nil if it says nothing.
func upstreamOf(u *frame.Upstream) (*admit.Upstream, error) {
	if u == nil {
		return nil, nil
	}
	in := &api.Upstream{Status: u.Status, RetryAfterMS: u.RetryAfter.Milliseconds(), Remaining: u.Remaining}
	if u.RetryAfter < 0 {
		in.RetryAfterMS = math.MinInt64
	}
	if u.Latency != nil {
		ms := float64(*u.Latency) / float64(time.Millisecond)
		in.LatencyMS = &ms
	}
	return in.Read()
}
