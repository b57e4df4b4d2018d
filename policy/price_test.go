package policy

import (
	"fmt"
	"math"
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger"
	"pgregory.net/rapid"
)

func drawPricing(t *rapid.T) *Pricing {
	base := PPM(rapid.Int64Range(1000, 1e9).Draw(t, "base"))
	return &Pricing{
		Mode: DynamicPrice, Base: base, Min: PPM(rapid.Int64Range(100, int64(base)).Draw(t, "min")), Max: base * PPM(rapid.Int64Range(1, 100).Draw(t, "max")),
		Target: rapid.Int64Range(1, million).Draw(t, "target"), Response: ledger.Millis(rapid.Int64Range(1000, 86_400_000).Draw(t, "response")),
	}
}

// TestPriceMoves: the laws of one step, whatever the settings are.
func TestPriceMoves(t *testing.T) {
	const close = 1e-6 // prices are kept in 24 bits
	rapid.Check(t, func(t *rapid.T) {
		p := drawPricing(t)
		supply := rapid.Float64Range(1, 1e12).Draw(t, "supply")
		price := PPM(float32(rapid.Int64Range(int64(p.Min), int64(p.Max)).Draw(t, "price")))
		dt := ledger.Millis(rapid.Int64Range(-1000, 1e9).Draw(t, "dt"))
		use := rapid.Float64Range(0, 1e13).Draw(t, "use")
		next := p.Next(price, dt, ledger.Market{Used: use}, supply)
		if float64(next) < float64(p.Min)*(1-close)-1 || float64(next) > float64(p.Max)*(1+close) {
			t.Fatalf("%v is not within %v and %v", next, p.Min, p.Max)
		}
		if got := Long(next.Short()); got != next {
			t.Fatalf("%v is kept as %v", next, got)
		}
		switch target := supply * float64(p.Target) / million; {
		case dt <= 0 || use == target:
			if math.Abs(float64(next-price)) > close*float64(price)+1 {
				t.Fatalf("from %v to %v though nothing has changed", price, next)
			}
		case use > target && float64(next) < float64(min(price, p.Max))*(1-close)-1, use < target && float64(next) > float64(max(price, p.Min))*(1+close)+1:
			t.Fatalf("from %v to %v at %v of %v", price, next, use, target)
		}
		if more := p.Next(price, dt, ledger.Market{Used: use * 2}, supply); float64(more) < float64(next)*(1-close)-1 {
			t.Fatalf("twice the use gives %v, not %v", more, next)
		}
		if ratio := float64(next) / float64(price); price >= p.Min && (ratio > math.Exp(1.0/stepPart)*(1+close)+1/float64(price) || ratio < math.Exp(-1.0/stepPart)*(1-close)-1/float64(price)) {
			t.Fatalf("one step from %v to %v", price, next)
		}
	})
}

// TestPriceFollowsOthers: a node without a price takes that of the others, and one with another price goes toward theirs.
func TestPriceFollowsOthers(t *testing.T) {
	p := &Pricing{Mode: DynamicPrice, Base: million, Min: million, Max: 8 * million, Target: 500_000, Response: 20_000}
	if got := p.Next(0, 0, ledger.Market{}, 100); got != million {
		t.Errorf("alone it begins at %v", got)
	}
	if got := p.Next(0, 0, ledger.Market{Price: 3e6}, 100); got != 3*million {
		t.Errorf("among others it begins at %v", got)
	}
	a, b := PPM(2*million), PPM(6*million)
	for range 100 {
		at := ledger.Market{Used: 50}
		at.Price = float64(b)
		next := p.Next(a, 1000, at, 100)
		at.Price = float64(a)
		a, b = next, p.Next(b, 1000, at, 100)
	}
	if d := float64(a) / float64(b); d < 0.999 || d > 1.001 {
		t.Errorf("after 100 s one has %v, the other %v", a, b)
	}
	if want := math.Sqrt(12) * million; math.Abs(float64(a)-want) > want*0.01 {
		t.Errorf("they meet at %v, which is not between them", a)
	}
}

// loop is a pool at its limit, whose callers ask for demand times the supply whatever it costs, or the less the dearer it is
// (elasticity). Use is smoothed over 5 s as rows have it, and known late. It returns how far the price went above where
// it stands in the end, and how far it still swings in the last quarter of ten minutes, as parts.
func loop(p *Pricing, demand, elasticity float64, late int) (over, swing float64, end PPM) {
	const step = 100 // ms
	price, smooth := p.Base, 0.4
	seen := make([]float64, late/step+1)
	var all []float64
	for i := range 600 * 1000 / step {
		x := price.Float()
		use := math.Min(demand*math.Pow(x, -elasticity), 1/x)
		smooth += (use - smooth) * (1 - math.Exp(-step/5000.0))
		seen[i%len(seen)] = smooth
		if i%(1000/step) == 0 {
			price = p.Next(price, 1000, ledger.Market{Used: seen[(i+1)%len(seen)] * 1000}, 1000)
		}
		all = append(all, price.Float())
	}
	low, high, top := math.Inf(1), 0.0, 0.0
	for i, x := range all {
		top = math.Max(top, x)
		if i >= len(all)*3/4 {
			low, high = math.Min(low, x), math.Max(high, x)
		}
	}
	return top/high - 1, high/low - 1, price
}

// TestPriceSettles is the stability analysis of DESIGN.md, run: the settings that Check is silent about stand still, and what
// it warns of swings.
func TestPriceSettles(t *testing.T) {
	at := func(response int64) *Pricing {
		return &Pricing{Mode: DynamicPrice, Base: million, Min: million, Max: 8 * million, Target: 800_000, Response: ledger.Millis(response)}
	}
	for _, tt := range []struct {
		response           int64
		demand, elasticity float64
		late               int // ms
		calm               bool
	}{
		{20_000, 2.4, 0, 2000, true},
		{20_000, 2.4, 1, 2000, true},
		{20_000, 1.2, 2, 2000, true},
		{60_000, 2.4, 3, 5000, true},
		{2_000, 2.4, 0, 2000, false},
		{1_000, 2.4, 0, 5000, false},
		{20_000, 1.2, 6, 5000, false}, // callers who react that strongly need a slower price
		{5_000, 1.2, 3, 2000, false},
	} {
		over, swing, end := loop(at(tt.response), tt.demand, tt.elasticity, tt.late)
		text := fmt.Sprintf("response %d ms, demand %v, elasticity %v, %d ms late: %.1f %% above, swings by %.1f %%, ends at %.3f",
			tt.response, tt.demand, tt.elasticity, tt.late, 100*over, 100*swing, end.Float())
		t.Log(text)
		if calm := over < 0.1 && swing < 0.01; calm != tt.calm {
			t.Error(text)
		}
	}
}
