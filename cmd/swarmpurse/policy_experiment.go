package main

import (
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/swarmpurse/swarmpurse/cmd/swarmpurse/tables"
	"github.com/swarmpurse/swarmpurse/node/api"
)

// printExperiments shows how the arms of experiments compare.
func printExperiments(w *strings.Builder, of string, list []api.Experiment) {
	for _, e := range list {
		w.WriteByte('\n')
		which := "all calls"
		if e.When != "" {
			which = clean(e.When)
		}
		fields(w, "experiment", clean(e.Name)+of, "calls", which, "by", clean(e.By), "nodes", fmt.Sprint(e.Nodes))
		w.WriteByte('\n')
		t := tables.New("arm", "runs", "→calls", "→refused", "→scores", "→score", "→"+clean(e.Cost), "→latency")
		for _, a := range e.Arms {
			latency := "-"
			if a.LatencyMS != nil {
				latency = number(*a.LatencyMS) + " ms"
			}
			t.AppendRow(row(clean(a.Name), clean(a.Does), count(a.Calls), count(a.Refused), count(a.Scores), orDash(a.Score), orDash(a.Cost), latency))
		}
		w.WriteString(t.Render() + "\n")
		for _, a := range e.Arms {
			if a.Compared == nil {
				continue
			}
			fmt.Fprintf(w, "\n%s: %s\n", clean(a.Name), clean(a.Verdict))
			t := tables.New("measure", "→"+clean(e.Arms[0].Name), "→"+clean(a.Name), "→difference", "→"+fmt.Sprintf("%g%% between", 100*e.Confidence), "verdict")
			for _, c := range a.Compared {
				between := "-"
				if c.Low != nil && c.High != nil {
					between = measured(c.Measure, *c.Low, true) + " and " + measured(c.Measure, *c.High, true)
				}
				t.AppendRow(row(clean(c.Measure), measured(c.Measure, c.First, false), measured(c.Measure, c.Here, false), measured(c.Measure, c.Difference, true), between, clean(c.Verdict)))
			}
			w.WriteString(t.Render() + "\n")
		}
	}
}

func orDash(v *float64) string {
	if v == nil {
		return "-"
	}
	return number(*v)
}

// measured writes a number of a measure as people do; signed for differences.
func measured(measure string, v float64, signed bool) string {
	unit := ""
	switch measure {
	case "latency":
		v, unit = 1000*v, " ms"
	case "refused":
		v, unit = 100*v, "%"
	}
	s := strconv.FormatFloat(v, 'g', 3, 64)
	if math.Abs(v) >= 1000 && math.Abs(v) < 1e15 {
		s = strconv.FormatFloat(v, 'f', 0, 64)
	}
	if signed && v > 0 {
		s = "+" + s
	}
	return s + unit
}
