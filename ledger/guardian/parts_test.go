package guardian_test

import (
	"fmt"
	"testing"
	"time"

	. "github.com/swarmpurse/swarmpurse/ledger/guardian"
)

// inParts is a world in which a message takes two records, and n0 has some more.
func inParts(t testing.TB, n, records int) (*world, *node) {
	w := newWorld(t, n)
	for _, x := range w.nodes {
		x.m.SetPart(8)
	}
	o := w.nodes[0]
	for i := range records {
		o.own[fmt.Sprintf("k%02d", i)] = []byte{1}
	}
	if err := o.m.Guard([]Holder{w.nodes[1].self, w.nodes[2].self, w.nodes[3].self}, o.records()); err != nil {
		t.Fatal(err)
	}
	return w, o
}

// most is the most records that any message on the way has.
func (w *world) most() (n int) {
	for _, p := range w.net {
		switch m := p.Message.(type) {
		case *Note:
			n = max(n, len(m.Records))
		case *Part:
			n = max(n, len(m.Records))
		case *Promise:
			n = max(n, len(m.Stored.Records))
		case *Accept:
			n = max(n, len(m.Records))
		case *Decided:
			n = max(n, len(m.Records))
		}
	}
	return n
}

func (w *world) version(g *node, of *node) uint64 {
	for _, s := range g.m.WardStates(g.clock) {
		if s.Of == of.self {
			return s.Version
		}
	}
	return 0
}

// TestNoteInParts: nothing of a note counts before all of it is there, whatever else is written meanwhile; no message is
// large; and a lease does not wait for it.
func TestNoteInParts(t *testing.T) {
	w, o := inParts(t, 4, 11)
	g := w.nodes[1]
	rounds := 0
	for ; w.version(g, o) == 0; rounds++ {
		o.put("k00", byte(10+rounds))
		o.batch()
		if n := w.most(); n > 2 {
			t.Fatalf("%d records in one message", n)
		}
		if rounds == 3 {
			if _, ok := o.m.Lease(); !ok {
				t.Fatal("no lease while the first note is on its way")
			}
		}
		if rounds > 40 {
			t.Fatal("the first note never comes to an end")
		}
		w.deliver(nil)
	}
	if rounds < 5 {
		t.Fatalf("eleven records two at a time came in %d rounds", rounds)
	}
	w.settle()
	for range 5 {
		w.pass(time.Second)
		w.tick(w.nodes...)
	}
	want(t, "held", o.m.Held(), o.m.Version())
	o.m = nil
	w.pass(2 * lease)
	g.claim(o)
	w.settle()
	rs, ok := w.nodes[2].m.Records(o.self)
	if !ok || len(rs) != 11 || rs[0].Value[0] != byte(10+rounds-1) {
		t.Fatalf("decided is %v, %v", rs, ok)
	}
}

// TestPartsAreLostAndComeTwice: what is lost is asked for again, after a while; what comes twice changes nothing; a
// guardian that restarts begins again.
func TestPartsAreLostAndComeTwice(t *testing.T) {
	w, o := inParts(t, 4, 9)
	k := 0
	lossy := func(packet) bool { k++; return k%3 == 0 }
	for i := range 200 {
		for _, x := range w.nodes {
			x.batch()
		}
		w.net = append(w.net, w.net...)
		w.deliver(lossy)
		if i == 6 {
			w.nodes[2].start()
			w.nodes[2].m.SetPart(8)
		}
		w.pass(200 * time.Millisecond)
		for _, x := range w.nodes {
			x.m.Tick(x.clock)
		}
		if i%7 == 0 && i < 60 {
			o.put(fmt.Sprintf("k%02d", i%9), byte(i))
		}
	}
	w.net = nil
	for range 20 {
		w.pass(time.Second)
		w.tick(w.nodes...)
	}
	for _, g := range w.nodes[1:] {
		want(t, "version", w.version(g, o), o.m.Version())
	}
}

// TestGuardianThatLagsFetchesWhatItAccepts: it lacks the version that is proposed, accepts it once it has all of it, and
// can then tell it in full, though the claimant is gone.
func TestGuardianThatLagsFetchesWhatItAccepts(t *testing.T) {
	w, o := inParts(t, 5, 9)
	w.settle()
	for i := range 9 {
		o.put(fmt.Sprintf("k%02d", i), 2)
	}
	o.batch()
	for range 12 {
		w.deliver(to("n2", "n3")) // which stay at the first version
		o.batch()
	}
	c, lags := w.nodes[1], w.nodes[2]
	want(t, "the claimant's version", w.version(c, o), 2)
	want(t, "the other's", w.version(lags, o), 1)
	o.m, w.net = nil, nil
	w.pass(2 * lease)
	c.claim(o)
	w.settle()
	want(t, "the other's", w.version(lags, o), 2)
	c.m = nil
	if err := lags.m.Receive(lags.clock, &Query{Of: o.self, From: w.nodes[4].self}); err != nil {
		t.Fatal(err)
	}
	w.settle()
	rs, ok := w.nodes[4].m.Records(o.self)
	if !ok || len(rs) != 9 || rs[8].Value[0] != 2 {
		t.Fatalf("told is %v, %v", rs, ok)
	}
}

// TestHalfFetchedIsBounded: who never sends the rest, or more than anybody may have, costs no more than the bound, and
// what it began is forgotten.
func TestHalfFetchedIsBounded(t *testing.T) {
	w := newWorld(t, 4)
	g := w.nodes[1]
	set := []Holder{g.self, w.nodes[2].self, w.nodes[3].self}
	big := make([]byte, 1<<20)
	for i := range 100 {
		from := Holder{Node: fmt.Sprintf("x%d", i), Gen: 1}
		n := &Note{From: from, To: g.self, Set: set, Version: 1, Records: []Record{{Key: "a", Value: big}}, More: true}
		if err := g.m.Receive(g.clock, n); err != nil {
			t.Fatal(err)
		}
	}
	half, bytes := g.m.Fetching()
	if half != 64 || bytes != 64*(1<<20+1) {
		t.Fatalf("%d are fetched, with %d bytes", half, bytes)
	}
	p := &Part{Of: Holder{Node: "x0", Gen: 1}, From: Holder{Node: "x0", Gen: 1}, To: g.self, Version: 1, After: "a", More: true}
	for i := range 400 {
		p.Records = []Record{{Key: fmt.Sprintf("b%03d", i), Value: big}}
		if err := g.m.Receive(g.clock, p); err != nil {
			t.Fatal(err)
		}
		p.After = p.Records[0].Key
		if _, bytes := g.m.Fetching(); bytes > MaxBytes {
			t.Fatalf("%d bytes are half fetched", bytes)
		}
	}
	if half, _ = g.m.Fetching(); half != 63 {
		t.Fatalf("%d are fetched after one of them was too much", half)
	}
	for range 6 {
		w.pass(2 * time.Second)
		g.m.Tick(g.clock)
	}
	if half, bytes := g.m.Fetching(); half != 0 || bytes != 0 {
		t.Fatalf("%d are still fetched, with %d bytes", half, bytes)
	}
}

// TestLongFetchIsPaced: what is long does not take all that a peer may send.
func TestLongFetchIsPaced(t *testing.T) {
	w, o := inParts(t, 4, 60)
	g := w.nodes[1]
	w.settle()
	want(t, "version after a moment", w.version(g, o), 0)
	for range 40 {
		w.pass(100 * time.Millisecond)
		w.tick(w.nodes...)
	}
	want(t, "version after four seconds", w.version(g, o), 1)
}

// TestClaimGoesOnWithoutItsSource: whoever promised the version that a claim chose dies before it has told all of its records.
// Another guardian has them, too.
func TestClaimGoesOnWithoutItsSource(t *testing.T) {
	w, o := inParts(t, 4, 9)
	w.settle()
	for i := range 9 {
		o.put(fmt.Sprintf("k%02d", i), 2)
	}
	o.batch()
	for range 12 {
		w.deliver(to("n1")) // which stays at the first version
		o.batch()
	}
	c, dies, has := w.nodes[1], w.nodes[2], w.nodes[3]
	want(t, "the claimant's version", w.version(c, o), 1)
	want(t, "the others'", [2]uint64{w.version(dies, o), w.version(has, o)}, [2]uint64{2, 2})
	o.m, w.net = nil, nil
	w.pass(2 * lease)
	c.claim(o)
	c.batch()
	w.deliver(to("n3"))
	w.deliver(nil) // a promise of the second version, with some of its records
	dies.m = nil
	for range 60 {
		w.pass(time.Second)
		w.tick(c, has)
	}
	want(t, "records of what is decided", len(decidedRecords(has, o)), 9)
}

func decidedRecords(n, of *node) []Record {
	rs, _ := n.m.Records(of.self)
	return rs
}

// TestFetchStaysWithWhoHasIt: whoever knows a decision and not its records tells of it, again and again. Its word does not draw the fetch
// of the records away from one that has them.
func TestFetchStaysWithWhoHasIt(t *testing.T) {
	w, o := inParts(t, 6, 9)
	w.settle()
	has, lacks, wants := w.nodes[1], w.nodes[4], w.nodes[5]
	o.m = nil
	w.pass(2 * lease)
	has.claim(o)
	w.settle()
	say := func(n *node, to *node) {
		n.m.Tell(o.self, to.self)
		n.batch()
		w.deliver(nil)
		for range 20 { // but for the records, of which wants is told only
			w.deliver(func(p packet) bool { return p.To.Node == lacks.self.Node && p.from == has })
		}
	}
	has.m.Say(o.self, lacks.self)
	has.batch()
	w.deliver(nil)
	for range 30 {
		say(lacks, wants)
		say(has, wants)
		say(lacks, wants)
		w.pass(time.Second)
		wants.m.Tick(wants.clock)
		wants.batch()
	}
	want(t, "records that came", len(decidedRecords(wants, o)), 9)
}
