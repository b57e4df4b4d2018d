package node

import (
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
)

// TestDecode: what comes from peers is checked before the loop sees it.
func TestDecode(t *testing.T) {
	p, err := policy.Parse("starter.yaml", policy.Starter())
	if err != nil {
		t.Fatal(err)
	}
	a := &adopted{policy: p, by: "op"}
	n := &Node{opts: Options{Name: "n1"}}
	n.policy.Store(a)
	c, err := ledger.NewCharter("c", []ledger.Holder{{Node: "n1", Gen: 1}}, [16]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	bad := &adopted{policy: p, by: "op"}
	wrong := append([]byte{msgPolicy}, bad.encode()...)
	wrong[len(wrong)/2] = 0 // no character of YAML
	for _, tt := range []struct {
		name    string
		payload []byte
		op, err bool
	}{
		{"a policy", append([]byte{msgPolicy}, a.encode()...), true, false},
		{"a policy that does not parse", wrong, false, true},
		{"the word of a policy", n.have(), true, false},
		{"a request for the policy", []byte{msgWant}, true, false},
		{"a charter", append([]byte{msgCharter}, ledger.EncodeCharter(&c)...), true, false},
		{"half a charter", append([]byte{msgCharter}, ledger.EncodeCharter(&c)[:9]...), false, true},
		{"an ask", ledger.Encode(&ledger.Ask{ID: 1, From: ledger.Holder{Node: "n2", Gen: 2}, Instance: "pot@0123456789ab", Need: 5, Want: 7}), true, false},
		{"half an ask", ledger.Encode(&ledger.Ask{ID: 1, From: ledger.Holder{Node: "n2", Gen: 2}, Instance: "pot@0123456789ab"})[:9], false, true},
		{"a kind of a newer version", []byte{99, 1, 0x90}, false, false},
		{"nothing", nil, false, true},
	} {
		op, err := n.decode("n2", tt.payload)
		if (op != nil) != tt.op || (err != nil) != tt.err {
			t.Errorf("%s: work for the loop %v, error %v", tt.name, op != nil, err)
		}
	}
	if b := (&adopted{policy: policy.Default()}).encode(); b != nil {
		t.Error("the built-in default travels")
	}
}
