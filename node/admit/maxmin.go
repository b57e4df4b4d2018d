package admit

import (
	"cmp"
	"math"
	"slices"
)

// want is what somebody asks for, and the weight at which he shares.
type want struct{ asked, weight float64 }

// maxMin is the level of max-min shares of what there is: everybody gets what he asks for, but at most his weight times the
// level. Nobody below his demand could get more without taking from one who has no more for his weight. It is infinite where
// there is enough for all. wants is put in order.
func maxMin(there float64, wants []want) (level float64) {
	slices.SortFunc(wants, func(a, b want) int { return cmp.Compare(a.asked*b.weight, b.asked*a.weight) })
	weight := 0.0
	for _, w := range wants {
		weight += w.weight
	}
	for _, w := range wants {
		if w.asked*weight > there*w.weight { // he and all that follow want more than what is left brings them
			return max(0, there) / weight
		}
		there -= w.asked
		weight -= w.weight
	}
	return math.Inf(1)
}

// part is what of it one gets at a level.
func (w want) part(level float64) float64 { return min(w.asked, w.weight*level) }
