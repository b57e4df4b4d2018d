package policy

import (
	"encoding/binary"
	"fmt"
	"strings"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy/document"
)

// Key says which calls share a plan: under one Policy, equal keys give equal plans. It holds only what
// some rule or some budget's per looks at, so that calls that differ elsewhere share it.
type Key struct {
	Tenant, Agent, Run, Class, Model string

	// Extra holds attributes and data sets, where rules look at them.
	Extra string

	Priority bool

	// Chosen is what hashes choose for the call: which flags are on, and its arms in experiments.
	Chosen uint64
}

// Key computes the key of a call. cacheable is false when the plan may depend on more than the key
// holds: a rule looks at token counts, stated amounts or all attributes at once, or the call's
// attributes are very large. It allocates only for Extra.
func (p *Policy) Key(c *Call) (k Key, cacheable bool) {
	r := &p.reads
	if r.counts || r.tokens || r.whole {
		return Key{}, false
	}
	if r.fields[fieldTenant] {
		k.Tenant = c.Tenant
	}
	if r.fields[fieldAgent] {
		k.Agent = c.Agent
	}
	if r.fields[fieldRun] {
		k.Run = c.Run
	}
	if k.Class = c.Class; k.Class == "" {
		k.Class = p.defaultClass.Name
	}
	if r.fields[fieldModel] {
		k.Model = c.Model
	}
	k.Priority = c.Priority && p.points
	if len(p.flags) > 0 {
		k.Chosen = p.chosen(c)
	}
	if len(p.experiments) > 0 {
		k.Chosen |= p.armsOf(c)
	}
	if r.data && len(c.Data) > 0 || len(r.attrs) > 0 {
		var ok bool
		if k.Extra, ok = p.extra(c); !ok {
			return Key{}, false
		}
	}
	return k, true
}

// Counts reports whether rules look at how many tokens a call states, so that its plan is not known before they are counted.
func (p *Policy) Counts() bool { return p.reads.counts }

// extra writes what is looked at so that different contents never give equal strings: each with its
// length before it, and a missing attribute unlike an empty one.
func (p *Policy) extra(c *Call) (string, bool) {
	var buf [512]byte
	b := buf[:0]
	for _, name := range p.reads.attrs {
		v, ok := c.Attributes[name]
		if !ok {
			b = append(b, 0)
			continue
		}
		b = append(b, 1)
		b = binary.AppendUvarint(b, uint64(len(v)))
		if b = append(b, v...); len(b) > maxExtra {
			return "", false
		}
	}
	if p.reads.data {
		for _, v := range c.Data {
			b = binary.AppendUvarint(b, uint64(len(v)))
			if b = append(b, v...); len(b) > maxExtra {
				return "", false
			}
		}
	}
	return string(b), true
}

// Valid checks what a call says by itself, whatever rules make of it: numbers in range, sizes within
// the limits, token types that exist. The error is a *CallError. Match does it first; callers that
// take a plan from a cache do it themselves. It allocates only for the error.
func (p *Policy) Valid(c *Call) error {
	if max(len(c.Tenant), len(c.Agent), len(c.Run), len(c.Class), len(c.Model)) > MaxFieldLen {
		for i, v := range [...]string{c.Tenant, c.Agent, c.Run, c.Class, c.Model} {
			if len(v) > MaxFieldLen {
				return tooLong(fieldNames[i], len(v), MaxFieldLen)
			}
		}
	}
	if err := count("prompt_tokens", c.PromptTokens); err != nil {
		return err
	}
	if err := count("max_output_tokens", c.MaxOutputTokens); err != nil {
		return err
	}
	if len(c.Tokens) > 0 {
		if err := p.validTokens(c.Tokens); err != nil {
			return err
		}
	}
	if len(c.Data) > 0 || len(c.Attributes) > 0 {
		return validExtras(c)
	}
	return nil
}

func count(field string, n int64) error {
	if n < 0 || n > int64(ledger.MaxTokens) {
		return &CallError{field, fmt.Sprintf("%s is %d, it must be between 0 and %d", field, n, ledger.MaxTokens)}
	}
	return nil
}

func tooLong(field string, n, most int) error { return tooLongIn(field, field, n, most) }

// tooLongIn says it of a part of a field that has no name of its own.
func tooLongIn(field, what string, n, most int) error {
	return &CallError{field, fmt.Sprintf("%s has %d bytes, at most %d are allowed", what, n, most)}
}

func (p *Policy) validTokens(list []Amount) error {
	if len(list) > MaxStatedTokens {
		return &CallError{"tokens", fmt.Sprintf("tokens states %d amounts, at most %d are allowed", len(list), MaxStatedTokens)}
	}
	for i := range list {
		a := &list[i]
		if _, ok := p.tokenBy[a.Token]; !ok {
			return &CallError{"tokens." + document.Clip(a.Token), fmt.Sprintf("unknown token type %q; %s", document.Clip(a.Token), document.DidYouMean(a.Token, p.Tokens()))}
		}
		if a.Amount < 0 || a.Amount > ledger.MaxTokens {
			return count("tokens."+a.Token, int64(a.Amount))
		}
		for j := range i {
			if list[j].Token == a.Token {
				return &CallError{"tokens." + a.Token, fmt.Sprintf("tokens states %q twice", a.Token)}
			}
		}
	}
	return nil
}

func validExtras(c *Call) error {
	if len(c.Data) > MaxData {
		return &CallError{"data", fmt.Sprintf("data names %d data sets, at most %d are allowed", len(c.Data), MaxData)}
	}
	for _, v := range c.Data {
		if err := validDataSet(v); err != nil {
			return err
		}
	}
	if len(c.Attributes) > MaxAttributes {
		return &CallError{"attributes", fmt.Sprintf("there are %d attributes, at most %d are allowed", len(c.Attributes), MaxAttributes)}
	}
	var offender string // the first in order, so that the map's order does not show
	found := false
	for k, v := range c.Attributes {
		if (len(k) > MaxFieldLen || len(v) > MaxAttributeLen) && (!found || k < offender) {
			offender, found = k, true
		}
	}
	switch {
	case !found:
		return nil
	case len(offender) > MaxFieldLen:
		return tooLongIn("attributes", "an attribute's name", len(offender), MaxFieldLen)
	}
	return tooLong("attributes."+document.Clip(offender), len(c.Attributes[offender]), MaxAttributeLen)
}

// value is what a call says for one of a budget's per.
func (a attr) value(c *Call, class string) string {
	switch a.field {
	case fieldTenant:
		return c.Tenant
	case fieldAgent:
		return c.Agent
	case fieldRun:
		return c.Run
	case fieldClass:
		return class
	case fieldModel:
		return c.Model
	}
	return c.Attributes[a.name]
}

// missing is the error of a call that says nothing for one of a budget's per. It is not counted on an
// instance without a name, since that would be a second purse for whoever leaves his name out.
func missing(b *Budget, i int, r *rule) error {
	what, name := b.Per[i], b.Per[i]
	where := "set it in the call"
	if b.per[i].field == fieldTenant || b.per[i].field == fieldAgent || b.per[i].field == fieldRun {
		where = fmt.Sprintf("set %s in the call (header X-Swarmpurse-%s)", name, strings.ToUpper(name[:1])+name[1:])
	}
	guard := name + ` != ""`
	if b.per[i].field == fieldAttribute {
		guard = fmt.Sprintf("%q in attributes", b.per[i].name)
	}
	return &CallError{what, fmt.Sprintf("budget %q is per %s and the call names no %s; %s, or let rule %s match only calls that have it (when: %s)",
		b.Name, strings.Join(b.Per, ", "), name, where, quoteRule(r.name), guard)}
}
