package policy

import (
	"reflect"
	"slices"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// RateDomain says what calls the descriptors of one domain of Envoy's rate limit service stand for.
type RateDomain struct {
	Name string
	// DenyUnmatched says that a descriptor that none of Descriptors fits is over its limit; else nothing is counted for it.
	DenyUnmatched bool
	Descriptors   []*RateDescriptor // in the order of the document

	pos Pos
}

// RateDescriptor turns the descriptors that it fits into calls.
type RateDescriptor struct {
	Hits  HitsAs
	Token string // the token type of which hits are stated, for HitsTokens
	// Hold is how long hits stay reserved, so that a refund can give back what was not used; 0: they are charged at once.
	Hold time.Duration
	// Report says that hits tell of what was used already: they are booked whatever is left.
	Report bool

	match  []rateMatch
	fields [len5]rateValue // fieldTenant … fieldModel
	attrs  []rateAttr
	pos    Pos
}

// HitsAs is what hits are for the rules.
type HitsAs uint8

const (
	HitsTokens HitsAs = iota // an amount of a token type, stated outright: no cost, no price
	HitsPrompt               // prompt tokens, of which rules compute costs
	HitsOutput               // output tokens, likewise
)

// rateMatch is a key that a descriptor must have, with how its value must be.
type rateMatch struct {
	key   string
	value pattern
}

// rateValue is where a field of a call comes from.
type rateValue struct {
	set  bool   // it is said; else an entry of the field's own name gives it
	from string // the key of an entry; "": text
	text string
}

type rateAttr struct {
	name  string
	value rateValue
}

// RateEntry is one entry of a descriptor.
type RateEntry struct{ Key, Value string }

// RateDomain finds a domain by name.
func (p *Policy) RateDomain(name string) (*RateDomain, bool) {
	for _, d := range p.rateDomains { // few
		if d.Name == name {
			return d, true
		}
	}
	return nil, false
}

// RateDomains lists the domains in the order of the document. The caller must not change it.
func (p *Policy) RateDomains() []*RateDomain { return p.rateDomains }

// Find returns the first that fits a descriptor, nil if none does. Of entries with one key the first counts.
func (d *RateDomain) Find(entries []RateEntry) *RateDescriptor {
	for _, r := range d.Descriptors {
		if r.fits(entries) {
			return r
		}
	}
	return nil
}

func (r *RateDescriptor) fits(entries []RateEntry) bool {
	for i := range r.match {
		m := &r.match[i]
		if v, ok := rateEntry(entries, m.key); !ok || !m.value.fits(v) {
			return false
		}
	}
	return true
}

func rateEntry(entries []RateEntry, key string) (string, bool) {
	for i := range entries {
		if entries[i].Key == key {
			return entries[i].Value, true
		}
	}
	return "", false
}

// Call makes of c the call that a descriptor stands for, with so many hits. Entries named like a field of a call are that
// field, unless the policy says otherwise; what is no field and is used for none is an attribute. Of c only the room of Tokens is used again.
func (r *RateDescriptor) Call(entries []RateEntry, hits ledger.Tokens, c *Call) {
	*c = Call{Tokens: c.Tokens[:0]}
	into := [len5]*string{fieldTenant: &c.Tenant, fieldAgent: &c.Agent, fieldRun: &c.Run, fieldClass: &c.Class, fieldModel: &c.Model}
	for i := range r.fields {
		if f := &r.fields[i]; f.set {
			*into[i] = f.of(entries)
		} else {
			*into[i], _ = rateEntry(entries, fieldNames[i])
		}
	}
	for i := range r.attrs {
		c.attribute(r.attrs[i].name, r.attrs[i].value.of(entries))
	}
	for i := range entries {
		if e := &entries[i]; !slices.Contains(fieldNames, e.Key) && !r.takes(e.Key) {
			c.attribute(e.Key, e.Value)
		}
	}
	switch r.Hits {
	case HitsPrompt:
		c.PromptTokens = int64(hits)
	case HitsOutput:
		c.MaxOutputTokens = int64(hits)
	default:
		c.Tokens = append(c.Tokens, Amount{Token: r.Token, Amount: hits})
	}
}

// attribute sets an attribute that is not set yet.
func (c *Call) attribute(name, value string) {
	if c.Attributes == nil {
		c.Attributes = map[string]string{}
	}
	if _, ok := c.Attributes[name]; !ok {
		c.Attributes[name] = value
	}
}

// takes reports whether a field or an attribute comes from the entry of that key.
func (r *RateDescriptor) takes(key string) bool {
	for i := range r.fields {
		if r.fields[i].from == key {
			return true
		}
	}
	return slices.ContainsFunc(r.attrs, func(a rateAttr) bool { return a.value.from == key })
}

func (v *rateValue) of(entries []RateEntry) string {
	if v.from == "" {
		return v.text
	}
	s, _ := rateEntry(entries, v.from)
	return s
}

// hides reports whether what other fits is fit by r as well, so that other behind r is never looked at.
func (r *RateDescriptor) hides(other *RateDescriptor) bool {
	for _, m := range r.match {
		i := slices.IndexFunc(other.match, func(o rateMatch) bool { return o.key == m.key })
		if i < 0 {
			return false
		}
		if o := other.match[i].value; !m.value.covers(o) {
			return false
		}
	}
	return true
}

// sameRateLimits reports whether two policies read descriptors alike.
func sameRateLimits(a, b *Policy) bool {
	plain := func(r *RateDescriptor) RateDescriptor {
		c := *r
		c.pos = Pos{}
		return c
	}
	return slices.EqualFunc(a.rateDomains, b.rateDomains, func(x, y *RateDomain) bool {
		return x.Name == y.Name && x.DenyUnmatched == y.DenyUnmatched && slices.EqualFunc(x.Descriptors, y.Descriptors, func(r, s *RateDescriptor) bool {
			return reflect.DeepEqual(plain(r), plain(s))
		})
	})
}

// checkRateLimits looks for descriptors that do nothing.
func (p *Policy) checkRateLimits(warn func(Pos, string, ...any)) {
	for _, d := range p.rateDomains {
		for i, r := range d.Descriptors {
			if j := slices.IndexFunc(d.Descriptors[:i], func(o *RateDescriptor) bool { return o.hides(r) }); j >= 0 {
				warn(r.pos, "domain %q: descriptor %d is never looked at, since descriptor %d fits all that it fits", d.Name, i+1, j+1)
			}
			if r.Hits == HitsTokens && !p.draws(r.Token) {
				warn(r.pos, "domain %q: hits are %s, and no rule draws on a budget of that, so they are not counted", d.Name, "tokens."+r.Token)
			}
		}
	}
}

// draws reports whether some rule draws on a budget of a token type.
func (p *Policy) draws(token string) bool {
	return slices.ContainsFunc(p.rules, func(r *rule) bool {
		return slices.ContainsFunc(r.draws, func(w draw) bool { return w.Budget.Token == token })
	})
}
