package report

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/swarmpurse/swarmpurse/sim/result"
)

// overTime makes the x axis one of time, from the start of the run, with faults on it.
func (c *Chart) overTime(marks []result.Mark) {
	c.span()
	c.from = min(c.from, 0)
	c.xLabel = "time (m:ss)"
	if c.to >= time.Hour.Seconds() {
		c.xLabel = "time (h:mm:ss)"
	}
	c.xTicks = timeTicks(c.from, c.to)
	seen := slices.DeleteFunc(slices.Clone(marks), func(m result.Mark) bool {
		return m.At.Seconds() > c.to || max(m.At, m.Until).Seconds() < c.from
	})
	c.marks = lanes(seen, (c.to-c.from)/float64(chartWidth))
}

// lanes sorts faults by kind, those seen first first. Faults of a kind with no more than a gap between them become
// one: at the width of a chart they cannot be told apart.
func lanes(marks []result.Mark, gap float64) []lane {
	marks = slices.Clone(marks)
	slices.SortStableFunc(marks, func(a, b result.Mark) int { return cmp.Compare(a.At, b.At) })
	var all []lane
	for _, m := range marks {
		i := slices.IndexFunc(all, func(l lane) bool { return l.kind == words(m.Kind) })
		if i < 0 {
			i = len(all)
			all = append(all, lane{kind: words(m.Kind), ink: inkMarks[i%len(inkMarks)]})
		}
		from, until := m.At.Seconds(), max(m.At, m.Until).Seconds()
		l := &all[i]
		if n := len(l.spans); n > 0 && from <= l.spans[n-1][1]+gap {
			l.spans[n-1][1] = max(l.spans[n-1][1], until)
			continue
		}
		l.spans = append(l.spans, [2]float64{from, until})
	}
	return all
}

// words writes an identifier for people: disk_slow is "disk slow".
func words(id string) string { return strings.ReplaceAll(id, "_", " ") }

// fileName makes an identifier safe for a file's name.
func fileName(id string) string {
	return strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || r == '-' || r == '_' {
			return r
		}
		return '-'
	}, id)
}
