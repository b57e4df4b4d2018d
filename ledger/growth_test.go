package ledger_test

import (
	"bytes"
	"fmt"
	"testing"

	. "github.com/swarmpurse/swarmpurse/ledger"
)

// leaves has a node hand everything on, end, and come back without anything.
func (w *world) leaves(from, to int) {
	n := w.nodes[from]
	if err := n.r.Leave(n.clock(), w.nodes[to].self); err != nil {
		w.fatalf("%v", err)
	}
	for k := 0; !n.r.Handed(); k++ {
		if w.round(250); k > 100 {
			w.fatalf("node %d has not handed on after 25 s", from)
		}
	}
	n.crash()
	n.start(9)
	w.members()
	for range 8 {
		w.round(250)
	}
}

// TestSeatsTakeGrowthAlong: a limit that is raised is issued whole, whoever holds the seats by then, and a lower one
// is taken back where it was not spent. Before seats had levels, of 600 after a founder of 300 had left 500 were issued.
func TestSeatsTakeGrowthAlong(t *testing.T) {
	type step struct {
		leave  []int // from, to
		spend  Tokens
		limit  Tokens
		issued Tokens // in all, after it
	}
	leave := func(from, to int) step { return step{leave: []int{from, to}} }
	limit := func(limit, issued Tokens) step { return step{limit: limit, issued: issued} }
	for _, kind := range []Kind{Grant, Slots} {
		for _, c := range []struct {
			what  string
			steps []step
		}{
			{"raised after a founder left", []step{leave(0, 1), limit(600, 600)}},
			{"raised before and after", []step{limit(450, 450), leave(0, 1), limit(600, 600)}},
			{"after it left to one who then left", []step{leave(0, 1), leave(1, 2), limit(600, 600), leave(2, 3), limit(603, 603)}},
			{"a seat that comes back", []step{leave(0, 1), limit(450, 450), leave(1, 0), limit(600, 600), leave(0, 1), limit(900, 900)}},
			{"lowered in between", []step{leave(0, 1), limit(150, 150), limit(600, 600)}},
			{"lowered when the seat moves on", []step{leave(0, 1), limit(150, 150), leave(1, 2), limit(600, 600), limit(60, 60), leave(2, 0), limit(300, 300)}},
			{"lowered to nothing", []step{leave(0, 1), limit(0, 0), leave(1, 2), limit(300, 300)}},
			{"not all can be taken back", []step{{spend: 250}, limit(150, 250), leave(0, 1), limit(300, 300), limit(150, 250), leave(1, 2), limit(240, 250), limit(600, 600)}},
			{"odd limits", []step{leave(0, 1), limit(301, 301), leave(1, 2), limit(302, 302), leave(2, 0), limit(304, 304)}},
		} {
			t.Run(fmt.Sprintf("%v, %s", kind, c.what), func(t *testing.T) {
				w := scripted(t, 4, 3, map[string][]Spec{"b": {{Kind: kind, Amount: 300}}})
				w.opened()
				expect(t, "issued at first", w.issued(), 300)
				id := w.ids[0]
				for i, s := range c.steps {
					if s.leave != nil {
						w.leaves(s.leave[0], s.leave[1])
						continue
					}
					for spent := Tokens(0); spent < s.spend; {
						n := w.nodes[int(spent)/10%3]
						if n.reserve([]InstanceID{id}, []Tokens{10}, false, false) {
							spent += 10
						}
						w.round(50)
					}
					if s.spend > 0 {
						continue
					}
					w.specs[id] = append(w.specs[id], Spec{Kind: kind, Amount: s.limit})
					for _, n := range w.nodes {
						n.version = len(w.specs[id]) - 1
						n.r.Respec(n.clock())
					}
					for range 8 {
						w.round(250)
					}
					expect(t, fmt.Sprintf("step %d: issued of %d", i, s.limit), w.issued(), s.issued)
				}
			})
		}
	}
}

// TestSeatThatComesLate: a node that has opened an instance before a seat reaches it holds what the seat brings,
// though the disk fails meanwhile, and whatever the supply. It was lost before.
func TestSeatThatComesLate(t *testing.T) {
	for what, s := range map[string]Spec{
		"grant":  {Kind: Grant, Amount: 300},
		"window": window(300, 60_000),
		"rate":   {Kind: Rate, Amount: 300, Per: 10, PerMillis: 1000, Lend: DefaultLend},
	} {
		w := scripted(t, 2, 2, one(s))
		a, b, id := w.nodes[0], w.nodes[1], w.ids[0]
		if _, err := b.r.Open(b.clock(), id); err != nil {
			t.Fatal(err)
		}
		b.batch(commit, nil)
		if err := a.r.Leave(a.clock(), b.self); err != nil {
			t.Fatal(err)
		}
		a.batch(commit, nil)
		w.deliver(len(w.net)-1, false)
		b.batch(commit, nil)
		expect(t, what+": the seat is here", b.r.Seats()[0].Holder, b.self)
		b.r.Tick(b.clock())
		b.batch(abort, nil)
		for range 8 {
			w.round(50)
		}
		s := w.state(1)
		expect(t, what+": shares", s.Shares(), TotalShares)
		if what != "rate" { // whose burst is there at the first genesis only; it accrues
			expect(t, what+": issued", s.Base, 300)
		}
		w.check()
	}
}

// TestSeatWaitsForWhatItBrings: a seat does not pass on while what it brought is on its way to the disk. Otherwise both
// would issue by it: this account, once that is durable, and the next holder's.
func TestSeatWaitsForWhatItBrings(t *testing.T) {
	w := scripted(t, 3, 2, map[string][]Spec{"b": {{Kind: Grant, Amount: 300}, {Kind: Grant, Amount: 600}}})
	w.opened()
	a, b, c := w.nodes[0], w.nodes[1], w.nodes[2]
	if err := a.r.Leave(a.clock(), b.self); err != nil {
		t.Fatal(err)
	}
	a.batch(commit, nil)
	for len(w.net) > 0 {
		w.deliver(0, false)
	}
	b.batch(commit, nil)
	b.r.Tick(b.clock()) // the account takes the seat, in the next batch
	if err := b.r.Leave(b.clock(), c.self); err != nil {
		t.Fatal(err)
	}
	expect(t, "who holds the seat meanwhile", b.r.Seats()[0].Holder, b.self)
	for range 20 {
		w.round(250)
	}
	expect(t, "who holds it then", c.r.Seats()[0].Holder, c.self)
	for _, n := range w.nodes {
		n.version = 1
		n.r.Respec(n.clock())
	}
	for range 8 {
		w.round(250)
	}
	expect(t, "issued", w.issued(), 600)
}

// TestHandOverFitsAMessage: however many instances were used under a seat, and however much was issued, a transport
// that takes a megabyte takes its hand-over. Levels for which there is no room are not known to the next holder.
func TestHandOverFitsAMessage(t *testing.T) {
	self, from, to := Holder{Node: "a", Gen: 1}, Holder{Node: "b", Gen: 1}, Holder{Node: "c", Gen: 1}
	charter, err := NewCharter("test", []Holder{from}, [16]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		level Tokens
		known int
	}{{100, MaxUsed}, {1000, 21_000}, {MaxTokens, 5_000}} {
		r := alone(self, charter, Spec{Kind: Grant, Amount: 1})
		r.SetPeers([]Peer{{Holder: self, Alive: true}, {Holder: to, Alive: true}})
		pass := &SeatPass{Seat: Seat{Index: 0, Serial: 1, Holder: self}, From: from, To: self, Charter: charter.ID}
		for i := range MaxUsed {
			pass.Used = append(pass.Used, 1<<63+uint64(i))
			pass.Levels = append(pass.Levels, c.level)
		}
		if err := r.Receive(testStart, pass); err != nil {
			t.Fatal(err)
		}
		r.Writes(testStart)
		r.Commit(testStart)
		if err := r.Leave(testStart, to); err != nil {
			t.Fatal(err)
		}
		r.Writes(testStart)
		for _, s := range r.Commit(testStart).Sends {
			p, ok := s.Message.(*SeatPass)
			if !ok {
				continue
			}
			known := 0
			for _, level := range p.Levels {
				if level == c.level {
					known++
				}
			}
			if n := len(Encode(p)); n > 1<<20-1024 || known < c.known || len(p.Used) != MaxUsed {
				t.Errorf("%d instances of %d tokens take %d bytes, with %d levels", len(p.Used), c.level, n, known)
			}
		}
	}
}

// TestOlderSeats: records and hand-overs of the first version say no levels. What ran here grows on here; what was
// used under a seat that came without a level is issued no further, by nobody.
func TestOlderSeats(t *testing.T) {
	specs := map[string][]Spec{"b": {{Kind: Grant, Amount: 300}, {Kind: Grant, Amount: 600}}}
	raise := func(w *world) {
		for _, n := range w.nodes {
			n.version = 1
			n.r.Respec(n.clock())
		}
		for range 8 {
			w.round(250)
		}
	}
	t.Run("a record of an own genesis", func(t *testing.T) {
		w := scripted(t, 1, 1, specs)
		w.opened()
		n := w.nodes[0]
		for key := range n.disk {
			if len(key) > 5 && key[:5] == "used/" {
				n.disk[key] = []byte{1}
			}
		}
		n.crash()
		n.start(2)
		w.members()
		raise(w)
		expect(t, "issued", w.issued(), 600)
	})
	t.Run("a hand-over", func(t *testing.T) {
		w := scripted(t, 2, 1, specs)
		w.opened()
		a, b := w.nodes[0], w.nodes[1]
		if err := a.r.Leave(a.clock(), b.self); err != nil {
			t.Fatal(err)
		}
		a.batch(commit, nil)
		for i, p := range w.net {
			if m, _ := Decode(p.bytes); m != nil {
				if pass, ok := m.(*SeatPass); ok {
					pass.Levels = nil
					w.net[i].bytes = bytes.Clone(Encode(pass))
				}
			}
		}
		for range 8 {
			w.round(50)
		}
		a.left = true
		raise(w)
		expect(t, "issued", w.issued(), 300)
		b.crash()
		b.start(3)
		w.members()
		raise(w)
		expect(t, "issued after a restart", w.issued(), 300)
	})
}
