package workload

import (
	"math"
	"math/rand/v2"
	"sort"
	"time"
)

// dice is a generator of its own for each thing that is drawn apart, so that one more draw here changes nothing
// there: the streams of a source, its chains and its hot spots do not share dice.
func dice(seed uint64, of string, n uint64) *rand.Rand {
	h := uint64(14695981039346656037) // FNV-1a
	for i := range len(of) {
		h = (h ^ uint64(of[i])) * 1099511628211
	}
	return rand.New(rand.NewPCG(mix(seed^mix(h)), mix(n+0x9e3779b97f4a7c15)))
}

// mix spreads the bits of x (the finalizer of SplitMix64: Steele, Lea, Flood, OOPSLA 2014).
func mix(x uint64) uint64 {
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}

// z99 is the 99th percentile of the standard normal distribution.
const z99 = 2.3263478740408408

// tail is how far above the 99th percentile draws are cut, as a multiple of it.
const tail = 10

// lognormal draws from the lognormal distribution with that median and 99th percentile.
func lognormal(r *rand.Rand, median, p99 float64) float64 {
	if median <= 0 {
		return 0
	}
	if p99 <= median {
		return median
	}
	return min(median*math.Exp(math.Log(p99/median)/z99*r.NormFloat64()), tail*p99)
}

// Draw draws a number of tokens, at least 1.
func (s Size) Draw(r *rand.Rand) int64 {
	return max(1, int64(math.Round(lognormal(r, float64(s.Median), float64(s.P99)))))
}

// Draw draws a duration.
func (d Delay) Draw(r *rand.Rand) time.Duration {
	return time.Duration(lognormal(r, float64(d.Median), float64(d.P99)))
}

// minGuess is the least that Guess says.
const minGuess = 32

// Guess is the max_output_tokens that a caller states who has a fair idea of the answer's length: the next power
// of two, at least 32.
func Guess(output int64) int64 {
	limit := int64(minGuess)
	for limit < output {
		limit *= 2
	}
	return limit
}

// DefaultRuns is how long a call runs whose stream does not say: a second for 10,000 prompt tokens and for 50 of
// the output, which is about what present servers do.
func DefaultRuns(prompt, output int64) time.Duration {
	return time.Duration(prompt)*time.Second/10_000 + time.Duration(output)*time.Second/50
}

// zipf draws from 0..n-1, k with a weight of (k+1)^-s.
type zipf struct{ upTo []float64 }

func newZipf(n int, s float64) zipf {
	z, sum := zipf{make([]float64, n)}, 0.0
	for k := range n {
		sum += math.Pow(float64(k+1), -s)
		z.upTo[k] = sum
	}
	return z
}

func (z zipf) draw(r *rand.Rand) int {
	n := len(z.upTo)
	if n == 1 {
		return 0
	}
	return min(sort.SearchFloat64s(z.upTo, r.Float64()*z.upTo[n-1]), n-1)
}
