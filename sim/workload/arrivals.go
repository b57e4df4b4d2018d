package workload

import (
	"math"
	"math/rand/v2"
)

// arrivals is a Poisson process whose rate changes over time: candidates come at the highest rate of the present
// phase, and each is kept with a chance of the present rate beside the highest (thinning: Lewis and Shedler, 1979).
// Times are in seconds from the start of the run.
type arrivals struct {
	r     *rand.Rand
	now   float64
	until float64
	// phase tells of the time from at on: the highest rate, and how long that is so.
	phase   func(at float64) (highest, ends float64)
	rate    func(at float64) float64 // at most the highest; nil if it is just that
	highest float64
	ends    float64
}

func newArrivals(s *Stream, r *rand.Rand, until float64) *arrivals {
	a := &arrivals{r: r, now: s.From.Seconds(), until: until}
	a.phase = func(float64) (float64, float64) { return s.Rate, math.Inf(1) }
	switch s.Kind {
	case Bursty:
		a.phase = bursts(s, r)
	case Diurnal:
		a.phase = func(float64) (float64, float64) { return s.Rate * (1 + s.Swing), math.Inf(1) }
		a.rate = func(at float64) float64 {
			return s.Rate * (1 + s.Swing*math.Sin(2*math.Pi*at/s.Period.Seconds()))
		}
	case FlashCrowd:
		comes := s.Start.Seconds()
		goes := comes + (s.Ramp + s.Hold + s.Ramp).Seconds()
		a.phase = func(at float64) (float64, float64) {
			switch {
			case at < comes:
				return s.Rate, comes
			case at < goes:
				return s.Rate * s.Peak, goes
			}
			return s.Rate, math.Inf(1)
		}
		a.rate = func(at float64) float64 { return s.Rate * (1 + (s.Peak-1)*crowd(s, at)) }
	}
	a.highest, a.ends = a.phase(a.now)
	return a
}

// next is the time of the next call, and false when there is none.
func (a *arrivals) next() (float64, bool) {
	for a.now < a.until {
		step := math.Inf(1)
		if a.highest > 0 {
			step = a.r.ExpFloat64() / a.highest
		}
		if a.now+step >= a.ends { // what comes later does not depend on how long nothing came
			a.now = a.ends
			a.highest, a.ends = a.phase(a.now)
			continue
		}
		if a.now += step; a.now < a.until && (a.rate == nil || a.r.Float64()*a.highest < a.rate(a.now)) {
			return a.now, true
		}
	}
	return 0, false
}

// crowd is how far a flash crowd has come, from 0 to 1.
func crowd(s *Stream, at float64) float64 {
	ramp, hold := s.Ramp.Seconds(), s.Hold.Seconds()
	switch t := at - s.Start.Seconds(); {
	case t < 0 || t >= ramp+hold+ramp:
		return 0
	case t < ramp:
		return t / ramp
	case t < ramp+hold:
		return 1
	default:
		return (ramp + hold + ramp - t) / ramp
	}
}

// bursts lives through the two states of a Markov-modulated Poisson process, starting as likely in each as it is
// at any time. Times in a state are exponential.
func bursts(s *Stream, r *rand.Rand) func(float64) (float64, float64) {
	on, off := s.Burst.On.Seconds(), s.Burst.Off.Seconds()
	part := on / (on + off)
	high := s.Rate * s.Burst.High
	low := max(0, s.Rate*(1-part*s.Burst.High)/(1-part))
	burst := r.Float64() >= part // turned at once
	return func(at float64) (float64, float64) {
		if burst = !burst; burst {
			return high, at + r.ExpFloat64()*on
		}
		return low, at + r.ExpFloat64()*off
	}
}
