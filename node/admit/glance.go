package admit

import (
	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
)

// Counted says how the tokens of a call's prompt were counted.
type Counted uint8

const (
	Stated     Counted = iota // by the caller
	Tokenized                 // by the model's tokenizer
	Estimated                 // by the tokenizer of another model
	AskedFor                  // by the upstream
	Bounded                   // not at all: they are no more than its bytes
	numCounted = iota
)

// String is a word for programs.
func (c Counted) String() string {
	return [numCounted]string{"stated", "tokenizer", "estimate", "upstream", "bound"}[c%numCounted]
}

// countedNotes are of decisions that have nothing else to note.
var countedNotes = func() (ns [numCounted]note) {
	for c := range ns {
		ns[c].counted = Counted(c)
	}
	return ns
}()

// Glance is what is known of a call before its prompt is counted.
type Glance struct {
	// Ample says that what the call takes by its PromptTokens, which may be a bound, is small beside the rights at hand of all that it draws on.
	Ample bool
	// Barred says that the call is refused however long its prompt is: nothing of it needs to be counted, or shown to anybody.
	Barred bool
	// Placed says that where the call may run does not depend on how long its prompt is; Upstream is where it would go then, nil if the policy does not
	// route it.
	Placed   bool
	Upstream *policy.Upstream
}

// ampleParts is in how many parts of the rights at hand a call must fit that reserves by a bound. So one such call leaves nearly all of them to others, whatever it
// holds in vain until it is settled; and when many have come, what is left is no longer ample.
const ampleParts = 32

// Glance looks at a call before its prompt is counted. It changes nothing. Safe for concurrent use.
func (e *Engine) Glance(now ledger.Instant, r *Request) Glance {
	rev := e.rev.Load().of(&r.Call)
	p := rev.policy
	if p.Counts() || p.Valid(&r.Call) != nil {
		return Glance{}
	}
	var b *bound
	known := false
	if key, ok := p.Key(&r.Call); ok {
		b = rev.get(&key)
		known = b != nil
	}
	if b == nil {
		plan, err := p.Match(&r.Call)
		if err != nil { // Admit says it
			return Glance{}
		}
		b = &bound{plan: plan, class: plan.Class, admit: plan.Admit, targets: e.targets(plan), placed: plan.Place != nil || plan.Route != nil}
	}
	if !b.admit || !e.mayRun(b, r) {
		return Glance{Barred: true}
	}
	if v := e.frozen.Load(); v != nil && len(b.plan.Draws) > 0 && (v.Caller(r.Tenant, r.Agent) != nil || b.frozen()) {
		return Glance{Barred: true}
	}
	if known {
		if b = e.site(now, r, &r.Call, b, 0); b == nil {
			return Glance{Barred: true}
		}
	}
	g := Glance{Placed: true, Ample: known && e.ample(now, r, b)}
	if to := e.send(now, r, &r.Call, b); to != nil {
		g.Upstream = to.upstream
	}
	return g
}

// ample reports whether what a call takes, as far as that depends on its prompt, is small beside the rights at hand.
func (e *Engine) ample(now ledger.Instant, r *Request, b *bound) bool {
	if b.level() > 0 || b.experiment != nil && b.experiment.arm.Changes() || b.below > 0 && !r.AsIs && b.low() >= 0 {
		return false
	}
	if p := b.plan; p.Route != nil && p.Route.By == policy.ByPrice && len(b.whole().targets) > 1 {
		return false // which is the cheapest depends on how long the prompt is
	}
	none, headroom := r.Call, b.class.Headroom
	none.PromptTokens = 0
	for i := range b.takes {
		t := &b.takes[i]
		if !t.terms.Cost.Linear() {
			return false
		}
		n, _, err := t.amount(&r.Call, t.price())
		least, _, err2 := t.amount(&none, t.price())
		switch {
		case err != nil || err2 != nil || n < least: // of a longer prompt that costs less, a bound is none
			return false
		case n == least || t.account.Spec().Ceiling == ledger.Observe:
			continue
		}
		if headroom >= t.gate.closed.Load() || n*ampleParts > t.account.Rights(now)-t.account.Headroom(headroom) {
			return false
		}
	}
	return true
}

// about is what a call takes whose prompt has about so many tokens.
func (t *boundTake) about(call *policy.Call, prompt int64, price policy.PPM) ledger.Tokens {
	c := *call
	c.PromptTokens = min(prompt, c.PromptTokens)
	n, _, err := t.amount(&c, price)
	if err != nil {
		return 0
	}
	return n
}
