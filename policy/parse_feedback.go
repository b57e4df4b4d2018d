package policy

import (
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy/document"
)

// What feedback does where a budget does not say, and what it may say.
const (
	defaultLeast      = 200_000
	defaultCut        = 300_000
	defaultRecover    = 120 * time.Second
	defaultRetryAfter = 60 * time.Second
	defaultLow        = 20_000

	minCut, maxCut         = 100_000, 900_000
	minRecover, maxRecover = 10 * time.Second, 24 * time.Hour
	maxRetryAfter          = time.Hour
	minLeast               = 10_000
)

// feedback reads how a budget answers to a provider that refuses calls. The supply and the ceiling have been read.
func (d *decoder) feedback(b *Budget, n *yaml.Node, supply bool) {
	f := d.Mapping(n, feedbackShape)
	if f == nil {
		return
	}
	n = document.Deref(n)
	switch {
	case supply && b.Spec.Kind != ledger.Rate:
		d.Report(n, "leave it out, or let the calls draw on a budget with a rate as well", "feedback lowers a rate, but this supply is a %s", b.Spec.Kind)
		return
	case b.Spec.Ceiling == ledger.Observe:
		d.Report(n, "leave it out, or write ceiling: hard", "a budget that only observes keeps no call back, so feedback does nothing")
		return
	}
	part := func(name string, or, least, most int64) int64 {
		v := f[name]
		if v == nil {
			return or
		}
		ppm, ok := d.Percent(v, name)
		if ok && (ppm < least || ppm > most) {
			d.Report(document.Deref(v), "", "%s is %s, it must be between %s and %s", name, percent(ppm), percent(least), percent(most))
			return or
		}
		return ppm
	}
	span := func(name string, or, least, most time.Duration) ledger.Millis {
		if v := f[name]; v != nil {
			if x, ok := d.Duration(v, name); ok && (x < least || x > most) {
				d.Report(document.Deref(v), "", "%s is %s, it must be between %s and %s", name, x, least, most)
			} else if ok {
				or = x
			}
		}
		return ledger.Millis(or.Milliseconds())
	}
	b.Spec.Feedback = ledger.Feedback{
		LeastPPM:   part("least", defaultLeast, minLeast, million-minLeast),
		CutPPM:     part("cut", defaultCut, minCut, maxCut),
		Recover:    span("recover", defaultRecover, minRecover, maxRecover),
		RetryAfter: span("retry_after", defaultRetryAfter, 0, maxRetryAfter),
	}
	b.Low = part("low", defaultLow, 0, million/2)
}
