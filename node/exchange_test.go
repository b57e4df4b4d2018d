package node

import (
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/guardian"
	"github.com/swarmpurse/swarmpurse/node/seal"
	"github.com/swarmpurse/swarmpurse/policy"
)

// TestDecode: what comes from peers is checked before the loop sees it.
func TestDecode(t *testing.T) {
	p, err := policy.Parse("starter.yaml", policy.Starter())
	if err != nil {
		t.Fatal(err)
	}
	a := &adopted{policy: p, by: "op"}
	n := &Node{opts: Options{Name: "n1"}, book: seal.NewBook("n1")}
	n.policy.Store(a)
	c, err := ledger.NewCharter("c", []ledger.Holder{{Node: "n1", Gen: 1}}, [16]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	bad := &adopted{policy: p, by: "op"}
	wrong := append([]byte{msgPolicy}, bad.encode()...)
	wrong[len(wrong)/2] = 0 // no character of YAML
	n2, n3 := ledger.Holder{Node: "n2", Gen: 2}, ledger.Holder{Node: "n3", Gen: 3}
	for _, tt := range []struct {
		name    string
		payload []byte
		op, err bool
	}{
		{"an acknowledgement of a guardian", ledger.Encode(&guardian.NoteAck{From: n2, To: n3, Version: 1}), true, false},
		{"one in another's name", ledger.Encode(&guardian.NoteAck{From: n3, To: n2, Version: 1}), false, true},
		{"a claim in another's name", ledger.Encode(&guardian.Prepare{Of: n2, To: n2, Ballot: guardian.Ballot{Round: 1, By: n3}}), false, true},
		{"a gift in another's name", ledger.Encode(&ledger.Transfer{From: n3, To: n2, Instance: "pot@0123456789ab", Out: 5}), false, true},
		{"another's row", ledger.Encode([]ledger.Row{{Holder: n3, Instance: "pot@0123456789ab", Version: 1}}), true, false},
		{"a decision on another", ledger.Encode(&guardian.Decided{Of: n3, From: n2, To: n3, Value: guardian.Value{Version: 1, Heir: n2}}), true, false},
		{"a policy", append([]byte{msgPolicy}, a.encode()...), true, false},
		{"a policy that does not parse is refused in the loop, once", wrong, true, false},
		{"the word of a policy", n.have(), true, false},
		{"a request for the policy", []byte{msgWant}, true, false},
		{"a charter", append([]byte{msgCharter}, ledger.EncodeCharter(&c)...), true, false},
		{"half a charter", append([]byte{msgCharter}, ledger.EncodeCharter(&c)[:9]...), false, true},
		{"an ask", ledger.Encode(&ledger.Ask{ID: 1, From: ledger.Holder{Node: "n2", Gen: 2}, Instance: "pot@0123456789ab", Need: 5, Want: 7}), true, false},
		{"half an ask", ledger.Encode(&ledger.Ask{ID: 1, From: ledger.Holder{Node: "n2", Gen: 2}, Instance: "pot@0123456789ab"})[:9], false, true},
		{"a kind of a newer version", []byte{99, 1, 0x90}, false, false},
		{"nothing", nil, false, true},
	} {
		op, err := n.decode("n2", 0, tt.payload)
		if (op != nil) != tt.op || (err != nil) != tt.err {
			t.Errorf("%s: work for the loop %v, error %v", tt.name, op != nil, err)
		}
	}
	// The other side of a push/pull has no name: its digest is taken, and nothing else that is one node's to say.
	if op, err := n.decode("", 0, ledger.Encode(&ledger.Digest{From: n2, Charter: c.ID})); op == nil || err != nil {
		t.Errorf("a digest in a push/pull: %v, %v", op != nil, err)
	}
	if op, err := n.decode("", 0, ledger.Encode(&guardian.NoteAck{From: n2, To: n3, Version: 1})); op != nil || err == nil {
		t.Errorf("an acknowledgement in a push/pull: %v, %v", op != nil, err)
	}
	if b := (&adopted{policy: policy.Default()}).encode(); b != nil {
		t.Error("the built-in default travels")
	}
}

// FuzzDecodeMessage: whatever a peer sends is work for the loop, an error, or of a newer version; nothing is done with it before.
func FuzzDecodeMessage(f *testing.F) {
	p, err := policy.Parse("starter.yaml", policy.Starter())
	if err != nil {
		f.Fatal(err)
	}
	a := &adopted{policy: p, by: "op"}
	n := &Node{opts: Options{Name: "n1"}, book: seal.NewBook("n1")}
	n.policy.Store(a)
	f.Add("n2", append([]byte{msgPolicy}, a.encode()...))
	f.Add("n2", append([]byte{msgDocument}, a.encode()...))
	f.Add("n2", n.have())
	f.Add("", ledger.Encode(&ledger.Digest{From: ledger.Holder{Node: "n2", Gen: 2}}))
	f.Add("n2", ledger.Encode(&guardian.NoteAck{From: ledger.Holder{Node: "n2", Gen: 2}, To: ledger.Holder{Node: "n3", Gen: 3}, Version: 1}))
	for kind := range 40 {
		f.Add("n2", []byte{byte(kind), 1, 0x93, 0xa1, 'a', 1, 0xc4, 1, 9})
	}
	f.Fuzz(func(t *testing.T, from string, payload []byte) {
		if op, err := n.decode(from, 0, payload); op != nil && err != nil && len(payload) == 0 {
			t.Fatalf("work, and the error %v", err)
		}
	})
}
