package ledger_test

import (
	"slices"
	"strings"
	"testing"

	. "github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/guardian"
)

// stocks are the supplies of which there is so much, and no more comes while a test runs.
var stocks = []struct {
	name string
	spec Spec
}{
	{"grant", Spec{Kind: Grant, Amount: 1000}},
	{"window", Spec{Kind: Windowed, Amount: 1000, Calendar: Calendar{Length: 86_400_000}}},
}

// TestRowsOfTheClaimedAreForgotten: nobody waits for the return of what an heir has; and though the rows of the dead are gone,
// those of the living add up to all that was issued, and to no less than what the dead had told callers.
func TestRowsOfTheClaimedAreForgotten(t *testing.T) {
	for _, c := range stocks {
		t.Run(c.name, func(t *testing.T) {
			w := guardedWorld(t, 5, 1, c.spec)
			giver, first := w.nodes[0], w.nodes[1]
			giver.r.GiveRights(giver.clock(), w.ids[0], first.self, 400, giver.clock())
			w.rounds(20, 100)
			spent := Tokens(0)
			die := func(x *wnode, n Tokens) {
				if !w.serve(x, n) {
					t.Fatal("not served")
				}
				spent += n
				w.rounds(40, 100)
				x.crash()
				w.rounds(60, 1000)
				x.start(9) // it comes back as a generation of its own, and guards again
				w.members()
				w.rounds(20, 1000)
			}
			die(first, 90)
			die(giver, 30)
			for _, x := range w.nodes {
				var issued, used, flow Tokens
				for _, k := range x.r.Rows(x.clock(), w.ids[0]) {
					if _, live := w.live(k.Holder); !live {
						t.Errorf("%v knows a row of %v", x.self, k.Holder)
					}
					issued += k.Issued
					used += k.Spent
					flow += k.Out - k.In
				}
				if issued != 1000 || used < spent || used > 400 || flow != 0 {
					t.Errorf("%v adds up to %d issued, %d spent, %d on the way; callers were told %d", x.self, issued, used, flow, spent)
				}
				if o := x.r.Outlook(x.clock(), w.ids[0], 1); o.Away != 0 {
					t.Errorf("%v waits for %d", x.self, o.Away)
				}
			}
		})
	}
}

// TestTopUpsOutliveTheirNode: what the dead were topped up by goes on counting in what a budget holds, again when their heir dies, and no
// heir shows it for a top-up of its own, which peers hold against what operators signed for it.
func TestTopUpsOutliveTheirNode(t *testing.T) {
	for _, c := range stocks {
		t.Run(c.name, func(t *testing.T) {
			w := guardedWorld(t, 6, 1, c.spec)
			x := w.nodes[1]
			for _, name := range []string{"launch", "more"} {
				if _, err := x.r.Mint(x.clock(), w.ids[0], 100, name); err != nil {
					t.Fatal(err)
				}
				x.mints = append(x.mints, topUp{x.i, w.ids[0], name})
			}
			w.rounds(40, 100)
			for range 2 { // the second time whoever was the heir
				x.crash()
				w.rounds(60, 1000)
				var heir *wnode
				for _, n := range w.nodes {
					if n == x {
						continue
					}
					if o := n.r.Outlook(n.clock(), w.ids[0], 1); o.Capacity != 1200 {
						t.Errorf("at %v the budget holds at most %d", n.self, o.Capacity)
					}
					inherited, issued := Tokens(0), Tokens(0)
					for _, k := range n.r.Rows(n.clock(), w.ids[0]) {
						if k.Minted != 0 {
							t.Errorf("at %v the row of %v shows %d for its own", n.self, k.Holder, k.Minted)
						}
						inherited += k.Inherited
						issued += k.Issued
						if k.Inherited > 0 {
							heir, _ = w.live(k.Holder)
						}
					}
					if inherited != 200 || issued != 1200 {
						t.Errorf("%v knows of %d inherited, %d issued", n.self, inherited, issued)
					}
				}
				if heir == nil {
					t.Fatal("no heir shows it")
				}
				x.start(9)
				w.members()
				w.rounds(20, 1000)
				x = heir
			}
		})
	}
}

func (w *world) live(h Holder) (*wnode, bool) {
	for _, n := range w.nodes {
		if n.self == h {
			return n, true
		}
	}
	return nil, false
}

// TestLongLife: of a peer that dies, is claimed and comes back again and again, a node that lives on keeps pairwise records
// with its present generation only, one row, and that those before it are closed.
func TestLongLife(t *testing.T) {
	w := guardedWorld(t, 5, 1, Spec{Kind: Grant, Amount: 100_000})
	stays := w.nodes[0]
	var x *wnode // is no guardian of it
	for _, p := range w.nodes[1:] {
		if !slices.ContainsFunc(stays.r.Guardians(), func(g Holder) bool { return g.Node == p.self.Node }) {
			x = p
		}
	}
	lives := 40
	if testing.Short() {
		lives = 8
	}
	for k := range lives {
		stays.r.GiveRights(stays.clock(), w.ids[0], x.self, 10, stays.clock())
		w.rounds(12, 200)
		x.crash()
		w.rounds(30, 1000)
		x.start(uint64(k))
		w.members()
		w.rounds(12, 1000)
	}
	w.rounds(30, 1000)
	if stays.self.Gen != 1 || x.self.Gen < uint64(lives) {
		t.Fatalf("they are %v and %v", stays.self, x.self)
	}
	pairs, pasts := 0, 0
	for k := range stays.disk {
		switch {
		case strings.HasPrefix(k, KeyEntry) && strings.Contains(k, x.self.Node):
			pairs++
		case strings.HasPrefix(k, "past/"+x.self.Node):
			pasts++
		}
	}
	if rows := len(stays.r.Rows(stays.clock(), w.ids[0])); pairs > 1 || pasts != 1 || rows > 5 {
		t.Errorf("%d pairwise records with it, %d records of closed generations and %d rows are kept", pairs, pasts, rows)
	}
}

// TestWhoMissedAClaimAsksTheHeir: whatever the heir and the guardians told one that had dealt with the dead was lost. Of others,
// who know no more than that it was claimed, it hears by whom, and asks.
func TestWhoMissedAClaimAsksTheHeir(t *testing.T) {
	w := guardedWorld(t, 9, 1, Spec{Kind: Grant, Amount: 1000})
	x := w.nodes[0]
	guards := func(p, of *wnode) bool {
		return slices.ContainsFunc(of.r.Guardians(), func(g Holder) bool { return g.Node == p.self.Node })
	}
	to := w.nodes[slices.IndexFunc(w.nodes, func(p *wnode) bool { return p != x && !guards(p, x) && !guards(x, p) })]
	w.rounds(10, 100)
	to.crash()
	if n := x.r.GiveRights(x.clock(), w.ids[0], to.self, 100, x.clock()); n != 100 {
		t.Fatalf("%d given", n)
	}
	for range 40 {
		w.now += 1000
		for _, p := range w.nodes {
			if p.r != nil {
				p.r.Tick(p.clock())
			}
		}
		w.settleBut(func(p packet) bool {
			m, _ := Decode(p.bytes)
			_, decided := m.(*guardian.Decided)
			return p.to == x.i && decided
		})
	}
	var third *wnode // knows that, and no more
	for _, p := range w.nodes {
		if d := p.r; p != x && d != nil && !slices.Contains(d.Digest().Retired, to.self) && slices.ContainsFunc(d.Digest().Gone, func(g Gone) bool { return g.Holder == to.self }) {
			third = p
		}
	}
	if third == nil || w.own(x).In != 0 {
		t.Fatalf("%v knows that it was claimed, and %d are back", third, w.own(x).In)
	}
	third.digest(x)
	for ms := 0; w.own(x).In < 100; ms += 100 { // without digests of others
		if w.round(100); ms > 10_000 {
			t.Fatalf("the giver has back %d after 10 s", w.own(x).In)
		}
	}
}

// TestNewsOfAClaimLives: whoever hears first from one that has long known a decision, and then that it is new, passes it on as new.
func TestNewsOfAClaimLives(t *testing.T) {
	w := guardedWorld(t, 4, 1, Spec{Kind: Grant, Amount: 1000})
	x := w.nodes[0]
	w.round(1000) // digests tell ages as they are once a second
	dead, heir := Holder{Node: "z", Gen: 3}, Holder{Node: "y", Gen: 4}
	told := func() Millis {
		for _, g := range x.r.Digest().Gone {
			if g.Holder == dead && g.Heir == heir {
				return g.Age
			}
		}
		return -1
	}
	for _, c := range []struct {
		name  string
		hears Digest
		age   Millis // that it tells then; -1 for nothing
	}{
		{"from one that knows the decision", Digest{Retired: []Holder{dead}}, -1},
		{"news of 5 s", Digest{Gone: []Gone{{dead, heir, 5_000}}}, 5_000},
		{"once more that it is decided", Digest{Retired: []Holder{dead}}, 5_000},
		{"older news", Digest{Gone: []Gone{{dead, heir, 9_000}}}, 9_000},
		{"newer news", Digest{Gone: []Gone{{dead, heir, 1_000}}}, 9_000},
		{"what is too old", Digest{Gone: []Gone{{dead, heir, 601_000}}}, -1},
	} {
		c.hears.From = w.nodes[1].self
		if err := x.r.Receive(x.clock(), &c.hears); err != nil {
			t.Fatal(err)
		}
		if age := told(); age != c.age {
			t.Errorf("%s: it tells an age of %d ms, want %d", c.name, age, c.age)
		}
	}
}

// settleBut has everything on the net arrive and be written, but what is lost.
func (w *world) settleBut(lost func(packet) bool) {
	for range 5 {
		for _, n := range w.nodes {
			if n.r != nil && n.r.Pending() {
				n.batch(commit, nil)
			}
		}
		ps := w.net
		w.net = nil
		for _, p := range ps {
			if !lost(p) {
				w.receive(p)
			}
		}
	}
	w.check()
}

// TestWhoSeesOneMoveOnAsks: a node goes on as another generation, and those who dealt with the one before settle with it though nobody
// tells them, neither by a digest nor otherwise.
func TestWhoSeesOneMoveOnAsks(t *testing.T) {
	w := guardedWorld(t, 9, 1, Spec{Kind: Grant, Amount: 1000})
	x := w.nodes[0]
	to := w.unguardedBy(x)
	w.rounds(10, 100)
	if n := x.r.GiveRights(x.clock(), w.ids[0], to.self, 100, x.clock()); n != 100 {
		t.Fatalf("%d given", n)
	}
	w.rounds(10, 100)
	before := to.self
	if err := to.r.NextGeneration(); err != nil {
		t.Fatal(err)
	}
	for s := 0; !x.r.Folded(before); s++ {
		if w.round(1000); s > 125 {
			t.Fatalf("after two minutes it has not settled with %v, which goes on as %v", before, to.self)
		}
	}
}
