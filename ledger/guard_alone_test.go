package ledger_test

import (
	"slices"
	"testing"

	. "github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/guardian"
)

// TestAlone: a node whose guardians do not answer, two of three, gives nothing of which nobody would hear, refuses asks at once, and says so
// in its row. It asks for nothing that it cannot use: of a stock at once, of a rate when its lease has ended. With its guardians back
// it gives again.
func TestAlone(t *testing.T) {
	rate := Spec{Kind: Rate, Amount: 100_000, Per: 1000, PerMillis: 1000, Lend: 10_000}
	for _, c := range []struct {
		name    string
		spec    Spec
		who     int // n0 has all
		borrows bool
	}{
		{"who has a stock", Spec{Kind: Grant, Amount: 100_000}, 0, false},
		{"who has a rate", rate, 0, false},
		{"who wants of a stock", Spec{Kind: Grant, Amount: 100_000}, 1, false},
		{"who wants of a rate", rate, 1, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			w := guardedWorld(t, 12, 1, c.spec)
			x, id := w.nodes[c.who], w.ids[0]
			w.rounds(10, 100)
			var down []*wnode
			for _, p := range w.nodes[1:] {
				if len(down) < 2 && slices.Contains(x.r.Guardians(), p.self) {
					p.crash()
					down = append(down, p)
				}
			}
			peer := w.nodes[slices.IndexFunc(w.nodes, func(p *wnode) bool {
				return p != x && p.r != nil && !slices.ContainsFunc(down, func(d *wnode) bool { return slices.Contains(p.r.Guardians(), d.self) })
			})]
			row := func() (row Row) {
				for _, k := range peer.r.Rows(peer.clock(), id) {
					if k.Holder == x.self {
						row = k.Row
					}
				}
				return row
			}
			says := func(asked func(m any) bool) (n int) { // what x tells now, once
				x.batch(commit, nil)
				for _, p := range w.net {
					if m, _ := Decode(p.bytes); p.from == x.i && asked(m) {
						n++
					}
				}
				w.settleBut(func(packet) bool { return false })
				return n
			}
			asked := func() (gives, refuses bool) {
				before := w.own(x).Out
				if err := x.r.Receive(x.clock(), &Ask{ID: uint64(w.now), From: peer.self, Instance: id, Need: 100, Want: 100, At: x.clock(), Patience: 2000}); err != nil {
					t.Fatal(err)
				}
				refused := says(func(m any) bool { _, no := m.(*Refuse); return no })
				return w.own(x).Out > before, refused > 0
			}
			asks := func() int {
				x.r.Waiting(x.clock(), id, Need{First: 200, All: 200, Since: x.clock(), Until: x.clock() + 2000})
				n := says(func(m any) bool { _, is := m.(*Ask); return is })
				x.r.Waiting(x.clock(), id, Need{})
				return n
			}
			w.rounds(50, 100)
			if r := row(); !r.Alone || r.Surplus != 0 {
				t.Errorf("its row says %+v", r)
			}
			if gives, refuses := asked(); gives || !refuses {
				t.Errorf("alone, it answers an ask: gives %v, refuses %v", gives, refuses)
			}
			if n := asks(); (n > 0) != c.borrows {
				t.Errorf("alone, with a lease, it asks %d", n)
			}
			w.rounds(250, 100)
			if n := asks(); n > 0 {
				t.Errorf("alone, without a lease, it asks %d", n)
			}
			for _, p := range down {
				p.start(7)
			}
			w.members()
			w.rounds(60, 100)
			if r := row(); r.Alone || (r.Surplus == 0) != (c.who > 0) {
				t.Errorf("with its guardians back its row says %+v", r)
			}
			if gives, _ := asked(); gives != (c.who == 0) {
				t.Errorf("with its guardians back it gives: %v", gives)
			}
			if n := asks(); (n > 0) != (c.who > 0) {
				t.Errorf("with its guardians back it asks %d", n)
			}
		})
	}
}

// TestLostNotes: that two notes in a row are lost on the way to all of its guardians makes no node alone. With one loss in eight, each way, it
// happens to somebody every few seconds, and each that was alone told everybody, and refused what it was asked for.
func TestLostNotes(t *testing.T) {
	w := guardedWorld(t, 12, 1, Spec{Kind: Grant, Amount: 100_000})
	x, id := w.nodes[0], w.ids[0]
	w.rounds(10, 100)
	if n := x.r.GiveRights(x.clock(), id, w.nodes[1].self, 50_000, x.clock()); n != 50_000 {
		t.Fatalf("%d given", n)
	}
	notes, start := map[int]int{}, w.now
	for range 60 {
		w.now += 100
		for _, n := range w.nodes {
			n.r.Tick(n.clock())
		}
		w.settleBut(func(p packet) bool {
			m, err := Decode(p.bytes)
			if _, is := m.(*guardian.Note); err != nil || !is || p.from != x.i {
				return false
			}
			notes[p.to]++
			return notes[p.to] <= 2
		})
		for _, k := range w.nodes[1].r.Rows(w.nodes[1].clock(), id) {
			if k.Holder == x.self && k.Row.Alone {
				t.Fatalf("%d ms after the first note it is alone; notes: %v", w.now-start, notes)
			}
		}
	}
	expect(t, "guardians that were noted", len(notes), 3)
	expect(t, "what came of what it gave", w.own(w.nodes[1]).In, 50_000)
}

// TestWaitsForGuardiansNotForTheDisk: a call that has to wait as what is owed cannot be paid without guardians is told so, where its mark is
// durable and the disk has nothing to bring.
func TestWaitsForGuardiansNotForTheDisk(t *testing.T) {
	for name, spec := range map[string]Spec{
		"a soft rate":  {Kind: Rate, Amount: 1000, Per: 10, PerMillis: 1000, Lend: 10_000, Ceiling: Soft, OverdraftPPM: 500_000},
		"a hard rate":  {Kind: Rate, Amount: 1000, Per: 10, PerMillis: 1000, Lend: 10_000},
		"a hard stock": {Kind: Grant, Amount: 1000},
	} {
		t.Run(name, func(t *testing.T) {
			w := guardedWorld(t, 5, 1, spec)
			x := w.nodes[0]
			if !w.serve(x, 60) {
				t.Fatal("nothing is admitted with guardians")
			}
			w.cut(x)
			w.rounds(400, 100)
			for x.reserve(w.ids, []Tokens{10}, false, false) { // of a stock what they hold is used up
			}
			x.settle(0, 200)
			w.rounds(3, 100)
			if w.own(x).Debt == 0 {
				t.Fatalf("nothing is owed: %+v", w.own(x))
			}
			takes := []Take{{Account: x.r.Account(w.ids[0]), Amount: 10}}
			why, _ := Reserve(x.clock(), x.clock()+ttl, takes, true)
			expect(t, "why it waits", why, NotHeld)
		})
	}
}
