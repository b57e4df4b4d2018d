package llm

import (
	"errors"
	"time"

	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/llm/wire"
)

// How the tokens of a prompt are counted. Its bytes bound them, which takes microseconds; so where the node's rights are far more than that, the call is admitted by the
// bound, and settled by what its upstream reports. Else they are counted first: by the upstream where it does that (vLLM), or by a tokenizer.

// bound is what the body says of the call's size before anything is tokenized.
func (x *exchange) bound() {
	n := bounds.body(x.ep, x.plan)
	x.req.PromptTokens, x.req.About = n.tokens, max(1, n.tokens/aboutBytes)
	x.req.Counted = admit.Bounded
	x.media = n.media
	x.choices = wire.MulTokens(x.plan.Choices, n.prompts)
	x.req.MaxOutputTokens = wire.MulTokens(x.plan.PerChoice, x.choices)
}

// decide asks for the reservation, by the bound if that does.
func (x *exchange) decide() (a admit.Answer, err error) {
	o, ctx := &x.p.o, x.r.Context()
	if x.plan == nil {
		return o.Admitter.Admit(ctx, &x.req)
	}
	g := o.Admitter.Glance(&x.req)
	switch {
	case g.Ample:
		since := time.Now()
		if a, err = o.Admitter.Admit(ctx, &x.req); !errors.Is(err, admit.ErrBound) {
			x.p.m.stage("admit", since)
			x.p.m.counted.WithLabelValues(x.req.Counted.String()).Inc()
			return a, err
		}
		x.count(g)
	case g.Barred:
		x.req.About = 0
	default:
		x.count(g)
	}
	x.p.m.counted.WithLabelValues(x.req.Counted.String()).Inc()
	defer x.p.m.stage("admit", time.Now())
	return o.Admitter.Admit(ctx, &x.req)
}

// count counts the prompt before the call is admitted.
func (x *exchange) count(g admit.Glance) {
	defer x.p.m.stage("count", time.Now())
	x.req.About = 0
	if n, ok := x.tokenize(g); ok {
		x.req.PromptTokens, x.req.Counted = n, admit.AskedFor
		return
	}
	x.req.PromptTokens, x.req.Counted = x.p.o.Counter.body(x.ep, x.plan).tokens, admit.Estimated
	if x.ep != wire.Messages && tokenizerKnown(x.plan.Model) {
		x.req.Counted = admit.Tokenized
	}
}

// prompt is how many tokens the prompt has, as far as that can be counted; for calls that were admitted by the bound it is counted now.
func (x *exchange) prompt() int64 {
	if x.plan == nil || x.req.Counted != admit.Bounded {
		return x.req.PromptTokens
	}
	if !x.known {
		x.exact, x.known = x.p.o.Counter.body(x.ep, x.plan).tokens, true
	}
	return x.exact
}
