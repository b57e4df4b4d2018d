package baseline

import "github.com/swarmpurse/swarmpurse/ledger"

// judge says by how much a system overspent hard limits. It knows no system: only what was reserved and what came
// back, and when. For each instance it keeps one bucket that nobody asks and that may go below zero. How far it
// does is the largest excess: over the limit of the window, the grant or the slots; of a rate, over rate·T + burst
// for any time T, since the bucket was full when that time began. Overruns do not count (never overspent is said
// of what was reserved), and decay takes nothing from a limit.
type judge struct {
	on     []*judged // by instance
	excess ledger.Tokens
	worst  float64 // excess as a fraction of the limit that it is over
}

type judged struct {
	bucket
	of    *ledger.Spec // what limit was made from
	limit ledger.Spec
	full  ledger.Millis // of a rate: when the bucket was last full
}

func (g *judge) find(now ledger.Millis, in *instance) *judged {
	for int(in.index) >= len(g.on) {
		g.on = append(g.on, nil)
	}
	j := g.on[in.index]
	if j == nil {
		j = &judged{full: now}
		j.set(in.spec())
		j.bucket = newBucket(&j.limit, whole, now)
		g.on[in.index] = j
	}
	if j.of != in.spec() {
		j.advance(in.since)
		spent := j.bucket.full() - j.avail
		j.set(in.spec())
		j.rate = whole.rate(&j.limit)
		// What was spent within the old limit is no excess over a lower one.
		j.avail = max(j.bucket.full()-spent, min(j.avail, 0))
	}
	for ; j.had < len(in.orders); j.had++ { // what was burned takes nothing from a limit, as decay does not
		if o := in.orders[j.had]; o.n > 0 {
			j.comes(o)
		}
	}
	j.advance(now)
	if j.avail == j.bucket.full() {
		j.full = now
	}
	return j
}

func (j *judged) set(spec *ledger.Spec) {
	j.of, j.limit = spec, *spec
	j.limit.HalfLife = 0
}

func (g *judge) take(now ledger.Millis, in *instance, n ledger.Tokens) {
	if in.spec().Ceiling != ledger.Hard {
		return
	}
	j := g.find(now, in)
	j.bucket.take(n)
	if j.avail >= 0 {
		return
	}
	limit := float64(j.limit.Amount)
	if j.limit.Kind == ledger.Rate {
		limit += float64(j.limit.Per) / float64(max(1, j.limit.PerMillis)) * float64(now-j.full)
	}
	g.excess = max(g.excess, -j.avail)
	g.worst = max(g.worst, float64(-j.avail)/limit)
}

func (g *judge) give(now ledger.Millis, d *draw) {
	if d.in.spec().Ceiling == ledger.Hard {
		g.find(now, d.in).give(d.reserved, min(d.used, d.reserved), d.window)
	}
}
