package ledger_test

import (
	"errors"
	"slices"
	"testing"

	. "github.com/swarmpurse/swarmpurse/ledger"
)

// smallWorld is a swarm without guardians, whose accounts are open.
func smallWorld(t *testing.T, n int, spec Spec) *world {
	w := newWorld(n, n, 1, one(spec))
	w.fatalf, w.logf = t.Fatalf, t.Logf
	for _, x := range w.nodes {
		x.open1(w.ids[0])
	}
	w.rounds(20, 100)
	return w
}

// down stops nodes for good: they are not seen any more.
func (w *world) down(xs ...*wnode) {
	for _, x := range xs {
		x.crash()
	}
	w.rounds(4, 100)
}

// vouch gives a word at x, and says how it stands after some time.
func (w *world) vouch(x *wnode, word Word) Vouching {
	if err := x.r.Vouch(x.clock(), word); err != nil {
		return Vouching{Err: err}
	}
	x.batch(commit, nil)
	w.rounds(30, 100)
	v, ok := x.r.Vouching()
	if !ok {
		w.fatalf("node %d gives no word", x.i)
	}
	return v
}

func (w *world) mustVouch(x *wnode, word Word) Vouching {
	v := w.vouch(x, word)
	for k := 0; k < 3 && errors.Is(v.Err, ErrNotNow); k++ {
		v = w.vouch(x, word) // as it says
	}
	if v.Err != nil || !v.Given {
		w.fatalf("the word is not given: %+v", v)
	}
	w.rounds(30, 100)
	return v
}

func (w *world) shares(x *wnode) Shares { s := w.own(x); return s.Shares() }

// ownedBy sums up the shares of nodes that are up.
func (w *world) ownedBy() (n Shares) {
	for _, x := range w.nodes {
		if x.r != nil {
			n += w.shares(x)
		}
	}
	return n
}

func (w *world) sayNodes(xs ...*wnode) (names []string) {
	for _, x := range xs {
		names = append(names, x.self.Node)
	}
	return names
}

// TestWordBringsRightsBack: shares to the last one, stock as stated, and the dead node learns that it is over.
func TestWordBringsRightsBack(t *testing.T) {
	for _, spec := range []Spec{{Kind: Grant, Amount: 900}, window(900, 600_000), {Kind: Slots, Amount: 9}, {Kind: Rate, Amount: 900, Per: 100, PerMillis: 1000, Lend: DefaultLend}} {
		t.Run(spec.Kind.String(), func(t *testing.T) {
			w := smallWorld(t, 3, spec)
			a, b, dead := w.nodes[0], w.nodes[1], w.nodes[2]
			a.r.GiveShares(a.clock(), w.ids[0], dead.self, TotalShares/10)
			dead.r.GiveShares(dead.clock(), w.ids[0], b.self, TotalShares/5)
			w.rounds(10, 100)
			dead.reserve(w.ids, []Tokens{2}, false, false)
			w.rounds(4, 100)
			was := w.own(dead)
			w.down(dead)
			before := w.own(a)
			word := Word{Nodes: w.sayNodes(dead), Why: "burnt"}
			if spec.Kind != Rate {
				word.Stock = []Stated{{w.ids[0], was.Balance()}}
			}
			v := w.mustVouch(a, word)
			if n := w.ownedBy(); n != TotalShares {
				t.Fatalf("%d shares are owned", n)
			}
			if len(v.Back) != 1 || v.Back[0].Shares != was.Shares() {
				t.Fatalf("%d shares were the dead node's, %+v came back", was.Shares(), v.Back)
			}
			if after := w.own(a); spec.Kind != Rate && after.Balance() != before.Balance()+was.Balance() {
				t.Fatalf("of %d tokens that were stated, %d came", was.Balance(), after.Balance()-before.Balance())
			}
			dead.start(9)
			w.members()
			w.rounds(30, 100)
			if dead.self.Gen == 3 || w.shares(dead) != 0 {
				t.Fatalf("the dead node came back as %v with %d shares", dead.self, w.shares(dead))
			}
			if n := w.ownedBy(); n != TotalShares {
				t.Fatalf("%d shares are owned after it came back", n)
			}
		})
	}
}

// TestWordIsRefused: where it is not needed, and where it could be given twice.
func TestWordIsRefused(t *testing.T) {
	w := smallWorld(t, 4, Spec{Kind: Grant, Amount: 900})
	a, b, c, d := w.nodes[0], w.nodes[1], w.nodes[2], w.nodes[3]
	expect := func(x *wnode, want error, names ...string) {
		t.Helper()
		if v := w.vouch(x, Word{Nodes: names}); !errors.Is(v.Err, want) {
			t.Fatalf("a word about %v at %v: %+v, expected %v", names, x.self, v, want)
		}
	}
	expect(a, ErrAlive, "n3")
	expect(a, ErrAbsent, "nobody")
	w.down(d)
	// b is cut off: each side lacks the other.
	w.cut(b)
	expect(a, ErrOthers, "n3")
	expect(b, ErrOthers, "n3")
	b.side = 0
	w.members()
	// c goes while the word is given: it is not given, and nobody stays shut.
	if err := a.r.Vouch(a.clock(), Word{Nodes: []string{"n3"}}); err != nil {
		t.Fatal(err)
	}
	a.batch(commit, nil)
	c.side = 1
	w.members()
	w.rounds(20, 100)
	if v, _ := a.r.Vouching(); v.Given || v.Err == nil && len(v.Waiting) == 0 {
		t.Fatalf("given without n2: %+v", v)
	}
	if err := a.r.Vouch(a.clock(), Word{Nodes: []string{"n3"}}); !errors.Is(err, ErrBusyWord) && !errors.Is(err, ErrOthers) {
		t.Fatalf("a second word meanwhile: %v", err)
	}
	a.r.Unvouch(errors.New("given up"))
	w.rounds(10, 100)
	c.side = 0
	w.members()
	d.start(9)
	w.members()
	w.rounds(40, 100)
	if d.self.Gen != 4 {
		t.Fatalf("n3 came back as %v though no word was given", d.self)
	}
	for _, x := range []*wnode{a, b, c} {
		x.r.GiveShares(x.clock(), w.ids[0], d.self, 1000)
	}
	w.rounds(20, 100)
	if n := w.shares(d); n != TotalShares/4+3000 {
		t.Fatalf("n3 has %d shares: somebody deals with it no more", n)
	}
}

// TestWordOfTheLastOne: of two nodes one is enough to say, and of three dead one word brings back all.
func TestWordOfTheLastOne(t *testing.T) {
	w := smallWorld(t, 4, window(900, 600_000))
	w.nodes[1].r.GiveShares(w.nodes[1].clock(), w.ids[0], w.nodes[2].self, 10_000_000) // between two of them
	w.rounds(5, 100)
	w.down(w.nodes[1:]...)
	a := w.nodes[0]
	if v := w.vouch(a, Word{Nodes: w.sayNodes(w.nodes[1])}); !errors.Is(v.Err, ErrOthers) {
		t.Fatalf("n2 and n3 are away, too: %+v", v)
	}
	w.mustVouch(a, Word{Nodes: w.sayNodes(w.nodes[1:]...)})
	if n := w.ownedBy(); n != TotalShares {
		t.Fatalf("%d shares are owned", n)
	}
	if n := w.own(a).Base; n != 225 {
		t.Fatalf("%d were issued in the window that the dead had issued", n)
	}
	w.now += 700_000
	w.rounds(20, 100)
	if n := w.own(a).Base; n != 900 {
		t.Fatalf("%d are issued in the next window but one", n)
	}
}

// TestWordAgainstALivingNode: operators on two sides of a partition vouch for each other's node. When they meet, the lower
// one goes on, the other is over, and nothing is lost for good.
func TestWordAgainstALivingNode(t *testing.T) {
	w := smallWorld(t, 2, window(900, 600_000))
	a, b := w.nodes[0], w.nodes[1]
	w.cut(b)
	w.mustVouch(a, Word{Nodes: w.sayNodes(b)})
	if v := w.vouchAlone(b, Word{Nodes: w.sayNodes(a)}); !v.Given {
		t.Fatalf("no word on the other side: %+v", v)
	}
	w.fatalf = func(string, ...any) {} // what they issue twice is what the operators have said
	b.side = 0
	w.members()
	w.rounds(60, 100)
	if a.self.Gen != 1 || b.self.Gen != 3 {
		t.Fatalf("they go on as %v and %v", a.self, b.self)
	}
	if w.shares(a) != TotalShares || w.shares(b) != 0 {
		t.Fatalf("they have %d and %d shares", w.shares(a), w.shares(b))
	}
}

// vouchAlone is vouch where the judge would see what the operator's lie does.
func (w *world) vouchAlone(x *wnode, word Word) Vouching {
	if err := x.r.Vouch(x.clock(), word); err != nil {
		return Vouching{Err: err}
	}
	x.batch(commit, nil)
	for range 10 {
		x.r.Tick(x.clock())
		x.batch(commit, nil)
	}
	v, _ := x.r.Vouching()
	return v
}

// TestWordAndWhatNobodySaw: the dead may have opened instances and told nobody. Nothing of them that could be spent is issued
// again, and they are whole from the next window on.
func TestWordAndWhatNobodySaw(t *testing.T) {
	for _, unseen := range []bool{false, true} {
		w := newWorld(3, 1, 1, map[string][]Spec{"all": {{Kind: Grant, Amount: 1}}, "g": {{Kind: Grant, Amount: 900}}, "w": {window(900, 600_000)}})
		w.fatalf, w.logf = t.Fatalf, t.Logf
		founder, a := w.nodes[0], w.nodes[1]
		if !unseen {
			w.cut(founder)
			spent := false
			for k := 0; k < 20 && !spent; k++ {
				spent = founder.reserve(w.ids[1:2], []Tokens{900}, false, true)
				w.round(50)
			}
			if !spent {
				t.Fatal("the founder cannot spend what is its own")
			}
		}
		w.down(founder)
		w.mustVouch(a, Word{Nodes: w.sayNodes(founder), Unseen: unseen})
		for _, id := range w.ids {
			a.open1(id)
		}
		w.rounds(20, 100)
		now := []Tokens{a.r.Account(w.ids[1]).State(a.clock()).Base, a.r.Account(w.ids[2]).State(a.clock()).Base}
		w.now += 700_000
		w.rounds(20, 100)
		later := a.r.Account(w.ids[2]).State(a.clock()).Base
		if unseen && (now[0] != 900 || now[1] != 900) || !unseen && (now[0] != 0 || now[1] != 0) || later != 900 {
			t.Fatalf("with unseen %v, %d of the grant and %d of the window are issued, %d of the next window", unseen, now[0], now[1], later)
		}
	}
}

// TestWordCoordinatorCrashes: whoever has answered deals with the dead again once it hears that nothing came of it, or takes
// over what did.
func TestWordCoordinatorCrashes(t *testing.T) {
	for _, when := range []outcome{crashBefore, crashAfter} {
		w := smallWorld(t, 3, Spec{Kind: Grant, Amount: 900})
		a, b, dead := w.nodes[0], w.nodes[1], w.nodes[2]
		w.down(dead)
		if err := a.r.Vouch(a.clock(), Word{Nodes: w.sayNodes(dead)}); err != nil {
			t.Fatal(err)
		}
		a.batch(commit, nil)
		for len(w.net) > 0 {
			w.deliver(0, false)
		}
		b.batch(commit, nil)
		b.r.Tick(b.clock())
		b.batch(commit, nil) // it has answered
		for len(w.net) > 0 {
			w.deliver(0, false)
		}
		a.r.Tick(a.clock())
		a.batch(when, nil) // with what is decided, or without
		w.net = nil
		a.start(5)
		w.members()
		w.rounds(50, 100)
		given := when == crashAfter
		if n := w.ownedBy(); given != (n == TotalShares) {
			t.Fatalf("crash %v: %d shares are owned", when, n)
		}
		dead.start(6)
		w.members()
		w.rounds(50, 100)
		if given != (dead.self.Gen != 3) || w.ownedBy() != TotalShares {
			t.Fatalf("crash %v: the dead came back as %v, %d shares are owned", when, dead.self, w.ownedBy())
		}
		b.r.GiveShares(b.clock(), w.ids[0], dead.self, 1000)
		w.rounds(20, 100)
		if n := w.shares(dead); n != 1000 && n != TotalShares/3+1000 {
			t.Fatalf("crash %v: it has %d shares", when, n)
		}
	}
}

// TestWordFreesWards: two of three guardians die together. Their rights come back by claims, their ward's stock does only when
// an operator vouches for them; then it moves on, and spends all of it.
func TestWordFreesWards(t *testing.T) {
	w := guardedWorld(t, 7, 1, Spec{Kind: Grant, Amount: 1000})
	x := w.nodes[0]
	var dead []*wnode
	for _, p := range w.nodes {
		for _, g := range x.r.Guardians()[:2] {
			if p.self.Node == g.Node {
				dead = append(dead, p)
			}
		}
	}
	early := w.vouchAlone(w.others(append(dead, x)...)[0], Word{Nodes: w.sayNodes(dead...)})
	if !errors.Is(early.Err, ErrAlive) {
		t.Fatalf("a word about the living: %+v", early)
	}
	w.down(dead...)
	if v := w.vouch(x, Word{Nodes: w.sayNodes(dead...)}); !errors.Is(v.Err, ErrClaimed) {
		t.Fatalf("their guardians are there: %+v", v)
	}
	w.rounds(60, 1000)
	if x.self.Gen != 1 || w.serve(x, 900) {
		t.Fatalf("%v spends what is not held", x.self)
	}
	w.mustVouch(w.others(append(dead, x)...)[0], Word{Nodes: w.sayNodes(dead...)})
	w.rounds(60, 100)
	if x.self.Gen != 2 || !w.serve(x, 900) {
		t.Fatalf("%v does not go on", x.self)
	}
	for _, g := range x.r.Guardians() {
		if g.Node == dead[0].self.Node || g.Node == dead[1].self.Node {
			t.Fatalf("it names the dead: %v", x.r.Guardians())
		}
	}
}

// others are the nodes beside some.
func (w *world) others(beside ...*wnode) (xs []*wnode) {
	for _, x := range w.nodes {
		if !slices.Contains(beside, x) {
			xs = append(xs, x)
		}
	}
	return xs
}

// TestWordAboutAWholeZone: a node dies with so many of its guardians that no claim can be decided. By an operator's word all of
// it comes back, and those that lost a majority with it go on.
func TestWordAboutAWholeZone(t *testing.T) {
	w := guardedWorld(t, 5, 1, Spec{Kind: Grant, Amount: 1000})
	w.nodes[0].r.GiveShares(w.nodes[0].clock(), w.ids[0], w.nodes[1].self, TotalShares/2)
	w.rounds(20, 100)
	dead := w.nodes[2:]
	was := w.own(w.nodes[0])
	dead = append(dead[:len(dead):len(dead)], w.nodes[0])
	w.down(dead...)
	w.rounds(60, 1000)
	a := w.nodes[1]
	if n := w.ownedBy(); n == TotalShares {
		t.Fatal("one of five claims the others")
	}
	w.mustVouch(a, Word{Nodes: w.sayNodes(dead...), Stock: []Stated{{w.ids[0], was.Balance() / 2}}})
	w.rounds(60, 100)
	if n := w.ownedBy(); n != TotalShares {
		t.Fatalf("%d shares are owned", n)
	}
	if s := w.own(a); s.Balance() != was.Balance()/2 || !w.serve(a, s.Balance()) {
		t.Fatalf("of %d that were stated there are %d", was.Balance()/2, s.Balance())
	}
}
