package placement

import (
	"math"
	"slices"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// Defaults of Strategy.
const (
	keepSeconds     = 0.5 // a donor keeps this much of its own demand, but never more than half
	prefetchSeconds = 1.0 // an asker wants this much of its demand beyond what lacks
	hysteresis      = 0.25
	damping         = 0.25
	rowChange       = 0.01 // a row is sent when this part of the limit moved
	rowPace         = 100  // ms between rows of one instance
	rowAge          = 1000 // ms after which any change is sent
)

// Strategy pools rights where the surplus is and moves them on demand. The zero value is ready.
type Strategy struct{}

var _ ledger.Strategy = Strategy{}

// keep is what a donor holds back for its own callers.
func keep(v *ledger.View) ledger.Tokens {
	return min(ledger.Tokens(v.Demand*keepSeconds), v.Givable/2)
}

// Surplus is what is beyond the holder's own near need; nothing while a call waits here.
func (Strategy) Surplus(v *ledger.View) ledger.Tokens {
	if v.Waiting > 0 {
		return 0
	}
	return max(0, v.Givable-keep(v))
}

// estimate is what a peer may have to give now: what its row said and, for a rate, what it has accrued since.
func estimate(v *ledger.View, p *ledger.PeerView) ledger.Tokens {
	row := p.Row
	if row == nil || row.Window != v.Window {
		return 0
	}
	n := row.Surplus
	if v.Spec.Kind == ledger.Rate && v.Spec.PerMillis > 0 {
		part := float64(row.Shares) / float64(ledger.TotalShares)
		grown := float64(v.Spec.Per) / float64(v.Spec.PerMillis) * part * float64(p.Age)
		n = min(n+ledger.Tokens(grown), max(n, ledger.Worth(row.Shares, v.Spec.Amount)))
	}
	return n
}

// Donors picks by power of two choices among the peers whose rows show surplus, nearer first among those
// that can serve the need alone (Mitzenmacher, "The Power of Two Choices in Randomized Load Balancing",
// 2001). When no row shows surplus it tries holders of fragments, and then founders that have not used the
// instance yet.
func (Strategy) Donors(v *ledger.View, need ledger.Tokens, n int) ([]int, ledger.Tokens) {
	var rich, poor, unknown []int
	surplus := ledger.Tokens(0)
	for i := range v.Peers {
		p := &v.Peers[i]
		if p.Refused || p.Asked {
			continue
		}
		switch e := estimate(v, p); {
		case e > 0:
			rich = append(rich, i)
			surplus += e
		case p.Row == nil && p.Founder, p.Row != nil && p.Row.Window != v.Window && p.Row.Shares > 0:
			unknown = append(unknown, i)
		case p.Row != nil && p.Row.Balance() > 0:
			poor = append(poor, i)
		}
	}
	better := func(i, j int) bool {
		a, b := &v.Peers[i], &v.Peers[j]
		ea, eb := estimate(v, a), estimate(v, b)
		if fa, fb := ea >= need, eb >= need; fa != fb {
			return fa
		} else if fa && a.Distance != b.Distance {
			return a.Distance < b.Distance
		}
		return ea > eb
	}
	var picks []int
	take := func(from []int) []int {
		i := v.Rand(len(from))
		if len(from) > 2 {
			if j := v.Rand(len(from)); better(from[j], from[i]) {
				i = j
			}
		} else if len(from) == 2 && better(from[1-i], from[i]) {
			i = 1 - i
		}
		picks = append(picks, from[i])
		return slices.Delete(from, i, i+1)
	}
	got := ledger.Tokens(0)
	for len(picks) < n && len(rich) > 0 && got < need {
		rich = take(rich)
		got += estimate(v, &v.Peers[picks[len(picks)-1]])
	}
	for _, from := range [][]int{unknown, poor} {
		for len(picks) < n && len(from) > 0 && got < need {
			from = take(from)
		}
	}
	// The prefetch leaves every other asker its part of what is known to be there.
	prefetch := min(ledger.Tokens(v.Demand*prefetchSeconds), surplus/ledger.Tokens(max(2, v.Members)))
	return picks, need + max(0, prefetch)
}

// Give serves the ask's need if that completes a call, more if there is surplus. Two nodes that both hold
// too little for their waiting calls would trade fragments for ever, so fragments flow one way: to the
// holder that sorts first.
func (Strategy) Give(v *ledger.View, ask *ledger.Ask) ledger.Tokens {
	has := v.Givable
	if has <= 0 {
		return 0
	}
	first := ask.From.Compare(v.Self) < 0
	if v.Waiting > 0 {
		if has >= ask.Need {
			return ask.Need
		}
		if first {
			return has
		}
		return 0
	}
	spare := has - keep(v)
	switch {
	case spare >= ask.Need:
		return min(ask.Want, spare)
	case has >= ask.Need:
		return ask.Need
	case first || has < v.MeanCall || v.Demand == 0:
		return has // a fragment: no use here
	}
	return spare
}

// Drift moves shares from a holder that has more than its part of the demand to the one that lacks most:
// a quarter of the smaller difference a step, and nothing within the hysteresis.
func (Strategy) Drift(v *ledger.View) (int, ledger.Shares) {
	total := v.Demand
	for i := range v.Peers {
		if r := v.Peers[i].Row; r != nil {
			total += float64(r.Demand)
		}
	}
	if total <= 0 || len(v.Peers) == 0 {
		return -1, 0
	}
	// Everyone counts as having a little demand, so that quiet nodes keep something to start with.
	floor := total / float64(16*v.Members)
	total += floor * float64(v.Members)
	fair := func(demand float64) float64 { return float64(ledger.TotalShares) * (demand + floor) / total }
	mine := fair(v.Demand)
	excess := float64(v.Share) - mine
	if excess < max(mine*hysteresis, float64(ledger.TotalShares)/float64(8*v.Members)) {
		return -1, 0
	}
	best, lack := -1, 0.0
	for i := range v.Peers {
		r := v.Peers[i].Row
		if r == nil {
			continue
		}
		if d := fair(float64(r.Demand)) - float64(r.Shares); d > lack && d > fair(float64(r.Demand))*hysteresis/2 {
			best, lack = i, d
		}
	}
	if best < 0 {
		return -1, 0
	}
	return best, ledger.Shares(damping * math.Min(excess, lack))
}

// Weight lets a row out when it changed by a hundredth of the limit, at once when surplus appears or ends or
// the window turns, and any change after a second.
func (Strategy) Weight(v *ledger.View, last, now *ledger.Row, age ledger.Millis) float64 {
	limit := float64(max(1, v.Spec.Amount))
	moved := 0.0
	for _, d := range [...]ledger.Tokens{
		now.Spent + now.Reserved - last.Spent - last.Reserved, now.Surplus - last.Surplus,
		now.Issued - last.Issued, now.In - last.In, now.Out - last.Out,
	} {
		moved = max(moved, math.Abs(float64(d))/limit)
	}
	switch {
	case last.Version == 0, now.Window != last.Window, now.Shares != last.Shares, now.Minted != last.Minted:
		return 1 + moved
	case age < rowPace:
		return 0
	case (now.Surplus == 0) != (last.Surplus == 0):
		return 1
	case moved >= rowChange:
		return moved
	case age >= rowAge:
		return max(moved, rowChange/2)
	}
	return 0
}
