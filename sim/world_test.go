package sim

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger/purity"
	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/sim/scenario"
)

func TestPurity(t *testing.T) {
	const ours = "github.com/swarmpurse/swarmpurse/"
	purity.Check(t, purity.Allowed{
		"cmp": nil, "container/heap": nil, "context": {"Context"}, "errors": nil, "fmt": nil, "maps": nil, "math": nil, "slices": nil, "strings": nil,
		"github.com/dustin/go-humanize": {"Comma"},
		"math/rand/v2":                  {"New", "NewPCG", "Rand"}, // seeded by the scenario
		"time":                          {"Duration", "Microsecond", "Millisecond", "Second", "UnixMicro"},
		ours + "ledger/guardian":        nil, ours + "ledger/judge": nil, ours + "ledger": nil, ours + "ledger/placement": nil, ours + "node/admit": nil, ours + "node/core": nil, ours + "node/freeze": nil, ours + "node/service": nil, ours + "node/wire": nil, ours + "policy": nil, ours + "policy/rollout": nil, "crypto/sha256": {"Sum256"},
		ours + "sim/baseline": nil, ours + "sim/promise": nil, ours + "sim/result": nil, ours + "sim/scenario": nil, ours + "sim/workload": nil,
	})
}

// A steady load within what the pool supplies is admitted whole, and nothing is wrong with the run.
func TestSteadyLoadIsAdmitted(t *testing.T) {
	r, err := Swarm(t.Context(), steady(t, 10, time.Minute), Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Violation != nil {
		t.Fatalf("%+v", r.Violation)
	}
	s := &r.Systems[0]
	if s.Offered < 900 || s.Admitted != s.Offered || s.Local < 0.9 || s.BytesPerNodeSecond > 25_000 {
		t.Errorf("%+v", s)
	}
}

// One seed makes one run, event by event, whatever goes wrong in it; another seed makes another.
func TestOneSeedOneRun(t *testing.T) {
	hashes, seeds := map[string]uint64{}, uint64(6)
	if testing.Short() {
		seeds = 2
	}
	for seed := uint64(1); seed <= seeds; seed++ {
		var first string
		for range 2 {
			r, err := Swarm(t.Context(), scenario.Random(seed), Options{})
			if err != nil {
				t.Fatal(err)
			}
			if first == "" {
				first = r.TraceHash
			} else if r.TraceHash != first {
				t.Errorf("seed %d: %s and %s", seed, first, r.TraceHash)
			}
		}
		if other, ok := hashes[first]; ok {
			t.Errorf("seeds %d and %d make the same run", other, seed)
		}
		hashes[first] = seed
	}
}

// Whatever goes wrong, no invariant is broken, and when the faults are over the swarm comes to rest. `make sim-soak`
// tries many more seeds.
func TestRandomFaults(t *testing.T) {
	seeds := uint64(24)
	if testing.Short() {
		seeds = 2
	}
	for i := range seeds {
		seed := 100 + i/2 + i%2*scenario.MarketSeeds
		r, err := Swarm(t.Context(), scenario.Random(seed), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if r.Violation != nil {
			t.Errorf("swarmpurse sim run random --seed %d\n%+v", seed, r.Violation)
		}
	}
}

// TestSeedsThatFailed: what each of these once showed is mended, in the code or in what is demanded of it.
func TestSeedsThatFailed(t *testing.T) {
	for _, seed := range []uint64{
		281,    // a soft ceiling passed by the parts of joiners
		5047,   // and by the part of a node that lost its disk
		5063,   // shares that drifted away and were not told
		6039,   // four digests lost in a row
		1825,   // a slot that came back when the time of its call was over, which ran on
		7112,   // a clock's step within an interval of a rate
		5,      // one that was claimed and does not know it drops entries, which the audit took as they were before
		2235,   // marks of soft accounts above all that they owned, which the audit took for spent
		2839,   // a node that was cut off turned windows that were never held; its heir issued them
		861,    // a gift three seconds before the end, told four times over a line that loses much: it counted as stuck
		904,    // a gift told eleven times over a line that loses much, and never heard of or never answered
		5095,   // an heir that lost its disk with a majority of its guardians, before it had told all what it had taken over
		200622, // one packet in eight lost, so that somebody was alone every few seconds
		94,     // a claim shortly before the swarm had to be at rest, and slots that come free a minute later
	} {
		if testing.Short() && seed != 94 {
			continue
		}
		r, err := Swarm(t.Context(), scenario.Random(seed), Options{})
		if err != nil {
			t.Fatal(err)
		}
		if r.Violation != nil {
			t.Errorf("swarmpurse sim run random --seed %d\n%+v", seed, r.Violation)
		}
	}
}

// TestWhatIsOverIsNotMissed: shares of an instance whose life has ended were on their way when both sides forgot it. Nobody waits for them.
func TestWhatIsOverIsNotMissed(t *testing.T) {
	if testing.Short() {
		t.Skip("takes some seconds")
	}
	f, _ := scenario.ShippedNamed("many-agents")
	sc, err := scenario.Parse(f.File(), f.Source)
	if err != nil {
		t.Fatal(err)
	}
	r, err := Swarm(t.Context(), sc, Options{})
	if err != nil {
		t.Fatal(err)
	}
	if r.Violation != nil {
		t.Errorf("%+v", r.Violation)
	}
}

// TestStepFreesNoSlot: calls that run for a minute keep their slots when the clock of their node is put forward by more than
// their reservations last; that they do not is found.
func TestStepFreesNoSlot(t *testing.T) {
	for _, c := range []struct {
		bug  bug
		want string
	}{{bugNone, ""}, {bugForgetSteps, "what callers were told is spent or reserved"}} {
		sc := steady(t, 3, 2*time.Minute)
		p, err := policy.Parse("test", []byte(strings.NewReplacer("{unit: token}", "{unit: slot}", "supply: {rate: 50000/s, burst: 100000}", "supply: {slots: 300}", "cost: {compute: prompt_tokens + max_output_tokens}", "cost: {compute: 1}").Replace(steadyPolicy)))
		if err != nil {
			t.Fatal(err)
		}
		sc.Policies = []*policy.Policy{p}
		sc.Workload[0].Rate, sc.Workload[0].Runs = 2, scenario.Delay{Median: time.Minute, P99: 90 * time.Second}
		sc.Faults = []scenario.Fault{{Kind: scenario.Clock, At: 90 * time.Second, Nodes: []int{0}, By: 3 * time.Minute}}
		r, err := Swarm(t.Context(), sc, Options{bug: c.bug})
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if r.Violation != nil {
			got = r.Violation.Invariant
		}
		if got != c.want {
			t.Errorf("bug %d: found %q, want %q: %+v", c.bug, got, c.want, r.Violation)
		}
	}
}

// TestCrashWhileAway: a node that left later than planned may crash while it is away. It comes back once, and is not
// started again while it runs: seed 30345, where the calls that waited in it were forgotten.
func TestCrashWhileAway(t *testing.T) {
	for _, c := range []struct {
		name             string
		crash, mend, due micros // since it left; due: when it was to be back
		up               micros // it runs from then on
	}{
		{"mended before it was to be back", second, 3 * second, 5 * second, 3 * second},
		{"mended later", second, 7 * second, 5 * second, 7 * second},
	} {
		w, err := newWorld(t.Context(), steady(t, 3, time.Minute), Options{})
		if err != nil {
			t.Fatal(err)
		}
		w.sc.Faults = []scenario.Fault{{Kind: scenario.Crash}}
		w.until(10*second, Options{})
		n, left := w.nodes[1], w.now
		n.stop()
		n.gone = true
		w.pool.left(n)
		e := &scenario.Event{Kind: scenario.Crash, Nodes: []int{1}}
		w.plan(left+c.crash, evFault, nil, e)
		w.plan(left+c.mend, evMend, nil, e)
		w.plan(left+c.due, evBack, nil, n)
		w.until(left+10*second, Options{})
		if !n.up || n.started != left+c.up {
			t.Errorf("%s: up %v, from %d on", c.name, n.up, n.started-left)
		}
	}
}

// The checks find what they are for, whatever they come upon first.
func TestPlantedBugsAreFound(t *testing.T) {
	for _, c := range []struct {
		name string
		bug  bug
		by   []string // invariants that it breaks
	}{
		{"a disk that loses what it confirmed", bugLoseWrites, []string{ // these do show in seeds 1 to 20, the first three in 1 to 10
			"spending stays below what a claim finds",      // guardians lose accounts that they have acknowledged
			"what came to others is in what a claim finds", // and entries
			"a node loads what it wrote",                   // the charter is lost, and records name its seats
			"what only grows does so",                      // the account that is written next is that of an earlier life
			"no right comes that has not left",             // what a giver had written of a gift is lost, and the receiver has it
			"no node is fenced that keeps its disk",        // a guardian has lost the ward's version
			"only what is closed is dropped",               // what closed an entry is lost, and then the entry goes
			"rows are monotone",                            // how far its versions had come is lost, and they begin at 1 again
		}},
		{"a settlement that is booked twice", bugSettleTwice, []string{"what callers were told is spent or reserved", "the equation of an account closes"}},
		{"changes that are in force before they are durable", bugTellEarly, []string{"what is open is durable", "nothing is told before it is durable", "nothing is acknowledged before it is durable"}},
		{"a disk that forgets the newest mark", bugLoseMarks, []string{"after a crash all up to the durable mark counts as spent"}},
	} {
		found, seeds := 0, uint64(10)
		if testing.Short() {
			seeds = 2
		}
		for seed := uint64(1); seed <= seeds; seed++ {
			r, err := Swarm(t.Context(), scenario.Random(seed), Options{bug: c.bug})
			if err != nil {
				t.Fatal(err)
			}
			if v := r.Violation; v != nil {
				found++
				if t.Logf("%s: seed %d, event %d: %s", c.name, seed, v.Event, v.Invariant); !slices.Contains(c.by, v.Invariant) {
					t.Errorf("%s: found as %q: %s", c.name, v.Invariant, v.Detail)
				}
			}
		}
		if found == 0 {
			t.Errorf("%s: not found within %d seeds", c.name, seeds)
		}
	}
}
