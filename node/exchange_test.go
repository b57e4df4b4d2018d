package node

import (
	"bytes"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
)

func starter(t testing.TB) *adopted {
	p, err := policy.Parse("starter.yaml", policy.Starter())
	if err != nil {
		t.Fatal(err)
	}
	return &adopted{p, "op", time.UnixMilli(1_700_000_000_000)}
}

func TestPolicyDocumentRoundTrip(t *testing.T) {
	a := starter(t)
	d, err := decodePolicy(a.encode())
	if err != nil || !bytes.Equal(d.source, policy.Starter()) || d.by != "op" || !d.since.Equal(a.since) {
		t.Fatalf("%+v, %v", d, err)
	}
	p, err := d.parse("")
	if err != nil || p.Hash() != a.policy.Hash() {
		t.Fatalf("the document that arrived is another: %v", err)
	}
	if b := (&adopted{policy: policy.Default()}).encode(); b != nil {
		t.Error("the built-in default travels")
	}
}

// FuzzDecode gives the node's decoders what peers may send.
func FuzzDecode(f *testing.F) {
	a := starter(f)
	n := &Node{opts: Options{Name: "n1"}}
	n.policy.Store(a)
	c, err := ledger.NewCharter("c", []ledger.Holder{{Node: "n1", Gen: 1}}, [16]byte{1})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(append([]byte{msgPolicy}, a.encode()...))
	f.Add(n.have())
	f.Add([]byte{msgWant})
	f.Add(append([]byte{msgCharter}, ledger.EncodeCharter(&c)...))
	f.Add(ledger.Encode(&ledger.Ask{ID: 1, From: ledger.Holder{Node: "n2", Gen: 2}, Instance: "pot@0123456789ab", Need: 5, Want: 7}))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 0 && b[0] == msgPolicy {
			if _, err := decodePolicy(b[1:]); err != nil {
				return // what parses is policy's fuzz test's business
			}
		}
		_, _ = n.decode("n2", b)
	})
}

func FuzzSplitState(f *testing.F) {
	f.Add([]byte{})
	f.Add([]byte{stateFormat, 0x92, 0xc4, 1, 'a', 0xc4, 2, 'b', 'c'})
	f.Add([]byte{stateFormat, 0xdd, 0xff, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		parts, err := splitState(b)
		total := 0
		for _, p := range parts {
			total += len(p)
		}
		if err == nil && total > len(b) {
			t.Errorf("%d bytes came out of %d", total, len(b))
		}
	})
}
