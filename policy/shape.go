package policy

// shape is what may stand in one kind of mapping. The parser and the JSON Schema are both made from
// these tables, so they cannot disagree on names.
type shape struct {
	name   string // as errors call it: "a budget"
	fields []field
}

type field struct {
	name     string
	doc      string // one line for editors
	required bool
	later    bool   // part of the design, but not of this version
	is       schema // for the JSON Schema
}

// schema is the little of JSON Schema that documents need.
type schema struct {
	kind  string   // "string", "integer", "number", "boolean", "amount", "any"
	words []string // the only strings allowed
	form  string   // regular expression
	min   int      // of an integer, if max is not 0
	max   int
	list  *shape  // array of it
	names bool    // array of strings
	one   *shape  // mapping
	each  *schema // mapping from names to it
	other *schema // or this
}

const (
	nameForm     = `^[A-Za-z0-9][A-Za-z0-9._-]*$`
	perForm      = `^(tenant|agent|run|class|model|attributes\.[A-Za-z_][A-Za-z0-9_.-]*)$`
	durationForm = `^([0-9]+d)?([0-9.]+(ms|s|m|h))*$`
	percentForm  = `^[0-9_]+(\.[0-9_]+)?%$`
	rateForm     = `^[0-9_]+(\.[0-9_]+)?[kKMGBT]?/(s|m|h|d)$`
	amountForm   = `^[0-9_]+(\.[0-9_]+)?[kKMGBT]?$`
)

var (
	text     = schema{kind: "string"}
	name     = schema{kind: "string", form: nameForm}
	duration = schema{kind: "string", form: durationForm}
	percent  = schema{kind: "string", form: percentForm}
	amount   = schema{kind: "amount", form: amountForm}
)

// apiVersion is the only one that this version reads.
const apiVersion = "swarmpurse/v1"

var documentShape = &shape{name: "the document", fields: []field{
	{name: "apiVersion", required: true, is: schema{kind: "string", words: []string{apiVersion}},
		doc: "The form of this document."},
	{name: "revision", required: true, is: schema{kind: "integer", min: 1, max: int(maxConst)},
		doc: "Grows with every change: the highest revision wins in the whole swarm."},
	{name: "timezone", is: text,
		doc: "Windows are aligned to this IANA time zone, as in Europe/Berlin. Default: UTC."},
	{name: "tokens", is: schema{each: &schema{one: tokenShape}},
		doc: "Token types: what is counted, by name."},
	{name: "classes", is: schema{list: classShape},
		doc: "Priority classes. Default: one, named standard."},
	{name: "budgets", is: schema{list: budgetShape},
		doc: "Caps on token types."},
	{name: "rules", is: schema{list: ruleShape},
		doc: "Which calls draw on which budgets. All rules that match apply, in order, until one says stop."},
	{name: "default", is: schema{kind: "string", words: []string{"admit", "deny"}},
		doc: "What a call gets that no rule matches. Default: deny."},
	{name: "flags", later: true},
	{name: "rollout", later: true},
	{name: "shadow", later: true},
	{name: "upstreams", later: true},
	{name: "freeze", later: true},
	{name: "alerts", later: true},
	{name: "autonomy", later: true},
	{name: "lease", later: true},
	{name: "guardians", later: true},
}}

var tokenShape = &shape{name: "a token type", fields: []field{
	{name: "unit", required: true, is: text,
		doc: "What one is: token, input_token, output_token, request, call or slot have a default cost; any other (read, byte, microdollar) needs a cost in the rule."},
	{name: "decay", is: schema{one: decayShape}, doc: "Unspent rights fade away."},
}}

var decayShape = &shape{name: "decay", fields: []field{
	{name: "half_life", required: true, is: duration, doc: "After this time half of the unspent rights are gone."},
}}

var classShape = &shape{name: "a class", fields: []field{
	{name: "name", required: true, is: name, doc: "What calls say in their class field."},
	{name: "weight", is: schema{kind: "integer", min: 1, max: MaxWeight}, doc: "Share of what is free when classes compete, 1 to 1000. Default: 1."},
	{name: "latency_budget", is: duration, doc: "The longest that a call of this class waits for tokens. Default: 2s."},
	{name: "default", is: schema{kind: "boolean"}, doc: "The class of calls that name none. Default: the first class."},
	{name: "headroom", later: true},
	{name: "sheddable", later: true},
}}

var budgetShape = &shape{name: "a budget", fields: []field{
	{name: "name", required: true, is: name, doc: "What rules, commands and metrics call it."},
	{name: "token", required: true, is: name, doc: "The token type that it caps."},
	{name: "per", is: schema{names: true, form: perForm},
		doc: "One instance for each value of these: tenant, agent, run, class, model, attributes.NAME."},
	{name: "supply", required: true, is: schema{one: supplyShape}, doc: "How an instance gets tokens: grant, window, rate or slots."},
	{name: "ceiling", is: schema{kind: "string", words: []string{"hard", "observe"}, other: &schema{one: ceilingShape}},
		doc: "hard: never exceeded. observe: metered only. {soft: 10%}: may be overdrawn by that. Default: hard."},
	{name: "price", is: schema{one: priceShape}, doc: "Multiplies the cost."},
	{name: "guarantee", later: true},
	{name: "locality", later: true},
}}

var supplyShape = &shape{name: "supply", fields: []field{
	{name: "grant", is: amount, doc: "This many tokens, once."},
	{name: "window", is: schema{kind: "string", form: `^month$|` + durationForm},
		doc: "A calendar window: 1h, 24h, 7d (from Monday), month."},
	{name: "amount", is: amount, doc: "Tokens per window."},
	{name: "rollover", is: percent, doc: "What a window carries into the next, at most, as a fraction of amount. Default: nothing."},
	{name: "rate", is: schema{kind: "string", form: rateForm}, doc: "Tokens per second, minute, hour or day: 50000/s, 1M/h."},
	{name: "burst", is: amount, doc: "The most of a rate that piles up. No call larger than this can ever run."},
	{name: "lend", is: duration, doc: "How long rights of a rate live at a node that borrowed them. Default: 10s."},
	{name: "slots", is: amount, doc: "This many calls at once."},
}}

var ceilingShape = &shape{name: "ceiling", fields: []field{
	{name: "soft", required: true, is: percent, doc: "How far the limit may be overdrawn."},
}}

var priceShape = &shape{name: "price", fields: []field{
	{name: "mode", is: schema{kind: "string", words: []string{"fixed"}}, doc: "fixed: the price does not move. Default: fixed."},
	{name: "base", required: true, is: schema{kind: "number"}, doc: "What costs are multiplied by, above 0 and at most 1000000, at most 6 digits after the point."},
	{name: "target", later: true},
	{name: "min", later: true},
	{name: "max", later: true},
}}

var ruleShape = &shape{name: "a rule", fields: []field{
	{name: "name", is: name, doc: "What decisions call it. Default: its number in the list."},
	{name: "when", is: text, doc: "CEL: does this rule match the call? Absent: always. Sees tenant, agent, run, class, model, prompt_tokens, max_output_tokens, attributes, data, tokens."},
	{name: "draw", is: schema{names: true, form: nameForm}, doc: "The budgets that the call draws on, all or nothing."},
	{name: "cost", is: schema{each: &schema{kind: "any"}},
		doc: "CEL by token type: what the call costs. Default: by the token type's unit."},
	{name: "stop", is: schema{kind: "boolean"}, doc: "true: no rule after this one is looked at when it matches."},
	{name: "degrade", later: true},
	{name: "route", later: true},
}}

// find returns the field of that name.
func (s *shape) find(name string) (field, bool) {
	for _, f := range s.fields {
		if f.name == name {
			return f, true
		}
	}
	return field{}, false
}

// names lists the fields that this version has.
func (s *shape) names() []string {
	var list []string
	for _, f := range s.fields {
		if !f.later {
			list = append(list, f.name)
		}
	}
	return list
}
