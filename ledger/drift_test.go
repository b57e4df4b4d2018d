package ledger_test

import (
	"math/rand/v2"
	"testing"

	. "github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/placement"
)

// once is a strategy that gives a tenth of the shares to the first peer, one time.
type once struct {
	placement.Strategy
	given *bool
}

func (s once) Drifts(*View, Others) bool { return true }

func (s once) Drift(v *View) (int, Shares) {
	if *s.given || len(v.Peers) == 0 || v.Peers[0].Row == nil {
		return -1, 0
	}
	*s.given = true
	return 0, TotalShares / 10
}

// TestDriftIsTold: shares that drift away when nothing else happens any more are told, too. They were given at the end
// of a tick that had nothing to tell, and the instance was quiet from then on: seed 5063 of the simulator's soak.
func TestDriftIsTold(t *testing.T) {
	now := testStart
	self, peer := Holder{Node: "n0", Gen: 1}, Holder{Node: "n1", Gen: 1}
	spec := Spec{Kind: Rate, Amount: 1000, Per: 100, PerMillis: 1000, Lend: 1000}
	r := NewReplica(Config{
		Self: self, Strategy: once{given: new(bool)}, Rand: rand.New(rand.NewPCG(1, 1)),
		Resolve: func(InstanceID) (Spec, bool) { return spec, true },
	})
	r.SetPeers([]Peer{{Holder: self, Alive: true}, {Holder: peer, Alive: true}})
	charter, err := NewCharter("test", []Holder{self}, [16]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Found(charter); err != nil {
		t.Fatal(err)
	}
	id, err := NewInstanceID(charter.ID, "pot", "compute", Rate, nil, nil)
	if err != nil {
		t.Fatal(err)
	}
	a, err := r.Open(now, id)
	if err != nil {
		t.Fatal(err)
	}
	var told Row
	run := func(ticks int) {
		for range ticks {
			now += 50
			r.Tick(now)
			for r.Pending() {
				r.Writes(now)
				for _, s := range r.Commit(now).Spreads {
					if s.Row.Holder == self {
						told = *s.Row
					}
				}
			}
		}
	}
	run(200)
	if told.Shares != TotalShares {
		t.Fatalf("told %d shares", told.Shares)
	}
	if err := r.Receive(now, &Row{Holder: peer, Instance: id, Version: 1, Demand: 50}); err != nil {
		t.Fatal(err)
	}
	run(200)
	if s := a.State(now); s.Shares() != TotalShares*9/10 || told.Shares != s.Shares() {
		t.Errorf("told %d shares, it has %d", told.Shares, s.Shares())
	}
}
