package result

import (
	"math"
	"testing"
	"time"
)

// TestPriceSettle looks at a price once a second for two minutes; demand changes after 30 s, and, where the case says so, later.
func TestPriceSettle(t *testing.T) {
	const sec = time.Second
	var at []time.Duration
	for s := time.Duration(1); s <= 120; s++ {
		at = append(at, s*sec)
	}
	price := func(f func(s float64) (low, high float64)) []Prices {
		var p Prices
		for _, t := range at {
			low, high := f(t.Seconds())
			p.Low, p.High = append(p.Low, low), append(p.High, high)
		}
		return []Prices{p}
	}
	rise := func(until float64) func(float64) (float64, float64) { // from 1 to 2
		return func(s float64) (float64, float64) {
			x := 1 + min(max(0, (s-30)/(until-30)), 1)
			return x, x
		}
	}
	once := []Disturbance{{30 * sec, 30 * sec}}
	for name, c := range map[string]struct {
		prices  []Prices
		changes []Disturbance
		want    float64
	}{
		"it hardly moved":             {price(func(float64) (float64, float64) { return 1, 1 }), once, 0},
		"a slow rise":                 {price(rise(70)), once, 33}, // from then on it is above 2 / 1.1
		"too late to stand for long":  {price(func(s float64) (float64, float64) { x := 1 + math.Floor(s/110); return x, x }), once, math.Inf(1)},
		"nodes that disagree":         {price(func(float64) (float64, float64) { return 1, 1.2 }), once, math.Inf(1)},
		"nodes that nearly agree":     {price(func(float64) (float64, float64) { return 1, 1.05 }), once, 0},
		"it swings":                   {price(func(s float64) (float64, float64) { x := 1 + 0.1*math.Sin(s); return x, x }), once, math.Inf(1)},
		"a swing that ebbs":           {price(func(s float64) (float64, float64) { x := 1 + math.Sin(s)*math.Exp(-(s-30)/20); return x, x }), once, 57},
		"nobody has a price":          {price(func(float64) (float64, float64) { return math.NaN(), math.NaN() }), once, math.NaN()},
		"no change":                   {price(rise(70)), nil, math.NaN()},
		"a ramp ends later":           {price(rise(70)), []Disturbance{{30 * sec, 50 * sec}}, 13},
		"two changes, the longer one": {price(rise(50)), []Disturbance{{30 * sec, 30 * sec}, {80 * sec, 80 * sec}}, 17},
		"too soon after each other":   {price(rise(50)), []Disturbance{{30 * sec, 30 * sec}, {40 * sec, 40 * sec}}, 7},
	} {
		got := PriceSettle(at, c.prices, c.changes, 120*sec)
		if got != c.want && !(math.IsNaN(got) && math.IsNaN(c.want)) {
			t.Errorf("%s: %v, want %v", name, got, c.want)
		}
	}
}
