package ledger_test

import (
	"fmt"
	"math/rand/v2"
	"testing"

	"pgregory.net/rapid"

	. "github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/placement"
)

// A grant and slots are issued whole, however few they are and however many founders there are; and while nodes
// disagree about the limit, no more than the largest of them.
func TestSmallLimitsAreIssuedWhole(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		kind := rapid.SampledFrom([]Kind{Grant, Slots}).Draw(t, "kind")
		founders := rapid.IntRange(1, 9).Draw(t, "founders")
		limits := rapid.SliceOfN(rapid.Int64Range(1, 40), founders, founders).Draw(t, "limits")
		same := rapid.Bool().Draw(t, "same")
		largest := int64(0)
		for i := range limits {
			if same {
				limits[i] = limits[0]
			}
			largest = max(largest, limits[i])
		}
		var fs []Holder
		for i := range founders {
			fs = append(fs, Holder{Node: fmt.Sprintf("n%d", i), Gen: 1})
		}
		charter, err := NewCharter("test", fs, [16]byte{1})
		if err != nil {
			t.Fatal(err)
		}
		id, err := NewInstanceID(charter.ID, "pot", "compute", kind, nil, nil)
		if err != nil {
			t.Fatal(err)
		}
		issued := Tokens(0)
		for i, h := range fs {
			r := alone(h, charter, Spec{Kind: kind, Amount: Tokens(limits[i])})
			a, err := r.Open(testStart, id)
			if err != nil {
				t.Fatal(err)
			}
			r.Writes(testStart)
			r.Commit(testStart)
			s := a.State(testStart)
			issued += s.Issued()
		}
		if issued > Tokens(largest) || same && issued != Tokens(largest) {
			t.Fatalf("%d tokens were issued under limits of %v", issued, limits)
		}
	})
}

// alone is a replica with a charter, and one spec for every instance.
func alone(self Holder, c Charter, spec Spec) *Replica {
	r := NewReplica(Config{
		Self: self, Strategy: placement.Strategy{}, Rand: rand.New(rand.NewPCG(1, self.Gen)),
		Resolve: func(InstanceID) (Spec, bool) { return spec, true },
	})
	if err := r.Found(c); err != nil {
		panic(err)
	}
	return r
}
