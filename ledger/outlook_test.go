package ledger_test

import (
	"fmt"
	"math"
	"slices"
	"testing"

	"pgregory.net/rapid"

	. "github.com/swarmpurse/swarmpurse/ledger"
)

// What is said of waiting is what all that is known adds up to, whatever rows and members there are: holders that
// live, that have gone, that came back as a new generation, and members of which no row is known.
func TestOutlookAddsUpWhatIsKnown(tt *testing.T) {
	rapid.Check(tt, func(t *rapid.T) {
		spec := rapid.SampledFrom([]Spec{
			{Kind: Grant, Amount: 1000},
			{Kind: Slots, Amount: 8},
			{Kind: Windowed, Amount: 1000, Calendar: Calendar{Length: 3600_000}, RolloverPPM: 250_000},
			{Kind: Rate, Amount: 1000, Per: 100, PerMillis: 1000, Lend: DefaultLend},
		}).Draw(t, "spec")
		now := testStart
		r, as := single(tt, now, spec)
		a := as[0]
		if rapid.Bool().Draw(t, "used") {
			takes := []Take{{Account: a, Amount: 5}}
			Reserve(now, now+1000, takes, false)
		}
		window := a.State(now).Window
		small := rapid.Int64Range(0, 300)
		var rows []Row
		var peers []Peer
		for i := range rapid.IntRange(0, 12).Draw(t, "nodes") {
			name := fmt.Sprintf("n%d", 9+i) // so that some come before this node, n1, by name, and some after it
			if rapid.Bool().Draw(t, "before") {
				name = fmt.Sprintf("a%d", i)
			}
			gen := rapid.Uint64Range(1, 3)
			if rapid.Bool().Draw(t, "member") {
				peers = append(peers, Peer{Holder: Holder{Node: name, Gen: gen.Draw(t, "gen")}, Alive: rapid.Bool().Draw(t, "alive")})
			}
			for range rapid.IntRange(0, 2).Draw(t, "rows") {
				rows = append(rows, Row{
					Holder: Holder{Node: name, Gen: gen.Draw(t, "row gen")}, Instance: a.ID(), Version: uint64(len(rows) + 1),
					Window: window - Window(3600*rapid.IntRange(0, 1).Draw(t, "old")), Shares: Shares(small.Draw(t, "shares") * 1_000_000), Free: Shares(small.Draw(t, "free") * 1_000_000),
					Issued: Tokens(small.Draw(t, "issued")), Minted: Tokens(small.Draw(t, "minted")),
					Demand: Tokens(small.Draw(t, "demand")),
					In:     Tokens(small.Draw(t, "in")), Out: Tokens(small.Draw(t, "out")),
					Spent: Tokens(small.Draw(t, "spent")), Reserved: Tokens(small.Draw(t, "reserved")),
				})
			}
		}
		slices.SortFunc(peers, func(a, b Peer) int { return a.Holder.Compare(b.Holder) })
		r.SetPeers(peers)
		if err := r.Receive(now, rows); err != nil {
			t.Fatal(err)
		}
		want := Outlook{Local: a.Rights(now), Swarm: a.Rights(now)}
		var shares, live, free Shares
		var onTheWay, minted Tokens
		for i, k := range r.Rows(now, a.ID()) {
			shares += k.Shares
			if k.Alive {
				live += k.Shares
				want.Demand += float64(k.Demand)
			}
			if k.Window != window {
				continue
			}
			onTheWay += k.Out - k.In
			minted += k.Minted
			if !k.Alive {
				want.Away += max(0, k.Balance())
				continue
			}
			want.Reserved += k.Reserved
			free += k.Free
			if i > 0 { // the first is this node's own
				want.Swarm += max(0, k.Balance())
			}
		}
		want.Swarm += max(0, onTheWay)
		if spec.Kind == Windowed && spec.Amount == 1000 && len(peers) > 0 {
			want.Swarm += Issue(min(free, TotalShares), 1000) // which gather
		}
		want.Known = shares >= 999_000_000
		need := Tokens(small.Draw(t, "need"))
		got := r.Outlook(now, a.ID(), need)
		switch spec.Kind {
		case Rate:
			want.Capacity = 1000
			lack := max(1, need-want.Swarm)
			// The live shares' part of 100 a second, rounded up to a millisecond.
			perSecond := float64(min(live, TotalShares)) / 1e9 * 100
			if at := float64(got.NextAt - now); at < float64(lack)/perSecond*1000-0.001 || at > float64(lack)/perSecond*1000+1.001 {
				t.Errorf("a rate has %d after %v ms, at %v a second", lack, at, perSecond)
			}
			want.NextAt = got.NextAt
			if math.Abs(got.Refill-perSecond) > 1e-9*perSecond {
				t.Errorf("a rate brings %v a second, want %v", got.Refill, perSecond)
			}
			want.Refill = got.Refill
		case Windowed:
			want.Capacity = 1250 + minted
			_, _, want.NextAt = spec.Calendar.At(now)
		default:
			want.Capacity = spec.Amount + minted
		}
		if got != want {
			t.Fatalf("got %+v\nwant %+v", got, want)
		}
	})
}

// TestOutlookBeforeTheFirstIssue: a call that comes first at this node sees what others have of the present window.
func TestOutlookBeforeTheFirstIssue(t *testing.T) {
	w := newWorld(2, 1, 1, one(Spec{Kind: Windowed, Amount: 1000, Calendar: Calendar{Length: 3600_000}}))
	w.fatalf, w.logf = t.Fatalf, t.Logf
	w.nodes[0].open1(w.ids[0])
	for range 10 {
		w.round(100)
	}
	x := w.nodes[1]
	x.open1(w.ids[0])
	o := x.r.Outlook(x.clock(), w.ids[0], 100)
	_, _, end := Calendar{Length: 3600_000}.At(w.now)
	if !o.Known || o.Swarm != 1000 || o.NextAt != end {
		t.Errorf("before its account is issued it sees %+v, the window ends at %d", o, end)
	}
}
