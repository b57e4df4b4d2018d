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
