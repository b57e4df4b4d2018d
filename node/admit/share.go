package admit

import (
	"cmp"
	"math"
	"slices"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
)

// fair is how an instance is shared between tenants of the whole swarm while they ask for more than it brings: by max-min, classes
// by their weights and tenants within a class by theirs. Of a tenant's part this node has what its demand here is of its demand
// everywhere. Who has had less goes before those of its class that have had more, here and at peers that are asked. The owner's.
type fair struct {
	by    map[uint64]*share
	class map[uint16]float64 // what a weight of 1 gets in a class, in tokens per second; infinite where the class has enough
	small []uint64           // who asked for less than its part in the swarm at the last look, sorted
	at    ledger.Instant
}

// share is what a tenant has in a class.
type share struct {
	who    uint64
	tenant string
	class  string
	weight float64
	fresh  float64 // tokens asked for since the last look
	asked  float64 // tokens per second
	rate   float64 // its part here, in tokens per ms
	level  float64 // what it may still have before others; below 0 once it has had more
	large  float64 // a large call of late
	small  bool    // it asks for less than its part in the swarm
}

const (
	// sharePile is for how long a part piles up that is not used, and what was had beyond it is held against the tenant, in ms.
	sharePile = 2000
	// shareAsks is for how long an ask may wait at a donor that is for several calls of a tenant, in ms, if the first has less left.
	shareAsks = 500
	// maxShares bounds the tenants that are told apart at an instance. Those beyond it go as if they had had their part.
	maxShares = 256
	// An instance is shared out from when so much of what it brings is asked for until it is so little.
	shareFrom, shareUntil = 1.0, 0.8
	// shareSeconds is over how long demand is smoothed.
	shareSeconds = 5.0
)

// rank is that of the tenant's calls.
func (s *share) rank() int {
	switch {
	case s == nil:
		return ledger.RankNone
	case s.small: // whatever comes is within its part in the swarm, also where more than usual comes here
		return ledger.RankSmall
	case s.level <= 0:
		return ledger.RankNone
	}
	return ledger.RankShare
}

func (s *share) under() bool { return s.rank() > ledger.RankNone }

// whoOf names a tenant in a class: FNV-1a of each, which only has to tell few of them apart.
func whoOf(class, tenant string) uint64 {
	return uint64(uint16(fnv(class)))<<48 | fnv(tenant)>>16
}

func fnv(s string) uint64 {
	h := uint64(14695981039346656037)
	for i := range len(s) {
		h = (h ^ uint64(s[i])) * 1099511628211
	}
	return h ^ h>>32
}

// share returns that of a call's tenant, making it; nil where the instance is not shared out.
func (g *gate) share(w *Waiter) *share {
	if g.fair == nil {
		return nil
	}
	class, tenant := w.bound.plan.Class, w.Request.Tenant
	who := whoOf(class.Name, tenant)
	s := g.fair.by[who]
	if s == nil {
		if len(g.fair.by) >= maxShares {
			return nil
		}
		_, small := slices.BinarySearch(g.fair.small, who)
		s = &share{who: who, tenant: tenant, class: class.Name, level: 1, small: small} // the first call waits for nobody
		g.fair.by[who] = s
	}
	s.weight = float64(max(1, w.bound.plan.Policy.TenantWeight(tenant)))
	return s
}

// asks counts a call that has come.
func (e *Engine) asks(w *Waiter) {
	for i := range w.bound.takes {
		if s := w.bound.takes[i].gate.share(w); s != nil {
			s.fresh += float64(w.takes[i].Amount)
		}
	}
}

// had counts tokens that a tenant got, or did not use in the end.
func (s *share) had(tokens float64) {
	s.level -= tokens
	s.large = max(s.large, tokens)
}

// short is the rank of a call that waits: it goes ahead of others if its tenant has had less than its part.
func (w *Waiter) short() int {
	if b := w.line.by[w.Request.Tenant]; b != nil {
		return b.share.rank()
	}
	return ledger.RankNone
}

// spares is what the call leaves at its i-th draw for those of tenants that ask for less than their parts.
func (w *Waiter) spares(i int) ledger.Tokens {
	t := &w.bound.takes[i]
	if t.gate.fair == nil || t.gate.share(w).rank() >= ledger.RankSmall {
		return 0
	}
	return t.account.Spare()
}

// wantedShort is what calls need whose tenants have had less than their parts, as far as those go.
func (g *gate) wantedShort(asker *Waiter) ledger.Tokens {
	sum := ledger.Tokens(0)
	for _, l := range g.lines {
		for _, b := range l.heap {
			if b.share.rank() >= asker.short() && !b.calls[0].scant {
				n := b.need
				if !b.share.small {
					n = min(n, ledger.Tokens(math.Ceil(b.share.level)))
				}
				sum = min(sum+n, ledger.MaxTokens)
			}
		}
	}
	return max(sum, asker.needs(g))
}

// refresh brings what tenants may have up to date.
func (f *fair) refresh(now ledger.Instant) {
	dt := float64(min(max(0, now-f.at), sharePile))
	if now == f.at {
		return
	}
	f.at = now
	for _, s := range f.by { // each for itself: order does not matter
		most := max(s.rate*sharePile, s.large)
		s.level = max(-most, min(s.level+s.rate*dt, most))
		if s.small { // what it had is not held against it once it asks for more
			s.level = max(s.level, 1)
		}
	}
}

// contest begins or ends to share an instance out, by what is asked for of what it brings.
func (g *gate) contest(now ledger.Instant, b *policy.Budget, o *ledger.Outlook, supply float64) bool {
	others := o.Demand-o.Own > o.Demand/1000
	kind := b.Spec.Kind == ledger.Rate || b.Spec.Kind == ledger.Windowed
	most := shareFrom
	if g.fair != nil {
		most = shareUntil
	}
	if !kind || !b.SwarmFairness || b.Spec.Ceiling == ledger.Observe || slices.Contains(b.Per, "tenant") || !others || supply <= 0 || o.Demand < supply*most {
		g.endFair()
		return false
	}
	if g.fair == nil {
		g.fair = &fair{by: map[uint64]*share{}, at: now}
		for w := range g.all() {
			s := g.share(w)
			if s != nil {
				s.fresh += float64(w.needs(g))
			}
			w.line.by[w.Request.Tenant].share = s
		}
		g.close()
	}
	return true
}

// endFair has all tenants go as they come again.
func (g *gate) endFair() {
	if g.fair == nil {
		return
	}
	g.fair = nil
	for _, l := range g.lines {
		for _, b := range l.by {
			b.share = nil
		}
	}
	g.favor()
	g.close()
}

// shareOut works out what is whose part here, and tells others what is asked for. dt is the time since the last look, in ms.
func (g *gate) shareOut(now ledger.Instant, dt float64, l Ledger, a *ledger.Account, p *policy.Policy, b *policy.Budget, o *ledger.Outlook, supply float64) {
	if !g.contest(now, b, o, supply) {
		a.SetClaims([ledger.MaxClaims]ledger.Claim{})
		a.SetSparing(false)
		return
	}
	f := g.fair
	old := math.Exp(-dt / 1000 / shareSeconds)
	own := make([]ledger.Claim, 0, len(f.by))
	for who, s := range f.by {
		if s.asked = s.asked*old + s.fresh/max(dt/1000, 1e-3)*(1-old); s.asked < 1 && s.fresh == 0 {
			delete(f.by, who)
			for _, l := range g.lines {
				if b := l.by[s.tenant]; b != nil && b.share == s {
					b.share = nil
				}
			}
			continue
		}
		s.fresh, s.large = 0, s.large*0.95
		own = append(own, ledger.Claim{Who: who, Asked: ledger.Tokens(s.asked)})
	}
	slices.SortFunc(own, func(a, b ledger.Claim) int { return cmp.Or(cmp.Compare(b.Asked, a.Asked), cmp.Compare(a.Who, b.Who)) })
	var claims [ledger.MaxClaims]ledger.Claim
	copy(claims[:], own)
	a.SetClaims(claims)
	all, rest, least := l.Claims(g.id)
	f.class = levels(supply, all, float64(rest), float64(least), p)
	for _, s := range f.by {
		sum := 0.0
		if i, ok := slices.BinarySearchFunc(all, s.who, func(c ledger.Claim, who uint64) int { return cmp.Compare(c.Who, who) }); ok {
			sum = float64(all[i].Asked)
		}
		level, ok := f.class[uint16(s.who>>48)]
		s.rate, s.small = 2*s.asked/1000, true // it has what it asks for
		if ok && !math.IsInf(level, 1) {
			part := s.weight * level
			s.rate, s.small = part*s.asked/max(sum, s.asked, 1)/1000, sum < part
		}
	}
	weight := weights(p)
	f.small = f.small[:0]
	for _, c := range all { // sorted by who
		if level, ok := f.class[uint16(c.Who>>48)]; ok && float64(c.Asked) < weight(c)*level {
			f.small = append(f.small, c.Who)
		}
	}
	a.SetSparing(len(f.small) > 0)
	g.favor()
}

// weights is how a policy weighs the tenants of claims.
func weights(p *policy.Policy) func(ledger.Claim) float64 {
	all := p.TenantWeights()
	heavy := make(map[uint64]float64, len(all))
	for tenant, n := range all {
		heavy[fnv(tenant)>>16] = float64(n)
	}
	return func(c ledger.Claim) float64 { return max(1, heavy[c.Who&(1<<48-1)]) }
}

// levels is what a weight of 1 gets in each class, in tokens per second. rest is what is asked for of whom nobody knows, by
// tenants of whom each asks for no more than least.
func levels(supply float64, all []ledger.Claim, rest, least float64, p *policy.Policy) map[uint16]float64 {
	byClass, sums, total := map[uint16][]want{}, map[uint16]float64{}, 0.0
	var order []uint16 // all is sorted by class
	weight := weights(p)
	for _, c := range all {
		k := uint16(c.Who >> 48)
		if len(byClass[k]) == 0 {
			order = append(order, k)
		}
		byClass[k] = append(byClass[k], want{float64(c.Asked), weight(c)})
		sums[k] += float64(c.Asked)
		total += float64(c.Asked)
	}
	classes := map[uint16]float64{}
	for _, c := range p.Classes() {
		classes[uint16(fnv(c.Name))] = float64(max(1, c.Weight))
	}
	wants := make([]want, 0, len(order))
	of := func(k uint16) want {
		return want{sums[k] * (1 + rest/max(total, 1)), max(1, classes[k])}
	}
	for _, k := range order {
		wants = append(wants, of(k))
	}
	top := maxMin(supply, wants)
	out := make(map[uint16]float64, len(order))
	for _, k := range order {
		ws := byClass[k]
		if least > 0 {
			few := rest * sums[k] / max(total, 1)
			ws = append(ws, want{few, max(few/least, 1e-9)})
		}
		out[k] = maxMin(of(k).part(top), ws)
	}
	return out
}

// Standing is how the tenant of a call stood at an instance that was shared out when it was decided.
type Standing struct {
	Instance    ledger.InstanceID
	Asked, Part float64 // tokens per second, here
	Small       bool    // it asked for less than its part in the swarm
	Under       bool    // it went before those of its class that had had more
}

// standing is how a call's tenant stands at what it draws on.
func (w *Waiter) standing() (list []Standing) {
	for i := range w.bound.takes {
		g := w.bound.takes[i].gate
		if s := g.share(w); s != nil {
			list = append(list, Standing{g.id, s.asked, s.rate * 1000, s.small, s.under()})
		}
	}
	return list
}

// Share is how a tenant stands at an instance that is shared out.
type Share struct {
	Instance      ledger.InstanceID
	Budget        string
	Class, Tenant string
	Asked, Part   float64 // tokens per second, here
	Under         bool    // it has had less than its part
}

// Shares lists tenants at the instances that are shared out, in order. The owner's.
func (e *Engine) Shares() (list []Share) {
	for _, g := range e.watched {
		if g.fair == nil {
			continue
		}
		n := len(list)
		for _, s := range g.fair.by {
			list = append(list, Share{g.id, g.watch.budget.Name, s.class, s.tenant, s.asked, s.rate * 1000, s.under()})
		}
		slices.SortFunc(list[n:], func(a, b Share) int { return cmp.Or(cmp.Compare(a.Class, b.Class), cmp.Compare(a.Tenant, b.Tenant)) })
	}
	return list
}
