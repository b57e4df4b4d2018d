package placement

import (
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// sharing is a view of a holder with that part of all shares, in percent, and that demand; the rest is one peer's.
func sharing(percent ledger.Shares, mine, theirs ledger.Tokens) *ledger.View {
	p := peer("b", 0, 0)
	p.Row.Shares, p.Row.Demand = ledger.TotalShares/100*(100-percent), theirs
	v := grant(p)
	v.Spec, v.Share, v.Demand, v.MeanCall = pool, ledger.TotalShares/100*percent, float64(mine), 1
	return v
}

func TestDrift(t *testing.T) {
	for _, c := range []struct {
		name         string
		percent      ledger.Shares
		mine, theirs ledger.Tokens
		meanCall     ledger.Tokens
		want         ledger.Shares // in percent
	}{
		{name: "no demand anywhere", percent: 90},
		{name: "shares as the demand", percent: 50, mine: 1000, theirs: 1000},
		{name: "within the hysteresis", percent: 60, mine: 1000, theirs: 1000},
		{name: "too little already", percent: 20, mine: 1000, theirs: 1000},
		{name: "a quarter of the difference", percent: 90, mine: 1000, theirs: 1000, want: 10},
		{name: "a quiet holder keeps a little", percent: 50, theirs: 1000, want: 11}, // of 47.2 beyond 1/36
		{name: "what chance explains does not count", percent: 90, mine: 1000, theirs: 1000, meanCall: 20_000},
	} {
		v := sharing(c.percent, c.mine, c.theirs)
		v.MeanCall = max(c.meanCall, 1)
		to, n := Strategy{}.Drift(v)
		if (to >= 0) != (c.want > 0) || n/(ledger.TotalShares/100) != c.want {
			t.Errorf("%s: %d shares to %d, want %d%%", c.name, n, to, c.want)
		}
	}
}

// Steps of both holders end near the demand, from one side, and never move more than half of what is beyond it.
func TestDriftConverges(t *testing.T) {
	share := ledger.TotalShares
	steps := 0
	for ; steps < 100; steps++ {
		v := sharing(0, 1000, 1000)
		v.Share, v.Peers[0].Row.Shares = share, ledger.TotalShares-share
		to, n := Strategy{}.Drift(v)
		if to < 0 {
			break
		}
		if n <= 0 || n > (share-ledger.TotalShares/2)/2 {
			t.Fatalf("step %d: %d of %d", steps, n, share)
		}
		share -= n
	}
	if steps == 100 || share > ledger.TotalShares*63/100 {
		t.Errorf("after %d steps at %d shares", steps, share)
	}
}

// Who lacks three times as much is picked three times as often: many givers do not all choose one.
func TestDriftSpreads(t *testing.T) {
	v := sharing(100, 0, 3_000)
	other := peer("c", 0, 0)
	other.Row.Demand = 1_000
	v.Peers, v.Members = append(v.Peers, other), 3
	var picked [2]int
	for range 1000 {
		to, _ := Strategy{}.Drift(v)
		picked[to]++
	}
	if picked[0] < 2*picked[1] || picked[0] > 4*picked[1] {
		t.Errorf("picked %v", picked)
	}
}

func TestWeight(t *testing.T) {
	base := ledger.Row{Version: 1, Shares: 10, Surplus: 5_000, Spent: 100}
	for _, c := range []struct {
		name   string
		change func(last, now *ledger.Row)
		age    ledger.Millis
		sent   bool
		heavy  bool // 1 at least
	}{
		{name: "the first row", change: func(last, _ *ledger.Row) { last.Version = 0 }, sent: true, heavy: true},
		{name: "another window", change: func(_, now *ledger.Row) { now.Window++ }, sent: true, heavy: true},
		{name: "shares moved", change: func(_, now *ledger.Row) { now.Shares++ }, sent: true, heavy: true},
		{name: "a top-up", change: func(_, now *ledger.Row) { now.Minted++ }, sent: true, heavy: true},
		{name: "much spent, but just sent", change: func(_, now *ledger.Row) { now.Spent += 50_000 }, age: 99},
		{name: "much spent", change: func(_, now *ledger.Row) { now.Spent += 50_000 }, age: 100, sent: true},
		{name: "a hundredth moved", change: func(_, now *ledger.Row) { now.Surplus -= 1_000 }, age: 100, sent: true},
		{name: "less", change: func(_, now *ledger.Row) { now.Surplus -= 999 }, age: 999},
		{name: "less, but a second ago", change: func(_, now *ledger.Row) { now.Surplus -= 999 }, age: 1_000, sent: true},
		{name: "the surplus is gone", change: func(_, now *ledger.Row) { now.Surplus = 0 }, age: 100, sent: true, heavy: true},
	} {
		last, now := base, base
		c.change(&last, &now)
		w := Strategy{}.Weight(grant(), &last, &now, c.age)
		if (w > 0) != c.sent || (w >= 1) != c.heavy {
			t.Errorf("%s: weight %v", c.name, w)
		}
	}
}
