package workload

import (
	"cmp"
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"pgregory.net/rapid"
)

// base is a stream that other tests change.
func base(kind Kind, rate float64) Stream {
	return Stream{
		Name: "s", Kind: kind, Rate: rate, Class: "standard", Model: "m", Prompt: Size{1000, 4000}, Output: Size{100, 900}, Max: 600,
		Runs: Delay{time.Second, 5 * time.Second}, Tenant: "t", Tenants: 3, Skew: 1, Agents: 2,
		Burst: Burst{4, 2 * time.Second, 8 * time.Second}, Period: 20 * time.Second, Swing: 0.8, Start: 30 * time.Second, Peak: 10,
		Ramp: 5 * time.Second, Hold: 10 * time.Second, Hot: 2, Part: 0.7, Think: Delay{time.Second, 3 * time.Second}, Trace: AzureSample,
	}
}

func config(seed uint64, length time.Duration, streams ...Stream) Config {
	for i := range streams {
		if streams[i].Kind == Chain && streams[i].Depth == 0 {
			streams[i].Depth = 3
		}
	}
	return Config{
		Streams: streams, Zones: []string{"a", "b", "a", "b", "a", "b", "a", "b", "a", "b"}, Seed: seed, Duration: length,
		Traces: map[string]*Recording{AzureSample: Sample()},
	}
}

// all draws the whole workload, as if each call ended after its time.
func all(t testing.TB, c Config) []Call {
	t.Helper()
	src, err := New(c)
	if err != nil {
		t.Fatal(err)
	}
	var list, own []Call
	for call, ok := src.Next(); ok; call, ok = src.Next() {
		own = append(own, call)
	}
	for list = own; len(own) > 0; {
		next := src.Follow(&own[0], own[0].At+own[0].Runs, true)
		list, own = append(list, next...), append(own[1:], next...)
	}
	return list
}

func TestRates(t *testing.T) {
	const length = 600 * time.Second
	for _, c := range []struct {
		kind Kind
		want float64 // calls in all; 20 per second are 12,000
		tol  float64
	}{
		{Poisson, 12_000, 0.03},
		{Bursty, 12_000, 0.15}, // 60 bursts only
		{Diurnal, 12_000, 0.03},
		{FlashCrowd, 12_000 + 20*9*15, 0.03},
		{HotSpot, 12_000, 0.03},
		{Chain, 12_000 * 3.98, 0.03}, // the last chains are cut
		{Trace, float64(len(Sample().Rows)), 0},
	} {
		n := 0.0
		const seeds = 5
		for seed := range uint64(seeds) {
			n += float64(len(all(t, config(seed, length, base(c.kind, 20))))) / seeds
		}
		if math.Abs(n-c.want) > c.tol*c.want {
			t.Errorf("%s: %.0f calls in ten minutes, want %.0f", c.kind, n, c.want)
		}
	}
}

// perSecond counts calls.
func perSecond(calls []Call, seconds int) []float64 {
	n := make([]float64, seconds)
	for _, c := range calls {
		n[c.At/1000]++
	}
	return n
}

func TestPoissonIsNotBurstyAndBurstyIs(t *testing.T) {
	if d := dispersion(perSecond(all(t, config(1, 600*time.Second, base(Poisson, 20))), 600)); d < 0.8 || d > 1.25 {
		t.Errorf("poisson: index of dispersion %.2f, want 1", d)
	}
	// In bursts (a fifth of the time) 80 per second, and 5 between: the variance of the rate is 30², the mean 20.
	if d := dispersion(perSecond(all(t, config(1, 600*time.Second, base(Bursty, 20))), 600)); d < 20 || d > 60 {
		t.Errorf("bursty: index of dispersion %.1f, want about 46", d)
	}
}

func TestDiurnalSwings(t *testing.T) {
	counts := make([]float64, 4) // quarters of a day
	for _, c := range all(t, config(1, 600*time.Second, base(Diurnal, 20))) {
		counts[c.At%20_000/5000]++
	}
	// The mean of a quarter is 1 ± 0.8·2/π of the whole's.
	for q, sign := range []float64{1, 1, -1, -1} {
		if want := 3000 * (1 + sign*0.8*2/math.Pi); math.Abs(counts[q]-want) > 0.06*want {
			t.Errorf("quarter %d of the day has %.0f calls, want %.0f", q, counts[q], want)
		}
	}
}

func TestFlashCrowdComesAndGoes(t *testing.T) {
	n := perSecond(all(t, config(1, 90*time.Second, base(FlashCrowd, 20))), 90)
	mean := func(from, to int) float64 {
		sum := 0.0
		for _, x := range n[from:to] {
			sum += x / float64(to-from)
		}
		return sum
	}
	for _, c := range []struct {
		from, to int
		want     float64
	}{{0, 30, 20}, {35, 45, 200}, {30, 35, 110}, {45, 50, 110}, {50, 90, 20}} {
		if got := mean(c.from, c.to); math.Abs(got-c.want) > 0.15*c.want {
			t.Errorf("from %d to %d s: %.1f calls/s, want %.0f", c.from, c.to, got, c.want)
		}
	}
}

func TestHotSpotMoves(t *testing.T) {
	s := base(HotSpot, 200)
	counts := map[int]*[10]float64{}
	for _, c := range all(t, config(1, 60*time.Second, s)) {
		spot := int(c.At / 20_000)
		if counts[spot] == nil {
			counts[spot] = new([10]float64)
		}
		counts[spot][c.Node]++
	}
	var was []int
	for spot := range 3 {
		var hot []int
		for node, n := range counts[spot] {
			switch {
			case math.Abs(n-4000*(0.35+0.03)) < 200: // half of the hot part, and a tenth of the rest
				hot = append(hot, node)
			case math.Abs(n-4000*0.03) > 50:
				t.Errorf("spot %d: node %d makes %.0f calls, want 1520 or 120", spot, node, n)
			}
		}
		if len(hot) != 2 {
			t.Errorf("spot %d: hot are %v, want two nodes", spot, hot)
		}
		for _, node := range hot {
			if slices.Contains(was, node) {
				t.Errorf("node %d is hot twice", node)
			}
		}
		was = append(was, hot...)
	}
}

func TestChainGoesOnUntilItsEndOrARefusal(t *testing.T) {
	src, err := New(config(1, time.Minute, base(Chain, 1)))
	if err != nil {
		t.Fatal(err)
	}
	c, ok := src.Next()
	if !ok || c.Depth != 3 {
		t.Fatalf("the first call is %+v", c)
	}
	if next := src.Follow(&c, c.At+500, false); next != nil {
		t.Errorf("a refused call is followed by %+v", next)
	}
	seen := map[uint64]bool{c.Seq: true}
	for left := 2; left >= 0; left-- {
		next := src.Follow(&c, c.At+700, true)
		if again := src.Follow(&c, c.At+700, true); len(next) != 1 || !reflect.DeepEqual(next, again) {
			t.Fatalf("%+v is followed by %+v, and asked again by %+v", c, next, again)
		}
		n := next[0]
		if n.Depth != left || n.At < c.At+700 || n.Node != c.Node || n.Agent != c.Agent || n.Tenant != c.Tenant || seen[n.Seq] {
			t.Errorf("%+v is followed by %+v", c, n)
		}
		seen[n.Seq], c = true, n
	}
	if next := src.Follow(&c, c.At+700, true); next != nil {
		t.Errorf("the last call is followed by %+v", next)
	}
	c.Depth = 1
	if next := src.Follow(&c, 60_000, true); next != nil {
		t.Errorf("%+v comes after the end", next)
	}
}

func TestSizesHaveTheirPercentiles(t *testing.T) {
	s := base(Poisson, 100)
	s.Max = 0
	var prompts, runs []float64
	for _, c := range all(t, config(3, 600*time.Second, s)) {
		prompts, runs = append(prompts, float64(c.Prompt)), append(runs, float64(c.Runs))
		if c.Max < c.Output || c.Max > 2*max(c.Output, 32) {
			t.Fatalf("%d tokens of output are announced as %d", c.Output, c.Max)
		}
	}
	for _, x := range []struct {
		name        string
		values      []float64
		median, p99 float64
	}{{"prompt", prompts, 1000, 4000}, {"runs", runs, 1000, 5000}} {
		slices.Sort(x.values)
		n := len(x.values)
		if m, p := x.values[n/2], x.values[n*99/100]; math.Abs(m-x.median) > 0.03*x.median || math.Abs(p-x.p99) > 0.06*x.p99 {
			t.Errorf("%s: median %.0f and p99 %.0f, want %.0f and %.0f", x.name, m, p, x.median, x.p99)
		}
	}
}

func TestGuessIsEnough(t *testing.T) {
	for out := int64(0); out < 3000; out++ {
		if g := Guess(out); g < out || g < minGuess || g >= 2*max(out, minGuess) {
			t.Fatalf("an answer of %d tokens gets a limit of %d", out, g)
		}
	}
}

func TestTenantsFollowZipf(t *testing.T) {
	n := map[string]float64{}
	agents := map[string]bool{}
	calls := all(t, config(1, 600*time.Second, base(Poisson, 20)))
	for _, c := range calls {
		n[c.Tenant] += 1 / float64(len(calls))
		agents[c.Agent] = true
		if !strings.HasPrefix(c.Agent, c.Tenant+"/") {
			t.Fatalf("agent %s is not of tenant %s", c.Agent, c.Tenant)
		}
	}
	for i, want := range []float64{6. / 11, 3. / 11, 2. / 11} {
		if got := n[fmt.Sprintf("t-%d", i+1)]; math.Abs(got-want) > 0.02 {
			t.Errorf("tenant %d makes %.3f of the calls, want %.3f", i+1, got, want)
		}
	}
	if len(agents) != 6 {
		t.Errorf("%d agents, want 2 of each of 3 tenants", len(agents))
	}
}

func TestWhereAndWhen(t *testing.T) {
	s := base(Poisson, 50)
	s.Zone, s.Nodes, s.From, s.Until = "b", 0.4, 10*time.Second, 20*time.Second
	nodes := map[int]bool{}
	for _, c := range all(t, config(1, time.Minute, s)) {
		nodes[c.Node] = true
		if c.At < 10_000 || c.At >= 20_000 {
			t.Fatalf("a call at %d ms", c.At)
		}
	}
	if len(nodes) != 2 || !nodes[1] || !nodes[3] { // two fifths of 1, 3, 5, 7, 9
		t.Errorf("calls are made at %v", nodes)
	}
}

func TestStreamsDoNotDisturbEachOther(t *testing.T) {
	a, b := base(Poisson, 10), base(Bursty, 10)
	a.Name, b.Name = "a", "b"
	alone := all(t, config(1, time.Minute, a))
	var beside []Call
	for _, c := range all(t, config(1, time.Minute, a, b)) {
		if c.Stream == 0 {
			beside = append(beside, c)
		}
	}
	for i := range alone {
		alone[i].Seq, beside[i].Seq = 0, 0
	}
	if !reflect.DeepEqual(alone, beside) {
		t.Error("a stream's calls are others when a second stream is there")
	}
	b.Skip = true
	skipped := all(t, config(1, time.Minute, a, b))
	for i := range skipped {
		skipped[i].Seq = 0
	}
	if !reflect.DeepEqual(alone, skipped) {
		t.Error("a stream that is skipped makes calls")
	}
}

func TestReplay(t *testing.T) {
	rec := read(t, goodTrace)
	run := func(s Stream) (at []int64) {
		s.Name, s.Kind, s.Trace = "t", Trace, "x"
		c := config(1, 20*time.Second, s)
		c.Traces["x"] = rec
		for _, call := range all(t, c) {
			at = append(at, int64(call.At))
		}
		return at
	}
	for _, c := range []struct {
		name string
		s    Stream
		want []int64
	}{
		{"as recorded", Stream{}, []int64{0, 52, 5000}},
		{"faster", Stream{Speed: 2}, []int64{0, 26, 2500}},
		{"later", Stream{From: 18 * time.Second}, []int64{18_000, 18_052}},
		// The next round begins 2.5 s after the last row, which is the mean time between rows.
		{"again", Stream{Repeats: true}, []int64{0, 52, 5000, 7500, 7552, 12_500, 15_000, 15_052}},
	} {
		if got := run(c.s); !slices.Equal(got, c.want) {
			t.Errorf("%s: calls at %v, want %v", c.name, got, c.want)
		}
	}
	// Copies come within a second of the recorded call.
	if got := run(Stream{Scale: 3}); len(got) != 9 || !slices.IsSorted(got) || got[5] >= 1052 || got[6] != 5000 || got[8] >= 6000 {
		t.Errorf("scaled by 3: calls at %v", got)
	}
	s := Stream{Scale: 0.5, Repeats: true, Speed: 100}
	if got := run(s); math.Abs(float64(len(got))-400) > 60 { // half of 3 rows in each 75 ms for 20 s
		t.Errorf("scaled by a half: %d calls, want about 400", len(got))
	}
}

func TestReplayKeepsWhatIsRecorded(t *testing.T) {
	rec := read(t, "time,tenant,class,prompt,output,agent,model,node\n"+
		"0,search,batch,10,20,s1,big,x\n1,,,10,900,,,\n2,search,batch,10,20,s1,big,y\n3,search,batch,10,20,s1,,\n4,search,,10,20,s1,,\n")
	s := Stream{Name: "t", Kind: Trace, Trace: "x", Class: "standard", Model: "small", Tenant: "other", Max: 600, Runs: Delay{time.Second, time.Second}}
	c := config(1, time.Minute, s)
	c.Traces["x"] = rec
	calls := all(t, c)
	for i, want := range []Call{
		{Tenant: "search", Agent: "s1", Class: "batch", Model: "big", Output: 20, Node: 0},
		{At: 1000, Tenant: "other", Class: "standard", Model: "small", Output: 600, Node: calls[1].Node}, // anywhere
		{At: 2000, Tenant: "search", Agent: "s1", Class: "batch", Model: "big", Output: 20, Node: 1},
		{At: 3000, Tenant: "search", Agent: "s1", Class: "batch", Model: "small", Output: 20, Node: 2}, // where the agent lives
		{At: 4000, Tenant: "search", Agent: "s1", Class: "standard", Model: "small", Output: 20, Node: 2},
	} {
		want.Seq, want.Prompt, want.Max, want.Runs = uint64(i), 10, 600, 1000
		if calls[i] != want {
			t.Errorf("call %d is\n%+v, want\n%+v", i, calls[i], want)
		}
	}
}

func TestStreamsThatCannotBe(t *testing.T) {
	for _, c := range []struct {
		field  string
		change func(*Stream)
	}{
		{"kind", func(s *Stream) { s.Kind = "steady" }},
		{"rate", func(s *Stream) { s.Rate = 0 }},
		{"rate", func(s *Stream) { s.Rate = math.NaN() }},
		{"prompt", func(s *Stream) { s.Prompt = Size{} }},
		{"output", func(s *Stream) { s.Output = Size{100, 50} }},
		{"until", func(s *Stream) { s.From, s.Until = 2, 1 }},
		{"runs", func(s *Stream) { s.Runs = Delay{0, time.Second} }},
		{"skew", func(s *Stream) { s.Skew = -1 }},
		{"nodes", func(s *Stream) { s.Nodes = 1.5 }},
		{"agents", func(s *Stream) { s.Tenants, s.Agents = 1000, 1000 }},
		{"burst.high", func(s *Stream) { s.Kind, s.Burst.High = Bursty, 5.5 }},
		{"burst.on", func(s *Stream) { s.Kind, s.Burst.On = Bursty, 0 }},
		{"period", func(s *Stream) { s.Kind, s.Period = Diurnal, 0 }},
		{"swing", func(s *Stream) { s.Kind, s.Swing = Diurnal, 1.1 }},
		{"peak", func(s *Stream) { s.Kind, s.Peak = FlashCrowd, 0.5 }},
		{"hot", func(s *Stream) { s.Kind, s.Hot = HotSpot, 0 }},
		{"depth", func(s *Stream) { s.Kind, s.Depth = Chain, 0 }},
		{"depth", func(s *Stream) { s.Depth = 2 }},
		{"trace", func(s *Stream) { s.Kind, s.Trace = Trace, "" }},
	} {
		s := base(Poisson, 1)
		if err := s.Check(); err != nil {
			t.Fatal(err)
		}
		c.change(&s)
		var fe *FieldError
		if err := s.Check(); !errors.As(err, &fe) || fe.Field != c.field {
			t.Errorf("error %v, want one about %s", err, c.field)
		}
	}
	for want, change := range map[string]func(*Config){
		`stream "s": there is no node in zone "c"`:                              func(c *Config) { c.Streams[0].Zone = "c" },
		`stream "s": the trace "azure-sample" was not read`:                     func(c *Config) { c.Streams[0].Kind, c.Traces = Trace, nil },
		"there are no nodes":                                                    func(c *Config) { c.Zones = nil },
		`stream "s": rate is 0 calls/s, it must be above 0 and at most 1000000`: func(c *Config) { c.Streams[0].Rate = 0 },
	} {
		c := config(1, time.Minute, base(Poisson, 1))
		change(&c)
		if _, err := New(c); err == nil || err.Error() != want {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

// The laws hold for any streams: one seed makes one workload whatever is done with its calls, in order of time,
// and within what was asked for.
func TestLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var streams []Stream
		for i := range rapid.IntRange(1, 3).Draw(t, "streams") {
			s := base(rapid.SampledFrom(Kinds).Draw(t, "kind"), rapid.Float64Range(0.1, 30).Draw(t, "rate"))
			s.Name = fmt.Sprint(i)
			s.Tenants, s.Agents = rapid.IntRange(0, 4).Draw(t, "tenants"), rapid.IntRange(0, 2).Draw(t, "agents")
			s.Zone, s.Nodes = rapid.SampledFrom([]string{"", "a", "b"}).Draw(t, "zone"), rapid.Float64Range(0, 1).Draw(t, "nodes")
			s.Speed, s.Scale = rapid.Float64Range(0, 3).Draw(t, "speed"), rapid.Float64Range(0, 3).Draw(t, "scale")
			s.Repeats = rapid.Bool().Draw(t, "repeats")
			streams = append(streams, s)
		}
		c := config(rapid.Uint64().Draw(t, "seed"), 20*time.Second, streams...)
		first, err := New(c)
		if err != nil {
			t.Fatal(err)
		}
		second, _ := New(c)
		var calls, again []Call
		for call, ok := first.Next(); ok; call, ok = first.Next() {
			calls = append(calls, call)
			calls = append(calls, first.Follow(&call, call.At+call.Runs, true)...)
		}
		for call, ok := second.Next(); ok; call, ok = second.Next() {
			again = append(again, call)
		}
		for _, call := range slices.Clone(again) {
			again = append(again, second.Follow(&call, call.At+call.Runs, true)...)
		}
		bySeq := func(a, b Call) int { return cmp.Compare(a.Seq, b.Seq) }
		slices.SortFunc(calls, bySeq)
		slices.SortFunc(again, bySeq)
		if !reflect.DeepEqual(calls, again) {
			t.Fatal("the consumer's order changes the workload")
		}
		for i, call := range calls {
			if i > 0 && calls[i-1].Seq == call.Seq {
				t.Fatalf("two calls have number %d", call.Seq)
			}
			if own := call.Seq < ChainStep; own && (call.Seq != uint64(i) || i > 0 && call.At < calls[i-1].At) {
				t.Fatalf("call %d is %+v", i, call)
			}
			s := streams[call.Stream]
			if call.At < 0 || call.At >= 20_000 || call.Prompt < 1 || call.Output < 0 || call.Output > call.Max || call.Runs < 0 ||
				call.Node < 0 || call.Node >= 10 || s.Zone != "" && c.Zones[call.Node] != s.Zone {
				t.Fatalf("call %d is %+v", i, call)
			}
		}
	})
}

func BenchmarkNext(b *testing.B) {
	var streams []Stream
	for i := range 5 {
		s := base(Bursty, 1e5)
		s.Name = fmt.Sprint(i)
		streams = append(streams, s)
	}
	src, err := New(config(1, 1000*time.Hour, streams...))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		src.Next()
	}
}
