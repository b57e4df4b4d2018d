package ledger_test

import (
	"slices"
	"testing"

	. "github.com/swarmpurse/swarmpurse/ledger"
)

// TestNewCharter: founders in any order make one charter; a nonce or a founder more make another.
func TestNewCharter(t *testing.T) {
	a, b := Holder{Node: "a", Gen: 1}, Holder{Node: "b", Gen: 2}
	make := func(nonce byte, fs ...Holder) Charter {
		c, err := NewCharter("x", fs, [16]byte{nonce})
		if err != nil {
			t.Fatal(err)
		}
		return c
	}
	c := make(1, a, b)
	if make(1, b, a, b).ID != c.ID {
		t.Error("the order of founders shows")
	}
	if make(2, a, b).ID == c.ID || make(1, a).ID == c.ID || make(1, a, Holder{Node: "b", Gen: 3}).ID == c.ID {
		t.Error("two charters with one id")
	}
	if c.SeatPart(0)+c.SeatPart(1) != TotalShares {
		t.Error("the seats are not everything")
	}
	three := make(1, a, b, Holder{Node: "c", Gen: 9})
	if three.SeatPart(0)+three.SeatPart(1)+three.SeatPart(2) != TotalShares {
		t.Error("the remainder is lost")
	}
	for what, fs := range map[string][]Holder{"none": nil, "no name": {{}}, "too many": slices.Repeat([]Holder{a}, MaxFounders+1)} {
		if what == "too many" {
			for i := range fs {
				fs[i].Gen = uint64(i)
			}
		}
		if _, err := NewCharter("x", fs, [16]byte{}); err == nil {
			t.Errorf("a charter with founders: %s", what)
		}
	}
	if got, err := DecodeCharter(EncodeCharter(&c)); err != nil || got.ID != c.ID || !slices.Equal(got.Founders, c.Founders) || got.Cluster != c.Cluster {
		t.Errorf("a charter comes back as %+v: %v", got, err)
	}
}

// TestVote: a node votes once, and remembers it over a restart; a charter once taken is never changed.
func TestVote(t *testing.T) {
	w := &world{now: testStart, fatalf: t.Fatalf, logf: t.Logf}
	n := &wnode{w: w, self: Holder{Node: "a", Gen: 1}, disk: map[string][]byte{}}
	w.nodes = []*wnode{n}
	w.model = newModel(w)
	n.start(1)
	c1, _ := NewCharter("x", []Holder{n.self, {Node: "b", Gen: 1}}, [16]byte{1})
	c2, _ := NewCharter("x", []Holder{n.self, {Node: "c", Gen: 1}}, [16]byte{2})
	vote := func(c Charter) CharterID {
		t.Helper()
		b, err := n.r.Vote(c)
		if err != nil {
			t.Fatal(err)
		}
		return b.Charter.ID
	}
	expect(t, "the first vote", vote(c1), c1.ID)
	expect(t, "another charter", vote(c2), c1.ID)
	n.batch(abort, nil) // the disk fails: the vote stays cast, and is written with the next batch
	expect(t, "after a failed write", vote(c2), c1.ID)
	n.batch(commit, nil)
	n.crash()
	n.start(2)
	expect(t, "after a restart", vote(c2), c1.ID)
	expect(t, "the ballot", n.r.Ballot().Voter, n.self)
	if _, err := n.r.Open(w.now, "b@000000000000"); err == nil {
		t.Error("an account without a charter")
	}
	if err := n.r.Found(c2); err != nil { // more than half voted for it elsewhere
		t.Fatal(err)
	}
	if err := n.r.Found(c1); err == nil {
		t.Error("a second charter was taken")
	}
	if err := n.r.Found(Charter{}); err == nil {
		t.Error("an empty charter was taken")
	}
	n.batch(commit, nil)
	n.crash()
	n.start(3)
	expect(t, "the charter after a restart", n.r.Charter().ID, c2.ID)
	expect(t, "a vote when there is a charter", vote(c2), c1.ID)
}

// TestSeatsPassOn: an instance that nobody has used belongs to the present seat holder, one that was used
// never gets a second genesis, whatever is repeated, reordered or restarted in the middle.
func TestSeatsPassOn(t *testing.T) {
	specs := map[string][]Spec{"a": {{Kind: Grant, Amount: 1000}}, "b": {{Kind: Grant, Amount: 1000}}, "c": {{Kind: Grant, Amount: 1000}}}
	w := scripted(t, 3, 1, specs)
	n0, n1, n2 := w.nodes[0], w.nodes[1], w.nodes[2]
	used, unused, last := w.ids[0], w.ids[1], w.ids[2]
	if _, err := n0.r.Open(n0.clock(), used); err != nil {
		t.Fatal(err)
	}
	n0.batch(commit, nil)
	if err := n0.r.Leave(n0.clock(), n0.self); err == nil {
		t.Error("handed on to itself")
	}
	if err := n0.r.Leave(n0.clock(), n1.self); err != nil {
		t.Fatal(err)
	}
	if n0.r.Handed() {
		t.Error("handed before anybody was told")
	}
	// A crash would take the hand-over back, and the seat could go to another with the same serial.
	expect(t, "seats told before that is durable", len(n0.r.Digest().Seats), 0)
	n0.batch(commit, nil)
	expect(t, "the seat that is told once it is", n0.r.Digest().Seats[0].Holder, n1.self)
	n0.crash() // the hand-over is durable, its telling lost
	w.net = nil
	n0.start(5)
	w.members()
	expect(t, "the seat after a restart in the middle", n0.r.Seats()[0].Holder, n1.self)
	if a, err := n0.r.Open(n0.clock(), unused); err != nil || a == nil {
		t.Fatal(err)
	}
	for range 10 {
		w.round(1000)
	}
	w.check()
	shares := func(n *wnode, id InstanceID) Shares {
		t.Helper()
		a, err := n.r.Open(n.clock(), id)
		if err != nil {
			t.Fatal(err)
		}
		w.round(20)
		s := a.State(n.clock())
		return s.Shares()
	}
	expect(t, "the leaver's part of the unused instance", shares(n0, unused), 0)
	expect(t, "the new holder's", shares(n1, unused), TotalShares)
	expect(t, "the used one came with its shares", shares(n1, used), TotalShares)

	// On to n2; every hand-over of the seat so far is replayed to everybody.
	if err := n1.r.Leave(n1.clock(), n2.self); err != nil {
		t.Fatal(err)
	}
	for range 10 {
		w.round(1000)
	}
	if !n1.r.Handed() {
		t.Error("not handed on after 10 s")
	}
	for range 3 {
		for _, p := range slices.Clone(w.old) {
			w.receive(p)
		}
		w.round(20)
	}
	for _, n := range w.nodes {
		w.send(n2, n.self.Node, n2.r.Digest())
	}
	w.round(20)
	for i, n := range w.nodes {
		expect(t, "who holds the seat", n.r.Seats()[0].Holder, n2.self)
		if i < 2 {
			expect(t, "shares of an instance used by none", shares(n, last), 0)
		}
	}
	expect(t, "n2's part of it", shares(n2, last), TotalShares)
	w.check()
}

// TestLeaveHandsOnWhatComesBackLater: refunds and late transfers after the first hand-over go to the heir, too.
func TestLeaveHandsOnWhatComesBackLater(t *testing.T) {
	w := scripted(t, 3, 3, one(Spec{Kind: Grant, Amount: 900}))
	w.opened()
	n := w.nodes[0]
	for range 5 {
		if n.reserve(w.ids, []Tokens{200}, false, false) {
			break
		}
		w.round(20)
	}
	if err := n.r.Leave(n.clock(), w.nodes[1].self); err != nil {
		t.Fatal(err)
	}
	w.round(20)
	w.nodes[2].r.GiveRights(n.clock(), w.ids[0], n.self, 50, 0)
	n.settle(0, 0)
	for range 20 {
		w.round(100)
	}
	expect(t, "left with the leaver", w.state(0).Balance(), 0)
	expect(t, "the heir has", w.state(1).Balance(), 300+300+50)
	if !n.r.Handed() {
		t.Error("not handed on")
	}
	w.check()
}

// TestSeatIsTakenOnceHeld: whoever takes a seat crashes with it on its disk, and before its guardians have heard of it. It
// neither acknowledges the seat then nor tells of it before they have: when its directory is lost, the giver has it still.
func TestSeatIsTakenOnceHeld(t *testing.T) {
	specs := map[string][]Spec{"old": {{Kind: Grant, Amount: 1000}}, "new": {{Kind: Grant, Amount: 1000}}}
	w := newWorld(5, 1, 1, specs)
	w.fatalf, w.logf, w.guards = t.Fatalf, t.Logf, testGuards
	w.ids[0], w.ids[1] = w.ids[1], w.ids[0] // rounds open the first only
	for _, x := range w.nodes {
		x.r.SetGuards(x.clock(), w.guards)
	}
	w.rounds(30, 100)
	giver, taker := w.nodes[0], w.nodes[1]
	if err := giver.r.Leave(giver.clock(), taker.self); err != nil {
		t.Fatal(err)
	}
	for k := 0; taker.r.Seats()[0].Holder != taker.self; k++ {
		if k > 100 {
			t.Fatal("the seat does not come")
		}
		w.now += 50
		for _, x := range w.nodes {
			x.r.Tick(x.clock())
			x.batch(commit, nil)
		}
		net := w.net
		w.net = nil
		for _, p := range net {
			if w.receive(p); taker.r.Seats()[0].Holder == taker.self {
				break
			}
		}
	}
	taker.batch(crashAfter, nil)
	w.net = nil
	taker.start(9)
	giver.side, taker.side = 1, 1 // nobody else hears
	w.members()
	w.rounds(20, 100) // in which the giver tells of it again
	expect(t, "seats that the taker tells of", len(taker.r.Digest().Seats), 0)
	taker.lose()
	giver.side, taker.side = 0, 0
	w.members()
	w.rounds(60, 1000)
	var owned Shares
	for _, x := range w.nodes {
		x.open1(w.ids[1])
	}
	w.rounds(60, 500)
	for _, x := range w.nodes {
		s := x.r.Account(w.ids[1]).State(x.clock())
		owned += s.Shares()
	}
	expect(t, "shares of what nobody had opened", owned, TotalShares)
}
