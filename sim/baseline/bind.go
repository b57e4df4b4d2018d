package baseline

import (
	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/sim/workload"
)

// maxPlans bounds the plans that are kept; beyond it they are made anew.
const maxPlans = 1 << 16

// wholeSize is the policy's size of reservations that follow what calls state.
const wholeSize = 1_000_000

// instance is one instance of a budget, whoever has its tokens.
type instance struct {
	index  int32
	budget *policy.Budget // of the present policy, or of the last that had it
	id     ledger.InstanceID
	since  ledger.Millis // when that policy came into force
	orders []amount      // that operators topped up, or burned if negative
}

// amount is what comes to an instance at a time.
type amount struct {
	at ledger.Millis
	n  ledger.Tokens
}

func (in *instance) spec() *ledger.Spec { return &in.budget.Spec }

// binder says what calls draw under the policy in force.
type binder struct {
	policy    *policy.Policy
	streams   []workload.Stream // of the workload: what data their calls name
	plans     map[policy.Key]*bound
	instances []*instance
	byID      map[ledger.InstanceID]*instance
}

// bound is a plan with its instances.
type bound struct {
	plan *policy.Plan // nil: no such call may run
	in   []*instance  // by draw
}

// draw is what one call draws on one instance.
type draw struct {
	in       *instance
	reserved ledger.Tokens
	used     ledger.Tokens // known when the call ends
	window   ledger.Millis // in which it was reserved
}

func newBinder(p *policy.Policy, streams []workload.Stream) *binder {
	return &binder{policy: p, streams: streams, plans: map[policy.Key]*bound{}, byID: map[ledger.InstanceID]*instance{}}
}

// revise puts another policy into force. Instances that it keeps have its limits from now on.
func (b *binder) revise(p *policy.Policy, now ledger.Millis) {
	b.policy = p
	clear(b.plans)
	for _, in := range b.instances {
		if budget, _, ok := p.Resolve(ledger.CharterID{}, in.id); ok {
			in.budget, in.since = budget, now
		}
	}
}

// bind returns a call's class and draws; ok is false when the policy denies it.
func (b *binder) bind(c *workload.Call) (class *policy.Class, draws []draw, ok bool) {
	call := policy.Call{
		Tenant: c.Tenant, Agent: c.Agent, Class: c.Class, Model: c.Model, Priority: c.Priority, PromptTokens: c.Prompt, MaxOutputTokens: c.Max,
	}
	if c.Stream < len(b.streams) {
		call.Data = b.streams[c.Stream].Data
	}
	if b.policy.Valid(&call) != nil {
		return nil, nil, false
	}
	n := b.find(&call)
	if n.plan == nil || !n.plan.Admit {
		return nil, nil, false
	}
	draws = make([]draw, len(n.in))
	for i := range draws {
		reserved, err := n.plan.Draws[i].Amount(&call)
		if err != nil {
			return nil, nil, false
		}
		used, err := n.plan.Draws[i].Settle(c.Prompt, c.Output)
		if err != nil {
			used = reserved // as settlement does when it cannot tell
		}
		if b := n.plan.Draws[i].Budget; b.Spec.Ceiling == ledger.Soft && b.Size < wholeSize {
			reserved = min(reserved, used) // what a node learns of outputs, known without an error
		}
		draws[i] = draw{in: n.in[i], reserved: reserved, used: used}
	}
	return n.plan.Class, draws, true
}

func (b *binder) find(call *policy.Call) *bound {
	key, cacheable := b.policy.Key(call)
	if cacheable {
		if n, ok := b.plans[key]; ok {
			return n
		}
		if len(b.plans) >= maxPlans {
			clear(b.plans)
		}
	}
	n := b.make(call)
	if cacheable {
		b.plans[key] = n
	}
	return n
}

func (b *binder) make(call *policy.Call) *bound {
	plan, err := b.policy.Match(call)
	if err != nil {
		return &bound{}
	}
	n := &bound{plan: plan}
	for i := range plan.Draws {
		id, err := plan.Draws[i].Instance(ledger.CharterID{})
		if err != nil {
			return &bound{}
		}
		n.in = append(n.in, b.instance(id, plan.Draws[i].Budget))
	}
	return n
}

// instance finds one, or makes it.
func (b *binder) instance(id ledger.InstanceID, of *policy.Budget) *instance {
	in := b.byID[id]
	if in == nil {
		in = &instance{index: int32(len(b.instances)), budget: of, id: id}
		b.instances = append(b.instances, in)
		b.byID[id] = in
	}
	return in
}
