package baseline

import (
	"slices"
	"testing"
	"time"

	"pgregory.net/rapid"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/sim/scenario"
)

// TestWhatCountersKnow checks what nodes know, with partitions that overlap in any way, against a model that goes
// from instant to instant and keeps for each two nodes up to when one knows the other.
func TestWhatCountersKnow(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		const instants = 30
		nodes := rapid.IntRange(1, 4).Draw(t, "nodes")
		delay := ledger.Millis(rapid.IntRange(0, 6).Draw(t, "delay"))
		pool := rapid.SampledFrom([]string{
			"token: compute, supply: {rate: 300/s, burst: 60}",
			"token: compute, supply: {grant: 1000}",
			"token: seats, supply: {slots: 100}",
		}).Draw(t, "pool")
		budget, _ := document(t, 1, pool).Budget("pool")
		var timeline []scenario.Event
		for range rapid.IntRange(0, 4).Draw(t, "partitions") {
			at := rapid.IntRange(0, instants-2).Draw(t, "at")
			e := scenario.Event{Kind: scenario.Partition, At: time.Duration(at) * ms,
				Until: time.Duration(rapid.IntRange(at+1, instants).Draw(t, "until")) * ms}
			for n := range nodes {
				if rapid.Bool().Draw(t, "in") {
					e.Nodes = append(e.Nodes, n)
				}
			}
			timeline = append(timeline, e)
		}
		together := func(a, b int, at ledger.Millis) bool {
			return !slices.ContainsFunc(timeline, func(e scenario.Event) bool {
				return millis(e.At) <= at && at < millis(e.Until) && slices.Contains(e.Nodes, a) != slices.Contains(e.Nodes, b)
			})
		}
		// knows[at][a][b]: a knows all that b did up to then, but for the delay.
		var knows [instants][][]ledger.Millis
		for at := range knows {
			knows[at] = make([][]ledger.Millis, nodes)
			for a := range nodes {
				knows[at][a] = slices.Repeat([]ledger.Millis{-1}, nodes)
				for b := range nodes {
					for m := range nodes {
						if together(a, m, ledger.Millis(at)) && at > 0 {
							knows[at][a][b] = max(knows[at][a][b], knows[at-1][m][b])
						}
					}
					if together(a, b, ledger.Millis(at)) {
						knows[at][a][b] = ledger.Millis(at)
					}
				}
			}
		}
		lower, _ := document(t, 2, "token: compute, supply: {rate: 100/s, burst: 30}").Budget("pool")
		revised := ledger.Millis(rapid.IntRange(1, 2*instants).Draw(t, "revised"))
		if budget.Spec.Kind != ledger.Rate {
			revised = forever
		}
		in := &instance{budget: budget}
		c := newCounters(delay, newGroups(nodes, timeline))
		first := newBucket(in.spec(), whole, 0)
		c.look(0, 0, in) // it begins for both
		var did []delta
		for at := ledger.Millis(0); at < instants; at++ {
			if at == revised {
				in.budget, in.since = lower, at
			}
			for range rapid.IntRange(0, 2).Draw(t, "calls") {
				d := delta{at: at, node: rapid.IntRange(0, nodes-1).Draw(t, "node"), reserved: ledger.Tokens(rapid.IntRange(1, 50).Draw(t, "n")), window: forever}
				if d.end = rapid.Bool().Draw(t, "end"); d.end {
					d.used = d.reserved / 3
					c.give(at, d.node, &draw{in: in, reserved: d.reserved, used: d.used, window: forever})
				} else {
					c.take(at, d.node, in, d.reserved)
				}
				did = append(did, d)
			}
			n := rapid.IntRange(0, nodes-1).Draw(t, "looks")
			want := first
			for i := range did {
				if d := &did[i]; d.node == n || at >= delay && d.at <= knows[at-delay][n][d.node] {
					want.apply(in, d)
				}
			}
			want.follow(in)
			want.advance(at)
			if got := c.look(at, int32(n), in); got.avail != want.avail || got.open != want.open {
				t.Fatalf("at %d node %d sees %d and %d open, want %d and %d", at, n, got.avail, got.open, want.avail, want.open)
			}
		}
	})
}

// TestNewsComeInTime: when a waiting node looks only when news says so, it never misses what it could have seen by
// more than the lull.
func TestNewsComeInTime(t *testing.T) {
	budget, _ := document(t, 1, "token: compute, supply: {grant: 1000}").Budget("pool")
	in := &instance{budget: budget}
	c := newCounters(500, newGroups(2, nil))
	c.take(0, 0, in, 1000)
	if at, ok := c.news(600, 1, in); at != 1100 || !ok {
		t.Errorf("with nothing on the way: %d", at)
	}
	c.give(1000, 0, &draw{in: in, reserved: 1000, used: 400, window: forever})
	if at, _ := c.news(1100, 1, in); at != 1500 {
		t.Errorf("with a refund on the way: %d", at)
	}
	if left := c.look(1499, 1, in).left(); left != 0 {
		t.Errorf("%d before it is there", left)
	}
	if left := c.look(1500, 1, in).left(); left != 600 {
		t.Errorf("%d when it is there", left)
	}
}
