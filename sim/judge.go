package sim

import (
	"math"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/policy"
)

// judge is a simple model of what a limit means: it knows what callers were told, and nothing of how accounts
// work. Every answer and every receipt passes it.
type judge struct {
	w     *world
	caps  map[ledger.InstanceID]*capped
	eras  []era
	late  float64 // parts of soft overdrafts that came later, of all
	jumps micros  // by which clocks stepped, which a rate's bound must allow for
	// What comes of it, for figures: the largest excess over any hard limit.
	over     ledger.Tokens
	overPart float64
}

// capped is what callers were given of one instance.
type capped struct {
	id      ledger.InstanceID
	windows map[ledger.Window]*given
	order   []ledger.Window
	// Rate: the most over all beginnings of an interval that ends now, less all that may be admitted in it.
	level   float64
	byRules map[uint32]ration
	at      micros
	refunds []refund
	overrun ledger.Tokens // what callers were charged above what they had been given
}

type given struct {
	used           ledger.Tokens
	minted, burned ledger.Tokens // by operators
	since          micros
}

type refund struct {
	at micros
	n  ledger.Tokens
}

func (j *judge) init(w *world) { *j = judge{w: w, caps: map[ledger.InstanceID]*capped{}} }

// stepped notes that a clock was moved: what accrues by it may run ahead by as much.
func (j *judge) stepped(by micros) {
	by = max(by, -by)
	j.jumps += by
	for _, c := range j.caps { // also in intervals that have begun
		per := 0.0
		for _, e := range j.eras {
			per = max(per, j.ration(c, e.in).per)
		}
		c.level -= per * float64(by)
	}
}

func (j *judge) capped(id ledger.InstanceID) *capped {
	c := j.caps[id]
	if c == nil {
		c = &capped{id: id, windows: map[ledger.Window]*given{}, level: math.Inf(-1)}
		j.caps[id] = c
	}
	return c
}

// of is what was given of an instance: of a window together with all lives of its budget for the same values, which share none.
func (j *judge) of(id ledger.InstanceID, kind ledger.Kind) *capped {
	if kind == ledger.Windowed {
		id = id.Lifeless()
	}
	return j.capped(id)
}

// window is the window that a decision falls into, by the node's own clock.
func windowOf(s *ledger.Spec, at ledger.Instant) ledger.Window {
	if s.Kind != ledger.Windowed {
		return 0
	}
	w, _, _ := s.Calendar.At(at)
	return w
}

// admitted judges an answer.
func (j *judge) admitted(n *node, c *call) {
	for i := range c.charges {
		j.gave(n, c.charges[i].Instance, c.at, c.charges[i].Amount)
	}
}

// gave judges what callers were given of an instance.
func (j *judge) gave(n *node, id ledger.InstanceID, at ledger.Instant, amount ledger.Tokens) {
	spec, ok := n.resolve(id)
	if !ok {
		return // its budget has gone from the policy meanwhile
	}
	cp := j.of(id, spec.Kind)
	if spec.Kind == ledger.Rate {
		j.admitRate(cp, &spec, amount)
		return
	}
	w := windowOf(&spec, at)
	g := cp.window(w, j.w.now)
	g.used += amount
	if spec.Ceiling == ledger.Observe {
		return
	}
	limit := j.limit(id, g.since) + g.minted
	if spec.Ceiling == ledger.Soft { // one that was given up goes on with what its heir has
		limit += j.w.audit.totals(windowKey{j.w.pool.instance(id), w}).beyond
	}
	if excess := g.used - limit; excess > 0 {
		j.exceeded(n, id, g.used, limit)
	}
}

func (j *judge) exceeded(n *node, id ledger.InstanceID, used, limit ledger.Tokens) {
	if used-limit > j.over {
		j.over = used - limit
	}
	j.overPart = max(j.overPart, float64(used-limit)/float64(max(1, limit)))
	j.w.fail("no budget is exceeded", "%s: %d of %d tokens were given to callers, the last by %s", id.Name(), used, limit, n.name)
}

// settled judges a receipt: what was not charged came back.
func (j *judge) settled(n *node, c *call, rc *admit.Receipt) {
	now := n.clockNow()
	for i := range rc.Charged {
		ch := &rc.Charged[i]
		spec, ok := n.resolve(ch.Instance)
		if !ok {
			continue
		}
		reserved := c.reserved(ch.Instance)
		back := reserved - (ch.Amount - ch.Overrun)
		if back < 0 {
			j.w.fail("a receipt charges what was reserved or overrun", "call %d: %s charged %d, overrun %d, reserved %d", c.Seq, ch.Instance.Name(), ch.Amount, ch.Overrun, reserved)
			return
		}
		cp := j.of(ch.Instance, spec.Kind)
		cp.overrun += ch.Overrun
		if spec.Kind == ledger.Rate {
			cp.level -= float64(back)
			cp.refunds = append(cp.refunds, refund{j.w.now, back})
			continue
		}
		if w := windowOf(&spec, c.at); spec.Kind == ledger.Slots || w == windowOf(&spec, now) {
			cp.window(w, j.w.now).used -= back
		}
	}
}

func (c *capped) window(w ledger.Window, now micros) *given {
	g := c.windows[w]
	if g == nil {
		g = &given{since: now}
		c.windows[w] = g
		c.order = append(c.order, w)
		if len(c.order) > 64 { // none is used that long after its end
			delete(c.windows, c.order[0])
			c.order = c.order[1:]
		}
	}
	return g
}

// limit is the most that callers may have of an instance, by all policies that were in force since: while nodes
// disagree the larger limit holds. Rolled over tokens and a soft ceiling's overdraft come on top.
func (j *judge) limit(id ledger.InstanceID, since micros) (most ledger.Tokens) {
	j.w.policies(since, func(p *policy.Policy) {
		b, _, ok := p.Resolve(j.w.charter.ID, id)
		if !ok {
			return
		}
		s := &b.Spec
		n := s.Amount
		if s.Kind == ledger.Windowed {
			n += part(s.Amount, s.RolloverPPM)
		}
		if s.Ceiling == ledger.Soft {
			n += j.overdraft(s)
		}
		most = max(most, n)
	})
	return most
}

// overdraft is the most that a soft ceiling lets pass. Each holder's part is by the members that it knows, so what
// others used before comes on top of the part of one that came later: a node that joined, or lost its disk.
func (j *judge) overdraft(s *ledger.Spec) ledger.Tokens {
	return ledger.Tokens(float64(part(s.Amount, s.OverdraftPPM)) * (1 + j.late))
}

// came notes a holder that came later, and how many members it knows at first.
func (j *judge) came(members int) {
	j.late += 1 / float64(members)
	in := j.eras[len(j.eras)-1].in
	for _, c := range j.caps { // intervals that have begun may have it, too
		c.level -= j.ration(c, in).over / float64(members)
	}
}

func part(n ledger.Tokens, ppm int64) ledger.Tokens {
	return ledger.Tokens(float64(n) * float64(ppm) / 1e6)
}

// era is a time in which the same policies are in force somewhere, a bit each.
type era struct {
	from micros
	in   uint32
}

// ruled notes which policies are in force from now on.
func (j *judge) ruled() {
	in := uint32(0)
	for i, nodes := range j.w.measure.adopted {
		if nodes > 0 {
			in |= 1 << i
		}
	}
	if k := len(j.eras) - 1; k >= 0 && j.eras[k].from == j.w.now {
		j.eras = j.eras[:k]
	}
	if k := len(j.eras) - 1; k < 0 || j.eras[k].in != in {
		j.eras = append(j.eras, era{j.w.now, in})
	}
}

// ration is what a rate gives in an era.
type ration struct {
	per   float64 // a microsecond
	burst float64
	over  float64 // the overdraft of a soft ceiling, but for those who come late
	lend  micros
}

// ration is the largest by the policies of an era: while nodes disagree the larger one holds.
func (j *judge) ration(c *capped, in uint32) (r ration) {
	if r, ok := c.byRules[in]; ok {
		return r
	}
	for i, p := range j.w.sc.Policies {
		if in&(1<<i) == 0 {
			continue
		}
		b, _, ok := p.Resolve(j.w.charter.ID, c.id)
		if !ok || b.Spec.Kind != ledger.Rate {
			continue
		}
		s := &b.Spec
		r.per = max(r.per, float64(s.Per)/float64(s.PerMillis)/1000)
		r.lend = max(r.lend, micros(s.Lend)*milli)
		r.burst = max(r.burst, float64(s.Amount))
		if s.Ceiling == ledger.Soft {
			r.over = max(r.over, float64(part(s.Amount, s.OverdraftPPM)))
		}
	}
	if c.byRules == nil {
		c.byRules = map[uint32]ration{}
	}
	c.byRules[in] = r
	return r
}

// brings is what a rate brings from a moment until now.
func (j *judge) brings(c *capped, from micros) (sum float64) {
	until := j.w.now
	for k := len(j.eras) - 1; k >= 0 && until > from; k-- {
		e := &j.eras[k]
		sum += j.ration(c, e.in).per * float64(max(0, until-max(e.from, from)))
		until = min(until, e.from)
	}
	return sum
}

// allowed is what may be admitted at once when an interval begins now: the burst, and what was lent in the time L before.
// After a change the larger burst and the longer L hold on for as long as what was lent by them.
func (j *judge) allowed(c *capped) (most float64, lend micros) {
	burst, per, until := 0.0, 0.0, j.w.now
	for k := len(j.eras) - 1; k >= 0; k-- {
		r := j.ration(c, j.eras[k].in)
		per = max(per, r.per)
		if until < j.w.now-lend {
			continue // only clocks remember it
		}
		lend = max(lend, r.lend)
		burst = max(burst, r.burst+r.over*(1+j.late))
		until = j.eras[k].from
	}
	return burst + j.brings(c, j.w.now-lend) + per*float64(j.jumps), lend
}

// admitRate checks the law of rates over every interval that ends now: at most rate × (T + L) + burst is admitted,
// and what was refunded in T + L, with the rates that were in force at each moment.
func (j *judge) admitRate(c *capped, spec *ledger.Spec, n ledger.Tokens) {
	c.level -= j.brings(c, c.at)
	c.at = j.w.now
	most, lend := j.allowed(c)
	recent := ledger.Tokens(0)
	keep := c.refunds[:0]
	for _, r := range c.refunds {
		if r.at >= j.w.now-lend {
			keep = append(keep, r)
			recent += r.n
		}
	}
	c.refunds = keep
	c.level = max(c.level, -most-float64(recent)) + float64(n)
	if spec.Ceiling != ledger.Observe && c.level > 1 {
		j.over = max(j.over, ledger.Tokens(c.level))
		j.overPart = max(j.overPart, c.level/most)
		j.w.fail("no rate is exceeded", "%s: in some time %.0f tokens more were admitted than may be", c.id.Name(), c.level)
	}
}
