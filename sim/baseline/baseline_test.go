package baseline

import (
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/sim/result"
	"github.com/swarmpurse/swarmpurse/sim/scenario"
	"github.com/swarmpurse/swarmpurse/sim/workload"
)

const (
	sec = time.Second
	ms  = time.Millisecond
)

// with changes a call.
func with(c workload.Call, f func(*workload.Call)) workload.Call {
	f(&c)
	return c
}

func fast(c workload.Call) workload.Call { c.Class = "fast"; return c }
func now(c workload.Call) workload.Call  { c.Class = "now"; return c }

// TestOmniscient: a call of n reserves n, uses n/2, and runs for a second.
func TestOmniscient(t *testing.T) {
	both := func(c workload.Call) workload.Call { c.Model = "both"; return c }
	for name, k := range map[string]struct {
		pool    string
		revised string // what pool is then; 500 an hour by default
		retries int
		faults  []scenario.Fault
		calls   []workload.Call
		want    string
	}{
		"a rate starts full and makes the second call wait": {
			pool: "token: compute, supply: {rate: 100/s, burst: 1000}",
			// 300 are missing: 500 come back at 1 s.
			calls: []workload.Call{c(0, 0, 1000), c(500*ms, 0, 350)},
			want:  "2 of 2, 675 tokens, slow waits 500ms",
		},
		"tokens come with time": {
			pool: "token: compute, supply: {rate: 100/s, burst: 1000}",
			// At 1 s there are 600, at 2.5 s 750 are there before the refund of the 600.
			calls: []workload.Call{c(0, 0, 1000), c(1*sec, 0, 600), c(1*sec, 0, 40)},
			want:  "3 of 3, 820 tokens, slow waits 400ms",
		},
		"not in time": {
			pool:  "token: compute, supply: {rate: 100/s, burst: 1000}",
			calls: []workload.Call{with(c(0, 0, 1000), func(c *workload.Call) { c.Runs = 60_000 }), fast(c(0, 0, 101)), fast(c(1001*ms, 0, 100))},
			want:  "2 of 3, 550 tokens, 1 deferred",
		},
		"just in time": {
			pool:  "token: compute, supply: {rate: 100/s, burst: 1000}",
			calls: []workload.Call{with(c(0, 0, 1000), func(c *workload.Call) { c.Runs = 60_000 }), fast(c(0, 0, 100))},
			want:  "2 of 2, 550 tokens, fast waits 1s",
		},
		"no wait": {
			pool:  "token: compute, supply: {rate: 100/s, burst: 1000}",
			calls: []workload.Call{c(0, 0, 1000), now(c(0, 0, 20)), now(c(190*ms, 0, 20)), now(c(200*ms, 0, 20))},
			want:  "2 of 4, 510 tokens, 2 deferred",
		},
		"never": {
			pool:  "token: compute, supply: {rate: 100/s, burst: 1000}",
			calls: []workload.Call{c(0, 0, 1002)},
			want:  "0 of 1, 0 tokens, 1 denied",
		},
		"no rule and free of charge": {
			pool: "token: compute, supply: {rate: 100/s, burst: 1000}",
			calls: []workload.Call{
				with(c(0, 0, 100), func(c *workload.Call) { c.Model = "unknown" }),
				with(c(0, 0, 5000), func(c *workload.Call) { c.Model = "free" }),
				with(c(0, 0, 100), func(c *workload.Call) { c.Class = "no such class" }),
			},
			want: "1 of 3, 2500 tokens, 2 denied",
		},
		"the better class goes first": {
			pool: "token: compute, supply: {rate: 100/s, burst: 1000}",
			calls: []workload.Call{
				with(c(0, 0, 1000), func(c *workload.Call) { c.Runs = 60_000 }),
				c(0, 0, 200), fast(c(500*ms, 0, 100)), // fast at 1 s; slow at 3 s, but for 50 that come back at 2 s
			},
			want: "3 of 3, 650 tokens, fast waits 500ms, slow waits 2.5s",
		},
		"a rate saves up for a large call": {
			pool: "token: compute, supply: {rate: 100/s, burst: 1000}",
			calls: []workload.Call{
				with(c(0, 0, 1000), func(c *workload.Call) { c.Runs = 60_000 }),
				c(0, 0, 500), c(1*sec, 0, 100), // at 5 s and 6 s, were it not for the 250 that come back then
			},
			want: "3 of 3, 800 tokens, slow waits 5s",
		},
		"of a stock the first that fits is served": {
			pool: "token: compute, supply: {window: 1h, amount: 1000}",
			// 500 come back at 1 s: enough for the second but not for the first.
			calls: []workload.Call{c(0, 0, 1000), c(100*ms, 0, 600), c(200*ms, 0, 400)},
			want:  "2 of 3, 700 tokens, 1 deferred, slow waits 800ms",
		},
		"a window turns": {
			pool:  "token: compute, supply: {window: 1m, amount: 1000}",
			calls: []workload.Call{c(58*sec, 0, 900), with(c(58*sec, 0, 100), func(c *workload.Call) { c.Runs = 5000 }), c(59*sec, 0, 700)},
			// 450 come back at 59 s: too little; the new window has all 1,000.
			want: "3 of 3, 850 tokens, slow waits 1s",
		},
		"a window rolls over": {
			pool:  "token: compute, supply: {window: 1m, amount: 1000, rollover: 10%}",
			calls: []workload.Call{c(58*sec, 0, 20), now(c(60*sec, 0, 1100)), now(c(61*sec, 0, 500)), now(c(120*sec, 0, 1101)), now(c(180*sec, 0, 1100))},
			// 100 of 990 go over at 1 min, 100 of 300 at 2 min, 100 of 1,100 at 3 min.
			want: "4 of 5, 1360 tokens, 1 denied",
		},
		"a refund is dropped after its window": {
			pool:  "token: compute, supply: {window: 1m, amount: 1000}",
			calls: []workload.Call{now(c(59500*ms, 0, 1000)), now(c(60*sec, 0, 1000)), now(c(60600*ms, 0, 100))},
			want:  "2 of 3, 1000 tokens, 1 deferred",
		},
		"a grant is spent once": {
			pool:  "token: compute, supply: {grant: 1000}",
			calls: []workload.Call{c(0, 0, 1000), c(0, 0, 500), c(3*sec, 0, 500), c(5*sec, 0, 250), c(7*sec, 0, 126)},
			// 500 after the first, 250 after the second, then 125 for two who want 500 and 250.
			want: "3 of 5, 875 tokens, 2 denied, slow waits 1s",
		},
		"soft may be overdrawn": {
			pool:  "token: compute, supply: {window: 1h, amount: 1000}, ceiling: {soft: 10%, size: 100%}",
			calls: []workload.Call{now(c(0, 0, 1100)), now(c(1*sec, 0, 550)), now(c(1*sec, 0, 20))},
			want:  "2 of 3, 825 tokens, 1 deferred",
		},
		"soft reserves what will be used": {
			pool:  "token: compute, supply: {window: 1h, amount: 1000}, ceiling: {soft: 10%}",
			calls: []workload.Call{now(c(0, 0, 1100)), now(c(1*sec, 0, 550)), now(c(1*sec, 0, 20))},
			want:  "3 of 3, 835 tokens",
		},
		"observe never says no": {
			pool:  "token: compute, supply: {rate: 1/s, burst: 1}, ceiling: observe",
			calls: []workload.Call{now(c(0, 0, 1000)), now(c(0, 0, 1000))},
			want:  "2 of 2, 1000 tokens",
		},
		"slots come back": {
			pool:  "token: seats, supply: {slots: 2}",
			calls: []workload.Call{c(0, 0, 100), c(100*ms, 0, 100), c(200*ms, 0, 100), now(c(300*ms, 0, 100))},
			want:  "3 of 4, 150 tokens, 1 deferred, slow waits 800ms",
		},
		"unspent tokens decay": {
			pool:  "token: fading, supply: {grant: 1000}",
			calls: []workload.Call{now(c(0, 0, 20)), now(c(10*sec, 0, 520)), now(c(10*sec, 0, 480))}, // some 500 are left
			want:  "2 of 3, 250 tokens, 1 denied",
		},
		"two budgets, all or nothing": {
			pool: "token: compute, supply: {rate: 100/s, burst: 1000}",
			// 150 a minute for the tenant: the second call waits for the window and takes nothing of the pool meanwhile.
			calls: []workload.Call{both(c(55*sec, 0, 100)), both(c(55*sec, 0, 120)), now(c(55*sec, 0, 900))},
			want:  "3 of 3, 560 tokens, slow waits 5s",
		},
		"who is deferred comes back": {
			pool: "token: compute, supply: {rate: 100/s, burst: 1000}", retries: 1,
			calls: []workload.Call{with(c(0, 0, 1000), func(c *workload.Call) { c.Runs = 60_000 }), now(c(0, 0, 300)), now(c(100*ms, 0, 200))},
			// Told 3 s and 2 s and up to a quarter more; who comes at 2 s gets his, and too little is left at 3 s.
			want: "2 of 3, 600 tokens, 1 deferred, now waits 1.97s",
		},
		"a chain goes on when a call has ended": {
			pool:  "token: compute, supply: {rate: 100/s, burst: 1000}",
			calls: []workload.Call{with(c(0, 0, 100), func(c *workload.Call) { c.Depth = 2 })},
			want:  "3 of 3, 150 tokens",
		},
		"and not when it is refused": {
			pool:  "token: compute, supply: {rate: 100/s, burst: 1000}",
			calls: []workload.Call{with(c(0, 0, 1100), func(c *workload.Call) { c.Depth = 2 })},
			want:  "0 of 1, 0 tokens, 1 denied",
		},
		"a crash loses calls": {
			pool:   "token: compute, supply: {window: 1h, amount: 1000}",
			faults: []scenario.Fault{{Kind: scenario.Crash, At: 10 * sec, For: 5 * sec, Nodes: []int{1}}},
			calls: []workload.Call{
				c(9500*ms, 1, 500), c(9500*ms, 0, 300), // the first is lost with its tokens, 150 of the second return
				c(9600*ms, 1, 300), // waits when the node crashes
				c(12*sec, 1, 10),   // nobody answers
				c(15*sec, 1, 350), now(c(15*sec, 0, 20)),
			},
			want: "3 of 6, 325 tokens, 3 deferred",
		},
		"a lower limit does not undo what was spent": {
			pool:   "token: compute, supply: {window: 1h, amount: 1000}",
			faults: []scenario.Fault{{Kind: scenario.Revise, At: 10 * sec, Policy: 1}},
			calls:  []workload.Call{with(now(c(9*sec, 0, 800)), func(c *workload.Call) { c.Runs = 3000 }), now(c(11*sec, 0, 20)), now(c(12*sec, 0, 102)), now(c(12*sec, 0, 100))},
			want:   "2 of 4, 450 tokens, 2 deferred", // 500 from then on, of which 400 are spent
		},
		"behind one who gives up": {
			pool: "token: compute, supply: {rate: 100/s, burst: 1000}",
			calls: []workload.Call{
				with(c(0, 0, 1000), func(c *workload.Call) { c.Runs = 60_000 }),
				fast(c(0, 0, 500)), c(100*ms, 0, 60), // 100 are there at 1 s, when the first gives up
			},
			want: "2 of 3, 530 tokens, 1 deferred, slow waits 900ms",
		},
		"behind a better call one comes back soon": {
			pool: "token: compute, supply: {rate: 100/s, burst: 1000}", retries: 3,
			calls: []workload.Call{
				with(c(0, 0, 1000), func(c *workload.Call) { c.Runs = 60_000 }),
				fast(c(500*ms, 0, 60)), now(c(500*ms, 0, 20)), // 50 are there; the first has 60 at 600 ms, the second 20 at 800 ms, 40 ms late by chance
			},
			want: "3 of 3, 540 tokens, now waits 340ms, fast waits 100ms",
		},
		"a mistake does not stick to calls of its kind": {
			pool:  "token: compute, supply: {grant: 1000}",
			calls: []workload.Call{with(c(0, 0, 100), func(c *workload.Call) { c.Max = -1 }), c(0, 0, 100)},
			want:  "1 of 2, 50 tokens, 1 denied",
		},
		"a crash ends no chain": {
			pool:   "token: compute, supply: {window: 1h, amount: 1000}",
			faults: []scenario.Fault{{Kind: scenario.Crash, At: 10 * sec, For: 1 * sec, Nodes: []int{1}}},
			calls:  []workload.Call{with(c(9500*ms, 1, 100), func(c *workload.Call) { c.Depth = 1 })}, // the second at 11.5 s
			want:   "2 of 2, 50 tokens",
		},
		"slots come back though the node died": {
			pool:   "token: seats, supply: {slots: 1}",
			faults: []scenario.Fault{{Kind: scenario.Crash, At: 10 * sec, Nodes: []int{1}}},
			calls:  []workload.Call{c(9500*ms, 1, 100), c(10*sec, 0, 100)},
			want:   "2 of 2, 50 tokens, slow waits 500ms",
		},
		"a node that dies keeps nobody waiting": {
			pool:   "token: compute, supply: {rate: 100/s, burst: 1000}",
			faults: []scenario.Fault{{Kind: scenario.Leave, At: 11 * sec, Nodes: []int{1}}},
			// The better call, which lacks 800, leaves with its node; 100 are there.
			calls: []workload.Call{
				with(c(10*sec, 0, 1000), func(c *workload.Call) { c.Runs = 60_000 }),
				with(c(10500*ms, 1, 800), func(c *workload.Call) { c.Class = "fast" }), c(10600*ms, 0, 100),
			},
			want: "2 of 3, 550 tokens, 1 deferred, slow waits 400ms",
		},
		"a paused node answers later": {
			pool:   "token: compute, supply: {window: 1h, amount: 1000}",
			faults: []scenario.Fault{{Kind: scenario.Pause, At: 10 * sec, For: 3 * sec, Nodes: []int{1}}},
			calls:  []workload.Call{now(c(11*sec, 1, 100)), now(c(11*sec, 0, 100))},
			want:   "2 of 2, 100 tokens, now waits 2s",
		},
		"another rate from now on": {
			pool: "token: compute, supply: {rate: 100/s, burst: 1000}", revised: "token: compute, supply: {rate: 10/s, burst: 1000}",
			faults: []scenario.Fault{{Kind: scenario.Revise, At: 10 * sec, Policy: 1}},
			calls: []workload.Call{
				with(c(7*sec, 0, 1000), func(c *workload.Call) { c.Runs = 60_000 }),
				now(c(12*sec, 0, 321)), now(c(12*sec, 0, 320)), // 300 and 20
			},
			want: "2 of 3, 660 tokens, 1 deferred",
		},
		"a higher price from now on": {
			pool: "token: compute, supply: {grant: 1000}", revised: "token: compute, supply: {grant: 1000}, price: {base: 2}",
			faults: []scenario.Fault{{Kind: scenario.Revise, At: 10 * sec, Policy: 1}},
			calls:  []workload.Call{now(c(9*sec, 0, 500)), now(c(12*sec, 0, 400)), now(c(12*sec, 0, 100))}, // 750 are left
			want:   "2 of 3, 300 tokens, 1 denied",
		},
		"an older revision changes nothing": {
			pool: "token: compute, supply: {window: 1h, amount: 1000}", revised: "token: compute, supply: {window: 1h, amount: 500}",
			faults: []scenario.Fault{{Kind: scenario.Revise, At: 10 * sec, Policy: 1}, {Kind: scenario.Revise, At: 20 * sec, Policy: 0}},
			calls:  []workload.Call{now(c(30*sec, 0, 501)), now(c(30*sec, 0, 500))},
			want:   "1 of 2, 250 tokens, 1 denied",
		},
		"a partition means nothing": {
			pool:   "token: compute, supply: {rate: 100/s, burst: 1000}",
			faults: []scenario.Fault{{Kind: scenario.Partition, At: 0, For: time.Minute, Nodes: []int{0}}},
			calls:  []workload.Call{c(0, 0, 500), c(0, 1, 500)},
			want:   "2 of 2, 500 tokens",
		},
	} {
		t.Run(name, func(t *testing.T) {
			if k.revised == "" {
				k.revised = "token: compute, supply: {window: 1h, amount: 500}"
			}
			sc := &scenario.Scenario{
				Nodes: 2, Duration: 4 * time.Minute, Rest: time.Minute, Retries: k.retries, Faults: k.faults,
				Policies: []*policy.Policy{document(t, 1, k.pool), document(t, 2, k.revised)},
			}
			if got := says(mustRun(t, result.Omniscient, sc, k.calls, 0)); got != k.want {
				t.Errorf("got  %s\nwant %s", got, k.want)
			}
		})
	}
}
