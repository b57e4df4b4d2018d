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

// What is asked for beyond the need is a second's demand, and no more than the asker's part of the surplus.
func TestPrefetch(t *testing.T) {
	for _, c := range []struct {
		demand float64
		want   ledger.Tokens
	}{{0, 10}, {20, 110}, {1e9, 10 + 900/3}} {
		v := grant(peer("a", 600, 600), peer("b", 300, 300))
		v.Demand = c.demand
		if _, want := (Strategy{}).Donors(v, 10, 2); want != c.want {
			t.Errorf("demand %v: wants %d, not %d", c.demand, want, c.want)
		}
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
		{name: "busy: keeps half a second of its demand", givable: 100, demand: 60, from: "z", need: 10, want: 90, gives: 70},
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
		{0, 0, 0, 0}, {100, 0, 0, 100}, {100, 60, 0, 70}, {100, 1e6, 0, 50}, {100, 0, 1, 0},
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
