package rls

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"
	"strings"

	ratelimit "github.com/envoyproxy/go-control-plane/envoy/extensions/common/ratelimit/v3"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
)

// what is asked with a descriptor.
type what uint8

const (
	unmatched what = iota // no descriptor of the policy fits
	charge                // may so many hits be used? They are, if all descriptors of the request pass
	look                  // may one be used? None is
	report                // so many were used
	refund                // so many were charged and not used
	forbidden             // it names what the caller's key may not
)

// item is one descriptor of a request.
type item struct {
	what what
	rule *policy.RateDescriptor // nil if none fits
	hits ledger.Tokens
	call policy.Call
}

// read turns a descriptor into what it asks. byRequest is the request's own hits_addend.
func (m *item) read(d *policy.RateDomain, in *ratelimit.RateLimitDescriptor, byRequest uint32, entries []policy.RateEntry) []policy.RateEntry {
	entries = entries[:0]
	for _, e := range in.GetEntries() {
		entries = append(entries, policy.RateEntry{Key: e.GetKey(), Value: e.GetValue()})
	}
	if m.rule = d.Find(entries); m.rule == nil {
		return entries
	}
	m.hits = ledger.Tokens(max(1, byRequest))
	if own := in.GetHitsAddend(); own != nil {
		m.hits = ledger.Tokens(min(own.GetValue(), uint64(ledger.MaxTokens)))
	}
	switch {
	case in.GetIsNegativeHits():
		m.what = refund
	case m.rule.Report:
		m.what = report
	case m.hits == 0:
		m.what, m.hits = look, 1
	default:
		m.what = charge
	}
	m.rule.Call(entries, m.hits, &m.call)
	return entries
}

// key tells which reservations a refund can be of: those of the same call, whatever the hits.
func (m *item) key() string {
	c := &m.call
	var b []byte
	put := func(s string) { b = append(binary.AppendUvarint(b, uint64(len(s))), s...) }
	put(c.Tenant)
	put(c.Agent)
	put(c.Run)
	put(c.Class)
	put(c.Model)
	put(m.rule.Token)
	put(string('0' + rune(m.rule.Hits)))
	for _, name := range slices.Sorted(maps.Keys(c.Attributes)) {
		put(name)
		put(c.Attributes[name])
	}
	return string(b)
}

// before orders what several requests may ask for at one time, so that none waits for what another holds that waits for what it holds.
func (m *item) before(o *item) int {
	a, b := &m.call, &o.call
	return cmp.Or(strings.Compare(a.Tenant, b.Tenant), strings.Compare(a.Model, b.Model), strings.Compare(a.Agent, b.Agent),
		strings.Compare(a.Run, b.Run), strings.Compare(a.Class, b.Class), strings.Compare(m.rule.Token, o.rule.Token))
}
