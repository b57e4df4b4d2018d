package workload

import (
	"fmt"
	"math"
	"slices"
)

// Bounds of a stream.
const (
	MaxRate      = 1_000_000 // calls per second
	MaxNames     = 100_000   // tenants, and tenants times agents
	MaxDepth     = 1000
	MaxMultiple  = 10_000     // of Peak, High, Speed and Scale
	maxSize      = 10_000_000 // tokens
	maxZipfPower = 10
)

// FieldError is a field of a stream that cannot be as it is.
type FieldError struct {
	Field string // as scenarios call it: "rate", "burst.high", …
	What  string // what is wrong, and what would be right
}

func (e *FieldError) Error() string { return e.Field + " " + e.What }

// Check says what cannot be drawn about the stream. It is nil, or a *FieldError.
func (s *Stream) Check() error {
	var first error
	wrong := func(bad bool, field, format string, args ...any) {
		if bad && first == nil {
			first = &FieldError{field, fmt.Sprintf(format, args...)}
		}
	}
	within := func(v, low, high float64, field string) {
		wrong(!(v >= low && v <= high), field, "is %g, it must be between %g and %g", v, low, high)
	}
	wrong(!slices.Contains(Kinds, s.Kind), "kind", "cannot be %q", s.Kind)
	if s.Kind != Trace {
		wrong(!(s.Rate > 0 && s.Rate <= MaxRate), "rate", "is %g calls/s, it must be above 0 and at most %d", s.Rate, MaxRate)
		s.Prompt.check("prompt", wrong)
		s.Output.check("output", wrong)
	}
	wrong(s.From < 0, "from", "is negative")
	wrong(s.Until != 0 && s.Until <= s.From, "until", "is %v, which is not after from", s.Until)
	wrong(s.Max < 0 || s.Max > maxSize, "max", "is %d, it must be between 0 and %d", s.Max, maxSize)
	s.Runs.check("runs", wrong)
	wrong(s.Tenants < 0 || s.Tenants > MaxNames, "tenants", "is %d, it must be between 0 and %d", s.Tenants, MaxNames)
	wrong(s.Agents < 0 || s.Agents > MaxNames/max(1, s.Tenants), "agents", "is %d, it must be between 0 and %d", s.Agents, MaxNames/max(1, s.Tenants))
	within(s.Skew, 0, maxZipfPower, "skew")
	within(s.Nodes, 0, 1, "nodes")
	switch s.Kind {
	case Bursty:
		on, off := s.Burst.On.Seconds(), s.Burst.Off.Seconds()
		wrong(!(on >= 0.01), "burst.on", "is %v, it must be 10ms or more", s.Burst.On)
		wrong(!(off >= 0.01), "burst.off", "is %v, it must be 10ms or more", s.Burst.Off)
		most := (on + off) / on
		wrong(!(s.Burst.High >= 1 && s.Burst.High <= MaxMultiple), "burst.high", "is %g, it must be between 1 and %d", s.Burst.High, MaxMultiple)
		wrong(s.Burst.High > most, "burst.high", "is %g, but with bursts of %v and pauses of %v all calls are in bursts at %.4g already",
			s.Burst.High, s.Burst.On, s.Burst.Off, most)
	case Diurnal:
		wrong(s.Period <= 0, "period", "is %v, it must be more than 0", s.Period)
		within(s.Swing, 0, 1, "swing")
	case FlashCrowd:
		within(s.Peak, 1, MaxMultiple, "peak")
		wrong(s.Start < 0, "start", "is negative")
		wrong(s.Ramp < 0, "ramp", "is negative")
		wrong(s.Hold < 0, "hold", "is negative")
	case HotSpot:
		wrong(s.Hot < 1, "hot", "is %d, it must be at least 1", s.Hot)
		within(s.Part, 0, 1, "part")
		wrong(s.Period < 0, "period", "is negative")
	case Chain:
		wrong(s.Depth < 1 || s.Depth > MaxDepth, "depth", "is %d, it must be between 1 and %d", s.Depth, MaxDepth)
		s.Think.check("think", wrong)
	case Trace:
		wrong(s.Trace == "", "trace", "is missing: name a CSV file, or %s", AzureSample)
		within(s.Speed, 0, MaxMultiple, "speed")
		within(s.Scale, 0, MaxMultiple, "scale")
	}
	wrong(s.Depth != 0 && s.Kind != Chain, "depth", "goes with kind %s", Chain)
	return first
}

func (s Size) check(field string, wrong func(bool, string, string, ...any)) {
	wrong(s.Median < 1 || s.P99 < s.Median || s.P99 > maxSize, field,
		"has a median of %d and a 99th percentile of %d: it takes 1 <= median <= p99 <= %d", s.Median, s.P99, maxSize)
}

func (d Delay) check(field string, wrong func(bool, string, string, ...any)) {
	wrong(d.Median < 0 || d.P99 < d.Median || d.P99 > math.MaxInt64/(2*tail), field,
		"has a median of %v and a 99th percentile of %v: it takes 0 <= median <= p99", d.Median, d.P99)
	wrong(d.Median == 0 && d.P99 > 0, field, "has a median of 0 and a 99th percentile of %v: give a median above 0", d.P99)
}
