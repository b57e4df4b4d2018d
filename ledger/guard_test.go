package ledger_test

import (
	"errors"
	"maps"
	"testing"

	. "github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/guardian"
)

// guardedWorld is a swarm of n nodes with guardians, whose accounts are open and held.
func guardedWorld(t *testing.T, n, founders int, spec Spec) *world {
	w := newWorld(n, founders, 1, one(spec))
	w.fatalf, w.logf = t.Fatalf, t.Logf
	w.guards = testGuards
	for _, x := range w.nodes {
		x.r.SetGuards(x.clock(), w.guards)
		x.open1(w.ids[0])
	}
	w.rounds(30, 100)
	for _, x := range w.nodes {
		if len(x.r.Guardians()) != 3 {
			t.Fatalf("node %d has the guardians %v", x.i, x.r.Guardians())
		}
	}
	return w
}

func (w *world) rounds(n int, dt Millis) {
	for k := range n {
		w.round(dt)
		for _, x := range w.nodes { // which may have become another generation
			if x.r != nil {
				x.open1(w.ids[0])
			}
		}
		if k%4 == 3 {
			for i, x := range w.nodes {
				for j, p := range w.nodes {
					if i != j && x.r != nil && p.r != nil {
						x.digest(p)
					}
				}
			}
		}
	}
}

// serve reserves until it gets n tokens, and says whether it did.
func (w *world) serve(x *wnode, n Tokens) bool {
	for range 20 {
		if x.reserve(w.ids, []Tokens{n}, false, true) {
			return true
		}
		w.rounds(1, 50)
	}
	return false
}

// cut keeps a node's messages from everybody, and theirs from it.
func (w *world) cut(x *wnode) {
	x.side = 1
	w.members()
}

func (w *world) own(x *wnode) State { return x.r.Account(w.ids[0]).State(x.clock()) }

// TestFewMembersHaveNoGuardians: below four members nothing is guarded, nothing is held, nothing waits.
func TestFewMembersHaveNoGuardians(t *testing.T) {
	w := newWorld(3, 1, 1, one(Spec{Kind: Grant, Amount: 100}))
	w.fatalf, w.logf, w.guards = t.Fatalf, t.Logf, testGuards
	for _, x := range w.nodes {
		x.r.SetGuards(x.clock(), w.guards)
	}
	w.rounds(40, 100)
	if gs := w.nodes[0].r.Guardians(); gs != nil {
		t.Fatalf("three members, and the guardians %v", gs)
	}
	if !w.serve(w.nodes[0], 90) {
		t.Fatal("a call waits for guardians that there are not")
	}
}

// TestCutOffNodeSpendsUpToItsHeldMark: and no further, however many members it still sees.
func TestCutOffNodeSpendsUpToItsHeldMark(t *testing.T) {
	w := guardedWorld(t, 4, 1, Spec{Kind: Grant, Amount: 1000})
	x := w.nodes[0]
	for range 3 {
		if !w.serve(x, 10) {
			t.Fatal("a call is not served with guardians in reach")
		}
	}
	w.rounds(4, 100)
	w.cut(x)
	held, got := w.own(x).Held, Tokens(30)
	for w.serve(x, 1) {
		got++
	}
	if got != held || held < 40 || held > 200 {
		t.Fatalf("%d spent, the held mark was %d", got, held)
	}
	x.side = 0
	w.members()
	if !w.serve(x, 100) {
		t.Fatal("a call is not served with guardians in reach again")
	}
}

// TestGiftIsToldOnceHeld: until then the peer hears nothing of it.
func TestGiftIsToldOnceHeld(t *testing.T) {
	w := guardedWorld(t, 5, 1, Spec{Kind: Grant, Amount: 1000})
	x := w.nodes[0]
	var to *wnode
	for _, p := range w.nodes[1:] { // one that is no guardian
		guards := false
		for _, g := range x.r.Guardians() {
			guards = guards || g.Node == p.self.Node
		}
		if !guards {
			to = p
		}
	}
	for _, p := range w.nodes {
		if p != x && p != to {
			p.side = 1
		}
	}
	w.members()
	if n := x.r.GiveRights(x.clock(), w.ids[0], to.self, 100, x.clock()); n != 100 {
		t.Fatalf("%d given", n)
	}
	w.rounds(40, 100)
	if n := w.own(to).In; n != 0 {
		t.Fatalf("%d came that no guardian has heard of", n)
	}
	for _, p := range w.nodes {
		p.side = 0
	}
	w.members()
	w.rounds(40, 100)
	if n := w.own(to).In; n != 100 {
		t.Fatalf("%d came", n)
	}
}

// TestLeaseEndsARate: without word from guardians a rate is minted and spent until the end of the lease, and what the
// time without one would have brought never comes.
func TestLeaseEndsARate(t *testing.T) {
	w := guardedWorld(t, 4, 1, Spec{Kind: Rate, Amount: 50, Per: 10, PerMillis: 1000, Lend: DefaultLend})
	x := w.nodes[0]
	w.cut(x)
	if !w.serve(x, 10) {
		t.Fatal("a call is not served though the lease runs")
	}
	w.rounds(30, 1000)
	if w.serve(x, 1) {
		t.Fatal("a call is served though the lease is over")
	}
	x.side = 0
	w.members()
	w.rounds(60, 1000)
	if x.self.Gen == 1 {
		t.Fatal("nobody has claimed it")
	}
	var owned Shares
	for _, p := range w.nodes {
		s := w.own(p)
		owned += s.Shares()
	}
	if owned != TotalShares {
		t.Fatalf("%d shares are owned", owned)
	}
}

// TestRightsOfTheDeadComeBack: all but what it may have spent, to one heir, and gifts that never came to their giver.
func TestRightsOfTheDeadComeBack(t *testing.T) {
	w := guardedWorld(t, 5, 1, Spec{Kind: Grant, Amount: 1000})
	giver, dead := w.nodes[0], w.nodes[1]
	giver.r.GiveRights(giver.clock(), w.ids[0], dead.self, 400, giver.clock())
	w.rounds(20, 100)
	if n := w.own(dead).In; n != 400 {
		t.Fatalf("%d came", n)
	}
	if !w.serve(dead, 30) {
		t.Fatal("not served")
	}
	w.rounds(10, 100)
	held := w.own(dead).Held
	giver.r.GiveRights(giver.clock(), w.ids[0], dead.self, 50, giver.clock())
	dead.crash() // before it comes
	w.rounds(60, 1000)
	var balance Tokens
	for _, p := range w.nodes {
		if p != dead {
			s := w.own(p)
			balance += s.Balance()
		}
	}
	if balance != 1000-held {
		t.Fatalf("%d of 1000 are there, %d may have been spent", balance, held)
	}
	dead.start(9)
	w.members()
	w.rounds(20, 100)
	if dead.self.Gen == 2 {
		t.Fatal("it comes back as what was claimed")
	}
}

// TestSeatsOfTheDeadPassOn: what the founder never opened is opened by its heir, and whole.
func TestSeatsOfTheDeadPassOn(t *testing.T) {
	specs := map[string][]Spec{"old": {{Kind: Grant, Amount: 1000}}, "new": {{Kind: Grant, Amount: 1000}}}
	w := newWorld(4, 1, 1, specs)
	w.fatalf, w.logf, w.guards = t.Fatalf, t.Logf, testGuards
	old, fresh := w.ids[1], w.ids[0] // rounds open the first of ids
	w.ids[0], w.ids[1] = old, fresh
	for _, x := range w.nodes {
		x.r.SetGuards(x.clock(), w.guards)
		x.open1(old)
	}
	w.rounds(30, 100)
	w.nodes[0].lose()
	w.rounds(60, 1000)
	var owned Shares
	var issued Tokens
	for _, x := range w.nodes {
		x.open1(fresh)
	}
	w.rounds(40, 100)
	for _, x := range w.nodes {
		s := x.r.Account(fresh).State(x.clock())
		owned += s.Shares()
		issued += s.Base
	}
	if owned != TotalShares || issued != 1000 {
		t.Fatalf("of what was never opened %d shares are owned, %d issued", owned, issued)
	}
}

// TestLostGuardianMovesItsWardsOn: a generation one of whose guardians lost its directory is followed by the next one,
// with other guardians; the promises of a directory outlive that, so that it goes no further.
func TestLostGuardianMovesItsWardsOn(t *testing.T) {
	w := guardedWorld(t, 5, 1, Spec{Kind: Grant, Amount: 1000})
	x := w.nodes[0]
	if !w.serve(x, 10) {
		t.Fatal("not served")
	}
	lost := x.r.Guardians()[0]
	for _, p := range w.nodes {
		if p.self.Node == lost.Node {
			p.lose()
		}
	}
	w.rounds(60, 500)
	if x.self.Gen != 2 {
		t.Fatalf("it is generation %d", x.self.Gen)
	}
	if s := w.own(x); s.Balance() != 990 {
		t.Fatalf("%d are left of 990", s.Balance())
	}
	gens := uint64(0)
	for _, p := range w.nodes {
		gens += p.self.Gen
	}
	w.rounds(60, 500)
	for _, p := range w.nodes {
		gens -= p.self.Gen
	}
	if gens != 0 {
		t.Fatal("generations follow each other without end")
	}
}

// TestReleaseIsClaimedAtOnce: a node that leaves gives up its lease, and what it had goes to a guardian without a wait.
func TestReleaseIsClaimedAtOnce(t *testing.T) {
	w := guardedWorld(t, 4, 1, Spec{Kind: Grant, Amount: 1000})
	x := w.nodes[0]
	x.r.Release()
	w.rounds(40, 150)
	if heir, over := x.r.Retired(); over && heir.Node == x.self.Node {
		t.Fatal("it follows itself")
	}
	var balance Tokens
	for _, p := range w.nodes[1:] {
		s := w.own(p)
		balance += s.Balance()
	}
	if balance < 990 {
		t.Fatalf("others have %d of 1000", balance)
	}
}

// TestTooFewMembersAreLeft: of four members one is gone for good. The others follow themselves by generations without
// guardians, while there is a majority to decide it, so that nothing waits for guardians when one more goes.
func TestTooFewMembersAreLeft(t *testing.T) {
	w := guardedWorld(t, 4, 1, Spec{Kind: Grant, Amount: 1000})
	w.nodes[3].crash()
	w.rounds(80, 500)
	for _, x := range w.nodes[:3] {
		if gs := x.r.Guardians(); gs != nil || x.self.Gen == uint64(x.i+1) {
			t.Fatalf("%v has the guardians %v", x.self, gs)
		}
	}
	w.nodes[1].crash()
	w.nodes[2].crash()
	if s := w.own(w.nodes[0]); s.Balance() < 990 || !w.serve(w.nodes[0], 900) {
		t.Fatalf("of 1000 there are %d", s.Balance())
	}
	w.nodes[3].start(9)
	w.nodes[1].start(9)
	w.nodes[2].start(9)
	w.members()
	w.rounds(80, 500)
	for _, x := range w.nodes {
		if gs := x.r.Guardians(); len(gs) != 3 {
			t.Fatalf("four members again, and %v has the guardians %v", x.self, gs)
		}
	}
}

// TestLeaverWaitsForItsWards: one guardian that is about to leave leaves its wards a majority, so nobody moves. With the second
// they move on to other guardians while both still answer; the two know for whom they wait, and until when.
func TestLeaverWaitsForItsWards(t *testing.T) {
	w := guardedWorld(t, 7, 1, Spec{Kind: Grant, Amount: 1000})
	x := w.nodes[0]
	var first, second *wnode
	for _, p := range w.nodes {
		switch p.self.Node {
		case x.r.Guardians()[0].Node:
			first = p
		case x.r.Guardians()[1].Node:
			second = p
		}
	}
	first.passing = true
	w.members()
	w.rounds(30, 100)
	if x.self.Gen != 1 || first.r.WardsToMove() != 0 {
		t.Fatalf("one guardian is about to leave: generation %d, %d wards to wait for", x.self.Gen, first.r.WardsToMove())
	}
	second.passing = true
	w.members()
	if first.r.WardsToMove() == 0 || second.r.WardsToMove() == 0 {
		t.Fatal("two guardians are about to leave, and wait for nobody")
	}
	w.rounds(60, 100)
	if first.r.WardsToMove() != 0 || second.r.WardsToMove() != 0 {
		t.Fatalf("they wait for %d and %d wards", first.r.WardsToMove(), second.r.WardsToMove())
	}
	if x.self.Gen != 2 {
		t.Fatalf("generation %d", x.self.Gen)
	}
	for _, g := range x.r.Guardians() {
		if g.Node == first.self.Node || g.Node == second.self.Node {
			t.Errorf("%v is about to leave, and is named as a guardian", g)
		}
	}
	first.crash()
	second.crash()
	w.members()
	w.rounds(10, 100)
	if s := w.own(x); s.Balance() < 990 || !w.serve(x, 900) {
		t.Fatalf("of 1000 there are %d", s.Balance())
	}
}

// TestNoMajorityNoMove: a node that has lost a majority of its guardians for good cannot move on, so it does not try, which
// would stop its spending: what is held is there to be used.
func TestNoMajorityNoMove(t *testing.T) {
	w := guardedWorld(t, 5, 1, Spec{Kind: Grant, Amount: 1000})
	x := w.nodes[0]
	if !w.serve(x, 10) {
		t.Fatal("not served")
	}
	w.rounds(10, 100)
	gone := 0
	for _, p := range w.nodes {
		for _, g := range x.r.Guardians() {
			if p.self.Node == g.Node && gone < 2 {
				gone++
				p.lose()
			}
		}
	}
	w.rounds(30, 500)
	if s := w.own(x); x.self.Gen != 1 || s.Held <= s.Spent || !w.serve(x, 1) {
		t.Fatalf("generation %d, held up to %d, %d spent", x.self.Gen, s.Held, s.Spent)
	}
}

// TestCallOnTwoAccounts: a call that is large beside what was spent lately needs the marks of both accounts at once,
// which are raised one after the other; the first must not be let down meanwhile.
func TestCallOnTwoAccounts(t *testing.T) {
	specs := map[string][]Spec{"a": {{Kind: Grant, Amount: 1000}}, "b": {{Kind: Grant, Amount: 1000}}}
	w := newWorld(4, 1, 1, specs)
	w.fatalf, w.logf, w.guards = t.Fatalf, t.Logf, testGuards
	for _, x := range w.nodes {
		x.r.SetGuards(x.clock(), w.guards)
	}
	x := w.nodes[0]
	x.open1(w.ids[0])
	x.open1(w.ids[1])
	w.rounds(30, 100)
	for range 20 {
		if x.reserve(w.ids, []Tokens{600, 600}, false, true) {
			return
		}
		w.rounds(1, 50)
	}
	t.Fatal("the call is not served within a second")
}

// TestRolledBackGuardianIsFenced: a node whose directory is an older copy, by which it owns what it did and has told peers
// nothing new, has forgotten what it acknowledged to its wards, and acts no more as soon as one of them notes something.
func TestRolledBackGuardianIsFenced(t *testing.T) {
	w := guardedWorld(t, 5, 1, Spec{Kind: Grant, Amount: 1000})
	x := w.nodes[0]
	var g *wnode
	for _, p := range w.nodes[1:] {
		if p.self.Node == x.r.Guardians()[0].Node {
			g = p
		}
	}
	w.rounds(10, 100)
	before := maps.Clone(g.disk)
	if !w.serve(x, 200) {
		t.Fatal("not served")
	}
	w.rounds(10, 100)
	g.crash()
	g.disk = before
	g.start(7)
	w.members()
	if g.r.Fenced() {
		t.Fatal("fenced before anybody has told it anything")
	}
	w.net = nil
	w.now += Instant(w.guards.Lease) / 3
	x.r.Tick(x.clock())
	x.batch(commit, nil)
	for _, p := range w.net {
		m, err := Decode(p.bytes)
		if n, ok := m.(*guardian.Note); err != nil || !ok || p.to != g.i {
			continue
		} else if err := g.r.Receive(g.clock(), n); !errors.Is(err, guardian.ErrRolledBack) {
			t.Fatalf("%+v: %v", n, err)
		}
	}
	if !g.r.Fenced() {
		t.Fatal("it goes on, and has forgotten what it acknowledged")
	}
}

// TestLeaverComesBack: a node that left in order, and gave its lease up, is started again on its directory: it moves on to its
// next generation at once, whether a guardian has claimed the one that left or nobody has heard of it.
func TestLeaverComesBack(t *testing.T) {
	for _, heard := range []bool{true, false} {
		w := guardedWorld(t, 4, 1, Spec{Kind: Grant, Amount: 1000})
		x := w.nodes[0]
		if !heard {
			w.cut(x)
		}
		x.r.Release()
		w.rounds(1, 50)
		x.crash()
		w.members()
		if heard {
			w.rounds(40, 150)
		}
		x.side = 0
		x.start(x.self.Gen)
		w.members()
		w.rounds(60, 100)
		if x.self.Gen != 2 || x.r.Guardians() == nil {
			t.Fatalf("heard %v: it is generation %d with the guardians %v", heard, x.self.Gen, x.r.Guardians())
		}
		var owned Shares
		for _, p := range w.nodes {
			s := w.own(p)
			owned += s.Shares()
		}
		if owned != TotalShares {
			t.Fatalf("heard %v: %d shares are owned", heard, owned)
		}
	}
}

// TestOverdraftOutlivesGenerations: a node has one part of a soft budget's overdraft, however many generations of it follow
// each other.
func TestOverdraftOutlivesGenerations(t *testing.T) {
	w := guardedWorld(t, 4, 1, Spec{Kind: Grant, Amount: 1000, Ceiling: Soft, OverdraftPPM: 400_000})
	x := w.nodes[0] // its part is 100
	got := Tokens(0)
	spend := func() {
		for range 200 {
			if x.reserve(w.ids, []Tokens{20}, true, false) {
				got += 20
			}
			w.rounds(1, 50)
		}
	}
	spend()
	if got != 1100 {
		t.Fatalf("%d of 1000 and a part of 100 were admitted", got)
	}
	for gen := uint64(2); gen < 4; gen++ {
		if err := x.r.NextGeneration(); err != nil {
			t.Fatal(err)
		}
		w.rounds(20, 100)
		if x.self.Gen != gen {
			t.Fatalf("it is generation %d", x.self.Gen)
		}
		if spend(); got != 1100 {
			t.Fatalf("generation %d overdraws anew: %d of 1000 and a part of 100 were admitted", gen, got)
		}
	}
}

// TestLeaverSpendsNothingMore: a generation that left in order is over. Started again it spends nothing, on a soft budget
// either, until the next one follows: nobody would count it.
func TestLeaverSpendsNothingMore(t *testing.T) {
	w := guardedWorld(t, 4, 1, Spec{Kind: Grant, Amount: 1000, Ceiling: Soft, OverdraftPPM: 400_000})
	x := w.nodes[0]
	x.r.Release()
	w.rounds(1, 50)
	x.crash()
	w.cut(x)
	x.start(x.self.Gen)
	for range 20 {
		if x.reserve(w.ids, []Tokens{1}, true, true) {
			t.Fatal("it spends")
		}
		w.rounds(1, 50)
	}
	x.side = 0
	w.members()
	w.rounds(60, 100)
	if x.self.Gen != 2 || !w.serve(x, 1) {
		t.Fatalf("generation %d spends nothing", x.self.Gen)
	}
}

// TestSoftSpendingOfTheGivenUpIsCounted: a node that is given up while it is cut off goes on with a soft budget, and its
// guardians do not hear of it. When it finds out, its next generation counts what it did: nothing that was admitted is missing
// from the rows.
func TestSoftSpendingOfTheGivenUpIsCounted(t *testing.T) {
	w := guardedWorld(t, 4, 1, Spec{Kind: Grant, Amount: 1000, Ceiling: Soft, OverdraftPPM: 400_000})
	x := w.nodes[0]
	if !w.serve(x, 10) {
		t.Fatal("not served")
	}
	w.rounds(20, 100)
	w.cut(x)
	got := Tokens(10)
	for range 60 { // until long after its lease
		w.rounds(1, 500)
		if x.reserve(w.ids, []Tokens{10}, true, false) {
			got += 10
		}
	}
	if got < 300 || x.self.Gen != 1 {
		t.Fatalf("generation %d spent %d while it was cut off", x.self.Gen, got)
	}
	x.side = 0
	w.members()
	for k := range 3 { // and once more, without another call
		if k > 0 {
			if err := x.r.NextGeneration(); err != nil {
				t.Fatal(err)
			}
		}
		w.rounds(60, 100)
		var spent, issued, rights Tokens
		for _, k := range w.nodes[1].r.Rows(w.nodes[1].clock(), w.ids[0]) {
			spent += k.Spent + k.Reserved
			issued += k.Issued
			rights += max(0, k.Balance())
		}
		if spent < got || spent > got+200 || issued < spent || rights+spent != issued {
			t.Fatalf("after %v: rows show %d spent of %d, %d issued, %d left", x.self, spent, got, issued, rights)
		}
	}
	if x.self.Gen != 4 {
		t.Fatalf("it is generation %d", x.self.Gen)
	}
}
