package guardian_test

import (
	"errors"
	"testing"
	"time"

	. "github.com/swarmpurse/swarmpurse/ledger/guardian"
)

func to(names ...string) func(packet) bool {
	return func(p packet) bool {
		for _, n := range names {
			if p.To.Node == n {
				return true
			}
		}
		return false
	}
}

// TestHeldByAMajority: a version is held when two of three guardians have stored it; one that says so twice is one.
func TestHeldByAMajority(t *testing.T) {
	w := guarded(t, 4, 0)
	o := w.nodes[0]
	want(t, "held", o.m.Held(), 1)
	o.put("a", 2)
	o.batch()
	w.deliver(to("n2", "n3"))
	acks := append([]packet{}, w.net...)
	w.deliver(nil)
	want(t, "with one acknowledgement", o.m.Held(), 1)
	w.net = acks
	w.deliver(nil)
	want(t, "with the same one twice", o.m.Held(), 1)
	w.pass(time.Second)
	o.m.Tick(o.clock)
	o.batch()
	w.deliver(to("n3"))
	w.deliver(nil)
	want(t, "with two", o.m.Held(), 2)
}

// TestLaterVersionsRideTogether: what nobody waits for is noted a tenth of a second later, or with what somebody waits for.
func TestLaterVersionsRideTogether(t *testing.T) {
	w := guarded(t, 4, 0)
	o := w.nodes[0]
	later := func(key string) {
		o.put(key, 1)
		o.m.Later()
		o.batch()
	}
	tick := func(d time.Duration) int {
		w.pass(d)
		o.m.Tick(o.clock)
		o.batch()
		return len(w.net)
	}
	later("b")
	want(t, "notes at once", len(w.net), 0)
	want(t, "notes after 60 ms", tick(60*time.Millisecond), 0)
	later("c")
	want(t, "notes after 100 ms", tick(40*time.Millisecond), 3)
	for _, p := range w.net {
		want(t, "records in one of them", len(p.Message.(*Note).Records), 2)
	}
	w.settle()
	want(t, "held", o.m.Held(), 3)
	later("d")
	o.put("e", 1)
	o.batch()
	want(t, "notes when somebody waits", len(w.net), 3)
	w.deliver(nil)
	want(t, "records in the next batch's", len(o.records()), 5)
	later("f")
	w.settle()
	want(t, "held with the answers only what was noted", o.m.Held(), 5)
	want(t, "notes later", tick(100*time.Millisecond), 3)
	w.settle()
	want(t, "held in the end", o.m.Held(), 6)
}

// TestFirstVersionCountsFromTheStart: nobody can claim a generation of which no guardian has stored anything.
func TestFirstVersionCountsFromTheStart(t *testing.T) {
	w := newWorld(t, 4)
	o := w.nodes[0]
	if err := o.m.Guard([]Holder{w.nodes[1].self, w.nodes[2].self, w.nodes[3].self}, nil); err != nil {
		t.Fatal(err)
	}
	o.batch()
	want(t, "held before any answer", o.m.Held(), 1)
	if err := w.nodes[1].m.Claim(0, o.self, w.nodes[1].self); err == nil {
		t.Fatal("a node that has stored nothing claims it")
	}
}

// TestGuardianSet: three or five others, named once and for good.
func TestGuardianSet(t *testing.T) {
	h := func(n string) Holder { return Holder{Node: n, Gen: 1} }
	for _, set := range [][]Holder{nil, {h("b"), h("c")}, {h("a"), h("b"), h("c")}, {h("b"), h("b"), h("c")}, {h("b"), {Node: "b", Gen: 2}, h("c")}} {
		if err := New(h("a"), 1).Guard(set, nil); err == nil {
			t.Errorf("%v guard a", set)
		}
	}
	w := guarded(t, 5, 0)
	o, g := w.nodes[0], w.nodes[1]
	if err := o.m.Guard([]Holder{w.nodes[2].self, w.nodes[3].self, w.nodes[4].self}, nil); err == nil {
		t.Fatal("a second set")
	}
	other := &Note{From: o.self, To: g.self, Set: []Holder{g.self, w.nodes[3].self, w.nodes[4].self}, Version: 9}
	if err := g.m.Receive(g.clock, other); err == nil {
		t.Fatal("a guardian takes another set")
	}
}

// TestOnlyWhatChangedIsTold: a note has what changed since the guardian's last; one that missed some gets those too.
func TestOnlyWhatChangedIsTold(t *testing.T) {
	w := guarded(t, 4, 0)
	o, g := w.nodes[0], w.nodes[3]
	told := func() (n int) {
		for _, p := range w.net {
			if note, ok := p.Message.(*Note); ok && p.To == g.self {
				n = len(note.Records)
			}
		}
		return n
	}
	for _, k := range []string{"b", "c", "d"} {
		o.put(k, 1)
		o.batch()
		want(t, "records in a note", told(), 1)
		w.settle()
	}
	for _, k := range []string{"b", "c"} {
		o.put(k, 2)
		o.batch()
		w.deliver(to("n3"))
		w.deliver(nil)
	}
	w.pass(time.Second)
	o.m.Tick(o.clock)
	o.batch()
	want(t, "records after two that were missed", told(), 2)
}

// TestRestartedOwnerTellsAll: what is gone since is gone at the guardians, too, and nothing counts as held before they
// have answered.
func TestRestartedOwnerTellsAll(t *testing.T) {
	w := guarded(t, 4, 0)
	o := w.nodes[0]
	o.put("b", 1)
	o.batch()
	w.settle()
	want(t, "held", o.m.Held(), 2)
	late := &NoteAck{From: w.nodes[1].self, To: o.self, Version: 2, Noted: 2, Sent: o.clock + lease, Lease: lease}
	o.next = []Record{{Key: "b"}}
	o.write() // and it crashes
	o.start()
	o.batch()
	if err := o.m.Receive(o.clock, late); err != nil {
		t.Fatal(err)
	}
	if _, ok := o.m.Lease(); ok || o.m.Held() != 1 {
		t.Fatal("answers of an earlier life count")
	}
	w.settle()
	want(t, "held", o.m.Held(), 4)
	o.m = nil
	w.pass(2 * lease)
	w.nodes[1].claim(o)
	w.settle()
	want(t, "decision", w.nodes[1].decision(o), "version 4 for n1: a=[1]")
}

// TestLeaseCountsFromSent: however late an acknowledgement comes.
func TestLeaseCountsFromSent(t *testing.T) {
	w := guarded(t, 4, 0)
	o := w.nodes[0]
	w.pass(lease / 2)
	sent := o.clock
	o.m.Tick(sent)
	o.batch()
	w.deliver(nil)
	w.pass(lease / 4)
	w.deliver(nil)
	end, ok := o.m.Lease()
	want(t, "has a lease", ok, true)
	want(t, "its end", end, sent+lease-lease/10)
	w.pass(lease)
	want(t, "fresh after its end", o.m.Fresh(o.clock), false)
}

// TestPromiseWaits: for the end of the latest lease acknowledged, and the margin.
func TestPromiseWaits(t *testing.T) {
	for _, c := range []struct {
		name    string
		after   time.Duration
		restart bool
		want    string
	}{
		{"within the lease", lease - 1, false, "open"},
		{"within the margin", lease + lease/10 - 1, false, "open"},
		{"after both", lease + lease/10, false, "version 1 for n1: a=[1]"},
		{"restarted, within the lease from its start", lease + lease/10, true, "open"},
	} {
		w := guarded(t, 4, 0)
		w.pass(c.after)
		if c.restart {
			w.nodes[1].start()
			w.nodes[2].start()
			w.nodes[3].start()
			w.pass(lease + lease/10 - 1)
		}
		w.nodes[0].m = nil
		w.nodes[1].claim(w.nodes[0])
		w.settle()
		want(t, c.name, w.nodes[1].decision(w.nodes[0]), c.want)
	}
}

// TestClaimGoesOn: one that came too early is decided when the lease is over, by a higher ballot.
func TestClaimGoesOn(t *testing.T) {
	w := guarded(t, 4, 0)
	w.nodes[0].m = nil
	w.nodes[2].claim(w.nodes[0])
	w.settle()
	w.pass(2 * lease)
	w.tick(w.nodes[2])
	for _, g := range w.nodes[1:] {
		want(t, "decision", g.decision(w.nodes[0]), "version 1 for n2: a=[1]")
	}
}

// TestOwnerIsPromisedAtOnce: and its guardians take no more notes of that generation.
func TestOwnerIsPromisedAtOnce(t *testing.T) {
	w := guarded(t, 4, 0)
	o := w.nodes[0]
	next := Holder{Node: "n0", Gen: 2}
	if err := o.m.Claim(o.clock, o.self, next); err != nil {
		t.Fatal(err)
	}
	w.settle()
	v, ok := o.m.Decision(o.self)
	if !ok || v.Heir != next || v.Version != 1 {
		t.Fatalf("decided %v: %+v", ok, v)
	}
	want(t, "heir", w.nodes[2].m.Heir(o.self), next)
	if err := o.m.Claim(o.clock, o.self, w.nodes[1].self); err != nil {
		t.Fatal("a claim of what is decided is no error:", err)
	}
}

// TestPromiseEndsNotes: a guardian that has promised stores nothing more, and says so.
func TestPromiseEndsNotes(t *testing.T) {
	w := guarded(t, 4, 0)
	o := w.nodes[0]
	w.pass(2 * lease)
	w.nodes[1].claim(o)
	w.nodes[1].batch()
	w.deliver(nil) // promised by all, and decided by none
	w.net = nil
	o.put("a", 2)
	o.batch()
	w.settle()
	want(t, "held", o.m.Held(), 1)
	want(t, "refusals", o.m.Refusals(), 3)
	if o.m.Fresh(o.clock) {
		t.Fatal("a promised generation has a lease")
	}
}

// TestHighestVersionIsClaimed: of what a majority has stored the latest, as only that is sure to have all that was held.
func TestHighestVersionIsClaimed(t *testing.T) {
	w := guarded(t, 4, 0)
	o := w.nodes[0]
	o.put("a", 2)
	o.batch()
	w.deliver(to("n1")) // which stays at version 1
	w.net = nil
	o.m = nil
	w.pass(2 * lease)
	w.nodes[1].claim(o)
	w.settle()
	want(t, "decision", w.nodes[1].decision(o), "version 2 for n1: a=[2]")
}

// TestAcceptedValueStands: what one guardian has accepted may be decided already, so a later ballot proposes it again.
func TestAcceptedValueStands(t *testing.T) {
	w := guarded(t, 4, 0)
	o := w.nodes[0]
	o.m = nil
	w.pass(2 * lease)
	w.nodes[1].claim(o)
	w.nodes[1].batch()
	w.deliver(nil)
	w.deliver(nil) // promises; accepts leave
	w.deliver(to("n3"))
	w.net = nil // n1 and n2 have accepted: it is decided, and nobody knows
	w.nodes[1].m = nil
	w.pass(2 * lease)
	w.nodes[3].claim(o)
	w.settle()
	want(t, "decision", w.nodes[3].decision(o), "version 1 for n1: a=[1]")
}

// TestNoLeaseNoValueOfOwn: who may itself be claimed proposes nothing for itself.
func TestNoLeaseNoValueOfOwn(t *testing.T) {
	w := guarded(t, 5, 0, 1)
	o, c := w.nodes[0], w.nodes[1]
	o.m = nil
	w.pass(2 * lease)
	c.claim(o)
	c.m.SetLease(0) // it will get none
	w.settle()
	want(t, "without a lease", c.decision(o), "open")
	c.m.SetLease(lease)
	w.pass(lease)
	w.tick(c)
	w.pass(lease / 2)
	w.tick(c)
	want(t, "with one", c.decision(o), "version 1 for n1: a=[1]")
}

// TestReleaseEndsTheWait: who leaves gives its lease up for good, and a peer claims it at once.
func TestReleaseEndsTheWait(t *testing.T) {
	w := guarded(t, 4, 0)
	o := w.nodes[0]
	o.m.Release()
	w.settle()
	w.pass(lease)
	w.tick(o)
	w.nodes[2].claim(o)
	w.settle()
	want(t, "decision", w.nodes[2].decision(o), "version 1 for n2: a=[1]")
	if o.m.Fresh(o.clock) {
		t.Fatal("a lease after it was released")
	}
	o.start() // it comes back, and hears what became of it
	w.settle()
	w.pass(lease)
	w.tick(o)
	w.settle()
	if o.m.Refusals() == 0 {
		t.Fatal("nobody tells one that comes back after its release that it was claimed")
	}
}

// TestLeaverToADeadPeer: p dies and q claims it; q dies and L, which has not heard of that, claims q; L leaves to p. Were
// that decided without a lease of p, heirs would go round, and all of it be lost.
func TestLeaverToADeadPeer(t *testing.T) {
	w := guarded(t, 5, 0, 1, 2)
	p, q, l := w.nodes[0], w.nodes[1], w.nodes[2]
	p.m = nil
	for range 5 { // q and L keep their leases
		w.pass(lease / 3)
		w.tick(q, l)
	}
	q.claim(p)
	q.batch()
	for range 6 {
		w.deliver(to("n2")) // L hears nothing of it
	}
	want(t, "p", q.decision(p), "version 1 for n1: a=[1]")
	q.m = nil
	for range 5 {
		w.pass(lease / 3)
		w.tick(l)
	}
	l.claim(q)
	w.settle()
	want(t, "q", l.decision(q), "version 1 for n2: a=[1]")
	l.m.Release()
	w.settle()
	p.start() // back from a long pause, and asked to take L over
	p.claim(l)
	w.settle()
	w.pass(2 * time.Minute)
	w.tick(p)
	want(t, "p's lease", p.m.Fresh(p.clock), false)
	want(t, "L's heir", w.nodes[3].m.Heir(l.self), l.self)
}

// TestRebornGuardianIsAnother: what is meant for a generation that lost its directory is not answered by the next one.
func TestRebornGuardianIsAnother(t *testing.T) {
	w := guarded(t, 4, 0)
	for _, g := range w.nodes[2:] {
		g.self.Gen, g.dir, g.disk = 2, 2, map[string]Write{}
		g.start()
	}
	o := w.nodes[0]
	o.put("a", 2)
	o.batch()
	w.settle()
	want(t, "held", o.m.Held(), 1)
	w.pass(2 * lease)
	w.nodes[1].claim(o)
	w.settle()
	want(t, "decision", w.nodes[1].decision(o), "open")
}

// TestRolledBackOwner: a guardian that has more than the owner's own disk is proof of an older copy.
func TestRolledBackOwner(t *testing.T) {
	w := guarded(t, 4, 0)
	o, before := w.nodes[0], map[string]Write{}
	for k, v := range w.nodes[0].disk {
		before[k] = v
	}
	for range 3 {
		o.put("a", 2)
		o.batch()
		w.settle()
	}
	o.disk = before
	o.start()
	o.batch()
	w.deliver(nil)
	if err := o.m.Receive(o.clock, w.net[0].Message); !errors.Is(err, ErrRolledBack) {
		t.Fatalf("%+v: %v", w.net[0].Message, err)
	}
}

// TestRolledBackGuardian: a guardian whose disk is an older copy is told so by the next note of a ward that has written
// since; until then, as after any restart, it promises nobody anything for the time of a lease.
func TestRolledBackGuardian(t *testing.T) {
	w := guarded(t, 4, 0)
	o, g := w.nodes[0], w.nodes[1]
	before := map[string]Write{}
	for k, v := range g.disk {
		before[k] = v
	}
	o.put("a", 2)
	o.batch()
	w.settle()
	g.disk = before
	g.start()
	if err := g.m.Receive(g.clock, &Prepare{Of: o.self, To: g.self, Ballot: Ballot{Round: 1, By: w.nodes[2].self}}); err != nil {
		t.Fatal(err)
	}
	g.batch()
	if r, ok := w.net[len(w.net)-1].Message.(*Reject); !ok || r.Wait <= lease/renews {
		t.Fatalf("a guardian that restarted answers %+v", w.net[len(w.net)-1].Message)
	}
	w.net = nil
	w.pass(lease / renews)
	o.m.Tick(o.clock)
	o.batch()
	for _, p := range w.net {
		if p.To == g.self {
			if err := g.m.Receive(g.clock, p.Message); !errors.Is(err, ErrRolledBack) {
				t.Fatalf("%+v: %v", p.Message, err)
			}
			return
		}
	}
	t.Fatal("it was told nothing")
}

// renews is how many notes there are in the time of one lease, at least.
const renews = 3

// TestNothingIsToldOfWhatGaveWay: a guardian stores a note, and in the same batch goes back to the lower version of a value. It
// acknowledges and promises only what is on its disk.
func TestNothingIsToldOfWhatGaveWay(t *testing.T) {
	ballot := func(round uint64) Ballot { return Ballot{Round: round, By: Holder{Node: "n2", Gen: 1}} }
	first := []Record{{Key: "a", Value: []byte{1}}}
	for name, then := range map[string]func(o, g *node) []any{
		"accepted": func(o, g *node) []any {
			return []any{&Accept{Of: o.self, To: g.self, Ballot: ballot(1), Value: Value{Version: 1, Heir: ballot(1).By}, Records: first}}
		},
		"decided": func(o, g *node) []any {
			return []any{&Decided{Of: o.self, From: ballot(1).By, To: g.self, Value: Value{Version: 1, Heir: ballot(1).By}, Records: first}}
		},
		"promised, accepted": func(o, g *node) []any {
			return []any{
				&Prepare{Of: o.self, To: g.self, Ballot: ballot(1), Owner: true},
				&Accept{Of: o.self, To: g.self, Ballot: ballot(2), Value: Value{Version: 1, Heir: ballot(1).By}, Records: first},
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			w := guarded(t, 4, 0)
			o, g := w.nodes[0], w.nodes[1]
			o.put("a", 2)
			o.batch()
			net := w.net
			w.net = nil
			for _, p := range net {
				if p.To.Node == g.self.Node {
					if err := g.m.Receive(g.clock, p.Message); err != nil {
						t.Fatal(err)
					}
				}
			}
			for _, m := range then(o, g) {
				if err := g.m.Receive(g.clock, m); err != nil {
					t.Fatal(err)
				}
			}
			g.batch()
			want(t, "stored", w.version(g, o), 1)
			for _, p := range w.net {
				switch m := p.Message.(type) {
				case *NoteAck:
					t.Errorf("version %d is acknowledged", m.Version)
				case *Promise:
					t.Errorf("version %d is promised", m.Stored.Version)
				}
			}
		})
	}
}

// TestNobodyHasStoredAnything: an owner whose first note reached nobody claims itself, since one of its guardians is gone for good.
// Those that are left promise, and from then on take no note; what they are asked to accept is what the owner has.
func TestNobodyHasStoredAnything(t *testing.T) {
	w := newWorld(t, 4)
	o := w.nodes[0]
	o.own["a"] = []byte{1}
	if err := o.m.Guard([]Holder{w.nodes[1].self, w.nodes[2].self, w.nodes[3].self}, o.records()); err != nil {
		t.Fatal(err)
	}
	o.batch()
	w.net = nil // its notes
	w.nodes[3].m = nil
	if err := o.m.Claim(o.clock, o.self, Holder{Node: "n0", Gen: 2}); err != nil {
		t.Fatal(err)
	}
	w.settle()
	for range 5 {
		w.pass(time.Second)
		w.tick(o, w.nodes[1], w.nodes[2])
	}
	for _, n := range []*node{o, w.nodes[1], w.nodes[2]} {
		want(t, "what "+n.self.Node+" knows to be decided", n.decision(o), "version 1 for n0: a=[1]")
	}
}

// TestAcceptedIsNotToldAgain: who has accepted a value has its records, and hears no more than that it is decided; who has not is
// told all of it.
func TestAcceptedIsNotToldAgain(t *testing.T) {
	w := guarded(t, 4, 0)
	o, c := w.nodes[0], w.nodes[1]
	o.m = nil
	w.pass(2 * lease)
	c.claim(o)
	told := map[string]int{}
	for range 10 {
		c.batch()
		w.deliver(func(p packet) bool {
			if d, ok := p.Message.(*Decided); ok {
				told[p.To.Node] = len(d.Records)
				return false
			}
			return p.To.Node == "n3"
		})
	}
	want(t, "records told to n2, which has accepted", told["n2"], 0)
	want(t, "records told to n3, which has not", told["n3"], 1)
	for _, n := range w.nodes[1:] {
		want(t, "what "+n.self.Node+" knows", n.decision(o), "version 1 for n1: a=[1]")
	}
}

// TestSilentGuardian: one that does not answer is told all that it lacks twice, and from then on only that there is something, ever
// more seldom. Once it answers it is told the rest at once.
func TestSilentGuardian(t *testing.T) {
	w := guarded(t, 4, 0)
	o, g := w.nodes[0], w.nodes[3]
	g.m = nil
	notes, full, records := 0, 0, 0
	for range 60 {
		w.pass(time.Second)
		o.put("b", 1)
		o.m.Tick(o.clock)
		o.batch()
		for _, p := range w.net {
			if note, ok := p.Message.(*Note); ok && p.To == g.self {
				notes++
				if records += len(note.Records); len(note.Records) > 0 {
					full++
				}
			}
		}
		w.settle()
	}
	want(t, "notes with records", full, 2)
	if notes < 15 || notes > 40 {
		t.Errorf("%d notes in a minute", notes)
	}
	g.start()
	for s := 0; g.disk["ward n0#1"].Ward == nil || g.disk["ward n0#1"].Ward.Version < o.m.Version(); s++ {
		if w.pass(time.Second); s > 2 {
			t.Fatalf("after %d s the guardian has %+v, and version %d is due", s, g.disk["ward n0#1"].Ward, o.m.Version())
		}
		w.tick(o)
	}
	want(t, "its record", string(g.disk["record n0#1b"].Record.Value), "\x01")
}
