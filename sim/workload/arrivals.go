package workload

import (
	"math"
	"math/rand/v2"
)

// arrivals is a Poisson process whose rate changes over time: candidates come at the highest rate, and each is
// kept with a chance of the present rate beside the highest (thinning: Lewis and Shedler, 1979). Times are in
// seconds from the start of the run.
type arrivals struct {
	r       *rand.Rand
	now     float64
	until   float64
	highest float64                  // calls per second
	rate    func(at float64) float64 // at most highest; asked for growing times
}

func newArrivals(s *Stream, r *rand.Rand, until float64) *arrivals {
	a := &arrivals{r: r, now: s.From.Seconds(), until: until, highest: s.Rate}
	switch s.Kind {
	case Bursty:
		a.highest *= max(1, s.Burst.High)
		a.rate = bursts(s, r)
	case Diurnal:
		a.highest *= 1 + s.Swing
		a.rate = func(at float64) float64 {
			return s.Rate * (1 + s.Swing*math.Sin(2*math.Pi*at/s.Period.Seconds()))
		}
	case FlashCrowd:
		a.highest *= max(1, s.Peak)
		a.rate = func(at float64) float64 { return s.Rate * (1 + (s.Peak-1)*crowd(s, at)) }
	}
	return a
}

// next is the time of the next call, and false when there is none.
func (a *arrivals) next() (float64, bool) {
	if a.highest <= 0 {
		return 0, false
	}
	for {
		a.now += a.r.ExpFloat64() / a.highest
		if a.now >= a.until {
			return 0, false
		}
		if a.rate == nil || a.r.Float64()*a.highest < a.rate(a.now) {
			return a.now, true
		}
	}
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
func bursts(s *Stream, r *rand.Rand) func(float64) float64 {
	on, off := s.Burst.On.Seconds(), s.Burst.Off.Seconds()
	part := on / (on + off)
	high := s.Rate * s.Burst.High
	low := s.Rate * (1 - part*s.Burst.High) / (1 - part)
	burst, ends := r.Float64() < part, s.From.Seconds()
	stay := func() {
		if burst {
			ends += r.ExpFloat64() * on
		} else {
			ends += r.ExpFloat64() * off
		}
	}
	stay()
	return func(at float64) float64 {
		for at >= ends {
			burst = !burst
			stay()
		}
		if burst {
			return high
		}
		return low
	}
}
