package policy

import (
	"cmp"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// Warning is something that a document may say but that can hardly be meant.
type Warning struct {
	Pos     Pos
	Message string
}

func (w Warning) String() string { return w.Pos.String() + ": warning: " + w.Message }

// FastBurn is the burn rate at which the alert rules that ship call somebody, in tenths.
const FastBurn = 144

// smallLimit is fewer model tokens than many a single call may use.
const smallLimit = 4096

// Check looks for what Parse allows but nobody means: budgets that nothing draws on, rules that are
// never reached, limits that do nothing. Warnings come in the order of the document.
func Check(p *Policy) []Warning {
	var list []Warning
	warn := func(at Pos, format string, args ...any) {
		list = append(list, Warning{at, fmt.Sprintf(format, args...)})
	}
	drawn, used := map[*Budget]bool{}, map[string]bool{}
	for _, r := range p.rules {
		for _, w := range r.draws {
			if w.Budget.Token == PriorityToken && (r.when == nil || !r.when.reads.points) {
				warn(w.pos, "%s takes points of calls that ask for no priority, and lifts none of them: write when: priority", ruleTitle(r))
			}
			drawn[w.Budget] = true
		}
	}
	for _, u := range p.upstreams {
		if u.drawn == nil {
			continue
		}
		for _, w := range u.drawn.draws {
			if drawn[w.Budget] = true; w.Budget.Zones != nil && !u.inside(&Place{Zones: w.Budget.Zones}) {
				warn(w.pos, "upstream %q draws on budget %q, which is bound to %s, where it does not lie: no calls go there", u.Name, w.Budget.Name, zoneList(w.Budget.Zones))
			}
		}
	}
	for _, b := range p.budgets {
		used[b.Token] = true
	}
	for _, t := range p.tokens {
		if !used[t.name] {
			warn(t.pos, "no budget caps token type %q", t.name)
		}
	}
	for _, b := range p.budgets {
		if b.Meters != nil {
			continue
		}
		if !drawn[b] {
			warn(b.Pos, "no rule draws on budget %q, so it caps nothing", b.Name)
		}
		p.checkLimits(b, warn)
		p.checkPrice(b, warn)
		p.checkFeedback(b, warn)
		checkGuarantees(b, warn)
	}
	p.checkInstances(warn)
	p.checkClasses(warn)
	p.checkRules(warn)
	p.checkUpstreams(warn)
	p.checkRetries(warn)
	p.checkFlags(warn)
	p.checkExperiments(warn)
	p.checkCallers(warn)
	p.checkTrust(warn)
	p.checkRateLimits(warn)
	if len(p.rules) == 0 {
		fate := "refused"
		if p.admit {
			fate = "admitted uncounted"
		}
		warn(p.start, "there are no rules, so every call is %s", fate)
	}
	return list
}

func (p *Policy) checkLimits(b *Budget, warn func(Pos, string, ...any)) {
	s := b.Spec
	if s.Ceiling != ledger.Observe && s.Kind != ledger.Slots && s.Amount < smallLimit && unitLinear[b.Unit].i[2] > 0 {
		word := "amount"
		if s.Kind == ledger.Rate {
			word = "burst"
		}
		warn(b.Pos, "budget %q: a call that may use more than its %s of %d tokens can never run", b.Name, word, s.Amount)
	}
	if s.Ceiling == ledger.Soft && priceDown(s.Amount, s.OverdraftPPM) == 0 {
		warn(b.Pos, "budget %q: the soft part of its limit of %d is less than one token, so it is hard", b.Name, s.Amount)
	}
	if s.RolloverPPM > 0 && priceDown(s.Amount, s.RolloverPPM) == 0 {
		warn(b.Pos, "budget %q: the rollover of its amount of %d is less than one token, so nothing is carried over", b.Name, s.Amount)
	}
	if t := p.tokenBy[b.Token]; t.halfLife > 0 && (s.Kind == ledger.Rate || s.Kind == ledger.Slots) {
		warn(b.Pos, "budget %q: the decay of token type %q does not touch a supply of kind %s", b.Name, t.name, s.Kind)
	}
	if b.Unit == ByteUnit && (b.pricePPM != million || b.Pricing.Mode != FixedPrice) {
		warn(b.Pos, "budget %q: its price does not touch bytes, which are charged as they flow: leave it out, or change the rate", b.Name)
	}
	if b.pricePPM != million && s.Kind == ledger.Slots {
		warn(b.Pos, "budget %q: with a price of %v a call takes more or less than one slot", b.Name, b.Price)
	}
}

// checkInstances looks whether all instances that may be made are more than a node can know.
func (p *Policy) checkInstances(warn func(Pos, string, ...any)) {
	all := 0
	for _, b := range p.budgets {
		if all += max(1, b.Instances); all > MaxInstances && b.Instances > 0 {
			warn(b.Pos, "budget %q: with it calls may make %d instances, and a node knows at most %d of all budgets: write instances: N", b.Name, all, MaxInstances)
			return
		}
	}
}

// checkPrice looks for settings under which a price that moves oscillates, or does nothing: see DESIGN.md.
func (p *Policy) checkPrice(b *Budget, warn func(Pos, string, ...any)) {
	m := &b.Pricing
	if m.Mode == FixedPrice {
		return
	}
	if m.Response < ledger.Millis(calmResponse.Milliseconds()) {
		warn(b.Pos, "budget %q: a price that responds in %v oscillates, since use is known some seconds late: write response: %v or more",
			b.Name, time.Duration(m.Response)*time.Millisecond, calmResponse)
	}
	if s := &b.Spec; s.Kind == ledger.Windowed {
		if _, start, end := s.Calendar.At(0); m.Response > ledger.Millis(end-start) {
			warn(b.Pos, "budget %q: a price that responds in %v, which is longer than its window, hardly moves", b.Name, time.Duration(m.Response)*time.Millisecond)
		}
	}
	if m.Max == m.Min {
		warn(b.Pos, "budget %q: a price between %v and %v cannot move", b.Name, m.Min.Float(), m.Max.Float())
	} else if b.Spec.Kind == ledger.Rate && b.Spec.Ceiling == ledger.Hard {
		// At its limit a rate serves supply/price: so far must the price go.
		if need := float64(million) / float64(m.Target); m.Target == million {
			warn(b.Pos, "budget %q: use never passes a target of 100%% of a hard rate, so its price never rises", b.Name)
		} else if m.Max.Float() < need {
			warn(b.Pos, "budget %q: a price of at most %v does not bring use down to the target, that takes %.3v", b.Name, m.Max.Float(), need)
		}
	}
}

// checkFeedback looks for a rate that is back before the swarm can have heard of what lowered it, and that waits of providers
// keep down for good.
func (p *Policy) checkFeedback(b *Budget, warn func(Pos, string, ...any)) {
	f := &b.Spec.Feedback
	if !f.On() {
		return
	}
	// The way back from what a refusal takes off at the least.
	if back := time.Duration(int64(f.Recover)*f.CutPPM/million*f.LeastPPM/million) * time.Millisecond; back < calmFeedback {
		warn(b.Pos, "budget %q: at its least the rate is back from a refusal after %v, before all nodes have heard of it: write a longer recover, or a larger least or cut",
			b.Name, back)
	}
	if b.Spec.Amount > 0 && float64(b.Spec.Amount) > 60_000*float64(b.Spec.Per)/float64(max(1, b.Spec.PerMillis)) {
		warn(b.Pos, "budget %q: a refusal lapses what has piled up, which takes more than a minute to come back: write a smaller burst", b.Name)
	}
}

// checkGuarantees looks for floors that leave nothing to others, that a moving price eats away, and that come to less than a
// token.
func checkGuarantees(b *Budget, warn func(Pos, string, ...any)) {
	sum := int64(0)
	for i := range b.Guarantees {
		g := &b.Guarantees[i]
		sum += g.PPM
		if ledger.Part(b.Spec.Amount, g.PPM) == 0 || b.Spec.Kind == ledger.Rate && ledger.Part(b.Spec.Per, g.PPM) == 0 {
			warn(b.Pos, "budget %q: a guarantee of %s comes to less than one token", b.Name, percent(g.PPM))
		}
	}
	switch {
	case len(b.Guarantees) == 0:
		return
	case b.Guarantees[0].Tenant == "":
		if b.Pricing.Mode != HybridPrice {
			warn(b.Pos, "budget %q: each tenant has an instance of its own that no other can take from, so without a hybrid price its guarantee does nothing", b.Name)
		}
		return
	case sum > maxGuaranteed:
		warn(b.Pos, "budget %q: its guarantees come to %s of the supply, so while those tenants want it others get %s", b.Name, percent(sum), percent(million-sum))
	}
	if b.Pricing.Mode == DynamicPrice {
		warn(b.Pos, "budget %q: what is guaranteed buys less while the price is up: write mode: hybrid, then it is paid at the base price", b.Name)
	}
	if b.Pricing.Mode == HybridPrice && sum > b.Pricing.Target {
		warn(b.Pos, "budget %q: guarantees of %s of the supply pay the base price, so no price can bring use down to the target of %s", b.Name, percent(sum), percent(b.Pricing.Target))
	}
}

// maxGuaranteed is how much may be guaranteed before others are likely to starve.
const maxGuaranteed = 900_000

// calmFeedback is how long a cut should last: some seconds until it shows what it did.
const calmFeedback = 5 * time.Second

// checkClasses looks for headroom that nobody uses, and that comes to nothing.
func (p *Policy) checkClasses(warn func(Pos, string, ...any)) {
	least := slices.MinFunc(p.classes, func(a, b Class) int { return cmp.Compare(a.Headroom, b.Headroom) })
	if least.Headroom > 0 {
		warn(least.pos, "no class may use the last %s of any budget: the best one, %q, needs no headroom", percent(least.Headroom), least.Name)
	}
	for _, c := range p.classes {
		if c.Objective > 0 && c.Objective <= million-million*10/FastBurn {
			warn(c.pos, "class %q: if all its calls miss an objective of %s, errors come at %.3g times the budgeted pace, so the alert at %g times never fires",
				c.Name, percent(c.Objective), float64(million)/float64(million-c.Objective), float64(FastBurn)/10)
		}
		for _, b := range p.budgets {
			if c.Headroom > 0 && b.Meters == nil && b.Spec.Ceiling != ledger.Observe && ledger.Part(b.Spec.Amount, c.Headroom) == 0 {
				warn(b.Pos, "budget %q: the headroom of class %q is less than one token of %d, so nothing is left to better classes", b.Name, c.Name, b.Spec.Amount)
			}
		}
	}
}

func percent(ppm int64) string { return strconv.FormatFloat(float64(ppm)/10_000, 'g', -1, 64) + "%" }

// priceDown is floor(n·ppm/10^6).
func priceDown(n ledger.Tokens, ppm int64) int64 {
	return int64(n)/million*ppm + int64(n)%million*ppm/million
}

func (p *Policy) checkRules(warn func(Pos, string, ...any)) {
	var stopped *rule                // an unconditional stop
	certain := map[*Budget]*rule{}   // drawn by a rule that always matches
	unstopped := map[*Budget]*rule{} // and so that no stop can come before it
	mayStop := false
	for _, r := range p.rules {
		if stopped != nil {
			warn(r.pos, "%s is never reached: %s always matches and says stop", ruleTitle(r), ruleTitle(stopped))
			continue
		}
		always := r.when == nil || r.when.always()
		for _, w := range r.draws {
			if first := certain[w.Budget]; first != nil && first.costOf(w.Budget) != w.Cost.source {
				warn(w.pos, "%s never sets the cost of budget %q: %s, which always matches, has drawn on it already",
					ruleTitle(r), w.Budget.Name, ruleTitle(first))
			}
			if always && certain[w.Budget] == nil {
				certain[w.Budget] = r
				if !mayStop {
					unstopped[w.Budget] = r
				}
			}
		}
		if r.stop {
			mayStop = true
			if always {
				stopped = r
			}
		}
	}
	if len(unstopped) > MaxDraws {
		warn(p.rules[0].pos, "every call draws on %d budgets, but at most %d are allowed, so every call fails", len(unstopped), MaxDraws)
	}
}

func (r *rule) costOf(b *Budget) string {
	for _, w := range r.draws {
		if w.Budget == b {
			return w.Cost.source
		}
	}
	return ""
}
