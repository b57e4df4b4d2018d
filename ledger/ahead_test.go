package ledger_test

import (
	"testing"

	. "github.com/swarmpurse/swarmpurse/ledger"
)

// asksAhead counts the asks for calls to come that are on the net.
func (w *world) asksAhead() (n int) {
	for _, p := range w.net {
		if m, err := Decode(p.bytes); err == nil {
			if a, ok := m.(*Ask); ok && a.Ahead {
				if a.Patience != 0 || a.Need <= 0 || a.Want < a.Need {
					w.fatalf("an ask for calls to come: %+v", a)
				}
				n++
			}
		}
	}
	return n
}

// TestAhead: b, who has no shares, asks before its rights are used up, once for what calls used, and leaves the donor
// alone for a while that had nothing.
func TestAhead(t *testing.T) {
	w := scripted(t, 2, 1, one(Spec{Kind: Grant, Amount: 10_000}))
	w.opened()
	a, b := w.nodes[0], w.nodes[1]
	id := w.ids[0]
	rights := func(n *wnode) Tokens { return n.r.Account(id).Rights(n.clock()) }
	call := func() bool {
		for range 5 {
			if b.reserve([]InstanceID{id}, []Tokens{100}, false, true) {
				return true
			}
			w.round(60) // it waits for rights, or for the mark
		}
		return false
	}
	for more := true; more; more = rights(b) >= 100 { // until there is not enough for another
		if !call() {
			t.Fatalf("b has %d and cannot spend 100", rights(b))
		}
	}
	few := rights(b)
	w.now += 1000
	b.r.Tick(b.clock())
	b.batch(commit, nil)
	if n := w.asksAhead(); n != 1 {
		t.Fatalf("with %d left b asks %d times for calls to come, not once", few, n)
	}
	w.round(60)
	w.round(60)
	if rights(b) < 200 {
		t.Fatalf("b has %d, too little for two calls", rights(b))
	}
	// Now a does not answer: b asks it again after a second at the earliest, and only if calls came.
	a.side = 1
	b.drain()
	asked := 0
	for range 19 {
		w.now += 50
		b.r.Tick(b.clock())
		b.batch(commit, nil)
		asked += w.asksAhead()
		w.round(0)
	}
	if asked != 1 {
		t.Errorf("b asks %d times within a second, not once", asked)
	}
	for range 100 {
		w.now += 50
		b.r.Tick(b.clock())
		b.batch(commit, nil)
		asked += w.asksAhead()
		w.round(0)
	}
	if asked > 1 {
		t.Errorf("b asks %d times though no call came", asked)
	}
	w.check()
}

// TestAFounderWithAnAllowance: five nodes ask a sixth a hundred times a second. What it says to them costs no more than it
// may, and what it may is used.
func TestAFounderWithAnAllowance(t *testing.T) {
	const seconds = 20
	said, asks := map[int64]int{}, uint64(0)
	for _, allowed := range []int64{0, 2000} {
		w := scripted(t, 6, 1, one(Spec{Kind: Rate, Amount: 100_000, Per: 100_000, PerMillis: 1000, Lend: DefaultLend}))
		w.opened()
		for _, n := range w.nodes {
			n.r.Allow(allowed)
		}
		a, id := w.nodes[0], w.ids[0]
		count := func() {
			for _, p := range w.net {
				m, err := Decode(p.bytes)
				if err != nil {
					t.Fatal(err)
				}
				if _, row := m.([]Row); p.from == a.i && !row { // rows are for everybody here
					said[allowed] += len(p.bytes) + 56
				}
			}
		}
		for range seconds * 20 {
			for _, n := range w.nodes[1:] {
				asks++
				if err := a.r.Receive(a.clock(), &Ask{ID: asks, From: n.self, Instance: id, Need: 10, Want: 10, At: n.clock()}); err != nil {
					t.Fatal(err)
				}
			}
			w.now += 50
			for _, n := range w.nodes {
				n.r.Tick(n.clock())
				n.batch(commit, nil)
			}
			for range 3 {
				count()
				ps := w.net
				w.net = nil
				for _, p := range ps {
					w.receive(p)
				}
				for _, n := range w.nodes {
					n.batch(commit, nil)
				}
			}
			w.check()
		}
	}
	if most := 2000 * (seconds + 2); said[2000] > most || said[2000] < most/2 {
		t.Errorf("it said %d bytes, and may %d", said[2000], most)
	}
	if said[0] < 2*said[2000] {
		t.Errorf("without a limit it said %d bytes only", said[0])
	}
}

// TestGuaranteesAreAnsweredFirst: of a founder who may not answer all that he is asked for, those get what they ask for who ask for a
// guarantee; the others pay for it, and all of it costs no more than it may.
func TestGuaranteesAreAnsweredFirst(t *testing.T) {
	const seconds, allowed, pause = 20, 2000, 5 // of 50 ms
	w := scripted(t, 3, 1, one(Spec{Kind: Rate, Amount: 100_000, Per: 100_000, PerMillis: 1000, Lend: DefaultLend}))
	w.opened()
	for _, n := range w.nodes {
		n.r.Allow(allowed)
	}
	a, id := w.nodes[0], w.ids[0]
	asked, given, said, asks := map[int]int{}, map[int]int{}, 0, uint64(0)
	for i := range seconds * 20 {
		for _, n := range w.nodes[1:] {
			floor := n.i == 2
			if floor && i%pause > 0 {
				continue
			}
			asks++
			asked[n.i]++
			out := a.r.Account(id).State(a.clock()).Out
			if err := a.r.Receive(a.clock(), &Ask{ID: asks, From: n.self, Instance: id, Need: 10, Want: 10, At: n.clock(), Floor: floor}); err != nil {
				t.Fatal(err)
			}
			if a.r.Account(id).State(a.clock()).Out > out {
				given[n.i]++
			}
		}
		w.now += 50
		a.r.Tick(a.clock())
		a.batch(commit, nil)
		for _, p := range w.net {
			m, err := Decode(p.bytes)
			if err != nil {
				t.Fatal(err)
			}
			if _, row := m.([]Row); p.from == a.i && !row {
				said += len(p.bytes) + 56
			}
		}
		w.round(0)
	}
	if given[2] < asked[2] || given[1] > asked[1]*2/3 || given[1] == 0 {
		t.Errorf("%d of %d asks for a guarantee and %d of %d others were answered", given[2], asked[2], given[1], asked[1])
	}
	if most := allowed * (seconds + 2); said > most {
		t.Errorf("it said %d bytes, and may %d", said, most)
	}
}

// TestSharesComeWithRights: who asks gets shares in the transfer that answers, but not again while its row may not show
// them.
func TestSharesComeWithRights(t *testing.T) {
	w := scripted(t, 2, 1, one(Spec{Kind: Rate, Amount: 10_000, Per: 1000, PerMillis: 1000, Lend: DefaultLend}))
	w.opened()
	a, b, id := w.nodes[0], w.nodes[1], w.ids[0]
	tell := func() (last *Transfer) {
		a.batch(commit, nil)
		for _, p := range w.net {
			if m, err := Decode(p.bytes); err == nil {
				if x, ok := m.(*Transfer); ok {
					last = x
				}
			}
		}
		w.net = nil // b hears nothing
		return last
	}
	ask := func(n uint64) *Transfer {
		if err := a.r.Receive(a.clock(), &Ask{ID: n, From: b.self, Instance: id, Need: 10, Want: 10, At: b.clock(), Demand: 100}); err != nil {
			t.Fatal(err)
		}
		return tell()
	}
	one := ask(1)
	if one == nil || one.Out != 10 || one.SharesOut < TotalShares/4 {
		t.Fatalf("an ask is answered by %+v", one)
	}
	if two := ask(2); two == nil || two.Out != 20 || two.SharesOut != one.SharesOut {
		t.Errorf("the next one by %+v", two)
	}
}
