package node

import (
	"crypto/sha256"
	"strings"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/wire"
	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/policy/rollout"
)

// hears has a node take a message of a push/pull, and waits until it has.
func (n *Node) hears(t *testing.T, kind byte, body []byte) {
	t.Helper()
	n.take("", ledger.CharterID{}, append([]byte{kind}, body...))
	for unwritten := true; unwritten; {
		for _, ch := range []chan<- op{n.inputs, n.looks} { // whichever of the two it waits in, this comes after it
			if err := n.run(t.Context(), ch, func(ledger.Instant) { unwritten = n.roll.changes != n.roll.durable }); err != nil {
				t.Fatal(err)
			}
		}
	}
}

// TestNewerDocument: a node works on with a document of a newer version, and names what it passes over; one that requires what it
// does not know it refuses, and says so.
func TestNewerDocument(t *testing.T) {
	p, err := policy.Parse("starter.yaml", policy.Starter())
	if err != nil {
		t.Fatal(err)
	}
	n, _ := alone(t, string(policy.Starter()))
	doc := func(revision, more string) []byte {
		return []byte(strings.Replace(string(p.Source()), "revision: 1\n", "revision: "+revision+"\n"+more, 1))
	}
	send := func(src []byte) {
		n.hears(t, msgPolicy, wire.EncodeDocument(&wire.Document{Source: src, By: "op", Since: time.Now()}))
	}
	send(doc("2", "auctions: {on: true}\n"))
	got := n.Policy()
	if got.Revision != 2 || !strings.Contains(strings.Join(got.Warnings, "\n"), `field "auctions" of the document is not known to this version`) {
		t.Fatalf("%d, %v", got.Revision, got.Warnings)
	}
	needs := doc("3", "auctions: {on: true}\nrequires: [auctions]\n")
	send(needs)
	if got := n.Policy(); got.Revision != 2 {
		t.Fatalf("revision %d is in force", got.Revision)
	}
	// Words on it are known all the same, and the history says why it is not in force.
	w := rollout.Word{At: 5, Node: "n2", By: "op"}
	n.hears(t, msgRollout, wire.EncodeEntries([]rollout.Entry{{Key: rollout.Key{Revision: 3, Hash: sha256.Sum256(needs)}, Whole: &w}}))
	h := n.PolicyHistory()
	if len(h.Revisions) == 0 || h.Revisions[0].State != "refused" || !strings.Contains(h.Revisions[0].Refused, `requires "auctions"`) {
		t.Fatalf("%+v", h)
	}
	if got := n.Policy(); got.Revision != 2 {
		t.Fatalf("revision %d is in force", got.Revision)
	}
	// Who writes a document is told of what no version knows.
	if _, err := n.ApplyPolicy(t.Context(), api.ApplyRequest{Source: doc("4", "auctions: {on: true}\n")}); err == nil || !strings.Contains(err.Error(), "unknown field") {
		t.Errorf("%v", err)
	}
	if _, err := n.ApplyPolicy(t.Context(), api.ApplyRequest{Source: doc("4", "")}); err != nil {
		t.Error(err)
	}
}
