package trust

import (
	"bytes"
	"crypto/ed25519"
	"encoding/hex"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/swarmpurse/swarmpurse/ledger/purity"
)

func TestPurity(t *testing.T) {
	purity.Check(t, purity.Allowed{
		"crypto/ed25519": {"PublicKeySize", "PrivateKey", "PublicKey", "SeedSize", "NewKeyFromSeed", "Sign", "Verify"}, "encoding/base64": nil, "encoding/binary": nil, "encoding/hex": nil,
		"errors": nil, "fmt": {"Errorf", "Sprintf"}, "io": {"Reader", "ReadFull"}, "slices": nil, "strconv": nil, "strings": nil,
	})
}

func secret(t testing.TB, b byte) Secret {
	s, err := NewSecret(bytes.NewReader(bytes.Repeat([]byte{b}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func TestKeys(t *testing.T) {
	s := secret(t, 1)
	text := s.Text("operator's key alice: keep it secret")
	again, err := ParseSecret(text)
	if err != nil || again.Public() != s.Public() || !IsSecret(text) || IsSecret(s.Public().String()) {
		t.Fatalf("%v, %v", again, err)
	}
	k, err := ParseKey(s.Public().String())
	if err != nil || k != s.Public() {
		t.Fatalf("%v, %v", k, err)
	}
	for _, bad := range []string{"", "# nothing\n", "hello", secretPrefix + "00", secretPrefix + strings.Repeat("x", 64), text[:len(text)-3]} {
		if _, err := ParseSecret(bad); err == nil || strings.Contains(err.Error(), bad) && bad != "" {
			t.Errorf("%q is a secret: %v", bad, err)
		}
	}
	for _, bad := range []string{"", "ed25519:", "ed25519:00", "sha256:" + strings.Repeat("0", 64), strings.Repeat("0", 64), text} {
		if _, err := ParseKey(bad); err == nil {
			t.Errorf("%q is a key", bad)
		}
	}
}

// TestBytes holds the form of what is signed: others sign it, too.
func TestBytes(t *testing.T) {
	x := OfMint("c0", 5, "n1", "1f", "day", []string{"search"}, 900, "id", "why")
	want := "swarmpurse operator 1\n" + "\x04mint" + "\x02c0" + "\x015" + "\x02n1" + "\x021f" + "\x03day" + "\x011" + "\x06search" + "\x03900" + "\x02id" + "\x03why"
	if got := string(x.Bytes()); got != want {
		t.Errorf("%q, want %q", got, want)
	}
	y := OnRevision(Apply, "c0", 5, Revision{7, [32]byte{1}}, Revision{6, [32]byte{2}}, "", nil, []Signer{{"a", Key{3}}})
	if got := string(y.Bytes()); !strings.HasPrefix(got, "swarmpurse operator 1\n\x0cpolicy apply\x02c0\x015\x017\x4001") || !strings.HasSuffix(got, "\x010\x011\x4aa=ed25519:03"+strings.Repeat("00", 31)) {
		t.Errorf("%q", got)
	}
	s := secret(t, 1)
	sig := s.Sign(x)
	if !s.Public().Verify(x, sig) || s.Public().Verify(y, sig) || secret(t, 2).Public().Verify(x, sig) {
		t.Error("signatures")
	}
	// And with another library, or language: what is signed is these bytes and no others.
	if !ed25519.Verify(ed25519.PublicKey(slices.Clone(func() []byte { k := s.Public(); return k[:] }())), []byte(want), sig[:]) {
		t.Error("the signature is not of the bytes")
	}
}

// TestStatementsDiffer: two statements that say something else have other bytes.
func TestStatementsDiffer(t *testing.T) {
	text := rapid.SampledFrom([]string{"", "a", "b", "ab", "a=1", "1", "\x01a"})
	texts := rapid.SliceOfN(text, 0, 2)
	stated := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Stated {
		return Stated{rapid.SampledFrom([]string{"a", "b"}).Draw(t, "i"), rapid.Int64Range(0, 2).Draw(t, "n")}
	}), 0, 2)
	type all struct {
		kind             int
		charter, a, b, c string
		at, n            int64
		list, more       []string
		stock, limits    []Stated
		flag             bool
	}
	gen := rapid.Custom(func(t *rapid.T) all {
		return all{rapid.IntRange(0, 2).Draw(t, "kind"), text.Draw(t, "charter"), text.Draw(t, "a"), text.Draw(t, "b"), text.Draw(t, "c"), rapid.Int64Range(0, 2).Draw(t, "at"),
			rapid.Int64Range(0, 2).Draw(t, "n"), texts.Draw(t, "list"), texts.Draw(t, "more"), stated.Draw(t, "stock"), stated.Draw(t, "limits"), rapid.Bool().Draw(t, "flag")}
	})
	bytesOf := func(x all) []byte {
		switch x.kind {
		case 0:
			return OfMint(x.charter, x.at, x.a, x.b, x.c, x.list, x.n, "id", "").Bytes()
		case 1:
			return OfDeath(x.charter, x.at, x.a, x.b, x.list, x.stock, x.limits, x.flag, x.c).Bytes()
		}
		return OnRevision(Try, x.charter, x.at, Revision{Number: x.n}, Revision{}, x.c, x.list, nil).Bytes()
	}
	rapid.Check(t, func(t *rapid.T) {
		x, y := gen.Draw(t, "x"), gen.Draw(t, "y")
		z := x
		switch rapid.IntRange(0, 3).Draw(t, "change") {
		case 0:
			z.list = append(slices.Clone(x.list), "")
		case 1:
			z.at++
		case 2:
			z.stock, z.kind, x.kind = append(slices.Clone(x.stock), Stated{"a", 0}), 1, 1
		case 3:
			z.charter += "a"
		}
		if bytes.Equal(bytesOf(x), bytesOf(z)) {
			t.Fatalf("%+v and %+v are one", x, z)
		}
		if x.kind != y.kind && bytes.Equal(bytesOf(x), bytesOf(y)) {
			t.Fatalf("%+v and %+v are one", x, y)
		}
	})
}

func TestSignatures(t *testing.T) {
	s := secret(t, 1)
	x := OfMint("c0", 5, "n1", "1f", "day", nil, 900, "id", "")
	for _, from := range []Revision{{}, {7, [32]byte{9}}} {
		sig := s.New(x, from)
		again, err := ParseSignature(sig.String())
		if err != nil || *again != *sig || !again.By.Verify(x, again.Sig) || len(sig.String()) > MaxSignature {
			t.Errorf("%s: %+v, %v", sig, again, err)
		}
	}
	good := s.New(x, Revision{7, [32]byte{9}}).String()
	for name, bad := range map[string]string{
		"empty": "", "no key": good[strings.Index(good, ";")+1:], "twice": good + "; at=6", "unknown": good + "; x=1", "long": good + strings.Repeat(" ", MaxSignature),
		"short": strings.TrimSuffix(good, good[len(good)-8:]), "below 0": strings.Replace(good, "at=5", "at=-5", 1), "revision 0": strings.Replace(good, "from=7", "from=0", 1),
	} {
		if _, err := ParseSignature(bad); err == nil || !strings.Contains(err.Error(), "sig=BASE64") {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func FuzzParseSignature(f *testing.F) {
	s := secret(f, 1)
	f.Add(s.New(OfMint("c", 1, "n", "1", "b", nil, 1, "i", ""), Revision{}).String())
	f.Add(s.New(OfMint("c", 1, "n", "1", "b", nil, 1, "i", ""), Revision{3, [32]byte{1}}).String())
	f.Add("key=ed25519:" + hex.EncodeToString(make([]byte, 32)) + ";at=1;sig=")
	f.Fuzz(func(t *testing.T, v string) {
		sig, err := ParseSignature(v)
		if err != nil {
			return
		}
		if again, err := ParseSignature(sig.String()); err != nil || *again != *sig {
			t.Errorf("%q became %q, %v", v, sig, err)
		}
	})
}

func FuzzParseSecret(f *testing.F) {
	f.Add(secret(f, 1).Text("note"))
	f.Add("swarmpurse-operator-secret:")
	f.Fuzz(func(t *testing.T, text string) {
		s, err := ParseSecret(text)
		if err != nil {
			return
		}
		if again, err := ParseSecret(s.Text("note")); err != nil || again.Public() != s.Public() {
			t.Errorf("%q: %v", text, err)
		}
	})
}
