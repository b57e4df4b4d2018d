package judge

import (
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/guardian"
)

// A promise tells of no version that gave way, in the same batch, to the lower one of a value that was accepted after it.
func TestPromiseBesideAnAcceptance(t *testing.T) {
	holder := func(node string) ledger.Holder { return ledger.Holder{Node: node, Gen: 1} }
	ballot := func(n uint64) guardian.Ballot { return guardian.Ballot{Round: n, By: holder("c")} }
	of := holder("w")
	for _, c := range []struct {
		name     string
		accepted uint64
		stored   uint64 // what is on disk
		told     uint64 // in a promise of ballot 2
		ok       bool
	}{
		{"as it is on disk", 0, 11, 11, true},
		{"more than is on disk", 0, 10, 11, false},
		{"more, and something was accepted before the promise", 1, 10, 11, false},
		{"what was proposed by that ballot took its place", 2, 10, 11, false},
		{"what was proposed by a higher ballot took its place", 3, 10, 11, false},
	} {
		g := NewGuards(holder("g"))
		w := guardian.Ward{Of: of, Set: []ledger.Holder{holder("g")}, Version: c.stored, Promised: ballot(max(2, c.accepted))}
		if c.accepted > 0 {
			w.Accepted, w.Value = ballot(c.accepted), &guardian.Value{Version: c.stored, Heir: holder("c")}
		}
		if err := g.Write(guardian.Write{Ward: &w}); err != nil {
			t.Fatalf("%s: %v", c.name, err)
		}
		err := g.Told(&guardian.Promise{Of: of, From: holder("g"), Ballot: ballot(2), Stored: guardian.Copy{Version: c.told}})
		if (err == nil) != c.ok {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}
