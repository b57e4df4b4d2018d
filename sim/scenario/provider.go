package scenario

import (
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy/document"
)

// Provider is what stands behind admitted calls: a bucket of tokens as providers have it, that knows nothing of policies.
type Provider struct {
	Rate        float64 // tokens per second that it gives, prompt and output alike
	Burst       int64   // the most that piles up
	From, Until time.Duration
}

// Bucket is a provider's bucket in one run. The zero value, of no provider, gives all that is asked for.
type Bucket struct {
	p    *Provider
	left float64
	at   ledger.Millis
}

// Bucket is a full one.
func (p *Provider) Bucket() Bucket {
	if p == nil {
		return Bucket{}
	}
	return Bucket{p: p, left: float64(p.Burst)}
}

// RefusalTakes is the time from the admission of a call to its provider's refusal.
const RefusalTakes ledger.Millis = 50

// Take gives a call its tokens, or says how long it is to wait. Calls must come in order of time.
func (b *Bucket) Take(at ledger.Millis, tokens int64) (wait ledger.Millis, ok bool) {
	if b.p == nil {
		return 0, true
	}
	b.left = min(float64(b.p.Burst), b.left+b.p.Rate*float64(at-b.at)/1000)
	b.at = at
	if d := time.Duration(at) * time.Millisecond; d < b.p.From || b.p.Until > 0 && d >= b.p.Until {
		return 0, true
	}
	need := float64(min(tokens, b.p.Burst)) // what can never fit is taken as what just fits
	if lack := need - b.left; lack > 0 {
		return ledger.Millis(lack/b.p.Rate*1000) + 1, false
	}
	b.left -= need
	return 0, true
}

// provider reads what stands behind admitted calls.
func (d *decoder) provider(s *Scenario, n *yaml.Node) {
	f := d.Mapping(n, providerShape)
	if f == nil {
		return
	}
	p := &Provider{}
	if n := f["rate"]; n != nil {
		p.Rate = d.rate(n)
	}
	if n := f["burst"]; n != nil {
		v, _ := d.Amount(n, "burst")
		if p.Burst = int64(v); p.Burst == 0 {
			d.Report(document.Deref(n), "write what piles up in a second or more", "a provider with a burst of 0 gives nothing")
		}
	}
	p.From = d.span(f["from"], "from", 0, MaxDuration, 0)
	p.Until = d.span(f["until"], "until", 0, MaxDuration, 0)
	if n := f["until"]; n != nil && p.Until <= p.From {
		d.Report(document.Deref(n), "", "until is %v, it must be after from, which is %v", p.Until, p.From)
	}
	s.Provider = p
}
