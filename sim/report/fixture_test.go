package report

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/swarmpurse/swarmpurse/sim/result"
)

// partition is a made-up run with all that a page can show: a cut, crashes, classes, tenants, many nodes.
func partition(seed uint64) *result.Result {
	rnd := rand.New(rand.NewPCG(seed, 1))
	r := &result.Result{
		Scenario:    "partition",
		Description: "Two halves are cut off from each other for 20 s under steady load.",
		Seed:        seed, Nodes: 200, Duration: 2 * time.Minute, Events: 1234567, TraceHash: "5f3a9c0e11d2b477", Wall: 2500 * time.Millisecond,
		Bounds: []result.Bound{
			{Text: "goodput >= 95%", Got: "97.1%", OK: true},
			{Text: "overspend <= 0%", Got: "0.0%", OK: true},
			{Text: "wait_p99 of interactive <= 250 ms", Got: "310 ms", OK: false},
		},
		Marks: []result.Mark{
			{At: 40 * time.Second, Until: 60 * time.Second, Kind: "partition", Text: "partition: zone b"},
			{At: 50 * time.Second, Until: 55 * time.Second, Kind: "crash", Text: "crash: n0007"},
			{At: 90 * time.Second, Kind: "revise", Text: "policy revision 2"},
		},
		Rollouts: []result.Rollout{
			{Revision: 2, At: 90 * time.Second, Node: "n0003", How: "10% by agent, guard deny_rate +5%", End: result.RolledBack, EndAt: 94 * time.Second, EndNode: "n0101",
				By: "guard", Why: "deny_rate: the candidate refused 32.0% of its 200 calls", Everywhere: 94500 * time.Millisecond},
			{Revision: 3, At: 100 * time.Second, Node: "n0003", How: "zones b, guard none"},
			{Revision: 4, At: 110 * time.Second, Node: "n0009", Refused: "apply: revision 3 is a candidate"},
		},
	}
	classes := func(wait time.Duration) []result.Class {
		return []result.Class{
			{Name: "interactive", Offered: 6000, Admitted: 5400, WaitP50: 0, WaitP99: wait, InBudget: 0.97},
			{Name: "batch", Offered: 4000, Admitted: 3500, WaitP50: 2 * time.Second, WaitP99: 12 * time.Second, InBudget: 0.91},
		}
	}
	r.Systems = []result.System{
		{Name: result.Swarm, Offered: 10000, Admitted: 8900, Deferred: 1000, Denied: 100, OfferedTokens: 18_000_000, GoodputTokens: 15_900_000,
			Goodput: 0.971, Local: 0.93, AsksPerCall: 0.08, Jain: 0.981, BytesPerNodeSecond: 7600, BytesPerNodeSecondMax: 14200,
			Converge: 1500 * time.Millisecond, Stale: 800 * time.Millisecond, Queue: 14, Recover: 3.25, Classes: classes(310 * time.Millisecond),
			Budgets: []result.Budget{
				{Name: "gpu-pool", Token: "compute", Issued: 17_500_000, Minted: 500_000, Spent: 17_000_000, Expired: 100_000, Left: 400_000},
				{Name: "docs", Token: "data", Issued: 5000, Spent: 1200, Decayed: 3000, Left: 800},
			},
			Tenants: []result.Tenant{
				{Name: "research", Offered: 4000, Admitted: 3500, OfferedTokens: 6_000_000, GoodputTokens: 5_200_000},
				{Name: "search", Offered: 6000, Admitted: 5400, OfferedTokens: 12_000_000, GoodputTokens: 10_700_000},
			}},
		{Name: result.Omniscient, Offered: 10000, Admitted: 9100, Deferred: 900, GoodputTokens: 16_400_000, Goodput: 1, Local: 0, Jain: 0.99, Classes: classes(20 * time.Millisecond)},
		{Name: result.Split, Offered: 10000, Admitted: 4100, Deferred: 5900, GoodputTokens: 7_000_000, Goodput: 0.43, Local: 1, Jain: 0.8, Classes: classes(0)},
		{Name: result.Counters, Offered: 10000, Admitted: 9900, Deferred: 100, GoodputTokens: 17_900_000, Goodput: 1.09, Overspend: 0.21, OverspendTokens: 2_100_000,
			Local: 1, Jain: 0.97, BytesPerNodeSecond: 5100, BytesPerNodeSecondMax: 5300, Converge: -1, Recover: math.Inf(1), Classes: classes(0)},
		{Name: result.LocalOnly, Recover: math.NaN(), Offered: 10000, Admitted: 10000, GoodputTokens: 18_000_000, Goodput: 1.1, Overspend: 3.4, OverspendTokens: 34_000_000, Local: 1, Jain: 1, Classes: nil},
	}
	var at []time.Duration
	for t := time.Duration(0); t <= 2*time.Minute; t += time.Second {
		at = append(at, t)
	}
	line := func(name string, f func(s float64) float64) result.Line {
		l := result.Line{Name: name}
		for _, t := range at {
			l.Values = append(l.Values, f(t.Seconds()))
		}
		return l
	}
	noise := func(v float64) float64 { return v * (1 + 0.1*rnd.NormFloat64()) }
	cut := func(s float64) bool { return s >= 40 && s < 60 }
	rights := result.Panel{ID: "rights", Title: "Rights per node", Unit: "tokens", At: at}
	for n := range 200 {
		base := 400 + 5*float64(n)
		rights.Lines = append(rights.Lines, line("n"+string(rune('0'+n%10)), func(s float64) float64 {
			if n == 7 && s >= 50 && s < 55 {
				return math.NaN()
			}
			return noise(base * (1 + 0.5*math.Sin(s/20)))
		}))
	}
	r.Panels = []result.Panel{
		{ID: "admitted", Title: "Calls by decision", Unit: "calls/s", Stack: true, At: at, Lines: []result.Line{
			line("admitted", func(s float64) float64 {
				if cut(s) {
					return noise(60)
				}
				return noise(75)
			}),
			line("deferred", func(s float64) float64 {
				if cut(s) {
					return noise(20)
				}
				return noise(8)
			}),
			line("denied", func(float64) float64 { return noise(1) }),
		}},
		rights,
		{ID: "queue", Title: "Calls that wait", Unit: "calls", At: at, Lines: []result.Line{
			line("interactive", func(s float64) float64 { return math.Round(noise(5)) }),
			line("batch", func(s float64) float64 {
				if cut(s) {
					return math.Round(noise(400))
				}
				return math.Round(noise(90))
			}),
		}},
		{ID: "price", Title: "Price", Unit: "", At: at, Lines: []result.Line{line("compute", func(s float64) float64 { return 1 + 0.02*math.Sin(s/9) })}},
		{ID: "staleness", Title: "Age of rows", Unit: "s", At: at, Lines: []result.Line{
			line("median", func(s float64) float64 { return noise(0.8) }),
			line("99th percentile", func(s float64) float64 {
				if cut(s) {
					return s - 40 + 3
				}
				return noise(3)
			}),
		}},
	}
	return r
}

// broken is a run that an invariant ended.
func broken() *result.Result {
	r := partition(7)
	r.Bounds = r.Bounds[:1]
	r.Violation = &result.Violation{
		Invariant: "conservation of rights", Detail: "budget pot, window 3: issued 50,000, accounted for 49,000",
		At: 61250 * time.Millisecond, Event: 40123, Prefix: "the first 812 events", Command: "swarmpurse sim run partition --seed 7",
	}
	return r
}

// small is a run whose files a person can read.
func small() *result.Result {
	r := partition(1)
	r.Panels = r.Panels[2:4]
	for i := range r.Panels {
		p := &r.Panels[i]
		p.At = p.At[:3]
		for k := range p.Lines {
			p.Lines[k].Values = p.Lines[k].Values[:3]
		}
	}
	r.Panels[1].Lines[0].Values[1] = math.NaN()
	return r
}

// sweep is three runs over a parameter.
func sweep() *Sweep {
	s := &Sweep{Scenario: "partition", Description: "A sweep.", Over: "gossip.bytes_per_second", Values: []string{"1000", "10000", "100000"}}
	for i := range s.Values {
		r := small()
		r.Systems = r.Systems[:2]
		r.Systems[0].Goodput = 0.9 + 0.04*float64(i)
		r.Bounds[2].OK = i > 0
		s.Runs = append(s.Runs, r)
	}
	for _, name := range []string{"goodput", "wait_p99[interactive]"} {
		c, err := ParseChoice(name)
		if err != nil {
			panic(err)
		}
		s.Figures = append(s.Figures, c)
	}
	return s
}

// pair is two runs to compare.
func pair() []*result.Result {
	a, b := small(), small()
	a.Label, b.Label = "even.yaml", "drift.yaml"
	b.Systems[0].Goodput, b.Systems[0].Local, b.Systems[0].BytesPerNodeSecond = 0.955, 0.99, 9100
	b.Bounds[2] = result.Bound{Text: b.Bounds[2].Text, Got: "200 ms", OK: true}
	return []*result.Result{a, b}
}
