package result

import (
	"fmt"
	"math"
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/purity"
	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/sim/workload"
)

func TestPurity(t *testing.T) {
	purity.Check(t, purity.Allowed{
		"time":                          {"Duration", "Millisecond", "Second", "Hour"},
		"cmp":                           nil,
		"fmt":                           nil,
		"math":                          nil,
		"slices":                        nil,
		"strconv":                       nil,
		"github.com/dustin/go-humanize": nil,
		"github.com/HdrHistogram/hdrhistogram-go":       nil,
		"github.com/swarmpurse/swarmpurse/ledger":       nil,
		"github.com/swarmpurse/swarmpurse/policy":       nil,
		"github.com/swarmpurse/swarmpurse/sim/workload": nil,
	})
}

var testPolicy = func() *policy.Policy {
	p, err := policy.Parse("test.yaml", []byte(`
apiVersion: swarmpurse/v1
revision: 1
tokens:
  compute: {unit: token}
classes:
  - {name: fast, weight: 4, latency_budget: 100ms}
  - {name: slow, weight: 1, latency_budget: 1m, default: true}
budgets:
  - {name: pool, token: compute, supply: {rate: 100/s, burst: 1000}}
rules:
  - {name: all, draw: [pool]}
`))
	if err != nil {
		panic(err)
	}
	return p
}()

var testPolicies = []*policy.Policy{testPolicy}

// TestClassesOfRevisions: a class that only a later revision has counts, too, by the name that calls give.
func TestClassesOfRevisions(t *testing.T) {
	later, err := policy.Parse("later.yaml", []byte(`
apiVersion: swarmpurse/v1
revision: 2
tokens:
  compute: {unit: token}
classes:
  - {name: new, weight: 4, latency_budget: 1s}
  - {name: fast, weight: 4, latency_budget: 9s, default: true}
budgets:
  - {name: pool, token: compute, supply: {rate: 100/s, burst: 1000}}
rules:
  - {name: all, draw: [pool]}
`))
	if err != nil {
		t.Fatal(err)
	}
	y := NewTally(Swarm, []*policy.Policy{testPolicy, later}, 0)
	for i, class := range []string{"fast", "new", "", "unheard-of"} {
		c := call(0, "a", class, 1, 1)
		y.Offered(c)
		y.Admitted(c, ledger.Millis(i*500), true)
	}
	got := ""
	for _, c := range y.System().Classes {
		got += fmt.Sprintf("%s %d %.0f; ", c.Name, c.Offered, c.InBudget)
	}
	if want := "fast 1 1; slow 1 1; new 1 1; "; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

func call(at ledger.Millis, tenant, class string, prompt, output int64) *workload.Call {
	return &workload.Call{At: at, Tenant: tenant, Class: class, Prompt: prompt, Output: output, Max: 2 * output}
}

func TestTally(t *testing.T) {
	y := NewTally(Swarm, testPolicies, time.Second)
	early := call(999, "a", "fast", 100, 100) // before the warmup is over: nothing of it counts, though it ends later
	y.Offered(early)
	y.Admitted(early, 1500, true)
	y.Settled(early)

	one := call(1000, "a", "fast", 100, 50)
	y.Offered(one)
	y.Admitted(one, 1100, true) // just in time
	y.Settled(one)
	two := call(2000, "a", "fast", 10, 40)
	y.Offered(two)
	y.Admitted(two, 2101, false) // a millisecond late, and still running
	three := call(2000, "b", "", 30, 20)
	y.Offered(three)
	y.Deferred(three)
	four := call(3000, "c", "nobody knows it", 5, 5)
	y.Offered(four)
	y.Denied(four)

	s := y.System()
	want := System{
		Name: Swarm, Offered: 4, Admitted: 2, Deferred: 1, Denied: 1, OfferedTokens: 260, GoodputTokens: 150, Local: 0.5,
		Unfair: 1, Jain: 1.0 / 3, // a got 3/4 of its tokens, b and c nothing
		Classes: []Class{
			{Name: "fast", Offered: 2, Admitted: 2, WaitP50: 100 * time.Millisecond, WaitP99: 101 * time.Millisecond, InBudget: 0.5},
			{Name: "slow", Offered: 1},
		},
		Tenants: []Tenant{
			{Name: "a", Offered: 2, Admitted: 2, OfferedTokens: 200, GoodputTokens: 150},
			{Name: "b", Offered: 1, OfferedTokens: 50},
			{Name: "c", Offered: 1, OfferedTokens: 10},
		},
	}
	if !math.IsNaN(s.Goodput) || !math.IsNaN(s.AsksPerCall) || !math.IsNaN(s.Recover) || !math.IsNaN(s.PriceSettle) ||
		!math.IsNaN(s.Drift) || !math.IsNaN(s.Dead) || !math.IsNaN(s.Stuck) || !math.IsNaN(s.Back) {
		t.Errorf("figures that a tally does not know: %v %v %v %v, %v %v %v", s.Goodput, s.AsksPerCall, s.Recover, s.PriceSettle, s.Dead, s.Stuck, s.Back)
	}
	s.Goodput, s.AsksPerCall, s.Recover, s.PriceSettle = 0, 0, 0, 0
	s.Dead, s.Stuck, s.Back, s.Drift = 0, 0, 0, 0
	if got, want := fmt.Sprintf("%+v", s), fmt.Sprintf("%+v", want); got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestNothingToDivide(t *testing.T) {
	s := NewTally(Swarm, testPolicies, 0).System()
	if !math.IsNaN(s.Local) || !math.IsNaN(s.Jain) || !math.IsNaN(s.Classes[0].InBudget) || s.Classes[0].WaitP99 != 0 {
		t.Errorf("of no calls: %+v", s)
	}
}

func TestJain(t *testing.T) {
	for _, c := range []struct {
		got  []int64 // of 100 each
		want float64
	}{
		{[]int64{50, 50, 50}, 1},
		{[]int64{100, 0, 0, 0}, 0.25},
		{[]int64{100, 50}, 0.9},
		{[]int64{0, 0}, math.NaN()},
	} {
		var list []Tenant
		for _, n := range c.got {
			list = append(list, Tenant{OfferedTokens: 100, GoodputTokens: n})
		}
		list = append(list, Tenant{Name: "wanted nothing"})
		if got := jain(list); math.Abs(got-c.want) > 1e-12 || math.IsNaN(got) != math.IsNaN(c.want) {
			t.Errorf("%v: got %v, want %v", c.got, got, c.want)
		}
	}
}

func TestRelate(t *testing.T) {
	list := []System{{Name: Swarm, GoodputTokens: 95}, {Name: Omniscient, GoodputTokens: 100}}
	Relate(list)
	if list[0].Goodput != 0.95 || list[1].Goodput != 1 {
		t.Errorf("got %v and %v", list[0].Goodput, list[1].Goodput)
	}
	if Relate(list[:1]); !math.IsNaN(list[0].Goodput) {
		t.Errorf("with nothing beside it: %v", list[0].Goodput)
	}
}

func TestTenantsAreBounded(t *testing.T) {
	y := NewTally(Swarm, testPolicies, 0)
	for i := range MaxTenants + 2 {
		y.Offered(call(0, fmt.Sprint(i), "", 1, 0))
	}
	s := y.System()
	if len(s.Tenants) != MaxTenants+1 || s.Tenants[0].Name != OtherTenants || s.Tenants[0].Offered != 2 {
		t.Errorf("%d tenants, the first is %+v", len(s.Tenants), s.Tenants[0])
	}
}

// TestPaid: prices are a mean over admitted calls, and what was set aside stands beside what was charged; calls of the warmup do not count.
func TestPaid(t *testing.T) {
	y := NewTally(Swarm, testPolicies, time.Second)
	for i, c := range []struct {
		at                         ledger.Millis
		price                      float64
		reserved, charged, overrun int64
	}{{500, 9, 90, 90, 90}, {1000, 1, 300, 100, 0}, {2000, 2, 100, 150, 50}} {
		x := call(c.at, "a", "slow", int64(i), 0)
		y.Paid(x, c.price)
		y.Charged(x, c.reserved, c.charged, c.overrun)
	}
	if k := y.System().Classes[1]; k.Price != 1.5 || k.Reserved != 400 || k.Charged != 250 || k.Overrun != 50 {
		t.Errorf("%+v", k)
	}
}

// TestWaitError checks quantiles against all waits sorted: exact below two seconds, then at most a thousandth
// above.
func TestWaitError(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		most := rapid.SampledFrom([]int64{1, 2000, 100_000, 600_000_000}).Draw(t, "most")
		waits := rapid.SliceOfN(rapid.Int64Range(0, most), 1, 300).Draw(t, "waits")
		y := NewTally(Swarm, testPolicies, 0)
		for _, w := range waits {
			y.Admitted(call(5, "a", "slow", 1, 1), ledger.Millis(5+w), true)
		}
		slices.Sort(waits)
		for percent, got := range map[int]time.Duration{50: y.System().Classes[1].WaitP50, 99: y.System().Classes[1].WaitP99} {
			want := waits[(len(waits)*percent+99)/100-1]
			if ms := got.Milliseconds(); ms < want || float64(ms) > float64(want)*1.001 {
				t.Fatalf("p%d is %d ms, want %d", percent, ms, want)
			}
		}
	})
}
