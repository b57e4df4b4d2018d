package outcome

import (
	"flag"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"pgregory.net/rapid"
)

var seeds = flag.Int("outcome.seeds", 400, "how many runs TestCoverage makes of each kind")

// TestCoverage: of runs that are looked at all the time, the part whose interval ever leaves the true difference out is below what it says;
// and a difference is found.
func TestCoverage(t *testing.T) {
	const alpha = 0.05
	bernoulli := func(p float64) func(*rand.Rand) float64 {
		return func(r *rand.Rand) float64 {
			if r.Float64() < p {
				return 1
			}
			return 0
		}
	}
	lognormal := func(sigma float64) func(*rand.Rand) float64 {
		return func(r *rand.Rand) float64 { return math.Exp(sigma*r.NormFloat64() - sigma*sigma/2) }
	}
	constant := func(v float64) func(*rand.Rand) float64 { return func(*rand.Rand) float64 { return v } }
	for _, test := range []struct {
		name       string
		a, b       func(*rand.Rand) float64
		difference float64
		bounded    bool
		every      int // calls of the first arm to one of the second
		found      float64
	}{
		{"scores", bernoulli(0.7), bernoulli(0.7), 0, true, 1, 0},
		{"nearly all are good", bernoulli(0.995), bernoulli(0.995), 0, true, 1, 0},
		{"few are refused, one in ten to an arm", bernoulli(0.01), bernoulli(0.01), 0, true, 9, 0},
		{"costs of long tails", lognormal(1), lognormal(1), 0, false, 1, 0},
		{"latencies of very long tails", lognormal(1.5), lognormal(1.5), 0, false, 1, 0},
		{"a constant", constant(1), constant(1), 0, false, 1, 0},
		{"scores a tenth better", bernoulli(0.7), bernoulli(0.8), 0.1, true, 1, 0.95},
		{"costs a third lower", lognormal(1), func(r *rand.Rand) float64 { return lognormal(1)(r) * 2 / 3 }, -1.0 / 3, false, 1, 0.95},
	} {
		left, found := 0, 0
		for seed := range *seeds {
			r := rand.New(rand.NewPCG(uint64(seed), 7))
			var a, b Moments
			out, sure := false, false
			for i := range 3000 {
				a.Add(test.a(r))
				if i%test.every == 0 {
					b.Add(test.b(r))
				}
				if i%20 != 0 {
					continue
				}
				radius, known := Radius(a, b, test.bounded, alpha)
				seen := b.Mean() - a.Mean()
				out = out || known && math.Abs(seen-test.difference) > radius
				sure = sure || known && math.Abs(seen) > radius
			}
			if out {
				left++
			}
			if sure {
				found++
			}
		}
		t.Logf("%s: the truth was left out in %d of %d runs, a difference found in %d", test.name, left, *seeds, found)
		if part := float64(left) / float64(*seeds); part > alpha {
			t.Errorf("%s: the truth was left out in %.1f %% of runs, %.1f %% are allowed", test.name, 100*part, 100*alpha)
		}
		if float64(found) < test.found*float64(*seeds) {
			t.Errorf("%s: a difference was found in %d of %d runs only", test.name, found, *seeds)
		}
	}
}

func TestCompare(t *testing.T) {
	many := func(n int, refused float64, latency, cost, score float64) *Sums {
		s := &Sums{Calls: float64(n), Refused: refused}
		for i := range n {
			wobble := 1 + float64(i%5-2)/10
			s.Latency.Add(latency * wobble)
			s.Cost.Add(cost * wobble)
			s.Score.Add(score * wobble)
		}
		return s
	}
	first := many(1000, 20, 1, 1000, 0.7)
	for _, test := range []struct {
		arm  *Sums
		want []string // score, cost, latency, refused
	}{
		{many(1000, 20, 1, 1000, 0.7), []string{NoneYet, NoneYet, NoneYet, NoneYet}},
		{many(1000, 300, 2, 500, 0.5), []string{Worse, Better, Worse, Worse}},
		{many(1000, 20, 0.5, 2000, 0.8), []string{Better, Worse, Better, NoneYet}},
		{many(99, 0, 9, 9, 0.1), []string{TooFewYet, TooFewYet, TooFewYet, TooFewYet}},
	} {
		for i, c := range Compare(first, test.arm, 2) {
			if c.Verdict != test.want[i] || c.Known && !(c.Low <= c.Difference && c.Difference <= c.High) {
				t.Errorf("%s: %+v, want %s", c.Measure, c, test.want[i])
			}
		}
	}
	if two, eight := Compare(first, many(500, 0, 1, 1, 1), 2)[0], Compare(first, many(500, 0, 1, 1, 1), 8)[0]; eight.High-eight.Low <= two.High-two.Low {
		t.Error("intervals of more arms are not wider")
	}
}

func drawRow(t *rapid.T) Row {
	return Row{Life{rapid.SampledFrom([]string{"a", "b"}).Draw(t, "node"), rapid.Int64Range(0, 2).Draw(t, "began")},
		rapid.SliceOfN(rapid.SampledFrom([]float64{0, 0.5, 3, 1e12}), 0, 4).Draw(t, "values")}
}

// TestBoardLaws: states merge in any order and any number of times, and only what is news is news.
func TestBoardLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.SliceOfN(rapid.Custom(drawRow), 0, 12).Draw(t, "rows")
		var a, b Board
		for _, r := range rows {
			a.Merge(r)
		}
		for _, i := range rapid.Permutation(indexes(len(rows))).Draw(t, "order") {
			b.Merge(rows[i])
			if b.Merge(rows[i]) {
				t.Fatal("what is known is news")
			}
		}
		if !slices.EqualFunc(a.Rows(), b.Rows(), func(x, y Row) bool { return x.Life == y.Life && slices.Equal(x.Values, y.Values) }) {
			t.Fatalf("%v\n%v", a.Rows(), b.Rows())
		}
	})
	var full Board
	for i := range MaxLives + 5 {
		full.Merge(Row{Life{"n", int64(i)}, []float64{1}})
	}
	if len(full.Rows()) != MaxLives || full.Sum()[0] != MaxLives || full.Merge(Row{Life{"z", 0}, nil}) || !full.Merge(Row{Life{"a", 0}, nil}) {
		t.Error("it is not bounded by name")
	}
	for _, r := range []Row{{}, {Life{"n", -1}, nil}, {Life{"n", 0}, []float64{-1}}, {Life{"n", 0}, []float64{math.NaN()}}, {Life{"n", 0}, []float64{math.Inf(1)}}, {Life{"n", 0}, make([]float64, MaxValues+1)}} {
		if r.Valid() == nil {
			t.Errorf("%v is valid", r.Life)
		}
	}
}

func indexes(n int) []int {
	list := make([]int, n)
	for i := range list {
		list[i] = i
	}
	return list
}

// TestSumsComeBack: what is written into a row is read from it, also by a version that knows another number of arms.
func TestSumsComeBack(t *testing.T) {
	arms := []Sums{{Calls: 5, Refused: 1, Latency: Moments{1, 2, 3}, Cost: Moments{4, 5, 6}, Score: Moments{7, 8, 9}}, {Calls: 7}}
	if got := Arms(Values(arms), 2); !slices.Equal(got, arms) {
		t.Errorf("%+v", got)
	}
	if got := Arms(Values(arms)[:perArm+3], 3); got[0] != arms[0] || got[1] != (Sums{}) {
		t.Errorf("%+v", got)
	}
}

// TestBoards: a node tells what it counted and, in turns, what others did, so that all know all, also who joins when the rest are gone; it writes
// what is news, and forgets what nobody wants any more.
func TestBoards(t *testing.T) {
	id, other := ID{1}, ID{2}
	nodes := map[string]*Boards{}
	start := func(name string, began int64, load []Row) *Boards {
		b := &Boards{}
		b.Begin(Life{name, began}, 25_000)
		b.Load(id, load)
		if gone := b.Keep([]ID{id, id}); gone != nil {
			t.Fatal(gone)
		}
		nodes[name] = b
		return b
	}
	a, b := start("a", 1, nil), start("b", 1, nil)
	now, messages := int64(0), 0
	pass := func(ms int64) {
		for end := now + ms; now < end; now += 500 {
			for from, x := range nodes {
				tell, _ := x.Tick(now, len(nodes))
				for _, m := range tell {
					messages++
					for to, y := range nodes {
						if to != from {
							y.Receive(m.ID, m.Rows)
						}
					}
				}
			}
		}
	}
	a.Count(id, []float64{5})
	b.Count(id, []float64{7, 1})
	a.Count(other, []float64{1}) // is not kept
	pass(2500)
	for name, x := range nodes {
		if sum, lives := x.Sum(id); !slices.Equal(sum, []float64{12, 1}) || lives != 2 {
			t.Errorf("%s: %v of %d", name, sum, lives)
		}
		if sum, _ := x.Sum(other); sum != nil {
			t.Error(sum)
		}
	}
	if messages = 0; true {
		if pass(20_000); messages > 0 {
			t.Errorf("%d messages about nothing new", messages)
		}
	}
	// b ends. c, which joins, hears of its calls from a; and a, started again without what it had, of its own.
	delete(nodes, "b")
	c := start("c", 50, nil)
	a = start("a", 60, nil)
	c.Receive(id, b.Rows(id))
	pass(90_000)
	for name, x := range nodes {
		if sum, lives := x.Sum(id); !slices.Equal(sum, []float64{12, 1}) || lives != 2 {
			t.Errorf("%s: %v of %d", name, sum, lives)
		}
	}
	// Nobody else counts for this run, and what is counted is written, at the end at once.
	if a.Receive(id, []Row{{Life{"a", 60}, []float64{99}}}) {
		t.Error("a peer counts for this run")
	}
	a.Last()
	if a.Count(id, []float64{3}); !slices.Equal(a.Last(), []ID{id}) || a.Last() != nil {
		t.Error("it is not written once")
	}
	if gone := a.Keep([]ID{other}); !slices.Equal(gone, []ID{id}) || a.Rows(id) != nil {
		t.Error(gone)
	}
	// Sums take their part of gossip's ceiling, however many tell them.
	big := make([]float64, 96)
	if few, many := a.pause(3, []Row{{Life{"a", 60}, big}}), a.pause(1000, []Row{{Life{"a", 60}, big}}); few > 3000 || many < 100_000 {
		t.Errorf("pauses of %d and %d ms", few, many)
	}
}
