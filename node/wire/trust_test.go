package wire

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"strings"
	"testing"

	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/policy/rollout"
	"github.com/swarmpurse/swarmpurse/policy/trust"
)

func manySigned() Trust {
	alice, bob := trust.Signer{Name: "alice", Key: trust.Key{1}}, trust.Signer{Name: "bob", Key: trust.Key{2}}
	key := func(n int64) rollout.Key { return rollout.Key{Revision: n, Hash: [32]byte{byte(n)}} }
	how := policy.Rollout{Canary: 100_000, By: "agent", Guard: policy.Guard{DenyRate: 50_000, P99Wait: policy.Unguarded, OutputLength: 1, Cost: policy.Unguarded}}
	return Trust{
		&rollout.Anchor{Key: key(3), Whole: rollout.Word{At: 1, Node: "n1"}, Signers: []trust.Signer{alice}},
		[]rollout.Signed{
			{Key: key(4), Kind: trust.Apply, From: key(3), At: 5, Why: "w", Next: []trust.Signer{alice, bob}, Who: alice.Key, Sig: [64]byte{9}, Node: "n1"},
			{Key: key(5), Kind: trust.Try, From: key(4), At: 6, How: how, Who: bob.Key, Node: "n2"},
			{Key: key(5), Kind: trust.RollBack, From: key(4), At: 7, Who: bob.Key, Node: "n2"},
		},
	}
}

func FuzzDecodeTrust(f *testing.F) {
	many := manySigned()
	f.Add(EncodeTrust(&many))
	f.Add(EncodeTrust(&Trust{}))
	f.Fuzz(func(t *testing.T, b []byte) {
		x, err := DecodeTrust(b)
		if err != nil {
			return
		}
		if again, err := DecodeTrust(EncodeTrust(&x)); err != nil || !reflect.DeepEqual(again, x) {
			t.Errorf("%+v became %+v, %v", x, again, err)
		}
		for i := range x.Words {
			if err := x.Words[i].Valid(); err != nil {
				t.Errorf("%+v: %v", x.Words[i], err)
			}
		}
	})
}

func someDeath() Death {
	return Death{"n1", "1f", []string{"n2", "n3"}, []trust.Stated{{Instance: "day/search", Amount: 5}}, nil, true, "burnt", trust.Key{1}, 7, [64]byte{2}}
}

func FuzzDecodeDeath(f *testing.F) {
	d := someDeath()
	f.Add(EncodeDeath(&d))
	f.Fuzz(func(t *testing.T, b []byte) {
		d, err := DecodeDeath(b)
		if err != nil {
			return
		}
		if again, err := DecodeDeath(EncodeDeath(&d)); err != nil || !reflect.DeepEqual(again, d) {
			t.Errorf("%+v became %+v, %v", d, again, err)
		}
	})
}

func TestDeath(t *testing.T) {
	d := someDeath()
	if again, err := DecodeDeath(EncodeDeath(&d)); err != nil || !reflect.DeepEqual(again, d) {
		t.Errorf("%+v, %v", again, err)
	}
	nobody, empty := d, d
	nobody.Dead, empty.Heir = nil, ""
	many := d
	many.Dead = make([]string, 65)
	for name, b := range map[string][]byte{"empty": {}, "nobody dead": EncodeDeath(&nobody), "no heir": EncodeDeath(&empty), "many": EncodeDeath(&many), "cut off": EncodeDeath(&d)[:40]} {
		if x, err := DecodeDeath(b); !errors.Is(err, ErrMalformed) || x.Heir != "" {
			t.Errorf("%s: %+v, error %v", name, x, err)
		}
	}
}

func TestTrustRoundTrips(t *testing.T) {
	for _, x := range []Trust{manySigned(), {}, {Words: manySigned().Words}, {Anchor: manySigned().Anchor}} {
		if got, err := DecodeTrust(EncodeTrust(&x)); err != nil || !reflect.DeepEqual(got, x) {
			t.Errorf("%+v, %v", got, err)
		}
	}
	// The largest word fits.
	long := func(n int) string { return strings.Repeat("x", n) }
	w := rollout.Signed{
		Key: rollout.Key{Revision: 1 << 50}, Kind: trust.Try, From: rollout.Key{Revision: 1}, At: 1 << 52, Why: long(rollout.MaxWhy), Node: long(rollout.MaxNode),
		How: policy.Rollout{Bake: policy.MaxBake, Guard: policy.Guard{DenyRate: 1, P99Wait: 50_000}},
	}
	for i := range policy.MaxZones {
		w.How.Zones = append(w.How.Zones, fmt.Sprintf("%02d", i)+long(policy.MaxName-2))
	}
	for i := range trust.MaxSigners {
		w.Next = append(w.Next, trust.Signer{Name: long(trust.MaxName), Key: trust.Key{byte(i)}})
	}
	large := Trust{Words: []rollout.Signed{w}}
	if got, err := DecodeTrust(EncodeTrust(&large)); err != nil || !reflect.DeepEqual(got, large) {
		t.Errorf("%+v, %v", got, err)
	}
	many := manySigned()
	t.Logf("%d bytes for a revision that is applied, with two signers", len(EncodeTrust(&Trust{Words: many.Words[:1]})))
}

func TestTrustMalformed(t *testing.T) {
	change := func(f func(*Trust)) []byte {
		x := manySigned()
		f(&x)
		return EncodeTrust(&x)
	}
	for name, b := range map[string][]byte{
		"empty":             {},
		"too many":          append([]byte{version, 0xdd}, 0, 0, 0xff, 0xff),
		"no word in it":     encode("", "a"),
		"another kind":      change(func(x *Trust) { x.Words[0].Kind = "mint" }),
		"follows itself":    change(func(x *Trust) { x.Words[0].From = x.Words[0].Key }),
		"no node":           change(func(x *Trust) { x.Words[0].Node = "" }),
		"a signer twice":    change(func(x *Trust) { x.Words[0].Next[1] = x.Words[0].Next[0] }),
		"a name with =":     change(func(x *Trust) { x.Words[0].Next[1].Name = "a=b" }),
		"a trial of nobody": change(func(x *Trust) { x.Words[1].How.Canary = 0 }),
		"nobody to anchor":  change(func(x *Trust) { x.Anchor.Signers = nil }),
		"a list on no document": change(func(x *Trust) {
			x.Words[2].Next = x.Words[0].Next
		}),
		"cut off": EncodeTrust(&Trust{Words: manySigned().Words})[:60],
	} {
		if x, err := DecodeTrust(b); !errors.Is(err, ErrMalformed) || x.Words != nil || x.Anchor != nil {
			t.Errorf("%s: %+v, error %v", name, x, err)
		}
	}
	if bytes.Equal(EncodeTrust(&Trust{}), change(func(*Trust) {})) {
		t.Error("nothing is encoded")
	}
}
