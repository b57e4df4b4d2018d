package placement

import (
	"cmp"
	"fmt"
	"slices"
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger"
	"pgregory.net/rapid"
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
		{name: "a quarter of the difference", percent: 70, mine: 1000, theirs: 1000, want: 5},
		{name: "half of it to one who has less than half of its part", percent: 90, mine: 1000, theirs: 1000, want: 20},
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

// TestDriftsLaw: where Drifts finds from what the rows come to that nothing is to move, Drift moves nothing.
func TestDriftsLaw(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		v := grant()
		v.Spec = pool
		if rapid.Bool().Draw(t, "window") {
			v.Spec.Kind = ledger.Windowed
		}
		v.MeanCall = rapid.SampledFrom([]ledger.Tokens{0, 1, 500, 2000}).Draw(t, "mean call")
		v.Demand = rapid.Float64Range(0, 3000).Draw(t, "demand")
		v.Lending = rapid.SampledFrom([]float64{0, 100, 30_000}).Draw(t, "lending")
		left := ledger.TotalShares
		part := func(of string) ledger.Shares {
			n := left * ledger.Shares(rapid.SampledFrom([]int{0, 1, 10, 50, 100}).Draw(t, of)) / 100
			left -= n
			return n
		}
		v.Share = part("own")
		var o ledger.Others
		for i := range rapid.IntRange(0, 4).Draw(t, "peers") {
			p := peer(fmt.Sprintf("p%d", i), 0, 0)
			r := p.Row
			r.Shares, r.Alone = part("share"), rapid.Bool().Draw(t, "alone")
			r.Demand, r.Lent = ledger.Tokens(rapid.IntRange(0, 3000).Draw(t, "its demand")), ledger.Tokens(rapid.IntRange(0, 3000).Draw(t, "lent"))
			v.Peers = append(v.Peers, p)
			o.Holders++
			if r.Alone {
				o.Alone += r.Shares
			} else {
				o.Demand += r.Demand + r.Lent
			}
		}
		v.Members = 1 + len(v.Peers)
		if to, n := (Strategy{}).Drift(v); to >= 0 && n > 0 && !(Strategy{}).Drifts(v, o) {
			t.Fatalf("%d shares would go to %d", n, to)
		}
	})
}

// Who serves more asks than one holder can afford gives shares to peers without any, though nobody's own demand deserves them; not
// in parts of which calls could not be served.
func TestRelieve(t *testing.T) {
	for _, c := range []struct {
		name    string
		serves  float64 // asks a second
		percent ledger.Shares
		peers   []ledger.Shares // of peers, in percent
		want    ledger.Shares   // in percent
		to      int
	}{
		{name: "few asks", serves: 9, percent: 60, peers: []ledger.Shares{40, 0}},
		{name: "what serves eight a second", serves: 20, percent: 60, peers: []ledger.Shares{40, 0}, want: 24, to: 1},
		{name: "what is left", serves: 12, percent: 60, peers: []ledger.Shares{40, 0}, want: 20, to: 1},
		{name: "all have some", serves: 20, percent: 60, peers: []ledger.Shares{40}},
		{name: "at least eight calls", serves: 40, percent: 60, peers: []ledger.Shares{40, 0}, want: 16, to: 1},
		{name: "too little for two", serves: 40, percent: 30, peers: []ledger.Shares{70, 0}},
	} {
		v := grant()
		v.Spec, v.Share, v.MeanCall = pool, ledger.TotalShares/100*c.percent, 2000 // 50 of them are the burst
		v.Demand, v.Lending, v.Members = 100, c.serves*2000, len(c.peers)+1
		for i, s := range c.peers {
			p := peer(string(rune('b'+i)), 0, 0)
			p.Row.Shares, p.Row.Demand = ledger.TotalShares/100*s, 100
			v.Peers = append(v.Peers, p)
		}
		to, n := Strategy{}.Drift(v)
		if n/(ledger.TotalShares/100) != c.want || c.want > 0 && to != c.to {
			t.Errorf("%s: %d shares to %d, want %d%% to %d", c.name, n, to, c.want, c.to)
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

// Where the limit is small, whole tokens' parts move: a third of all shares of three tokens, not a quarter of them.
func TestDriftMovesWholeTokens(t *testing.T) {
	for _, c := range []struct {
		limit        ledger.Tokens
		percent      ledger.Shares
		mine, theirs ledger.Tokens
		want         ledger.Shares
	}{
		{limit: 3, percent: 100, theirs: 100, want: 333_333_333},
		{limit: 1, percent: 100, theirs: 100}, // half of one is nothing
		{limit: 1000, percent: 90, mine: 1000, theirs: 1000, want: 200_000_000},
		{limit: 7, percent: 90, mine: 1000, theirs: 1000, want: 142_857_142},
	} {
		v := sharing(c.percent, c.mine, c.theirs)
		v.Spec, v.Gather = ledger.Spec{Kind: ledger.Windowed, Amount: c.limit}, true
		if _, n := (Strategy{}).Drift(v); n != c.want {
			t.Errorf("%d%% of %d: moves %d shares, want %d", c.percent, c.limit, n, c.want)
		}
	}
}

// gathering is a view of an instance of that limit, whose seats are with the peers and, if so, with this holder.
func gathering(limit ledger.Tokens, seat bool, peers ...string) *ledger.View {
	v := grant()
	v.Spec, v.Instance, v.Seat = ledger.Spec{Kind: ledger.Windowed, Amount: limit}, "week@000000000000", seat
	for _, name := range peers {
		p := peer(name, 0, 0)
		p.Founder = true
		v.Peers = append(v.Peers, p)
	}
	v.Members = len(peers) + 1
	return v
}

func TestGather(t *testing.T) {
	names := []string{"a", "b", "c", "m"}
	slices.SortFunc(names, func(x, y string) int {
		return cmp.Compare(rank("week@000000000000", holder(x)), rank("week@000000000000", holder(y)))
	})
	k := slices.Index(names, "m")
	below, above, first := names[:k], names[k+1:], names[len(names)-1]
	if len(below) == 0 || len(above) == 0 {
		t.Fatalf("%v: choose another instance", names)
	}
	others := slices.Concat(below, above)
	for _, c := range []struct {
		name        string
		limit       ledger.Tokens
		seat        bool
		peers       []string
		share, free ledger.Shares
		to          string
		want        ledger.Shares
	}{
		{name: "to the first", limit: 3, seat: true, peers: others, share: 200_000_000, free: 200_000_000, to: first, want: 200_000_000},
		{name: "whose place is free", limit: 3, seat: true, peers: below, share: 200_000_000, free: 200_000_000},
		{name: "who holds no seat keeps nothing", limit: 3, peers: below[:1], share: 200_000_000, free: 200_000_000, to: below[0], want: 200_000_000},
		{name: "no seat holder lives", limit: 3, share: 200_000_000, free: 200_000_000},
		{name: "what is left is a token's part", limit: 3, seat: true, peers: others, share: 500_000_000, free: 166_666_800, to: first, want: 166_666_667},
		{name: "a token's part stays whole", limit: 3, seat: true, peers: others, share: 333_333_333, free: 133},
		{name: "33 shares of each of four are within the slack", limit: 3, seat: true, peers: others, share: 33, free: 33},
		{name: "34 are not", limit: 3, seat: true, peers: others, share: 34, free: 34, to: first, want: 34},
	} {
		v := gathering(c.limit, c.seat, c.peers...)
		v.Share, v.Free = c.share, c.free
		to, n := Strategy{}.Gather(v)
		name := ""
		if to >= 0 {
			name = v.Peers[to].Holder.Node
		}
		if name != c.to || n != c.want {
			t.Errorf("%s: %d shares to %q, want %d to %q", c.name, n, name, c.want, c.to)
		}
	}
}

// Whoever each holder takes for live, free shares never go round in a circle.
func TestGatherNeverCircles(t *testing.T) {
	names := []string{"a", "b", "c", "d", "e", "f"}
	rapid.Check(t, func(t *rapid.T) {
		at := rapid.SampledFrom(names).Draw(t, "first")
		for range len(names) {
			v := gathering(3, true, rapid.SliceOfDistinct(rapid.SampledFrom(names), rapid.ID[string]).Draw(t, "live")...)
			v.Self = holder(at)
			v.Peers = slices.DeleteFunc(v.Peers, func(p ledger.PeerView) bool { return p.Holder == v.Self })
			v.Share, v.Free = 200_000_000, 200_000_000
			to, _ := Strategy{}.Gather(v)
			if to < 0 {
				return
			}
			at = v.Peers[to].Holder.Node
		}
		t.Fatalf("after %d moves there is one more", len(names))
	})
}

// Every seat holder gathers for its part of the instances.
func TestGatherSpreads(t *testing.T) {
	var first [5]int
	for i := range 1000 {
		id := ledger.InstanceID(fmt.Sprintf("tenant-day/%d@000000000000", i))
		best := 0
		for j := range first {
			if rank(id, holder(fmt.Sprintf("n%d", j))) > rank(id, holder(fmt.Sprintf("n%d", best))) {
				best = j
			}
		}
		first[best]++
	}
	for _, n := range first {
		if n < 150 || n > 250 { // 200 each, with a deviation of 13
			t.Fatalf("of 1000 instances %v", first)
		}
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

// TestWeightBelowZero: until the time that it names, whatever else changes than shares, top-ups and the window does not
// let a row out.
func TestWeightBelowZero(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		tokens := func(name string) ledger.Tokens { return ledger.Tokens(rapid.IntRange(0, 100_000).Draw(t, name)) }
		v := grant()
		v.Members = rapid.IntRange(1, 2000).Draw(t, "members")
		last := ledger.Row{Version: 1, Shares: ledger.Shares(rapid.IntRange(0, 1_000_000_000).Draw(t, "shares"))}
		change := func() *ledger.Row {
			now := last
			now.Spent, now.Reserved, now.Surplus, now.Demand = tokens("spent"), tokens("reserved"), tokens("surplus"), tokens("demand")
			now.Issued, now.In, now.Out, now.Wanted = tokens("issued"), tokens("in"), tokens("out"), tokens("wanted")
			return &now
		}
		age := ledger.Millis(rapid.IntRange(0, 30_000).Draw(t, "age"))
		w := Strategy{}.Weight(v, &last, change(), age)
		if w >= 0 {
			return
		}
		later := age + ledger.Millis(rapid.IntRange(0, int(-w)-1).Draw(t, "later"))
		if got := (Strategy{}).Weight(v, &last, change(), later); got > 0 {
			t.Fatalf("after %d ms it weighed %v, after %d %v", age, w, later, got)
		}
	})
}
