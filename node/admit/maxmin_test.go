package admit

import (
	"math"
	"testing"

	"pgregory.net/rapid"
)

func TestMaxMin(t *testing.T) {
	for _, c := range []struct {
		name  string
		there float64
		wants []want
		level float64
	}{
		{"nobody", 10, nil, math.Inf(1)},
		{"enough", 10, []want{{4, 1}, {6, 1}}, math.Inf(1)},
		{"one asks for all", 10, []want{{2, 1}, {200, 1}, {3, 1}}, 5},
		{"two ask for more than their parts", 10, []want{{9, 1}, {200, 1}, {2, 1}}, 4},
		{"by weight", 10, []want{{9, 3}, {200, 1}, {2, 1}}, 2},
		{"nothing there", 0, []want{{9, 3}, {0, 1}}, 0},
	} {
		if got := maxMin(c.there, c.wants); got != c.level {
			t.Errorf("%s: level %v, want %v", c.name, got, c.level)
		}
	}
}

// TestMaxMinLaws: nobody gets more than he asks for; what there is is given out, or everybody has what he asks for; and who has less
// than he asks for has no less for his weight than anybody else: so he could only be raised by lowering one who is as poor, or poorer.
func TestMaxMinLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		wants := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) want {
			return want{float64(rapid.IntRange(0, 1000).Draw(t, "asked")), float64(rapid.IntRange(1, 16).Draw(t, "weight"))}
		}), 1, 20).Draw(t, "wants")
		there := float64(rapid.IntRange(0, 8000).Draw(t, "there"))
		level, sum, asked := maxMin(there, wants), 0.0, 0.0
		for _, w := range wants {
			p := w.part(level)
			sum += p
			asked += w.asked
			if p > w.asked {
				t.Fatalf("%+v gets %v", w, p)
			}
			for _, o := range wants {
				if p < w.asked-1e-6 && o.part(level)/o.weight > p/w.weight+1e-6 {
					t.Fatalf("%+v gets %v, and %+v %v", w, p, o, o.part(level))
				}
			}
		}
		if math.Abs(sum-min(there, asked)) > 1e-6*(1+there) {
			t.Fatalf("%v of %v is given out, %v is asked for", sum, there, asked)
		}
	})
}
