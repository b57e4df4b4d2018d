package policy

import (
	"encoding/hex"
	"strings"
	"time"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy/document"
)

// callers reads the keys of callers.
func (d *decoder) callers(p *Policy, n *yaml.Node) {
	names, keys := map[string]*yaml.Node{}, map[string]*yaml.Node{}
	for _, item := range d.Items(n, "callers", "write a list of callers' keys, or leave the field out", MaxCallers) {
		f := d.Mapping(item, callerShape)
		if f == nil {
			continue
		}
		c := Caller{pos: d.Pos(document.Deref(item))}
		if n := f["name"]; n != nil {
			if s, ok := d.Name(n, "a caller's name"); ok && d.Unique(names, n, s, "caller") {
				c.Name = s
			}
		}
		if n := f["key"]; n != nil {
			c.Key = d.keyHash(n, keys)
		}
		if n := f["operator"]; n != nil {
			c.Operator = d.Boolean(n, "operator")
		}
		if n := f["tenant"]; n != nil {
			c.Tenant = d.who(n, "tenant")
		} else if !c.Operator {
			d.Report(document.Deref(item), "add tenant: NAME, or operator: true", "the caller has no tenant, so it can do nothing")
		}
		if n := f["agent"]; n != nil {
			c.Agent = d.who(n, "agent")
		}
		if n := f["classes"]; n != nil {
			first := map[string]*yaml.Node{}
			for _, item := range d.Items(n, "classes", "write a list of classes, the default first, or leave the field out for all", MaxClasses) {
				if s, ok := d.Name(item, "a class's name"); ok && d.Unique(first, item, s, "class") {
					c.Classes = append(c.Classes, s)
				}
			}
		}
		if n := f["expires"]; n != nil {
			c.Expires = d.expires(n)
		}
		d.callerLimits(&c, f)
		p.callers = append(p.callers, c)
	}
}

// keyHash reads what stands for a key. What it quotes of a mistake is not the text: it may be the key itself.
func (d *decoder) keyHash(n *yaml.Node, first map[string]*yaml.Node) (sum [32]byte) {
	const advice = "write sha256: and 64 hexadecimal digits, as swarmpurse keys caller prints them"
	s, ok := d.Text(n, "key")
	if !ok {
		return sum
	}
	digits, ok := strings.CutPrefix(s, KeyHash)
	raw, err := hex.DecodeString(digits)
	switch {
	case strings.HasPrefix(s, KeyPrefix):
		d.Report(document.Deref(n), advice+"; and make another key: this one is known now to all who have read the document", "key must be the hash of a key, not the key")
	case !ok || err != nil || len(raw) != len(sum):
		d.Report(document.Deref(n), advice, "key is no SHA-256 of a key")
	case d.Unique(first, n, strings.ToLower(s), "key"):
		copy(sum[:], raw)
	}
	return sum
}

// who reads the name of a tenant or an agent, as calls state it.
func (d *decoder) who(n *yaml.Node, what string) string {
	s, ok := d.Text(n, what)
	switch {
	case !ok:
	case s == "" || len(s) > MaxFieldLen:
		d.Report(document.Deref(n), "", "%s has %d bytes, from 1 to %d are allowed", what, len(s), MaxFieldLen)
	case !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }):
		d.Report(document.Deref(n), "", "%s holds a control character", what)
	default:
		return s
	}
	return ""
}

// expires reads a day, whose beginning in UTC is meant, or a time.
func (d *decoder) expires(n *yaml.Node) ledger.Instant {
	const advice = "write a day as in 2027-01-31, of which the beginning in UTC is meant, or a time as in 2027-01-31T12:00:00Z"
	s, ok := d.Scalar(n, "expires", advice)
	if !ok {
		return 0
	}
	for _, form := range []string{time.DateOnly, time.RFC3339} {
		if t, err := time.Parse(form, s); err == nil && t.Year() >= 2000 {
			return ledger.Instant(t.UnixMilli())
		}
	}
	d.Report(document.Deref(n), advice, "expires cannot be %s", document.Clip(s))
	return 0
}

func (d *decoder) callerLimits(c *Caller, f map[string]*yaml.Node) {
	if n := f["rate"]; n != nil {
		per, millis, ok := d.perTime(n)
		switch {
		case !ok:
		case per > MaxCallerRate:
			d.Report(document.Deref(n), "", "rate is %d requests, at most %d are allowed", per, MaxCallerRate)
		default:
			c.Per, c.Period = int64(per), time.Duration(millis)*time.Millisecond
			c.Burst = max(1, c.Per*int64(time.Second)/int64(c.Period))
		}
	}
	if n := f["burst"]; n != nil {
		if f["rate"] == nil {
			d.Report(document.Deref(n), "add rate: N/s, or leave it out", "burst says nothing without a rate")
		}
		c.Burst = int64(d.number(n, "burst", MaxCallerRate))
	}
	if n := f["concurrency"]; n != nil {
		c.Concurrency = d.number(n, "concurrency", MaxCallerRate)
	}
}
