package report

import (
	"fmt"
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	"gonum.org/v1/plot"

	"github.com/swarmpurse/swarmpurse/sim/result"
)

var nan = math.NaN()

func labels(ticks []plot.Tick) string {
	var all []string
	for _, t := range ticks {
		all = append(all, t.Label)
	}
	return strings.Join(all, " ")
}

func TestTimeTicks(t *testing.T) {
	for _, c := range []struct {
		from, to float64
		want     string
	}{
		{0, 5, "0:00 0:01 0:02 0:03 0:04 0:05"},
		{0, 60, "0:00 0:10 0:20 0:30 0:40 0:50 1:00"},
		{7, 120, "0:15 0:30 0:45 1:00 1:15 1:30 1:45 2:00"},
		{0, 300, "0:00 1:00 2:00 3:00 4:00 5:00"},
		{0, 7200, "0:00 15:00 30:00 45:00 1:00:00 1:15:00 1:30:00 1:45:00 2:00:00"},
	} {
		if got := labels(timeTicks(c.from, c.to)); got != c.want {
			t.Errorf("%v to %v: %s, want %s", c.from, c.to, got, c.want)
		}
	}
}

func TestValueAxis(t *testing.T) {
	for _, c := range []struct {
		lo, hi float64
		unit   string
		want   string
	}{
		{0, 102, "calls/s", "0 25 50 75 100 125"},
		{80, 100, "calls/s", "80 85 90 95 100"}, // at 0 it would be a flat line
		{5, 5, "calls", "0 2 4 6"},
		{0, 0, "calls", "0 0.2 0.4 0.6 0.8 1"},
		{-5, -5, "", "-5 -4.8 -4.6 -4.4 -4.2 -4"},
		{0, 1.4e6, "tokens", "0 500k 1M 1.5M"},
		{0.5, 1, "fraction", "0% 20% 40% 60% 80% 100%"},
		{math.Inf(1), math.Inf(-1), "s", "0 0.2 0.4 0.6 0.8 1"},
	} {
		from, to := valueRange(c.lo, c.hi)
		if got := labels(valueTicks(from, to, axisText(c.unit))); got != c.want {
			t.Errorf("%v to %v %s: %s, want %s", c.lo, c.hi, c.unit, got, c.want)
		}
	}
}

func TestParameters(t *testing.T) {
	for _, c := range []struct {
		values []string
		at     []float64
		log    bool
	}{
		{[]string{"1", "2", "10"}, []float64{1, 2, 10}, false},
		{[]string{"0", "1000"}, []float64{0, 1000}, false},
		{[]string{"10", "1000"}, []float64{10, 1000}, true},
		{[]string{"100ms", "2s"}, []float64{0.1, 2}, false},
		{[]string{"1%", "5%"}, []float64{1, 5}, false},
		{[]string{"on", "5", "off"}, []float64{0, 1, 2}, false},
	} {
		if at, log := parameters(c.values); !slices.Equal(at, c.at) || log != c.log {
			t.Errorf("%v: %v %v, want %v %v", c.values, at, log, c.at, c.log)
		}
	}
}

func panel(stack bool, lines ...result.Line) *result.Panel {
	return &result.Panel{ID: "x", Stack: stack, At: []time.Duration{0, time.Second}, Lines: lines}
}

func TestStack(t *testing.T) {
	all := seriesOf(panel(true, result.Line{Name: "a", Values: []float64{1, 2}}, result.Line{Name: "b", Values: []float64{10, nan}}))
	if len(all) != 2 || !slices.Equal(all[1].lower, []float64{1, 2}) || !slices.Equal(all[1].upper, []float64{11, 2}) {
		t.Errorf("%+v", all)
	}
	var many []result.Line
	for i := range 12 {
		many = append(many, result.Line{Name: fmt.Sprint(i), Values: []float64{float64(i), float64(i)}})
	}
	all = seriesOf(panel(true, many...))
	if n := len(all); n != mostLines || all[0].name != "11" || all[n-1].name != "5 others" || all[n-1].upper[0] != 66 {
		t.Errorf("%d: %+v", n, all)
	}
}

func TestSpread(t *testing.T) {
	var many []result.Line
	for i := range 101 {
		many = append(many, result.Line{Name: "n", Values: []float64{float64(100 - i), nan}})
	}
	many = append(many, result.Line{Name: "n", Values: []float64{nan, nan}})
	all := seriesOf(panel(false, many...))
	var got []float64
	for _, s := range all {
		got = append(got, s.upper[0])
		if s.lower != nil {
			got = append(got, s.lower[0])
		}
		if !math.IsNaN(s.upper[1]) {
			t.Errorf("%s: a value of nothing", s.name)
		}
	}
	if want := []float64{100, 0, 90, 10, 50}; !slices.Equal(got, want) {
		t.Errorf("%v, want %v", got, want)
	}
}

func TestPieces(t *testing.T) {
	s := series{upper: []float64{nan, 1, 2, math.Inf(1), 3, nan}}
	if got := fmt.Sprint(s.pieces()); got != "[[1 3] [4 5]]" {
		t.Error(got)
	}
}

func TestLanes(t *testing.T) {
	s := time.Second
	all := lanes([]result.Mark{
		{At: 9 * s, Kind: "disk_slow"},
		{At: 1 * s, Until: 3 * s, Kind: "crash"},
		{At: 2 * s, Until: 5 * s, Kind: "crash"},
		{At: 5500 * time.Millisecond, Until: 6 * s, Kind: "crash"},
		{At: 8 * s, Until: 9 * s, Kind: "crash"},
	}, 1)
	if len(all) != 2 || all[0].kind != "crash" || fmt.Sprint(all[0].spans) != "[[1 6] [8 9]]" || all[1].kind != "disk slow" || fmt.Sprint(all[1].spans) != "[[9 9]]" {
		t.Errorf("%+v", all)
	}
}

// TestInks: a drawing's colours are told apart by their light values, so no two may be alike; and lines and letters
// must stand out from the paper in both themes.
func TestInks(t *testing.T) {
	seen := map[string]bool{}
	for _, i := range inks() {
		if h := hex(i.light); seen[h] {
			t.Errorf("ink %s: %s is another's too", i.name, h)
		} else {
			seen[h] = true
		}
	}
	luminance := func(v ...uint8) float64 {
		sum := 0.0
		for i, c := range v {
			f := float64(c) / 255
			if f <= 0.04045 {
				f /= 12.92
			} else {
				f = math.Pow((f+0.055)/1.055, 2.4)
			}
			sum += []float64{0.2126, 0.7152, 0.0722}[i] * f
		}
		return sum
	}
	contrast := func(a, b float64) float64 { return (max(a, b) + 0.05) / (min(a, b) + 0.05) }
	for _, i := range append([]ink{inkText, inkFaint}, inkLines...) {
		least := 2.2 // of a line; Okabe and Ito's orange and sky blue are light by design
		if i.name == "ink" || i.name == "faint" {
			least = 4.5
		}
		l, d, p := i.light, i.dark, inkPaper
		if c := contrast(luminance(l.R, l.G, l.B), luminance(p.light.R, p.light.G, p.light.B)); c < least {
			t.Errorf("ink %s on light paper: contrast %.1f", i.name, c)
		}
		if c := contrast(luminance(d.R, d.G, d.B), luminance(p.dark.R, p.dark.G, p.dark.B)); c < least {
			t.Errorf("ink %s on dark paper: contrast %.1f", i.name, c)
		}
	}
}

func TestParseChoice(t *testing.T) {
	for text, want := range map[string]string{
		"goodput":         "",
		"wait_p99[batch]": "",
		"goodput[batch]":  "all classes together",
		"wait_p99[batch":  "in brackets",
		"wait_p99[]":      "in brackets",
		"spent[pool]":     "",
		"spent":           "spent[gpu-pool]",
		"luck":            "choose from offered, admitted",
	} {
		_, err := ParseChoice(text)
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v, want %q", text, err, want)
		}
	}
}

func TestDifference(t *testing.T) {
	for _, c := range []struct {
		figure string
		a, b   float64
		want   Cell
	}{
		{"goodput", 0.97, 0.955, Cell{"-1.50 pp", -1}},
		{"overspend", 0.1, 0, Cell{"-10.00 pp", 1}},
		{"wait_p99", 0.25, 0.5, Cell{"+250 ms", -1}},
		{"bytes", 7600, 7600, Cell{"0", 0}},
		{"jain", 0.999991, 1, Cell{"0", 0}},
		{"local", 0.5, 0.50001, Cell{"0", 0}},
		{"offered", 1, 3, Cell{"+2", 0}},
		{"converge", 1, math.Inf(1), Cell{"-", 0}},
		{"local", nan, 1, Cell{"-", 0}},
	} {
		f, _ := result.FigureNamed(c.figure)
		if got := difference(f, c.a, c.b); got != c.want {
			t.Errorf("%s %v to %v: %v, want %v", c.figure, c.a, c.b, got, c.want)
		}
	}
}
