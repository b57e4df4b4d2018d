package policy

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"github.com/swarmpurse/swarmpurse/policy/document"
)

// Retry says how the proxy tries calls again that their upstream surely did not run: it was not reached, or refused them. It never changes.
type Retry struct {
	Attempts int           // the most tries of a call in all, at least 2
	Backoff  time.Duration // before an upstream is tried a second time, and twice that before the third; a provider that names a longer time gets it

	failover []pattern // upstreams that may be tried instead
	pos      Pos
}

// FailsOver reports whether a call that another upstream did not run may be tried at this one. That the upstream may take the call is [Route]'s to say.
func (r *Retry) FailsOver(u *Upstream) bool {
	return slices.ContainsFunc(r.failover, func(p pattern) bool { return p.fits(u.Name) })
}

const (
	defaultBackoff         = 250 * time.Millisecond
	maxAttempts            = 5
	minBackoff, maxBackoff = 10 * time.Millisecond, 60 * time.Second
)

// retry reads a rule's retry. The upstreams have been read.
func (d *decoder) retry(p *Policy, r *rule, n *yaml.Node) {
	f := d.Mapping(n, retryShape)
	if f == nil {
		return
	}
	x := &Retry{Attempts: 2, Backoff: defaultBackoff, pos: d.Pos(document.Deref(n))}
	r.retry = x
	if n := f["attempts"]; n != nil {
		if x.Attempts = d.number(n, "attempts", maxAttempts); document.Deref(n).Value == "1" {
			d.Report(document.Deref(n), "leave retry out", "one attempt in all is no retry")
		}
	}
	if n := f["backoff"]; n != nil {
		if v, ok := d.Duration(n, "backoff"); ok && (v < minBackoff || v > maxBackoff) {
			d.Report(document.Deref(n), "", "backoff is %s, it must be between %s and %s", v, minBackoff, maxBackoff)
		} else if ok {
			x.Backoff = v
		}
	}
	n = f["failover"]
	if n == nil {
		return
	}
	if len(p.upstreams) == 0 {
		d.Report(document.Deref(n), "declare them, as in upstreams: [{name: openai}, {name: spare}]", "%s fails over, but there are no upstreams", ruleTitle(r))
		return
	}
	x.failover = d.patterns(n, "failover")
	for _, f := range x.failover {
		if !slices.ContainsFunc(p.upstreams, func(u *Upstream) bool { return f.fits(u.Name) }) {
			d.Report(document.Deref(n), document.DidYouMean(f.text, p.upstreamNames()), "failover names %q, and no upstream is called so", f)
		}
	}
}

func (p *Policy) upstreamNames() (names []string) {
	for _, u := range p.upstreams {
		names = append(names, u.Name)
	}
	return names
}

func (p pattern) String() string {
	if p.prefix {
		return p.text + "*"
	}
	return p.text
}

// checkRetries looks for retries that never happen.
func (p *Policy) checkRetries(warn func(Pos, string, ...any)) {
	longest := time.Duration(0)
	for _, c := range p.classes {
		longest = max(longest, c.LatencyBudget)
	}
	for _, r := range p.rules {
		x := r.retry
		if x == nil {
			continue
		}
		if x.failover == nil && x.Backoff >= longest {
			warn(x.pos, "%s waits %s before a call is tried again, and no class lets its calls wait that long (latency_budget): they are never tried again", ruleTitle(r), x.Backoff)
		}
		if x.failover != nil && len(p.upstreams) == 1 {
			warn(x.pos, "%s fails over, but %q is the only upstream", ruleTitle(r), p.upstreams[0].Name)
		}
		zones, by := r.zones()
		for _, f := range x.failover {
			i := slices.IndexFunc(p.upstreams, func(u *Upstream) bool { return u.Name == f.text })
			if zones != nil && !f.prefix && i >= 0 && !p.upstreams[i].inside(&Place{Zones: zones}) {
				warn(x.pos, "%s names %q for failover, but draws on %s, which is bound to %s: its calls never go there", ruleTitle(r), f, strings.Join(by, ", "), zoneList(zones))
			}
		}
	}
}

// zones is what the budgets of a rule bind its calls to, nil for nothing, and which budgets these are.
func (r *rule) zones() (zones, by []string) {
	for _, w := range r.draws {
		switch z := w.Budget.Zones; {
		case z == nil:
			continue
		case zones == nil:
			zones = slices.Clone(z)
		default:
			zones = slices.DeleteFunc(zones, func(s string) bool { return !slices.Contains(z, s) })
		}
		by = append(by, fmt.Sprintf("%q", w.Budget.Name))
	}
	return zones, by
}
