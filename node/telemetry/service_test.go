package telemetry

import (
	"math"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/swarmpurse/swarmpurse/node/service"
)

// The words for what became of calls.
const (
	met     = "met"
	missed  = "missed"
	excused = "excused"
)

// TestWhatCountsAsServed: each call is met, missed or excused, once.
func TestWhatCountsAsServed(t *testing.T) {
	for _, c := range []struct {
		verdict, code string
		excused       bool
		took          time.Duration
		want          string
	}{
		{"admit", "ok", false, time.Microsecond, met},
		{"admit", "ok", false, 300 * time.Millisecond, met},
		{"admit", "ok", false, 301 * time.Millisecond, missed},
		{"degrade", "ok", false, time.Microsecond, met},
		{"degrade", "ok", false, time.Second, missed},
		{"defer", "budget_exhausted", false, time.Microsecond, missed},
		{"defer", "budget_exhausted", true, time.Second, excused},
		{"deny", "shed", false, 0, missed},
		{"deny", "a code of a later version", false, 0, missed},
		{"deny", "no_rule", true, 0, excused},
		{"admit", "ok", true, 0, met}, // nothing was refused
	} {
		m, reg := newMetrics(t)
		m.SetPolicy(PolicyInfo{Classes: []ClassInfo{{"critical", 300 * time.Millisecond, 0.99}, {"none", 0, 0}}})
		m.Decision(c.verdict, c.code, "critical", c.excused, 0, c.took)
		got := series(t, reg)
		for _, r := range []string{met, missed, excused} {
			want := 0.0
			if r == c.want {
				want = 1
			}
			if n := got["swarmpurse_class_calls_total{class=critical,result="+r+"}"]; n != want {
				t.Errorf("%s %s, excused %v, after %v: %s is %v, want %v", c.verdict, c.code, c.excused, c.took, r, n, want)
			}
		}
	}
	// A class that lets none wait has the time that a decision takes; one that the policy does not know has any.
	m, reg := newMetrics(t)
	m.SetPolicy(PolicyInfo{Classes: []ClassInfo{{"none", 0, 0}}})
	m.Decision("admit", "ok", "none", false, 0, 5*time.Millisecond)
	m.Decision("admit", "ok", "none", false, 0, 11*time.Millisecond)
	m.Decision("admit", "ok", "stranger", false, 0, time.Hour)
	for name, want := range map[string]float64{
		"swarmpurse_class_calls_total{class=none,result=met}": 1, "swarmpurse_class_calls_total{class=none,result=missed}": 1,
		"swarmpurse_class_calls_total{class=other,result=met}": 1,
	} {
		if n := series(t, reg)[name]; n != want {
			t.Errorf("%s is %v, want %v", name, n, want)
		}
	}
}

// TestBurnRates: a call a second of which one in ten is missed for a while; the windows see it come and go.
func TestBurnRates(t *testing.T) {
	m, reg := newMetrics(t)
	m.SetPolicy(PolicyInfo{Classes: infos("a")}) // 90 %: one in ten may be missed
	now := time.Unix(1_700_000_000, 0)
	m.Sample(now)
	run := func(length time.Duration, every int) {
		for i := range int(length.Seconds()) {
			now = now.Add(time.Second)
			if every > 0 && i%every == 0 {
				m.Decision("defer", "budget_exhausted", "a", false, 0, 0)
			} else {
				m.Decision("admit", "ok", "a", false, 0, 0)
			}
			m.Sample(now)
		}
	}
	check := func(when string, want map[string]float64) {
		t.Helper()
		for _, w := range service.Windows {
			got := series(t, reg)["swarmpurse_class_burn_rate{class=a,window="+w.Name+"}"]
			if math.Abs(got-want[w.Name]) > 0.02 {
				t.Errorf("%s, in %s: %.3f, want %.3f", when, w.Name, got, want[w.Name])
			}
		}
	}
	run(7*time.Hour, 0)
	check("while all is well", map[string]float64{})
	run(5*time.Minute, 1)
	check("after five minutes of misses", map[string]float64{"5m": 10, "30m": 10. / 6, "1h": 10. / 12, "6h": 10. / 72})
	run(25*time.Minute, 10)
	check("at the pace that is allowed", map[string]float64{"5m": 1, "30m": (300 + 150) / 180., "1h": 450 / 360., "6h": 450 / 2160.})
	run(6*time.Hour, 0)
	check("six hours later", map[string]float64{})

	// Samples are few, however often and for however long they are taken.
	if n := m.history.of.Samples("a"); n != service.MaxSamples {
		t.Errorf("%d samples are kept, want %d", n, service.MaxSamples)
	}
	// A class that goes away and comes back begins anew.
	m.SetPolicy(PolicyInfo{Classes: infos("b")})
	run(31*time.Second, 0)
	m.SetPolicy(PolicyInfo{Classes: infos("a")})
	run(31*time.Second, 1)
	check("after it came back", map[string]float64{"5m": 10, "30m": 10, "1h": 10, "6h": 10})
}

// TestServiceAddsUp: whatever is counted, every call is in one result, and no result ever goes down.
func TestServiceAddsUp(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		m := &Metrics{stripes: newStripes()}
		m.local, m.waited = newHistogram(m.stripes), newHistogram(m.stripes)
		none := func(string) *budgetSeries { return nil }
		m.table.Store(newTable(m.stripes, PolicyInfo{Classes: infos("a", "b")}, nil, none))
		var last [3]service.Counts
		for i := range rapid.IntRange(1, 60).Draw(t, "calls") {
			m.Decision(rapid.SampledFrom([]string{"admit", "degrade", "defer", "deny"}).Draw(t, "verdict"),
				rapid.SampledFrom([]string{"ok", "shed", "no_rule", "?"}).Draw(t, "code"), rapid.SampledFrom([]string{"a", "b", "c"}).Draw(t, "class"),
				rapid.Bool().Draw(t, "excused"), 0, time.Duration(rapid.IntRange(0, 20).Draw(t, "ms"))*time.Millisecond)
			if rapid.IntRange(0, 9).Draw(t, "revise") == 0 {
				m.table.Store(newTable(m.stripes, PolicyInfo{Classes: infos("a", "b")}, m.table.Load(), none))
			}
			all := uint64(0)
			for c := range last {
				n := m.table.Load().outcome(c)
				if n.Met < last[c].Met || n.Missed < last[c].Missed || n.Excused < last[c].Excused {
					t.Fatalf("class %d went from %+v to %+v", c, last[c], n)
				}
				last[c] = n
				all += n.Met + n.Missed + n.Excused
			}
			if all != uint64(i+1) {
				t.Fatalf("%d calls, %d counted: %+v", i+1, all, last)
			}
		}
	})
}
