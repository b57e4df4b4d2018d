package report

import (
	"math"
	"strconv"
	"strings"
	"time"

	"gonum.org/v1/plot"

	"github.com/swarmpurse/swarmpurse/sim/result"
)

// timeSteps are distances between ticks of a time axis.
var timeSteps = []time.Duration{
	time.Second, 2 * time.Second, 5 * time.Second, 10 * time.Second, 15 * time.Second, 30 * time.Second,
	time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 15 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 3 * time.Hour, 6 * time.Hour, 12 * time.Hour, 24 * time.Hour, 7 * 24 * time.Hour,
}

const mostTimeTicks = 8

// timeTicks marks a time axis, in seconds, as m:ss.
func timeTicks(from, to float64) []plot.Tick {
	step := timeSteps[len(timeSteps)-1].Seconds()
	for _, s := range timeSteps {
		if (to-from)/s.Seconds() <= mostTimeTicks {
			step = s.Seconds()
			break
		}
	}
	var ticks []plot.Tick
	for i := math.Ceil(from/step - 1e-9); i*step <= to+1e-9*step; i++ {
		ticks = append(ticks, plot.Tick{Value: i * step, Label: clock(time.Duration(i*step*float64(time.Second)), false)})
	}
	return ticks
}

// valueTicks marks an axis at round numbers, some four to six.
func valueTicks(from, to float64, text func(float64) string) []plot.Tick {
	step := niceStep((to - from) / 5)
	var ticks []plot.Tick
	for i := math.Ceil(from/step - 1e-9); i*step <= to+1e-9*step; i++ {
		v := i * step
		ticks = append(ticks, plot.Tick{Value: v, Label: text(v)})
	}
	return ticks
}

// niceStep is 1, 2, 2.5 or 5 times a power of ten, and at least raw.
func niceStep(raw float64) float64 {
	p := math.Pow(10, math.Floor(math.Log10(raw)))
	for _, m := range []float64{1, 2, 2.5, 5} {
		if m*p >= raw*(1-1e-9) {
			return m * p
		}
	}
	return 10 * p
}

// valueRange is what an axis must span to show values from lo to hi; it begins at 0 unless that would flatten what
// there is to see.
func valueRange(lo, hi float64) (from, to float64) {
	if math.IsInf(lo, 0) || math.IsInf(hi, 0) || lo > hi { // there are no values
		return 0, 1
	}
	flat := lo == hi
	if lo >= 0 && (hi-lo > hi/5 || flat) {
		lo = 0
	}
	if hi <= 0 && flat {
		hi, flat = lo+1, false
	}
	step := niceStep((hi - lo) / 5)
	from, to = math.Floor(lo/step+1e-9)*step, math.Ceil(hi/step-1e-9)*step
	if from == to || flat && to == hi { // a line along the edge is hard to see
		to += step
	}
	return from, to
}

// axisText writes a tick of a unit, short: 50k, 1.5M, 20%.
func axisText(unit string) func(float64) string {
	if unit == string(result.Fraction) {
		return func(v float64) string { return short(100*v) + "%" }
	}
	return short
}

// short writes a number with k, M, G or T, as policies do.
func short(v float64) string {
	a := math.Abs(v)
	for _, s := range []struct {
		at   float64
		text string
	}{{1e12, "T"}, {1e9, "G"}, {1e6, "M"}, {1e3, "k"}} {
		if a >= s.at {
			return strconv.FormatFloat(v/s.at, 'g', 4, 64) + s.text
		}
	}
	return strconv.FormatFloat(math.Round(v*1e9)/1e9+0, 'g', 4, 64) // + 0: zero has no sign
}

// parameters places the values of a sweep on an axis: as numbers if all are numbers or durations, on a logarithmic
// scale if they span much, and else one beside the other.
func parameters(values []string) (at []float64, log bool) {
	at = make([]float64, len(values))
	for i, v := range values {
		if f, err := strconv.ParseFloat(strings.TrimSuffix(v, "%"), 64); err == nil {
			at[i] = f
		} else if d, err := time.ParseDuration(v); err == nil {
			at[i] = d.Seconds()
		} else {
			for j := range at {
				at[j] = float64(j)
			}
			return at, false
		}
	}
	lo, hi := math.Inf(1), math.Inf(-1)
	for _, v := range at {
		lo, hi = min(lo, v), max(hi, v)
	}
	return at, lo > 0 && hi/lo > 30
}
