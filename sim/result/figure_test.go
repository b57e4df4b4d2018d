package result

import (
	"math"
	"testing"
	"time"
)

func TestUnitText(t *testing.T) {
	for _, c := range []struct {
		unit Unit
		v    float64
		want string
	}{
		{Fraction, 0.987, "98.7%"},
		{Fraction, 1, "100.0%"},
		{Fraction, 0.99999, "99.999%"}, // not all
		{Fraction, 0.0001, "0.01%"},    // not nothing
		{Fraction, 1e-9, "1e-07%"},
		{Fraction, 0, "0.0%"},
		{Fraction, -0.02, "-2.0%"},
		{Tokens, 1234567, "1,234,567"},
		{Calls, 0, "0"},
		{Seconds, 0, "0"},
		{Seconds, 27e-6, "27 µs"},
		{Seconds, 0.0074, "7.4 ms"},
		{Seconds, 0.25, "250 ms"},
		{Seconds, 5.003, "5.00 s"},
		{Seconds, 61.26, "61.3 s"},
		{Seconds, 300, "5m0s"},
		{Seconds, math.Inf(1), "never"},
		{BytesPerSecond, 7600, "7.6 kB/s"},
		{BytesPerSecond, -7600, "-7.6 kB/s"},
		{BytesPerSecond, 25_120, "25.1 kB/s"},
		{BytesPerSecond, 999.6, "1000 B/s"},
		{BytesPerSecond, 100, "100 B/s"},
		{BytesPerSecond, 0.5, "0.5 B/s"},
		{BytesPerSecond, 0, "0 B/s"},
		{BytesPerSecond, 2_500_000, "2.5 MB/s"},
		{Number, 0.98765, "0.9877"},
		{Number, -9e-6, "0"},
		{Number, 0.0071, "0.0071"},
		{Number, math.NaN(), "-"},
	} {
		if got := c.unit.Text(c.v); got != c.want {
			t.Errorf("%q.Text(%v) = %q, want %q", c.unit, c.v, got, c.want)
		}
	}
}

func TestFigureOf(t *testing.T) {
	s := &System{
		Offered: 10, Goodput: 0.5, Converge: -1, Stale: 2 * time.Second, Queue: 7, Recover: 1.5,
		Classes: []Class{
			{Name: "interactive", Offered: 6, Admitted: 5, WaitP99: 20 * time.Millisecond, InBudget: 0.8, Price: 1.5},
			{Name: "batch", Offered: 4, Admitted: 4, WaitP99: 3 * time.Second, InBudget: 0.9, Price: 2, Reserved: 600, Charged: 200, Overrun: 50},
			{Name: "starved", Offered: 1, WaitP99: 0, InBudget: math.NaN()},
		},
		Budgets: []Budget{{Name: "vouchers", Burned: 40}},
	}
	for _, c := range []struct {
		figure, class string
		want          float64
	}{
		{"offered", "", 10},
		{"offered", "batch", 4},
		{"goodput", "", 0.5},
		{"goodput", "batch", math.NaN()}, // not told by class
		{"wait_p99", "interactive", 0.02},
		{"wait_p99", "", 3}, // the slowest class that admitted any
		{"wait_p99", "starved", math.NaN()},
		{"wait_p99", "unknown", math.NaN()},
		{"in_budget", "", 0.8}, // the worst
		{"converge", "", math.Inf(1)},
		{"staleness", "", 2},
		{"queue", "", 7},
		{"recover", "", 1.5},
		{"paid", "", 2}, // of the class that paid most
		{"paid", "starved", math.NaN()},
		{"set_aside", "batch", 3},
		{"overrun", "batch", 0.25},
		{"overrun", "interactive", math.NaN()},
		{"burned", "vouchers", 40},
		{"burned", "", math.NaN()}, // budgets count in tokens of their own
		{"burned", "batch", math.NaN()},
	} {
		f, ok := FigureNamed(c.figure)
		if !ok {
			t.Fatalf("no figure %q", c.figure)
		}
		if got := f.Of(s, c.class); got != c.want && !(math.IsNaN(got) && math.IsNaN(c.want)) {
			t.Errorf("%s of class %q is %v, want %v", c.figure, c.class, got, c.want)
		}
	}
	if _, ok := FigureNamed("luck"); ok {
		t.Error("there is a figure of luck")
	}
}

func TestFigureNamesAreUnique(t *testing.T) {
	seen := map[string]bool{}
	for _, f := range Figures {
		if seen[f.Name] || f.Title == "" || f.What == "" {
			t.Errorf("figure %q: twice, or without words", f.Name)
		}
		seen[f.Name] = true
	}
}
