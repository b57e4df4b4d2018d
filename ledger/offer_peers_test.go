package ledger

import (
	"fmt"
	"math/rand/v2"
	"testing"
)

// TestSomePeersAreFair: of many peers each is looked at as often as any other, and of few all are.
func TestSomePeersAreFair(t *testing.T) {
	r := &Replica{dice: rand.New(rand.NewPCG(1, 1)).IntN}
	for i := range 200 {
		r.peers = append(r.peers, Peer{Holder: Holder{Node: fmt.Sprintf("n%03d", i), Gen: 1}})
	}
	const rounds = 20_000
	seen := map[Holder]int{}
	for range rounds {
		ps := r.somePeers(fewPeers)
		if len(ps) == 0 || len(ps) > fewPeers {
			t.Fatalf("%d peers", len(ps))
		}
		for _, p := range ps {
			seen[p.Holder]++
		}
	}
	want := rounds * fewPeers / (len(r.peers) + fewPeers - 1)
	for _, p := range r.peers {
		if n := seen[p.Holder]; n < want*9/10 || n > want*11/10 {
			t.Errorf("%v was looked at %d times, not some %d", p.Holder, n, want)
		}
	}
	for few := fewPeers * widen; few < len(r.peers); few *= widen {
		if n := len(r.somePeers(few)); n == 0 || n > few {
			t.Errorf("%d of %d", n, few)
		}
	}
	if n := len(r.somePeers(len(r.peers))); n != len(r.peers) {
		t.Errorf("%d of %d", n, len(r.peers))
	}
	r.peers = r.peers[:manyPeers]
	if n := len(r.somePeers(fewPeers)); n != manyPeers {
		t.Errorf("%d of %d", n, manyPeers)
	}
}
