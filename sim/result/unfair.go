package result

import "math"

// unfair is the largest difference between what a tenant got and its max-min share of what all of them got, as a part of that
// share; weights are the tenants'. Classes are not told apart, so it means something where all calls are of one.
//
// It is worked out otherwise than nodes do it: by halving the interval in which the level lies.
func unfair(tenants []Tenant, weight func(tenant string) float64) float64 {
	there, most := 0.0, 0.0
	for _, t := range tenants {
		there += float64(t.GoodputTokens)
		most = max(most, float64(t.OfferedTokens)/weight(t.Name))
	}
	if there == 0 {
		return math.NaN()
	}
	share := func(t *Tenant, level float64) float64 { return min(float64(t.OfferedTokens), level*weight(t.Name)) }
	low, high := 0.0, most
	for range 100 {
		mid, sum := (low+high)/2, 0.0
		for i := range tenants {
			sum += share(&tenants[i], mid)
		}
		if sum < there {
			low = mid
		} else {
			high = mid
		}
	}
	worst := 0.0
	for i := range tenants {
		if s := share(&tenants[i], high); s > 0 {
			worst = max(worst, math.Abs(float64(tenants[i].GoodputTokens)/s-1))
		}
	}
	return worst
}
