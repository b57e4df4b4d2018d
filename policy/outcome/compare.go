package outcome

import "math"

// Intervals are confidence sequences: the chance that an interval ever leaves the true difference out, at whatever of all moments somebody
// looks, is at most what it says. So they may be looked at all the time and stopped by, which intervals after Welch or Student may not:
// those are right at one moment that was fixed before, and looked at again and again they find a difference sooner or later where none is.
//
// The mean of an arm's n numbers is m, their variance s². For a normal variable the likelihood ratio of a mean μ + d to μ, averaged over d
// by a normal distribution of the variance s²ρ², is
//
//	M(μ) = exp(n²ρ²(m − μ)² / (2s²(1 + nρ²))) / √(1 + nρ²),
//
// a martingale that begins at 1 under the true μ; by Ville's inequality it ever reaches 1/α with probability α at most (Robbins, Statistical
// methods related to the law of the iterated logarithm, Ann. Math. Stat. 41, 1970). It is the mixture sequential probability ratio test of the
// guard of package rollout, which averages over rates by a beta distribution instead. The arms are independent, so the product of theirs is
// one, too, and its least value over the mean of the first, which nobody knows, is below it. That least value has a closed form, as both
// exponents are parabolas: with wᵢ = 2sᵢ²(1 + nᵢρ²)/(nᵢ²ρ²) the true difference lies within
//
//	√((ln 1/α + ½ ln (1 + n₁ρ²)(1 + n₂ρ²)) · (w₁ + w₂))
//
// of the one that was seen, at all times at once, with probability 1 − α at least. Only n, sum and sum of squares are needed, which is what
// nodes can merge.
//
// Calls are not normal, and s² is estimated: the sequence is an asymptotic one (Waudby-Smith, Arbour, Sinha, Kennedy, Ramdas, Time-uniform
// central limit theory and asymptotic confidence sequences, Annals of Statistics 52, 2024). So nothing is concluded below leastCalls calls of
// each arm; and where few calls of many are above 0, a variance that happens to be small is not believed: see steady. TestCoverage holds it
// to what it says for rates, scores, and costs with long tails.

const (
	// Confidence is the chance that all intervals of one experiment, of all its arms and measures, hold at all times.
	Confidence = 0.95
	// leastCalls is from how many calls of each arm on anything is concluded.
	leastCalls = 100
	// rho2 is ρ²: intervals are the tightest at some 1,000 calls of each arm.
	rho2 = 0.01
	// doubt is how many numbers in the middle between two extremes a variance is estimated with.
	doubt = 2
)

// Measure is one thing that arms are compared by.
type Measure struct {
	Name    string
	Less    bool // is better
	bounded bool // 0 to 1
	of      func(*Sums) Moments
}

// Measures are all, in the order in which they are shown.
var Measures = []Measure{
	{Name: "score", bounded: true, of: func(s *Sums) Moments { return s.Score }},
	{Name: "cost", Less: true, of: func(s *Sums) Moments { return s.Cost }},
	{Name: "latency", Less: true, of: func(s *Sums) Moments { return s.Latency }},
	{Name: "refused", Less: true, bounded: true, of: func(s *Sums) Moments { return Moments{s.Calls, s.Refused, s.Refused} }},
}

// Verdicts on an arm, by one measure.
const (
	Better    = "better"
	Worse     = "worse"
	NoneYet   = "no difference seen yet"
	TooFewYet = "too few calls yet"
)

// Comparison is an arm beside the first one, by one measure.
type Comparison struct {
	Measure     string
	First, Here Moments
	// Difference is that of the means, and Low and High what the true one lies between. Known is false while there are too few calls.
	Difference, Low, High float64
	Known                 bool
	Verdict               string
}

// Compare holds an arm to the first one, by all measures, for an experiment of so many arms. Intervals of all together hold with Confidence.
func Compare(first, arm *Sums, arms int) []Comparison {
	alpha := (1 - Confidence) / float64(len(Measures)*max(1, arms-1))
	list := make([]Comparison, len(Measures))
	for i := range Measures {
		m := &Measures[i]
		c := &list[i]
		*c = Comparison{Measure: m.Name, First: m.of(first), Here: m.of(arm), Verdict: TooFewYet}
		c.Difference = c.Here.Mean() - c.First.Mean()
		radius, known := Radius(c.First, c.Here, m.bounded, alpha)
		if !known {
			continue
		}
		c.Known, c.Low, c.High, c.Verdict = true, c.Difference-radius, c.Difference+radius, NoneYet
		switch {
		case c.Low > 0 && !m.Less || c.High < 0 && m.Less:
			c.Verdict = Better
		case c.Low > 0 || c.High < 0:
			c.Verdict = Worse
		}
	}
	return list
}

// Radius is how far the true difference of two means lies at most from the one that was seen, at all times at once, but for a chance of alpha.
// bounded says that the numbers lie between 0 and 1. It is not known below leastCalls numbers of each.
func Radius(a, b Moments, bounded bool, alpha float64) (radius float64, known bool) {
	if a.N < leastCalls || b.N < leastCalls {
		return 0, false
	}
	span := 1.0
	if !bounded { // what most numbers are at most, as far as is known
		span = max(a.Mean(), b.Mean())
	}
	w, level := 0.0, math.Log(1/alpha)
	for _, m := range []Moments{a, b} {
		grown := 1 + m.N*rho2
		w += 2 * steady(m, span) * grown / (m.N * m.N * rho2)
		level += math.Log(grown) / 2
	}
	radius = math.Sqrt(level * w)
	return radius, !math.IsNaN(radius) && !math.IsInf(radius, 0)
}

// steady is the variance, as if doubt numbers more had lain half of a span away from the mean: of a hundred calls none of which failed,
// nobody knows that none ever fails.
func steady(m Moments, span float64) float64 {
	return (m.N*m.variance() + doubt*span*span/4) / m.N
}
