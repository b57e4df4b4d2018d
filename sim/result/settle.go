package result

import (
	"math"
	"slices"
	"time"
)

// How the figure "price_settle" is taken.
const (
	// PriceBand is what a price that stands still keeps to: the largest at any node is at most so many times the smallest.
	PriceBand = 1.1
	// PriceStands is how long it must keep to it, until something changes again.
	PriceStands = 15 * time.Second
)

// Prices is one price over time: the smallest and the largest at any node, by sample. NaN where no node has one.
type Prices struct{ Low, High []float64 }

// Still reports that a price never moved, and was the same at all nodes.
func (p *Prices) Still() bool {
	low, high := math.Inf(1), math.Inf(-1)
	for i := range p.Low {
		if !math.IsNaN(p.Low[i]) {
			low, high = math.Min(low, p.Low[i]), math.Max(high, p.High[i])
		}
	}
	return high <= low || math.IsInf(low, 0)
}

// PriceSettle is how many seconds it took after a change until a price stood still, at the longest over all prices and
// changes: from the change's end to the first sample from which on the price kept to PriceBand until the next change began,
// or the end came. It is infinite if there was none so early that PriceStands was left, and NaN if there is nothing to tell:
// no price, or no change. Changes that overlap or touch count as one; one that another follows within PriceStands is
// not judged, since no price could stand so long between them.
func PriceSettle(at []time.Duration, prices []Prices, changes []Disturbance, end time.Duration) float64 {
	changes = slices.Clone(changes)
	slices.SortFunc(changes, func(a, b Disturbance) int { return int(min(max(a.From-b.From, -1), 1)) })
	longest := math.NaN()
	for len(changes) > 0 {
		c := changes[0]
		for changes = changes[1:]; len(changes) > 0 && changes[0].From <= c.Until; changes = changes[1:] {
			c.Until = max(c.Until, changes[0].Until)
		}
		until := end
		if len(changes) > 0 {
			until = min(until, changes[0].From)
		}
		if until-c.Until < PriceStands {
			continue
		}
		for _, p := range prices {
			if took := p.settle(at, c.Until, until); !(longest >= took) {
				longest = took
			}
		}
	}
	return longest
}

// settle goes back from the end for as long as the price keeps to the band.
func (p *Prices) settle(at []time.Duration, from, until time.Duration) float64 {
	low, high, first, any := math.Inf(1), math.Inf(-1), until, false
	for i := len(at) - 1; i >= 0 && at[i] >= from; i-- {
		if at[i] > until || math.IsNaN(p.Low[i]) {
			continue
		}
		any = true
		low, high = math.Min(low, p.Low[i]), math.Max(high, p.High[i])
		if high > PriceBand*low {
			break
		}
		first = at[i]
	}
	switch {
	case !any:
		return math.NaN()
	case until-first < PriceStands:
		return math.Inf(1)
	}
	return (first - from).Seconds()
}
