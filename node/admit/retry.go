package admit

import (
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// When refused callers come back: each is promised a time of its own, one after the other.

const (
	// promisesAhead is how far ahead of its time a caller is promised one, in ms. Those beyond it come back at any moment of
	// that time by chance.
	promisesAhead = 60_000
	// stockSlot is the time between two callers where tokens come all at once, in ms: a window's turn, the end of a call.
	stockSlot = 10
	// nodeSlot is that between two callers whom not a budget but the node refused.
	nodeSlot = 2
)

// promises are the times that were promised to refused callers.
type promises struct {
	until float64 // of the last one, in ms
}

// promise is when a caller is to come back who would be served after so long if nobody else had been told to come back. slot is
// for how long what it needs keeps others waiting, in ms. Up to a quarter, and for those behind others a slot, are added by
// chance, so that callers of several nodes, or of one that was started again, do not come together.
func (e *Engine) promise(now ledger.Instant, p *promises, after time.Duration, slot float64) time.Duration {
	from := float64(now) + float64(after.Milliseconds())
	if p.until > from+2*promisesAhead { // the clock was put back
		p.until = from
	}
	behind := time.Duration(0)
	switch {
	case p.until <= from:
		p.until = from + slot
	case p.until > from+promisesAhead:
		behind = time.Duration(e.cfg.Rand.Int64N(promisesAhead)) * time.Millisecond
	default:
		behind = time.Duration((p.until-from)*float64(time.Millisecond)) + time.Duration(e.cfg.Rand.Int64N(int64(slot*float64(time.Millisecond))+1))
		p.until += slot
	}
	return e.jitter(after) + behind
}

// slot is how long what a call needs keeps others of this node waiting at an instance, in ms: of a rate, the time in which this
// node's part of it brings that much. The parts go by demand.
func slot(spec *ledger.Spec, o *ledger.Outlook, need ledger.Tokens) float64 {
	if spec.Kind != ledger.Rate || o.Refill <= 0 {
		return stockSlot
	}
	part := 1.0
	if o.Demand > o.Own && o.Own > 0 {
		part = o.Own / o.Demand
	}
	return min(float64(need)/(o.Refill*part)*1000, promisesAhead)
}

// whenServed is when a caller is to come back for whom there is no room in the queue: once those ahead of it are served, as
// far as that can be known, and after a second at least.
func (e *Engine) whenServed(now ledger.Instant, l Ledger, w *Waiter, at int) time.Duration {
	t, need := &w.bound.takes[at], w.takes[at].Amount
	spec := t.account.Spec()
	o := l.Outlook(now, t.gate.id, min(need+t.gate.ahead(w)+w.spare(&spec), ledger.MaxTokens))
	after := time.Second
	if spec.Kind == ledger.Rate && o.NextAt > 0 {
		after = max(after, until(now, o.NextAt))
	}
	return e.promise(now, &t.gate.promises, after, slot(&spec, &o, need))
}
