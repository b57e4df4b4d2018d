package policy

import (
	"fmt"
	"slices"
	"strings"

	"cel.dev/cel-go/cel"
	"go.yaml.in/yaml/v4"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy/document"
)

// unitCosts is what a call costs by default in a token type of that unit.
var unitCosts = map[string]string{
	"token":        "prompt_tokens + max_output_tokens",
	"input_token":  "prompt_tokens",
	"output_token": "max_output_tokens",
	"request":      "1",
	"call":         "1",
	"slot":         "1",
	ByteUnit:       "0",
}

// ByteUnit is the unit of what is charged as it flows through the proxy: nothing of it is reserved unless a rule's cost says so.
const ByteUnit = "byte"

var unitLinear = map[string]linear{
	"token":        {i: [5]int64{0, 1, 1}},
	"input_token":  {i: [5]int64{0, 1, 0}},
	"output_token": {i: [5]int64{0, 0, 1}},
	"request":      {i: [5]int64{1, 0, 0}},
	"call":         {i: [5]int64{1, 0, 0}},
	"slot":         {i: [5]int64{1, 0, 0}},
	ByteUnit:       {},
}

func (d *decoder) rules(p *Policy, n *yaml.Node) {
	first := map[string]*yaml.Node{}
	for i, item := range d.Items(n, "rules", "write a list of rules, or leave the field out", MaxRules) {
		f := d.Mapping(item, ruleShape)
		if f == nil {
			continue
		}
		item = document.Deref(item)
		r := &rule{name: fmt.Sprintf("rule %d", i+1), index: i, pos: d.Pos(item)}
		if n := f["name"]; n != nil {
			if s, ok := d.Name(n, "a rule's name"); ok && d.Unique(first, n, s, "rule") {
				r.name = s
			}
		}
		if n := f["when"]; n != nil {
			// An unquoted true is a YAML boolean; it means the same to CEL.
			if s, ok := d.Scalar(n, "when", "write a CEL expression, or leave the field out"); ok {
				if r.when = d.compile(n, "when", s, cel.BoolType); r.when != nil {
					p.reads.add(r.when.reads)
				}
			}
		}
		if n := f["stop"]; n != nil {
			r.stop = d.Boolean(n, "stop")
		}
		var draws []*yaml.Node
		if n := f["draw"]; n != nil {
			draws = d.Items(n, "draw", "write a list of budgets, or leave the field out", MaxDraws)
		} else if f["stop"] == nil && f["route"] == nil && f["retry"] == nil {
			d.Report(item, "write draw: [BUDGET, …], or stop: true for calls that are to run uncounted", "%s does nothing", ruleTitle(r))
		}
		d.draws(p, r, draws, f["cost"])
		if n := f["degrade"]; n != nil {
			if d.degrade(r, n); len(r.draws) == 0 {
				d.Report(document.Deref(n), "put it into the rule that draws on the budget that runs low", "%s draws on no budget, so degrade never does anything", ruleTitle(r))
			}
		}
		if n := f["route"]; n != nil {
			d.route(p, r, n)
		}
		if n := f["retry"]; n != nil {
			d.retry(p, r, n)
		}
		p.rules = append(p.rules, r)
	}
}

func ruleTitle(r *rule) string {
	if strings.HasPrefix(r.name, "rule ") {
		return r.name
	}
	return fmt.Sprintf("rule %q", r.name)
}

// draws reads a rule's budgets and the costs in their token types.
func (d *decoder) draws(p *Policy, r *rule, list []*yaml.Node, costs *yaml.Node) {
	var tokens []string // token types drawn, in order
	for _, n := range list {
		s, ok := d.Text(n, "draw")
		if !ok {
			continue
		}
		n = document.Deref(n)
		b, ok := p.budgetBy[s]
		if !ok {
			advice := document.DidYouMean(s, p.budgetNames())
			if advice == "" {
				advice = "declare it under budgets"
			}
			d.Report(n, advice, "unknown budget %q", document.Clip(s))
			continue
		}
		if slices.ContainsFunc(r.draws, func(w draw) bool { return w.Budget == b }) {
			d.Report(n, "", "%s draws on budget %q twice", ruleTitle(r), s)
			continue
		}
		r.draws = append(r.draws, draw{Terms: &Terms{Budget: b}, pos: d.Pos(n)})
		if b.Token != "" && !slices.Contains(tokens, b.Token) {
			tokens = append(tokens, b.Token)
		}
		if b.Spec.Ceiling == ledger.Soft && b.Size < million {
			p.reads.fields[fieldModel] = true // plans know how long outputs of their model are
		}
		for _, a := range b.per {
			if a.field == fieldAttribute {
				p.reads.add(reads{attrs: []string{a.name}})
			} else {
				p.reads.fields[a.field] = true
			}
		}
	}
	stated := d.costs(p, r, costs, tokens)
	for i := range r.draws {
		w := &r.draws[i]
		token, ok := p.tokenBy[w.Budget.Token]
		if !ok {
			continue // reported with the budget
		}
		if w.Cost = stated[token.name]; w.Cost != nil {
			continue
		}
		if l, ok := unitLinear[token.unit]; ok {
			w.Cost = &Cost{source: unitCosts[token.unit], token: token.name, rule: r.name, pos: w.pos, plain: true, linear: l}
		} else if _, given := stated[token.name]; !given && token.unit != "" {
			d.ErrAt(w.pos, fmt.Sprintf("write cost: {%s: …} in the rule; only the units token, input_token, output_token, request, call and slot have a default", token.name),
				"what a call costs in token type %q is not said: its unit is %q", token.name, token.unit)
		}
	}
}

// costs reads a rule's costs by token type. A type whose cost is wrong is there with nil.
func (d *decoder) costs(p *Policy, r *rule, n *yaml.Node, drawn []string) map[string]*Cost {
	if n == nil {
		return nil
	}
	const advice = "write it by token type, as in {compute: prompt_tokens + 3 * max_output_tokens}"
	stated := map[string]*Cost{}
	for _, e := range d.Entries(n, "cost", advice) {
		token := e.Key.Value
		switch {
		case p.tokenBy[token] == nil:
			d.Report(e.Key, document.DidYouMean(token, p.Tokens()), "unknown token type %q", document.Clip(token))
			continue
		case !slices.Contains(drawn, token):
			d.Report(e.Key, "draw on one, or leave the cost out", "no budget that %s draws on is of token type %q", ruleTitle(r), token)
			continue
		}
		stated[token] = nil
		what := "cost of " + token
		source, ok := d.Scalar(e.Value, what, "write a CEL expression, as in prompt_tokens + 3 * max_output_tokens")
		if !ok {
			continue
		}
		x := d.compile(e.Value, what, source, nil)
		if x == nil {
			continue
		}
		c := &Cost{source: source, token: token, rule: r.name, pos: x.pos}
		if c.linear, c.plain = linearOf(x.checked.Expr()); !c.plain && x.reads.parts {
			d.Report(document.Deref(e.Value), "write it as a sum, as in prompt_tokens - 0.9 * cached_tokens + 4 * max_output_tokens; where it depends on the call, write two rules",
				"%s looks at %s or %s and is not linear in the counts, so what to reserve is not known", what, cachedTokens, reasoningTokens)
			continue
		}
		if c.plain {
			if part := c.linear.below(); part != "" {
				d.Report(document.Deref(e.Value), "take off less", "%s: %s would cost less than nothing", what, part)
			}
			if c.linear.constant() {
				if _, v := c.linear.at(0, 0); v != fine {
					d.Report(document.Deref(e.Value), "", "%s is not a number from 0 to %d", what, maxConst)
				}
			}
		} else {
			// A plan keeps what such a cost looks at, so calls that share a plan must agree on it. The two
			// counts are not part of that: they are given when the cost is computed.
			c.expr = x
			seen := x.reads
			seen.counts = false
			p.reads.add(seen)
		}
		stated[token] = c
	}
	return stated
}
