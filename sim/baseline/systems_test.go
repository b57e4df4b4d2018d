package baseline

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/sim/result"
	"github.com/swarmpurse/swarmpurse/sim/scenario"
	"github.com/swarmpurse/swarmpurse/sim/workload"
)

// TestSystems puts the systems side by side: 2 nodes, gossip takes 500 ms. A call of n reserves n, uses n/2 and
// runs for a second.
func TestSystems(t *testing.T) {
	cut := []scenario.Fault{{Kind: scenario.Partition, At: 10 * sec, For: 10 * sec, Nodes: []int{1}}}
	for name, k := range map[string]struct {
		pool   string
		faults []scenario.Fault
		calls  []workload.Call
		want   map[string]string
	}{
		// Half of 1000 is used; 600 more fit only once 300 were topped up; of the 500 that then are left 450 are burned, so 100 do not fit any more.
		"topped up, then burned": {
			pool: "token: compute, supply: {grant: 1000}",
			faults: []scenario.Fault{
				{Kind: scenario.Mint, At: 10 * sec, Budget: "pool", Tokens: 300}, {Kind: scenario.Burn, At: 15 * sec, Budget: "pool", Tokens: 450},
			},
			calls: []workload.Call{now(c(0, 0, 1000)), now(c(5*sec, 1, 600)), now(c(11*sec, 1, 600)), now(c(20*sec, 0, 100)), now(c(20*sec, 1, 50))},
			want: map[string]string{
				result.Omniscient: "3 of 5, 825 tokens, 2 denied",
				result.Split:      "3 of 5, 375 tokens, 2 denied", // half of each order is node 1's
				result.Counters:   "3 of 5, 825 tokens, 2 denied",
				result.LocalOnly:  "5 of 5, 1175 tokens, 100 over (10%)",
			},
		},
		"both nodes at once": {
			pool:  "token: compute, supply: {window: 1h, amount: 1000}",
			calls: []workload.Call{now(c(0, 0, 600)), now(c(0, 1, 600))},
			want: map[string]string{
				result.Omniscient: "1 of 2, 300 tokens, 1 deferred",
				result.Split:      "0 of 2, 0 tokens, 2 denied",
				result.SplitKnown: "1 of 2, 300 tokens, 1 deferred",
				result.Counters:   "2 of 2, 600 tokens, 200 over (20%)",
				result.LocalOnly:  "2 of 2, 600 tokens, 200 over (20%)",
			},
		},
		"one after the other, when gossip has come": {
			pool:  "token: compute, supply: {window: 1h, amount: 1000}",
			calls: []workload.Call{now(c(0, 0, 600)), now(c(499*ms, 1, 400)), now(c(500*ms, 1, 100))},
			want: map[string]string{
				result.Omniscient: "2 of 3, 500 tokens, 1 deferred",
				result.Split:      "2 of 3, 250 tokens, 1 denied",
				result.Counters:   "2 of 3, 500 tokens, 1 deferred",
				result.LocalOnly:  "3 of 3, 550 tokens, 100 over (10%)",
			},
		},
		"what comes back is learnt late, too": {
			pool:  "token: compute, supply: {window: 1h, amount: 1000}",
			calls: []workload.Call{c(0, 0, 1000), fast(c(600*ms, 1, 500))},
			want: map[string]string{
				result.Omniscient: "2 of 2, 750 tokens, fast waits 400ms",
				result.Counters:   "2 of 2, 750 tokens, fast waits 900ms",
			},
		},
		"a rate": {
			pool: "token: compute, supply: {rate: 100/s, burst: 1000}",
			// At 400 ms nobody has heard of the other: 2,000 are reserved where 1,040 may be. Half returns at 1 s and
			// 1.4 s. At 2 s there would be 120; the swarm has 1,000 + 200 − 2,000 + 1,000.
			calls: []workload.Call{now(c(0, 0, 1000)), now(c(400*ms, 1, 1000)), now(c(2*sec, 0, 250)), now(c(2*sec, 1, 200))},
			want: map[string]string{
				result.Omniscient: "3 of 4, 725 tokens, 1 deferred",
				result.Split:      "2 of 4, 225 tokens, 2 denied",
				result.Counters:   "3 of 4, 1100 tokens, 1 deferred, 960 over (92.3%)",
				result.LocalOnly:  "4 of 4, 1225 tokens, 960 over (92.3%)",
			},
		},
		"a partition by the demand of its sides": {
			pool:   "token: compute, supply: {window: 1h, amount: 1000}",
			faults: cut,
			// Of 800 that are wanted in the partition node 1 wants 600. After it there are 600 again.
			calls: []workload.Call{now(c(11*sec, 0, 200)), now(c(11*sec, 1, 600)), now(c(25*sec, 0, 600))},
			want: map[string]string{
				result.Omniscient: "3 of 3, 700 tokens",
				result.Split:      "1 of 3, 100 tokens, 2 denied",
				result.SplitKnown: "3 of 3, 700 tokens",
				result.Counters:   "3 of 3, 700 tokens",
				result.LocalOnly:  "3 of 3, 700 tokens",
			},
		},
		"a call waits for the end of a partition": {
			pool:   "token: compute, supply: {window: 1h, amount: 1000}",
			faults: cut,
			// Node 0 has 250 and node 1 has 750, of which 500 are left at 12 s.
			calls: []workload.Call{c(11*sec, 0, 500), c(11*sec, 1, 500), fast(c(15*sec, 1, 1000))},
			want: map[string]string{
				result.SplitKnown: "2 of 3, 500 tokens, 1 deferred, slow waits 9s",
			},
		},
		"a partition makes counters blind": {
			pool:   "token: compute, supply: {window: 1h, amount: 1000}",
			faults: cut,
			calls: []workload.Call{
				now(c(5*sec, 0, 400)),                          // known to both: 200 stay spent
				now(c(12*sec, 0, 800)), now(c(13*sec, 1, 800)), // neither hears of the other
				now(c(20499*ms, 0, 400)), now(c(20499*ms, 1, 400)), // nor has it yet
				now(c(20500*ms, 0, 100)), now(c(22*sec, 0, 20)), now(c(22*sec, 1, 20)), // now they know
			},
			want: map[string]string{
				result.Counters: "5 of 8, 1400 tokens, 3 deferred, 800 over (80%)",
			},
		},
		"a rate's debt is a burst at most": {
			pool:   "token: compute, supply: {rate: 100/s, burst: 1000}",
			faults: cut,
			// Each side spends a burst at 10 s, and at 11 s the half that came back, with what time has brought: together
			// 1,100 too much, of which 1,000 are remembered. 600 come back at 12 s and 1,000 with time until 21 s.
			calls: []workload.Call{
				now(c(10*sec, 0, 1000)), now(c(10*sec, 1, 1000)), now(c(11*sec, 0, 600)), now(c(11*sec, 1, 600)),
				now(c(21*sec, 0, 601)), now(c(21*sec, 0, 600)),
			},
			want: map[string]string{
				result.Counters: "5 of 6, 1900 tokens, 1 deferred, 1100 over (100%)",
			},
		},
		"a lower limit is no excess": {
			pool:   "token: compute, supply: {window: 1h, amount: 1000}",
			faults: []scenario.Fault{{Kind: scenario.Revise, At: 10 * sec, Policy: 1}},
			// 800 were spent when the limit became 500, and 100 more are.
			calls: []workload.Call{with(now(c(9*sec, 0, 800)), func(c *workload.Call) { c.Runs = 60_000 }), now(c(11*sec, 1, 100))},
			want: map[string]string{
				result.Omniscient: "1 of 2, 400 tokens, 1 deferred",
				result.LocalOnly:  "2 of 2, 450 tokens, 100 over (20%)",
			},
		},
		"the limit of a rate grows from when it was last full": {
			pool: "token: compute, supply: {rate: 100/s, burst: 1000}",
			// From 30 s on: 2,000 at once, of 1,000.
			calls: []workload.Call{now(c(0, 0, 100)), now(c(30*sec, 0, 1000)), now(c(30*sec, 1, 1000))},
			want: map[string]string{
				result.LocalOnly: "3 of 3, 1050 tokens, 1000 over (100%)",
			},
		},
	} {
		for kind, want := range k.want {
			t.Run(name+"/"+kind, func(t *testing.T) {
				sc := &scenario.Scenario{
					Nodes: 2, Duration: time.Minute, Rest: time.Minute, Faults: k.faults,
					Policies: []*policy.Policy{document(t, 1, k.pool), document(t, 2, "token: compute, supply: {window: 1h, amount: 500}")},
				}
				if got := says(mustRun(t, kind, sc, k.calls, 500*ms)); got != want {
					t.Errorf("got  %s\nwant %s", got, want)
				}
			})
		}
	}
}

// TestEvenSplit: parts add up to the whole, and who joins later has none.
func TestEvenSplit(t *testing.T) {
	slots := &ledger.Spec{Kind: ledger.Slots, Amount: 8}
	pool := even(9)
	var list []ledger.Tokens
	for node := range int32(10) {
		b := newBucket(slots, pool.part(node, nil), 0)
		list = append(list, b.left())
	}
	if want := []ledger.Tokens{0, 1, 1, 1, 1, 1, 1, 1, 1, 0}; !slices.Equal(list, want) {
		t.Errorf("8 slots on 9 nodes and a newcomer: %v", list)
	}
}

// TestOverrunIsNoOverspend: what was used above a reservation is not judged.
func TestOverrunIsNoOverspend(t *testing.T) {
	budget, _ := document(t, 1, "token: compute, supply: {grant: 1000}").Budget("pool")
	in := &instance{budget: budget}
	var g judge
	g.take(0, in, 500)
	g.give(1, &draw{in: in, reserved: 500, used: 800, window: forever})
	g.take(2, in, 500)
	if g.excess != 0 {
		t.Errorf("%d over", g.excess)
	}
	if g.take(3, in, 1); g.excess != 1 || g.worst != 0.001 {
		t.Errorf("%d over, %v", g.excess, g.worst)
	}
}

func TestWhatCannotRun(t *testing.T) {
	good := &scenario.Scenario{Nodes: 1, Duration: sec, Policies: []*policy.Policy{document(t, 1, "token: compute, supply: {grant: 1000}")}}
	for name, k := range map[string]struct {
		kind  string
		sc    *scenario.Scenario
		delay time.Duration
		want  string
	}{
		"kind":   {"centralised", good, 0, `unknown system "centralised": there are omniscient, split, `},
		"policy": {result.Split, &scenario.Scenario{Nodes: 1}, 0, "no policy"},
		"nodes":  {result.Split, &scenario.Scenario{Policies: good.Policies}, 0, "no nodes"},
		"delay":  {result.Counters, good, -sec, "-1s"},
	} {
		_, err := Run(k.kind, k.sc, from(nil), Options{GossipDelay: k.delay})
		if err == nil || !strings.Contains(err.Error(), k.want) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

// TestObservedFitsAnything: a budget that only observes keeps no call back, however large.
func TestObservedFitsAnything(t *testing.T) {
	s := &ledger.Spec{Kind: ledger.Rate, Amount: 10, Per: 1, PerMillis: 1000, Ceiling: ledger.Observe}
	b := bucket{spec: s}
	if n := b.most(part{}); n != ledger.MaxTokens || b.left() != ledger.MaxTokens {
		t.Errorf("at most %d", n)
	}
}
