package report

import (
	"fmt"
	"math"
	"slices"

	"github.com/swarmpurse/swarmpurse/sim/result"
)

// series is something with a legend entry: a line, or an area between two lines.
type series struct {
	name   string
	ink    ink
	dash   int       // 0 for a solid line, else one of dashes
	points bool      // show each value
	x      []float64 // seconds, or a parameter
	upper  []float64 // the line
	lower  []float64 // nil for a line: the area's lower edge
	fill   float64   // opacity of the area
}

// isRange tells a range from a line and from an area that stands on others.
func (s *series) isRange() bool { return s.lower != nil && s.fill < areaFill }

const areaFill = 0.55

// mostLines is how many lines a chart shows one by one; each has a colour of its own.
const mostLines = 8

// seriesOf turns a panel's lines into what a chart shows. Lines that add up become areas, one on the other; of more
// than a few lines the chart shows how they are spread.
func seriesOf(p *result.Panel) []series {
	var all []series
	switch {
	case p.Stack:
		all = stacked(p)
	case len(p.Lines) > mostLines:
		all = spread(p)
	default:
		for i, l := range p.Lines {
			all = append(all, series{name: l.Name, ink: inkLines[i], upper: padded(l, len(p.At))})
		}
	}
	x := inSeconds(p.At)
	for i := range all {
		all[i].x = x
	}
	return all
}

// padded gives a line a value for each moment.
func padded(l result.Line, n int) []float64 {
	v := make([]float64, n)
	for i := range v {
		v[i] = valueAt(l, i)
	}
	return v
}

func stacked(p *result.Panel) []series {
	lines := p.Lines
	if len(lines) > mostLines { // the greatest keep their colours, the others share one
		lines = slices.Clone(lines)
		slices.SortStableFunc(lines, func(a, b result.Line) int {
			switch x, y := total(a), total(b); {
			case x > y:
				return -1
			case x < y:
				return 1
			}
			return 0
		})
		rest := result.Line{Name: fmt.Sprintf("%d others", len(lines)-mostLines+1), Values: make([]float64, len(p.At))}
		for _, l := range lines[mostLines-1:] {
			for i := range rest.Values {
				if v := valueAt(l, i); !math.IsNaN(v) {
					rest.Values[i] += v
				}
			}
		}
		lines = append(lines[:mostLines-1:mostLines-1], rest)
	}
	all, floor := make([]series, len(lines)), make([]float64, len(p.At))
	for i, l := range lines {
		top := make([]float64, len(p.At))
		for j := range top {
			top[j] = floor[j]
			if v := valueAt(l, j); !math.IsNaN(v) {
				top[j] += v
			}
		}
		all[i] = series{name: l.Name, ink: inkLines[i], upper: top, lower: floor, fill: areaFill}
		floor = top
	}
	return all
}

func total(l result.Line) (sum float64) {
	for _, v := range l.Values {
		if !math.IsNaN(v) {
			sum += v
		}
	}
	return sum
}

const middle = "the middle 80%"

// spread shows many lines as the range that they are in.
func spread(p *result.Panel) []series {
	n := len(p.At)
	quantiles := []float64{0, 0.1, 0.5, 0.9, 1}
	q := make([][]float64, len(quantiles))
	for k := range q {
		q[k] = make([]float64, n)
	}
	var here []float64
	for i := range n {
		here = here[:0]
		for _, l := range p.Lines {
			if v := valueAt(l, i); !math.IsNaN(v) {
				here = append(here, v)
			}
		}
		slices.Sort(here)
		for k, x := range quantiles {
			q[k][i] = math.NaN()
			if len(here) > 0 {
				q[k][i] = here[int(math.Round(x*float64(len(here)-1)))]
			}
		}
	}
	in := inkLines[0]
	return []series{
		{name: fmt.Sprintf("all %d", len(p.Lines)), ink: in, lower: q[0], upper: q[4], fill: 0.2},
		{name: middle, ink: in, lower: q[1], upper: q[3], fill: 0.4},
		{name: "median", ink: in, upper: q[2]},
	}
}
