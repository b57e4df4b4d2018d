package policy

import (
	"fmt"
	"reflect"
	"slices"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy/document"
)

// Tryable looks whether a revision may be a candidate beside a stable one. Both decide on calls at one time, and draw on the same
// accounts, queues and prices, so they must agree on what those are: the error is an *Errors with every place where the
// candidate does not. waits says what else it changes that no canary can try, since there is one for all calls: the stable
// revision's is in force until the candidate is promoted.
//
// What a candidate may change, and tries: rules, costs, fixed prices, overdraft prices, sizes, upstreams, data sets, localities,
// classes but for their weight and headroom, backpressure, default. See DESIGN.md.
func Tryable(stable, candidate *Policy) (waits []string, err error) {
	d := &decoder{Decoder: document.Decoder{File: candidate.file, Noun: "policy"}}
	for _, b := range candidate.budgets {
		if b.Meters != nil {
			continue
		}
		old, ok := stable.budgetBy[b.Name]
		if !ok {
			d.ErrAt(b.Pos, "apply a revision first that only adds it, and then one whose rules draw on it", "a candidate cannot add budget %q: nobody outside of the canary would know of it", b.Name)
			continue
		}
		if what := clash(old, b); what != "" {
			d.ErrAt(b.Pos, "apply it without a canary, or leave it as it is", "a candidate cannot change the %s of budget %q: both revisions draw on the same instances", what, b.Name)
			continue
		}
		if limits(old) != limits(b) {
			waits = append(waits, fmt.Sprintf("the supply of budget %q", b.Name))
		}
	}
	for _, b := range stable.budgets {
		if b.Meters == nil && candidate.budgetBy[b.Name] == nil {
			waits = append(waits, fmt.Sprintf("the end of budget %q", b.Name))
		}
	}
	for _, t := range candidate.tokens {
		if old := stable.tokenBy[t.name]; old != nil && old.unit != t.unit {
			d.ErrAt(t.pos, "apply it without a canary, or leave it as it is", "a candidate cannot change the unit of token type %q", t.name)
		}
	}
	for i := range candidate.classes {
		c := &candidate.classes[i]
		if old := stable.classBy[c.Name]; old != nil && (old.Weight != c.Weight || old.Headroom != c.Headroom) {
			d.ErrAt(c.pos, "apply it without a canary, or leave it as it is", "a candidate cannot change the weight or the headroom of class %q: calls of both revisions wait in one queue", c.Name)
		}
	}
	if !reflect.DeepEqual(stable.tenants, candidate.tenants) {
		d.ErrAt(candidate.start, "apply it without a canary, or leave them as they are", "a candidate cannot change the weights of tenants: calls of both revisions wait in one queue")
	}
	if stable.guards != candidate.guards {
		waits = append(waits, "guardians, lease and autonomy")
	}
	if stable.audit != candidate.audit {
		waits = append(waits, "audit")
	}
	if !sameCallers(stable.callers, candidate.callers) {
		waits = append(waits, "callers")
	}
	if !sameSigners(stable.signers, candidate.signers) {
		waits = append(waits, "trust.signers")
	}
	if stable.enrol != candidate.enrol {
		waits = append(waits, "trust.enrol")
	}
	if !sameRateLimits(stable, candidate) {
		waits = append(waits, "ratelimit")
	}
	return waits, d.Err()
}

// limits are the numbers of a supply, which belong to the instance and not to the call.
func limits(b *Budget) (s ledger.Spec) {
	s.Amount, s.Per, s.PerMillis, s.RolloverPPM, s.Feedback = b.Spec.Amount, b.Spec.Per, b.Spec.PerMillis, b.Spec.RolloverPPM, b.Spec.Feedback
	return s
}

// clash names what two revisions of a budget must not differ in while both decide, "" if they do not.
func clash(a, b *Budget) string {
	rest := func(b *Budget) ledger.Spec {
		s := b.Spec
		s.Amount, s.Per, s.PerMillis, s.RolloverPPM, s.Feedback = 0, 0, 0, 0, ledger.Feedback{}
		return s
	}
	x, y := rest(a), rest(b)
	switch {
	case a.Token != b.Token:
		return "token type"
	case a.Unit != b.Unit:
		return "unit"
	case !slices.Equal(a.Per, b.Per):
		return "per"
	case x.Kind != y.Kind:
		return "kind of supply"
	case x.Ceiling != y.Ceiling || x.OverdraftPPM != y.OverdraftPPM:
		return "ceiling"
	case x.Calendar != y.Calendar:
		return "windows"
	case x.HalfLife != y.HalfLife:
		return "decay"
	case x != y:
		return "supply"
	case a.Renews != b.Renews || a.Renew != b.Renew:
		return "renew"
	case a.Instances != b.Instances:
		return "number of instances"
	case a.SwarmFairness != b.SwarmFairness:
		return "fairness"
	case a.Low != b.Low:
		return "feedback"
	case a.Levels != b.Levels:
		return "levels"
	case !slices.EqualFunc(a.Guarantees, b.Guarantees, func(x, y Guarantee) bool { return x.Tenant == y.Tenant && x.PPM == y.PPM }):
		return "guarantee"
	case a.Pricing != b.Pricing && (a.Pricing.Mode != FixedPrice || b.Pricing.Mode != FixedPrice):
		return "price, as it moves"
	}
	return ""
}
