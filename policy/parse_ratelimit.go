package policy

import (
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/swarmpurse/swarmpurse/policy/document"
)

// How long hits may stay reserved. A reservation lives at most an hour, and some of that is for a refund that comes late.
const (
	minHold = time.Second
	maxHold = 1800 * time.Second
)

const tokensPrefix = "tokens."

// rateDomains reads what descriptors stand for. Tokens, classes and rules have been read.
func (d *decoder) rateDomains(p *Policy, n *yaml.Node) {
	first := map[string]*yaml.Node{}
	for _, item := range d.Items(n, "ratelimit", "write a list of domains, or leave the field out", MaxRateDomains) {
		f := d.Mapping(item, rateDomainShape)
		if f == nil {
			continue
		}
		r := &RateDomain{pos: d.Pos(document.Deref(item))}
		if n := f["domain"]; n != nil {
			if s, ok := d.Text(n, "domain"); ok && d.rateText(n, "domain", s) && d.Unique(first, n, s, "domain") {
				r.Name = s
			}
		}
		if n := f["unmatched"]; n != nil {
			switch s, ok := d.Text(n, "unmatched"); {
			case !ok:
			case s == "deny":
				r.DenyUnmatched = true
			case s != "admit":
				d.Report(n, "write admit or deny", "unmatched cannot be %q", document.Clip(s))
			}
		}
		if n := f["descriptors"]; n != nil {
			for _, item := range d.Items(n, "descriptors", "write a list of descriptors", MaxRateDescriptors) {
				if x := d.rateDescriptor(p, item); x != nil {
					r.Descriptors = append(r.Descriptors, x)
				}
			}
		}
		p.rateDomains = append(p.rateDomains, r)
	}
}

// rateText checks a domain, a key or a value: Envoy sends any text, but what a call may not have can never fit one.
func (d *decoder) rateText(n *yaml.Node, what, s string) bool {
	if s == "" || len(s) > MaxFieldLen {
		d.Report(document.Deref(n), "", "%s has %d bytes, from 1 to %d are allowed", what, len(s), MaxFieldLen)
		return false
	}
	return true
}

func (d *decoder) rateDescriptor(p *Policy, item *yaml.Node) *RateDescriptor {
	f := d.Mapping(item, rateDescriptorShape)
	if f == nil {
		return nil
	}
	r := &RateDescriptor{pos: d.Pos(document.Deref(item))}
	if n := f["match"]; n != nil {
		d.rateMatches(r, n)
	}
	if n := f["hits"]; n != nil {
		d.hits(p, r, n)
	}
	if n := f["call"]; n != nil {
		d.rateCall(p, r, n)
	}
	if n := f["hold"]; n != nil {
		if v, ok := d.Duration(n, "hold"); ok {
			if v < minHold || v > maxHold {
				d.Report(document.Deref(n), "", "hold is %s, from %s to %s is allowed", v, minHold, maxHold)
			}
			r.Hold = v
		}
	}
	if n := f["report"]; n != nil {
		if r.Report = d.Boolean(n, "report"); r.Report && f["hold"] != nil {
			d.Report(document.Deref(n), "leave one of them out", "a descriptor that reports what was used holds nothing")
		}
	}
	return r
}

func (d *decoder) rateMatches(r *RateDescriptor, n *yaml.Node) {
	list := d.Entries(n, "match", `write entries by key, as in {tenant: "*"}`)
	if len(list) > MaxRateKeys {
		d.Report(list[MaxRateKeys].Key, "", "match has %d keys, at most %d are allowed", len(list), MaxRateKeys)
		list = list[:MaxRateKeys]
	}
	for _, e := range list {
		key := e.Key.Value
		if strings.ContainsFunc(key, func(c rune) bool { return c <= ' ' || c >= 0x7f }) {
			d.Report(e.Key, "", "the key %q of match holds what is not printable ASCII", document.Clip(key))
			continue
		}
		if !d.rateText(e.Key, "a key of match", key) {
			continue
		}
		s, ok := d.Text(e.Value, "match."+document.Clip(key))
		if !ok || !d.rateText(e.Value, "match."+document.Clip(key), s) {
			continue
		}
		text, prefix := strings.CutSuffix(s, "*")
		if strings.Contains(text, "*") {
			d.Report(document.Deref(e.Value), "write a value, how it begins, as in gpt-4*, or * for any", "match.%s is %q: a star may stand at its end only", document.Clip(key), document.Clip(s))
			continue
		}
		r.match = append(r.match, rateMatch{key, pattern{text, prefix}})
	}
}

// hits reads what hits count.
func (d *decoder) hits(p *Policy, r *RateDescriptor, n *yaml.Node) {
	s, ok := d.Text(n, "hits")
	if !ok {
		return
	}
	const advice = "write tokens.NAME of a token type, prompt_tokens or max_output_tokens"
	switch name, stated := strings.CutPrefix(s, tokensPrefix); {
	case s == "prompt_tokens":
		r.Hits = HitsPrompt
	case s == "max_output_tokens":
		r.Hits = HitsOutput
	case !stated:
		d.Report(n, advice, "hits cannot be %q", document.Clip(s))
	case p.tokenBy[name] == nil:
		d.Report(n, document.DidYouMean(name, p.Tokens()), "unknown token type %q", document.Clip(name))
	default:
		r.Token = name
	}
}

// rateCall reads where the fields of the call come from.
func (d *decoder) rateCall(p *Policy, r *RateDescriptor, n *yaml.Node) {
	const advice = "write tenant, agent, run, class, model or attributes.NAME"
	list := d.Entries(n, "call", `write fields by name, as in {tenant: $client, class: batch}`)
	if len(list) > MaxRateKeys {
		d.Report(list[MaxRateKeys].Key, "", "call has %d fields, at most %d are allowed", len(list), MaxRateKeys)
		list = list[:MaxRateKeys]
	}
	for _, e := range list {
		name := e.Key.Value
		s, ok := d.Text(e.Value, "call."+document.Clip(name))
		if !ok || !d.rateText(e.Value, "call."+document.Clip(name), s) {
			continue
		}
		v := rateValue{set: true, text: s}
		if from, ok := strings.CutPrefix(s, "$"); ok {
			if !slices.ContainsFunc(r.match, func(m rateMatch) bool { return m.key == from }) {
				d.Report(document.Deref(e.Value), "name it in match, with * if any value will do", "call.%s is the value of entry %q, which match does not ask for", document.Clip(name), document.Clip(from))
				continue
			}
			v = rateValue{set: true, from: from}
		}
		if attr, ok := strings.CutPrefix(name, "attributes."); ok && len(attr) <= MaxName && isAttribute(attr) {
			r.attrs = append(r.attrs, rateAttr{attr, v})
			continue
		}
		i := slices.Index(fieldNames, name)
		if i < 0 {
			d.Report(e.Key, advice, "call has no field %q", document.Clip(name))
			continue
		}
		if i == fieldClass && v.from == "" && p.classBy[s] == nil {
			d.Report(document.Deref(e.Value), document.DidYouMean(s, p.classNames()), "unknown class %q", document.Clip(s))
			continue
		}
		r.fields[i] = v
	}
}
