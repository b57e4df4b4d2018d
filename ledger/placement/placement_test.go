package placement

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger"
	"pgregory.net/rapid"
)

func holder(name string) ledger.Holder { return ledger.Holder{Node: name, Gen: 1} }

// peer is a live peer whose row shows that surplus and that balance.
func peer(name string, surplus, balance ledger.Tokens) ledger.PeerView {
	h := holder(name)
	return ledger.PeerView{Holder: h, Row: &ledger.Row{Holder: h, Surplus: surplus, Issued: balance}}
}

func with(p ledger.PeerView, change func(*ledger.PeerView)) ledger.PeerView {
	change(&p)
	return p
}

func grant(peers ...ledger.PeerView) *ledger.View {
	return &ledger.View{
		Self: holder("m"), Spec: ledger.Spec{Kind: ledger.Grant, Amount: 100_000}, Peers: peers, Members: len(peers) + 1,
		Rand: rand.New(rand.NewPCG(1, 1)).IntN,
	}
}

func TestDonors(t *testing.T) {
	refused := func(p *ledger.PeerView) { p.Refused = true }
	asked := func(p *ledger.PeerView) { p.Asked = true }
	hinted := func(p *ledger.PeerView) { p.Hinted = true }
	away := func(d ledger.Millis) func(*ledger.PeerView) {
		return func(p *ledger.PeerView) { p.Distance = d }
	}
	founder := ledger.PeerView{Holder: holder("f"), Founder: true}
	for _, c := range []struct {
		name   string
		peers  []ledger.PeerView
		rights ledger.Tokens
		need   ledger.Tokens
		n      int
		want   []string
	}{
		{name: "nobody", need: 10, n: 2},
		{name: "one is enough", peers: []ledger.PeerView{peer("a", 50, 50)}, need: 10, n: 2, want: []string{"a"}},
		{name: "of two, who can serve it alone", peers: []ledger.PeerView{peer("a", 5, 5), peer("b", 50, 50)}, need: 10, n: 2, want: []string{"b"}},
		{name: "of two who can, the nearer", peers: []ledger.PeerView{with(peer("a", 90, 90), away(80)), with(peer("b", 50, 50), away(5))}, need: 10, n: 2, want: []string{"b"}},
		{name: "near, but too little", peers: []ledger.PeerView{with(peer("a", 90, 90), away(80)), with(peer("b", 5, 5), away(5))}, need: 10, n: 1, want: []string{"a"}},
		{name: "of two who cannot, who has more, then the other", peers: []ledger.PeerView{peer("a", 5, 5), peer("b", 7, 7)}, need: 10, n: 2, want: []string{"b", "a"}},
		{name: "no more than n", peers: []ledger.PeerView{peer("a", 5, 5), peer("b", 7, 7)}, need: 100, n: 1, want: []string{"b"}},
		{name: "not who refused or is asked", peers: []ledger.PeerView{with(peer("a", 90, 90), refused), with(peer("b", 90, 90), asked), peer("c", 2, 2)}, need: 10, n: 2, want: []string{"c"}},
		{name: "a founder without a row comes after surplus", peers: []ledger.PeerView{founder, peer("a", 5, 5)}, need: 10, n: 2, want: []string{"a", "f"}},
		{name: "and is left alone when the surplus will do", peers: []ledger.PeerView{founder, peer("a", 10, 10)}, need: 10, n: 2, want: []string{"a"}},
		{name: "a founder comes before a fragment", peers: []ledger.PeerView{founder, peer("a", 0, 10)}, need: 10, n: 2, want: []string{"f", "a"}},
		{name: "who was named by a refuser comes before a fragment", peers: []ledger.PeerView{with(peer("h", 0, 0), hinted), peer("a", 0, 10)}, need: 10, n: 1, want: []string{"h"}},
		{name: "a fragment smaller than ours", peers: []ledger.PeerView{peer("a", 0, 3)}, rights: 5, need: 10, n: 2, want: []string{"a"}},
		{name: "a fragment larger than ours stays where it is", peers: []ledger.PeerView{peer("a", 0, 7)}, rights: 5, need: 10, n: 2},
		{name: "nobody without rights", peers: []ledger.PeerView{peer("a", 0, 0)}, rights: 5, need: 10, n: 2},
	} {
		v := grant(c.peers...)
		v.Rights = c.rights
		picks, want := Strategy{}.Donors(v, c.need, c.n)
		var names []string
		for _, i := range picks {
			names = append(names, v.Peers[i].Holder.Node)
		}
		if !slices.Equal(names, c.want) || want != c.need {
			t.Errorf("%s: asks %v for %d, want %v for %d", c.name, names, want, c.want, c.need)
		}
	}
}

// Of many that are alike every one is asked now and then, the poorest of all never: one of two is better.
func TestDonorsSpreadAsks(t *testing.T) {
	v := grant(peer("a", 50, 50), peer("b", 50, 50), peer("c", 50, 50), peer("d", 5, 5))
	var asked [4]int
	for range 1000 {
		picks, _ := Strategy{}.Donors(v, 10, 1)
		asked[picks[0]]++
	}
	if asked[0] < 200 || asked[1] < 200 || asked[2] < 200 || asked[3] > 0 {
		t.Errorf("asked %v", asked)
	}
}

// What is asked for beyond the need is a second's demand, half a minute's of a stock and some slots more, and no more than
// the asker's part of the surplus.
func TestPrefetch(t *testing.T) {
	for _, c := range []struct {
		kind     ledger.Kind
		demand   float64
		reserved ledger.Tokens
		want     ledger.Tokens
	}{
		{ledger.Grant, 0, 0, 10}, {ledger.Grant, 5, 0, 10 + 150}, {ledger.Windowed, 5, 0, 10 + 150}, {ledger.Grant, 1e9, 0, 10 + 900/3},
		{ledger.Rate, 20, 0, 10 + 20}, {ledger.Slots, 20, 64, 10 + 8}, {ledger.Slots, 20, 1e9, 10 + 900/3},
	} {
		v := grant(peer("a", 600, 600), peer("b", 300, 300))
		v.Spec.Kind, v.Demand, v.Reserved, v.MeanCall = c.kind, c.demand, c.reserved, 1
		if _, want := (Strategy{}).Donors(v, 10, 2); want != c.want {
			t.Errorf("%v, demand %v, %d in use: wants %d, not %d", c.kind, c.demand, c.reserved, want, c.want)
		}
	}
}

// A stock is rather asked of who can give all that is wanted: each gift is noted to guardians by both sides.
func TestStockOfOneDonor(t *testing.T) {
	v := grant(peer("a", 50, 50), peer("b", 5000, 5000), peer("c", 60, 60))
	v.Demand = 10
	v.Peers[0].Distance, v.Peers[1].Distance, v.Peers[2].Distance = 1, 9, 1
	asked := [3]int{}
	for range 300 {
		picks, _ := (Strategy{}).Donors(v, 20, 1)
		asked[picks[0]]++
	}
	if asked[1] < 150 {
		t.Errorf("asked %v", asked)
	}
}

// When a rate has less than the call needs everywhere, waiting brings more than asking.
func TestDonorsWaitForTheRefill(t *testing.T) {
	short := with(peer("a", 0, 400), func(p *ledger.PeerView) { p.Row.Unmet, p.Row.Shares = 5, ledger.TotalShares/10 })
	v := grant(short)
	v.Spec, v.Rights = pool, 500
	if picks, _ := (Strategy{}).Donors(v, 1_500, 2); len(picks) > 0 {
		t.Errorf("asks for 400 where 1500 lack")
	}
	if picks, _ := (Strategy{}).Donors(v, 300, 2); len(picks) != 1 {
		t.Errorf("does not ask for 400 where 300 lack")
	}
}

func TestGive(t *testing.T) {
	for _, c := range []struct {
		name                             string
		givable, rights, waiting, demand ledger.Tokens
		kind                             ledger.Kind
		from                             string
		need, want                       ledger.Tokens
		gives                            ledger.Tokens
		share                            ledger.Shares
	}{
		{name: "nothing there", from: "a", need: 10, want: 10},
		{name: "idle: all that is wanted", givable: 100, from: "z", need: 10, want: 60, gives: 60},
		{name: "busy: keeps half a second of its demand", kind: ledger.Rate, givable: 100, demand: 60, from: "z", need: 10, want: 90, gives: 70},
		{name: "of a stock ten seconds", kind: ledger.Windowed, givable: 100, demand: 3, from: "z", need: 10, want: 90, gives: 70},
		{name: "busy: but never more than half", givable: 100, demand: 1e6, from: "z", need: 10, want: 90, gives: 50},
		{name: "completes a call from what it keeps", givable: 100, demand: 1e6, from: "z", need: 80, want: 90, gives: 80},
		{name: "a fragment goes to who sorts first", givable: 100, demand: 1e6, from: "a", need: 500, want: 500, gives: 100},
		{name: "and from there only the spare part comes back", givable: 100, demand: 1e6, from: "z", need: 500, want: 500, gives: 50},
		{name: "waits itself and lacks more: gives", givable: 30, rights: 30, waiting: 100, from: "z", need: 20, want: 90, gives: 20},
		{name: "waits itself and lacks less: keeps", givable: 30, rights: 30, waiting: 40, from: "a", need: 20, want: 90},
		{name: "lack the same: to who sorts first", givable: 30, rights: 30, waiting: 50, from: "a", need: 20, want: 20, gives: 20},
		{name: "and not the other way", givable: 30, rights: 30, waiting: 50, from: "z", need: 20, want: 20},
		{name: "the last tokens of a grant", givable: 1, from: "z", need: 500, want: 500, gives: 1},
		{name: "dust of a rate is not worth a message", kind: ledger.Rate, givable: 60, from: "z", need: 500, want: 500},
		{name: "what will have accrued soon is not given in parts", kind: ledger.Rate, givable: 70, from: "z", need: 500, want: 500},
		{name: "but is where the shares can never hold the need", kind: ledger.Rate, share: ledger.TotalShares / 400, givable: 70, from: "z", need: 500, want: 500, gives: 70},
	} {
		v := grant()
		v.Spec.Kind, v.Share = c.kind, cmp.Or(c.share, ledger.TotalShares/100)
		v.Givable, v.Rights, v.Waiting, v.Demand = c.givable, c.rights, c.waiting, float64(c.demand)
		got := Strategy{}.Give(v, &ledger.Ask{From: holder(c.from), Need: c.need, Want: c.want})
		if got != c.gives {
			t.Errorf("%s: gives %d, not %d", c.name, got, c.gives)
		}
	}
}

// What is spared goes to those for whom it is spared, and nobody else counts it as there.
func TestGiveSpare(t *testing.T) {
	for _, c := range []struct {
		name           string
		givable, spare ledger.Tokens
		rank           int
		gives          ledger.Tokens
		holds          bool
	}{
		{"for whom it is spared", 100, 100, ledger.RankSmall, 90, true},
		{"one that asks for its part", 100, 100, ledger.RankShare, 0, false},
		{"who has more than its part", 100, 100, ledger.RankNone, 0, false},
		{"what is beyond it", 200, 100, ledger.RankShare, 90, true},
		{"part of it is not given for the whole", 100, 50, ledger.RankShare, 0, true},
	} {
		v := grant()
		v.Spec, v.Share = pool, ledger.TotalShares/100
		v.Givable, v.Rights, v.Spare = c.givable, c.givable, c.spare
		ask := &ledger.Ask{From: holder("a"), Need: 90, Want: 90, Share: c.rank, Patience: 100}
		if got := (Strategy{}).Give(v, ask); got != c.gives {
			t.Errorf("%s: gives %d, not %d", c.name, got, c.gives)
		}
		if got := (Strategy{}).Hold(v, ask); got != c.holds {
			t.Errorf("%s: holds %v", c.name, got)
		}
	}
}

// For calls to come a donor gives only what it has no use for.
func TestGiveAhead(t *testing.T) {
	for _, c := range []struct {
		name                           string
		givable, waiting, held, demand ledger.Tokens
		need, want, gives              ledger.Tokens
	}{
		{name: "idle: all that is wanted", givable: 100, need: 10, want: 60, gives: 60},
		{name: "busy: keeps ten seconds of its demand", givable: 100, demand: 3, need: 10, want: 90, gives: 70},
		{name: "nothing of what it keeps", givable: 100, demand: 3, need: 80, want: 90},
		{name: "no fragment", givable: 100, need: 101, want: 150},
		{name: "nothing while a call waits", givable: 100, waiting: 200, need: 10, want: 10},
		{name: "nor while an ask does", givable: 100, held: 200, need: 10, want: 10},
	} {
		v := grant()
		v.Givable, v.Rights, v.Waiting, v.Held, v.Demand = c.givable, c.givable, c.waiting, c.held, float64(c.demand)
		got := Strategy{}.Give(v, &ledger.Ask{From: holder("a"), Need: c.need, Want: c.want, Ahead: true})
		if got != c.gives {
			t.Errorf("%s: gives %d, not %d", c.name, got, c.gives)
		}
	}
}

func TestAhead(t *testing.T) {
	rate := ledger.Spec{Kind: ledger.Rate, Amount: 100_000, Per: 1000, PerMillis: 1000, Lend: 10_000}
	for _, c := range []struct {
		name             string
		spec             ledger.Spec
		rights, borrowed ledger.Tokens
		demand           float64
		mean             ledger.Tokens
		share            ledger.Shares
		asks             ledger.Tokens
	}{
		{name: "no call yet", spec: rate},
		{name: "the cost of two calls", spec: rate, demand: 400, mean: 500, asks: 1000},
		{name: "as far as it lacks", spec: rate, rights: 300, borrowed: 300, demand: 400, mean: 500, asks: 700},
		{name: "nothing lacks", spec: rate, rights: 1000, borrowed: 1000, demand: 400, mean: 500},
		{name: "half a second of demand", spec: rate, demand: 4000, mean: 500, asks: 2000},
		{name: "it would lapse before it is used", spec: rate, demand: 199, mean: 500},
		{name: "what does not lapse may wait", spec: ledger.Spec{Kind: ledger.Grant, Amount: 100_000}, demand: 1, mean: 500, asks: 1000},
		{name: "own shares bring it", spec: rate, demand: 250, mean: 500, share: ledger.TotalShares},                                     // in a second
		{name: "own shares bring some", spec: rate, demand: 250, mean: 500, share: ledger.TotalShares / 10, asks: 900},                   // 100 a second
		{name: "but no more than they hold", spec: rate, rights: 950, demand: 250, mean: 500, share: ledger.TotalShares / 100, asks: 40}, // 10 a second
	} {
		v := grant()
		v.Spec, v.Rights, v.Borrowed, v.Demand, v.MeanCall, v.Share = c.spec, c.rights, c.borrowed, c.demand, c.mean, c.share
		if got := (Strategy{}).Ahead(v); got != c.asks {
			t.Errorf("%s: asks for %d, not %d", c.name, got, c.asks)
		}
	}
}

// Calls to come are no reason to ask for fragments, founders or those who refused.
func TestDonorsAhead(t *testing.T) {
	founder := ledger.PeerView{Holder: holder("f"), Founder: true}
	for name, c := range map[string]struct {
		peers []ledger.PeerView
		asks  bool
	}{
		"surplus":      {[]ledger.PeerView{peer("a", 50, 50)}, true},
		"too little":   {[]ledger.PeerView{peer("a", 5, 5), peer("b", 6, 6)}, false},
		"no surplus":   {[]ledger.PeerView{peer("a", 0, 50), founder}, false},
		"who refused":  {[]ledger.PeerView{with(peer("a", 50, 50), func(p *ledger.PeerView) { p.Refused = true })}, false},
		"who is named": {[]ledger.PeerView{with(peer("a", 0, 0), func(p *ledger.PeerView) { p.Hinted = true })}, false},
	} {
		v := grant(c.peers...)
		v.Ahead = true
		if picks, _ := (Strategy{}).Donors(v, 10, 1); (len(picks) > 0) != c.asks {
			t.Errorf("%s: asks %v", name, picks)
		}
	}
}

// Who asks gets half of the shares that its demand deserves, with the rights.
func TestAlong(t *testing.T) {
	rate := ledger.Spec{Kind: ledger.Rate, Amount: 1_000_000, Per: 1_000_000, PerMillis: 1000, Lend: 10_000}
	const all = ledger.TotalShares
	part := func(n ledger.Shares) float64 { return float64(n) / float64(all) }
	for _, c := range []struct {
		name        string
		asks        ledger.Tokens // its demand, by the ask
		row         bool
		demand      ledger.Tokens // by its row
		has, share  ledger.Shares
		own, mean   ledger.Tokens // the giver's demand, and the mean call
		least, most ledger.Shares
	}{
		{name: "nobody has demand", share: all},
		{name: "the first to ask", asks: 100, share: all, least: all * 4 / 10, most: all / 2},
		{name: "it has as much as the giver", asks: 100, own: 100, share: all, least: all * 2 / 10, most: all / 4},
		{name: "its row says more", row: true, demand: 300, asks: 100, own: 100, share: all, least: all * 3 / 10, most: all * 4 / 10},
		{name: "it has that already", row: true, has: all * 4 / 10, demand: 300, own: 100, share: all * 6 / 10},
		{name: "it has a part of it", row: true, has: all / 10, demand: 300, own: 100, share: all * 9 / 10, least: all * 2 / 10, most: all * 3 / 10},
		{name: "the giver keeps its own part", asks: 900, own: 100, share: all / 8, least: 1, most: all/8 - all/16},
		{name: "the giver has too little itself", asks: 100, own: 100, share: all / 4},
		{name: "less than is of use: at least that", asks: 100, own: 900, share: all, mean: 30_000, least: all * 75 / 1000, most: all * 76 / 1000},
		{name: "the part would be of no use", asks: 10, own: 900, share: all, mean: 40_000},
	} {
		p := ledger.PeerView{Holder: holder("a")}
		if c.row {
			p.Row = &ledger.Row{Holder: holder("a"), Shares: c.has, Demand: c.demand}
		}
		v := grant(p)
		v.Spec, v.Share, v.Demand, v.MeanCall = rate, c.share, float64(c.own), c.mean
		if n := (Strategy{}).Along(v, 0, &ledger.Ask{Demand: c.asks}); n < c.least || n > c.most {
			t.Errorf("%s: gives %.3f of all shares, not %.3f to %.3f", c.name, part(n), part(c.least), part(c.most))
		}
	}
}

// What was borrowed is kept for calls to come while they are likely to use it, and given back before it lapses.
func TestReturn(t *testing.T) {
	for _, c := range []struct {
		name                   string
		borrowed, lapsing, own ledger.Tokens
		demand                 float64
		returns                ledger.Tokens
	}{
		{name: "nothing borrowed", own: 500},
		{name: "no demand: all", borrowed: 300, returns: 300},
		{name: "the calls of two seconds are kept", borrowed: 300, demand: 100, returns: 100},
		{name: "own rights serve them", borrowed: 300, own: 150, demand: 100, returns: 250},
		{name: "with more demand, the cost of two calls", borrowed: 300, demand: 75, returns: 100},
		{name: "with little, nothing", borrowed: 300, demand: 35, returns: 300},
		{name: "but no longer than half of its life", borrowed: 300, lapsing: 300, demand: 75, returns: 200},
		{name: "and what is left may go on", borrowed: 300, lapsing: 120, demand: 75, returns: 100},
	} {
		v := grant(peer("a", 0, 0))
		v.Spec = ledger.Spec{Kind: ledger.Rate, Amount: 100_000, Per: 1000, PerMillis: 1000, Lend: 10_000}
		v.Peers[0].Row.Shares = ledger.TotalShares
		v.Rights, v.Borrowed, v.Lapsing, v.Demand, v.MeanCall = c.own+c.borrowed, c.borrowed, c.lapsing, c.demand, 100
		i, n := Strategy{}.Return(v)
		if (i == 0) != (c.returns > 0) || n != c.returns {
			t.Errorf("%s: returns %d to %d, not %d", c.name, n, i, c.returns)
		}
	}
}

// Two waiting holders never both give to each other, and nobody gives more than it may.
func TestGiveLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		amount := func(name string) ledger.Tokens { return ledger.Tokens(rapid.Int64Range(0, 40).Draw(t, name)) }
		a, b := grant(), grant()
		a.Self, b.Self = holder("a"), holder("b")
		for i, v := range []*ledger.View{a, b} {
			v.Rights = amount(fmt.Sprint("rights", i))
			v.Givable = min(v.Rights, amount(fmt.Sprint("givable", i)))
			v.Waiting = v.Rights + 1 + amount(fmt.Sprint("lack", i))
		}
		give := func(v, asker *ledger.View) ledger.Tokens {
			lack := asker.Waiting - asker.Rights
			n := Strategy{}.Give(v, &ledger.Ask{From: asker.Self, Need: lack, Want: lack})
			if n < 0 || n > v.Givable {
				t.Fatalf("gives %d of %d", n, v.Givable)
			}
			return n
		}
		if x, y := give(a, b), give(b, a); x > 0 && y > 0 {
			t.Fatalf("they trade %d for %d", x, y)
		}
	})
}

func TestSurplus(t *testing.T) {
	for _, c := range []struct{ givable, demand, waiting, want ledger.Tokens }{
		{0, 0, 0, 0}, {100, 0, 0, 100}, {100, 3, 0, 70}, {100, 1e6, 0, 50}, {100, 0, 1, 0},
	} {
		v := grant()
		v.Givable, v.Demand, v.Waiting = c.givable, float64(c.demand), c.waiting
		if got := (Strategy{}).Surplus(v); got != c.want {
			t.Errorf("%+v: surplus %d", c, got)
		}
	}
}

func BenchmarkDonors(b *testing.B) {
	for _, n := range []int{10, 1_000} {
		b.Run(fmt.Sprint(n), func(b *testing.B) {
			var peers []ledger.PeerView
			for i := range n {
				peers = append(peers, peer(fmt.Sprintf("n%04d", i), ledger.Tokens(i%7*100), 1_000))
			}
			v := grant(peers...)
			b.ReportAllocs()
			for b.Loop() {
				Strategy{}.Donors(v, 500, 2)
			}
		})
	}
}
