package seal

import (
	"crypto/ed25519"
	"errors"
	"fmt"
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// signer is a node's, the same in every run.
func signer(name string, dir uint64) *Signer {
	seed := make([]byte, ed25519.SeedSize)
	copy(seed, fmt.Sprintf("%s %x", name, dir))
	return NewSigner(name, dir, ed25519.NewKeyFromSeed(seed), 1000)
}

// meet makes a book of self that knows the keys of some signers.
func meet(t testing.TB, self string, of ...*Signer) *Book {
	t.Helper()
	b := NewBook(self)
	for _, s := range of {
		if err := b.Meet(s.name, s.pin.Dir, s.pin.Key); err != nil {
			t.Fatal(err)
		}
	}
	return b
}

func want(t *testing.T, what string, err error, why Reason) {
	t.Helper()
	r := (*Refusal)(nil)
	if !errors.As(err, &r) || r.Reason != why {
		t.Errorf("%s: %v, want it refused as %v", what, err, why)
	}
}

func row(node string, gen uint64, instance string, version uint64, spent ledger.Tokens) *ledger.Row {
	return &ledger.Row{
		Holder: ledger.Holder{Node: node, Gen: gen}, Instance: ledger.InstanceID(instance + "@0123456789ab"), Version: version,
		Window: 1_700_000_000, Shares: 250_000_000, Issued: 4_000_000, Spent: spent, Surplus: 1_200_345, Demand: 23_456, Wanted: 1200,
	}
}
