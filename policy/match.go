package policy

import (
	"fmt"
	"maps"
	"slices"

	"cel.dev/cel-go/common/types"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy/document"
)

// Plan is what a policy says of a call, but for amounts: its class, and what it draws on. It never
// changes and is shared by all calls with one Key.
type Plan struct {
	Policy  *Policy
	Class   *Class
	Matched bool     // some rule matched
	Admit   bool     // whether the call may run at all: some rule matched, or the default is admit
	Rules   []string // the rules that matched, in order: names, or "rule 3"
	Draws   []Draw   // empty for a call that is not counted
	Lifted  bool     // Class is one above what the call named: it pays in points

	// Place is where alone the call may be decided and run; nil: anywhere.
	Place *Place
	// Route says where the call may be sent; nil if the policy has no upstreams.
	Route *Route
	// Sites are, by Route's upstreams, the plan of a call that goes there: it draws on the upstream's budgets, too. nil where no upstream has some. They have no sites.
	Sites []*Plan
	// Retry says how the call may be tried again that its upstream did not run; nil: not at all.
	Retry *Retry

	Arm *Arm // of the experiment in which its calls take part; nil for none. The plan is for what they become

	Flags []string // that are on for its calls, in the order of the document

	chosen uint64

	Degrades []Degrade // how the call may be made cheaper, in the order of rules
}

// Draw is one budget that a call draws on.
type Draw struct {
	*Terms
	Values []string   // of the budget's per, in its order; none is empty
	Rule   string     // the rule that said so
	Floor  *Guarantee // the caller's in that budget, nil for none
}

// Terms are by what a draw counts. Plans share those of a rule, but for costs that are not linear: a caller that prices many
// calls has them at hand where a draw is not.
type Terms struct {
	Budget *Budget
	Cost   *Cost

	matched *activation // what a cost that is not linear looks at; nil for linear ones
}

// Match finds the plan of a call: all rules that match apply, in order, until one says stop. A budget
// that several rules draw on is drawn once, with the cost that the first of them gives.
//
// It fails with a *CallError when the call itself is wrong, or lacks a value that a budget is per, and
// with a *RuleError when a rule cannot be evaluated; then nothing may run: rules fail closed.
func (p *Policy) Match(c *Call) (*Plan, error) {
	if err := p.Valid(c); err != nil {
		return nil, err
	}
	class, ok := p.Class(c.Class)
	if !ok {
		return nil, &CallError{"class", fmt.Sprintf("unknown class %q; %s", document.Clip(c.Class), document.DidYouMean(c.Class, p.classNames()))}
	}
	plan := &Plan{Policy: p, Class: class}
	if c.Priority && (!p.points || p.better(class) == nil) { // there is nothing to buy
		as := *c
		as.Priority, c = false, &as
	}
	plan.chosen = p.chosen(c)
	plan.Flags = p.flagsOn(plan.chosen)
	a := &activation{call: c, class: class.Name, policy: p, chosen: plan.chosen}
	if len(p.experiments) > 0 {
		var err error
		if plan.Arm, err = p.assign(a); err != nil {
			return nil, err
		}
		if plan.Arm != nil {
			as := *c
			plan.Arm.Apply(&as)
			c, a.call = &as, &as
		}
	}
	by := InOrder
	for _, r := range p.rules {
		if r.when != nil {
			v, err := r.when.eval(a)
			if err != nil {
				return nil, &RuleError{Pos: r.when.pos, Rule: r.name, Part: "when", Err: err}
			}
			if v != types.True {
				continue
			}
		}
		plan.Matched = true
		plan.Rules = append(plan.Rules, r.name)
		own, err := plan.drawn(r, a)
		if err != nil {
			return nil, err
		}
		if r.degrade != nil {
			g := *r.degrade
			g.draws = own
			plan.Degrades = append(plan.Degrades, g)
		}
		if by == InOrder {
			by = r.route
		}
		if plan.Retry == nil {
			plan.Retry = r.retry
		}
		if r.stop {
			break
		}
	}
	plan.lift(a.call)
	plan.locate(c)
	plan.Admit = plan.Matched || p.admit
	plan.route(c, by)
	if err := plan.sites(c, a); err != nil {
		return nil, err
	}
	plan.meter(c)
	return plan, nil
}

// drawn adds what a rule draws on, and returns which of the plan's draws that is.
func (plan *Plan) drawn(r *rule, a *activation) (own uint32, err error) {
	for _, w := range r.draws {
		if i := slices.IndexFunc(plan.Draws, func(d Draw) bool { return d.Budget == w.Budget }); i >= 0 {
			own |= 1 << i
			continue
		}
		own |= 1 << len(plan.Draws)
		d := Draw{Terms: w.Terms, Rule: r.name}
		for i, per := range w.Budget.per {
			v := per.value(a.call, a.class)
			if v == "" {
				return 0, missing(w.Budget, i, r)
			}
			d.Values = append(d.Values, v)
		}
		if !w.Cost.plain {
			if a.kept == nil {
				a.kept = a.keep()
			}
			d.Terms = &Terms{Budget: w.Budget, Cost: w.Cost, matched: a.kept}
		}
		plan.Draws = append(plan.Draws, d)
	}
	if len(plan.Draws) > MaxDraws {
		return 0, &RuleError{Pos: r.pos, Rule: r.name, Part: "draw",
			Err: fmt.Errorf("with the rules before it, a call draws on %d budgets, at most %d are allowed", len(plan.Draws), MaxDraws)}
	}
	return own, nil
}

// keep copies what is seen of a call, since the caller may reuse it.
func (a *activation) keep() *activation {
	c := *a.call
	c.Attributes = maps.Clone(c.Attributes)
	c.Data = slices.Clone(c.Data)
	c.Tokens = slices.Clone(c.Tokens)
	return &activation{call: &c, class: a.class, policy: a.policy, chosen: a.chosen}
}

// Amount is what to reserve for a call at the budget's base price, see AmountAt.
func (t *Terms) Amount(c *Call) (ledger.Tokens, error) {
	amount, _, err := t.AmountAt(c, t.Base())
	return amount, err
}

// Base is the budget's base price.
func (t *Terms) Base() PPM { return PPM(t.Budget.pricePPM) }

// AmountAt is what to reserve for a call: what it states for the token type, and otherwise the cost
// times the price, rounded up; and the cost before the price. c must have passed Valid and share the plan's Key. The result lies
// between 0 and ledger.MaxTokens; an error is a *RuleError: the cost gave something else. It does not
// allocate when the cost is linear.
func (t *Terms) AmountAt(c *Call, price PPM) (amount, cost ledger.Tokens, err error) {
	return t.AmountOf(c, c.MaxOutputTokens, price)
}

// AmountOf is AmountAt with another number of output tokens than the call states.
func (t *Terms) AmountOf(c *Call, output int64, price PPM) (amount, cost ledger.Tokens, err error) {
	for i := range c.Tokens {
		if c.Tokens[i].Token == t.Budget.Token {
			return c.Tokens[i].Amount, c.Tokens[i].Amount, nil
		}
	}
	u := Usage{Prompt: c.PromptTokens, Output: output}
	if t.Cost.linear.parts {
		u = t.Cost.linear.dearest(u.Prompt, u.Output)
	}
	return t.at(u, price)
}

// Settle is what real usage costs at the budget's base price, see SettleAt.
func (t *Terms) Settle(prompt, completion int64) (ledger.Tokens, error) {
	return t.SettleAt(Usage{Prompt: prompt, Output: completion}, t.Base())
}

// SettleAt is what real usage costs: the cost with the provider's count of prompt tokens in place of
// prompt_tokens and of completion tokens in place of max_output_tokens, and of parts of them, times the price (that of the
// admission), rounded up. A part counts at most as much as the whole.
// All else that the cost looks at is as it was when the call was matched. Errors and allocations are
// as with AmountAt; a negative count is a *CallError.
func (t *Terms) SettleAt(u Usage, price PPM) (ledger.Tokens, error) {
	amount, _, err := t.at(u, price)
	return amount, err
}

func (t *Terms) at(u Usage, price PPM) (amount, cost ledger.Tokens, err error) {
	const most = int64(ledger.MaxTokens)
	switch {
	case u.Prompt < 0 || u.Prompt > most:
		return 0, 0, count("prompt_tokens", u.Prompt)
	case u.Output < 0 || u.Output > most:
		return 0, 0, count("completion_tokens", u.Output)
	case u.Cached < 0:
		return 0, 0, count(cachedTokens, u.Cached)
	case u.Reasoning < 0:
		return 0, 0, count(reasoningTokens, u.Reasoning)
	}
	return t.Cost.of(t.Budget, price, u, t.matched)
}

// At names the instance that is drawn on now.
func (d *Draw) At(now ledger.Instant, charter ledger.CharterID) (ledger.InstanceID, error) {
	id, err := d.Instance(charter)
	if err != nil {
		return "", err
	}
	return d.Budget.Present(now, id)
}

// Instance names the instance that is drawn on, but for its life.
func (d *Draw) Instance(charter ledger.CharterID) (ledger.InstanceID, error) {
	return d.Budget.Instance(charter, d.Values)
}
