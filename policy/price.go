package policy

import (
	"math"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// PriceMode says how a budget's price moves.
type PriceMode uint8

const (
	FixedPrice   PriceMode = iota // it does not
	DynamicPrice                  // with use: see Pricing
	HybridPrice                   // the base price for calls within a guarantee, dynamic for others
)

func (m PriceMode) String() string { return priceModes[m] }

var priceModes = []string{"fixed", "dynamic", "hybrid"}

// Pricing is how the price of a budget moves. Each of its instances has a price of its own, and every node reckons it by
// itself, see Next: DESIGN.md says why they agree and when the price is stable.
type Pricing struct {
	Mode           PriceMode
	Base, Min, Max PPM
	Target         int64         // of the supply that calls should use, in parts per million
	Response       ledger.Millis // while use is twice the target the price grows e-fold in this time, and it settles in some three times it
}

// PPM is a price in parts per million: what a cost is multiplied by.
type PPM int64

// Float is the price as people read it: 1.5.
func (p PPM) Float() float64 { return float64(p) / million }

// Times multiplies two prices, rounded to the nearest that Short keeps.
func (p PPM) Times(q PPM) PPM { return PPM(float32(float64(p) * float64(q) / million)) }

// Short packs a price that Next or Times gave into 32 bits; Long unpacks it. 0 stands for no price.
func (p PPM) Short() uint32 { return math.Float32bits(float32(p)) }

// Long is the price that Short packed.
func Long(short uint32) PPM { return PPM(math.Float32frombits(short)) }

const (
	// maxExcess bounds how far use above the target counts: never does a price grow faster than e-fold in Response.
	maxExcess = 1.0
	// stepPart bounds the time that one step stands for, as a part of Response: a node that was suspended does not leap.
	stepPart = 4
)

// Next is the price of an instance after dt, given what it was (0: this node has none yet) and what the node knows of the
// swarm: the exponential of the accumulated excess of use over the target, clamped to Min and Max. supply is in tokens per
// second. Nodes count use a little differently; each goes toward the mean of the others' prices, so that they stay together.
func (p *Pricing) Next(price PPM, dt ledger.Millis, m ledger.Market, supply float64) PPM {
	if p.Mode == FixedPrice {
		return p.Base
	}
	if price <= 0 {
		if m.Price <= 0 {
			return p.clamp(float64(p.Base))
		}
		return p.clamp(m.Price)
	}
	part := math.Min(float64(max(dt, 0))/float64(p.Response), 1.0/stepPart)
	excess := -1.0
	if target := supply * float64(p.Target) / million; target > 0 {
		excess = math.Min(m.Used/target-1, maxExcess)
	}
	x := math.Log(float64(price)) + excess*part
	if m.Price > 0 {
		x += (math.Log(m.Price) - math.Log(float64(price))) * part
	}
	return p.clamp(math.Exp(x))
}

func (p *Pricing) clamp(price float64) PPM {
	return PPM(float32(math.Min(math.Max(price, float64(p.Min)), float64(p.Max))))
}

// SupplyRate is what an instance gets in a second: its rate, or the amount of the present window by its length. 0 for
// supplies that bring nothing by time.
func (b *Budget) SupplyRate(now ledger.Instant) float64 {
	s := &b.Spec
	switch s.Kind {
	case ledger.Rate:
		return float64(s.Per) / float64(s.PerMillis) * 1000
	case ledger.Windowed:
		_, start, end := s.Calendar.At(now)
		return float64(s.Amount) / float64(end-start) * 1000
	}
	return 0
}

const (
	minResponse = 4 * time.Second // stepPart of it is the pace at which prices are reckoned
	maxResponse = 24 * time.Hour
	// calmResponse is four times what use is smoothed over: a price that responds faster rings. See DESIGN.md.
	calmResponse = 20 * time.Second
	// windowParts is how many responses a window has by default.
	windowParts = 48
	// defaultTarget leaves a fifth of the supply for what nobody foresees.
	defaultTarget = 800_000
)

// defaultResponse is slow enough to be calm, and slow beside the window.
func defaultResponse(s *ledger.Spec) ledger.Millis {
	r := ledger.Millis(calmResponse.Milliseconds())
	if s.Kind == ledger.Windowed {
		_, start, end := s.Calendar.At(0)
		r = min(max(r, ledger.Millis(end-start)/windowParts), ledger.Millis(maxResponse.Milliseconds()))
	}
	return r
}
