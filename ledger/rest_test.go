package ledger_test

import (
	"math/rand/v2"
	"testing"

	. "github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/placement"
)

// After a crash all up to the mark counts as spent; after a rest, what was spent and is still reserved.
func TestRestLosesNothing(t *testing.T) {
	for _, c := range []struct {
		name      string
		rest      bool
		kind      Kind
		late      bool // the mark grows in the very batch in which the node rests
		exact     bool
		reserved  Tokens
		afterward Tokens
	}{
		{"crash", false, Grant, false, false, 100, 0},
		{"rest", true, Grant, false, true, 100, 100},
		{"rest of a window", true, Windowed, false, true, 100, 100},
		{"rest while a mark is on its way", true, Grant, true, true, 100, 100},
	} {
		t.Run(c.name, func(t *testing.T) {
			now := testStart
			self := Holder{Node: "n", Gen: 1}
			spec := Spec{Kind: c.kind, Amount: 1_000_000}
			disk := map[string][]byte{}
			start := func() *Replica {
				return NewReplica(Config{
					Self: self, Strategy: placement.Strategy{}, Rand: rand.New(rand.NewPCG(1, 1)),
					Resolve: func(InstanceID) (Spec, bool) { return spec, true },
				})
			}
			batch := func(r *Replica) {
				for _, w := range r.Writes(now) {
					disk[w.Key] = w.Value
				}
				r.Commit(now)
			}
			r := start()
			charter, err := NewCharter("test", []Holder{self}, [16]byte{1})
			if err != nil {
				t.Fatal(err)
			}
			if err := r.Found(charter); err != nil {
				t.Fatal(err)
			}
			id, err := NewInstanceID(charter.ID, "pot", "compute", c.kind, nil, nil)
			if err != nil {
				t.Fatal(err)
			}
			a, err := r.Open(now, id)
			if err != nil {
				t.Fatal(err)
			}
			batch(r)
			takes := []Take{{Account: a, Amount: c.reserved}}
			if why, _ := Reserve(now, now+60_000, takes, false); why != Enough {
				t.Fatalf("not reserved: %v", why)
			}
			if c.late {
				Reserve(now, now+60_000, []Take{{Account: a, Amount: 900_000}}, false) // wants a higher mark
				now += 50
				r.Tick(now)
			}
			if c.rest {
				for range 3 {
					done := r.Rest()
					batch(r)
					if done {
						break
					}
				}
				if why, _ := Reserve(now, now+60_000, []Take{{Account: a, Amount: 1}}, false); why == Enough {
					t.Error("a resting account reserves")
				}
				for range 5 { // nothing raises the mark again
					now += 1000
					r.Tick(now)
					batch(r)
				}
			}
			if off := a.Audit(); off != 0 {
				t.Errorf("off by %d", off)
			}

			var records []Write
			for k, v := range disk {
				records = append(records, Write{Key: k, Value: v})
			}
			again := start()
			if err := again.Load(now, records); err != nil {
				t.Fatal(err)
			}
			spent := again.Account(id).State(now).Spent
			if c.exact && spent != c.afterward || !c.exact && spent <= c.reserved {
				t.Errorf("%d tokens count as spent, %d were reserved", spent, c.reserved)
			}
		})
	}
}

// TestRestWhileRightsCome: rights that come in the very batch in which a node rests have brought a mark with them, that for their use; it is
// brought down, too. All of a swarm that end at once hand rights on to each other like that.
func TestRestWhileRightsCome(t *testing.T) {
	w := guardedWorld(t, 5, 2, Spec{Kind: Grant, Amount: 1_000_000})
	x, y := w.nodes[0], w.nodes[1]
	if !w.serve(x, 100) {
		t.Fatal("a call is not served")
	}
	x.settle(0, 100)
	w.rounds(4, 100)
	pass := func(nodes ...*wnode) { // until guardians have a giver's state, it tells nobody
		for range 4 {
			for _, n := range nodes {
				n.batch(commit, nil)
			}
			for len(w.net) > 0 {
				w.deliver(0, false)
			}
		}
	}
	s := w.own(x)
	x.r.GiveRights(x.clock(), w.ids[0], y.self, s.Balance(), 0)
	pass(w.nodes...)
	if s := w.own(x); s.Mark != 100 || s.Balance() != 0 {
		t.Fatalf("it has %d, its mark is %d", s.Balance(), s.Mark)
	}
	y.r.GiveRights(y.clock(), w.ids[0], x.self, 200_000, 0)
	pass(w.nodes[1:]...)
	done := false
	for i := 0; i < 5 && !done; i++ {
		done = x.r.Rest()
		x.batch(commit, nil)
	}
	if s := w.own(x); !done || s.Mark != 100 || s.Held != 100 {
		t.Fatalf("rested %v: the mark is %d, the held mark %d", done, s.Mark, s.Held)
	}
	x.crash()
	x.start(9)
	w.members()
	if s := w.own(x); s.Spent != 100 || s.Balance() != 200_000 {
		t.Fatalf("%d count as spent, %d are left", s.Spent, s.Balance())
	}
}
