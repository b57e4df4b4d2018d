package enrol

import (
	"bytes"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"testing"

	"pgregory.net/rapid"

	"github.com/swarmpurse/swarmpurse/ledger/purity"
	"github.com/swarmpurse/swarmpurse/policy/trust"
)

func TestPurity(t *testing.T) {
	purity.Check(t, purity.Allowed{
		"bytes": nil, "cmp": nil, "crypto/sha256": nil, "encoding/binary": nil, "errors": nil, "fmt": {"Errorf", "Sprintf"}, "maps": nil, "slices": nil,
		"strings": nil, "github.com/swarmpurse/swarmpurse/policy/trust": nil,
	})
}

var (
	alice, bob = trust.Signer{Name: "alice", Key: trust.Key{1}}, trust.Signer{Name: "bob", Key: trust.Key{2}}
	both       = []trust.Signer{alice, bob}
)

func node(n int) Identity { return Identity{fmt.Sprintf("n%d", n), trust.Key{byte(n)}} }

// TestWhatCounts: the last word of those who sign decides.
func TestWhatCounts(t *testing.T) {
	in := func(of int, at int64, who trust.Signer) Word {
		return Word{Identity: node(of), At: at, Who: who.Key}
	}
	out := func(of int, at int64, who trust.Signer) Word {
		w := in(of, at, who)
		w.Expelled = true
		return w
	}
	other := in(1, 5, alice)
	other.Key = trust.Key{9}
	for name, x := range map[string]struct {
		words   []Word
		signers []trust.Signer
		want    bool
	}{
		"nobody said anything":              {nil, both, false},
		"enrolled":                          {[]Word{in(1, 5, alice)}, both, true},
		"another node":                      {[]Word{in(2, 5, alice)}, both, false},
		"another key of that name":          {[]Word{other}, both, false},
		"expelled later":                    {[]Word{in(1, 5, alice), out(1, 6, bob)}, both, false},
		"the older word comes again":        {[]Word{out(1, 6, alice), in(1, 5, alice)}, both, false},
		"expelled at the same time":         {[]Word{in(1, 5, alice), out(1, 5, bob)}, both, false},
		"and back":                          {[]Word{in(1, 5, alice), out(1, 6, bob), in(1, 7, alice)}, both, true},
		"by one who signs no more":          {[]Word{in(1, 5, bob)}, []trust.Signer{alice}, false},
		"expelled by one who signs no more": {[]Word{in(1, 5, alice), out(1, 6, bob)}, []trust.Signer{alice}, true},
		"nobody signs":                      {[]Word{in(1, 5, alice)}, nil, false},
	} {
		var s Set
		s.Merge(x.words, x.signers)
		w, said := s.Of(node(1), x.signers)
		if got := said && !w.Expelled; got != x.want || s.Belongs(x.signers)[node(1)] != x.want {
			t.Errorf("%s: %v, %+v", name, got, w)
		}
	}
}

func TestCheck(t *testing.T) {
	secret, err := trust.NewSecret(bytes.NewReader(bytes.Repeat([]byte{7}, 32)))
	if err != nil {
		t.Fatal(err)
	}
	signers := []trust.Signer{{Name: "alice", Key: secret.Public()}}
	good := Word{Identity: node(1), At: 5, Why: "new", Who: secret.Public()}
	good.Sig = secret.Sign(good.Statement("c0"))
	if err := good.Check("c0", signers); err != nil {
		t.Fatal(err)
	}
	for name, x := range map[string]struct {
		change  func(*Word)
		charter string
		why     Reason
	}{
		"another node":          {func(w *Word) { w.Node = "n2" }, "c0", Forged},
		"another key":           {func(w *Word) { w.Key[5]++ }, "c0", Forged},
		"the other word":        {func(w *Word) { w.Expelled = true }, "c0", Forged},
		"later":                 {func(w *Word) { w.At++ }, "c0", Forged},
		"for another reason":    {func(w *Word) { w.Why = "" }, "c0", Forged},
		"in another cluster":    {func(*Word) {}, "c1", Forged},
		"by one who is no more": {func(w *Word) { w.Who = bob.Key }, "c0", Stranger},
	} {
		w := good
		x.change(&w)
		var no *Refused
		if err := w.Check(x.charter, signers); !errors.As(err, &no) || no.Why != x.why {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func words() *rapid.Generator[[]Word] {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Word {
		return Word{
			Identity: node(rapid.IntRange(1, 3).Draw(t, "node")), Expelled: rapid.Bool().Draw(t, "expelled"), At: rapid.Int64Range(1, 4).Draw(t, "at"),
			Who: trust.Key{byte(rapid.IntRange(1, 3).Draw(t, "who"))}, Sig: [64]byte{byte(rapid.IntRange(0, 1).Draw(t, "sig"))},
		}
	}), 0, 8)
}

// TestLaws: Sets that were told the same words are the same, in whatever order and however often, and comparing them leads there.
func TestLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b := words().Draw(t, "a"), words().Draw(t, "b")
		var x, y Set
		x.Merge(a, both)
		x.Merge(b, both)
		for _, w := range rapid.Permutation(append(slices.Clone(a), b...)).Draw(t, "order") {
			y.Merge([]Word{w}, both)
		}
		if !reflect.DeepEqual(x.All(), y.All()) || x.Digest(both) != y.Digest(both) || !reflect.DeepEqual(x.Belongs(both), y.Belongs(both)) {
			t.Fatalf("%+v\n%+v", x.All(), y.All())
		}
		for _, w := range append(slices.Clone(a), b...) {
			var z Set
			z.Merge([]Word{w}, both)
			if !x.Has(&w) || z.Has(new(Word{Identity: w.Identity, Who: w.Who, At: w.At + 1})) {
				t.Fatalf("what is known: %+v", w)
			}
		}
		if news := y.Merge(append(a, b...), both); news != nil {
			t.Fatalf("news of what was known: %+v", news)
		}
		for _, w := range x.Last(both) { // nobody belongs without a word that signers said
			if x.Belongs(both)[w.Identity] == w.Expelled || trust.Rank(both, w.Who) < 0 || !slices.Contains(append(a, b...), w) {
				t.Fatalf("%+v counts", w)
			}
		}
		// Two that compare and tell each other what differs know the same of those who sign.
		var p, q Set
		p.Merge(a, both)
		q.Merge(b, both)
		dp, dq := p.Digest(both), q.Digest(both)
		toQ, toP := p.Differ(&dq, both), q.Differ(&dp, both)
		q.Merge(toQ, both)
		p.Merge(toP, both)
		if p.Digest(both) != q.Digest(both) || p.Differ(new(q.Digest(both)), both) != nil {
			t.Fatalf("after comparing: %+v\n%+v", p.All(), q.All())
		}
		h, g := p.Digest(both), q.Digest(both)
		if h.Hash() != g.Hash() {
			t.Fatal("hashes")
		}
	})
}

// TestBounds: what is too much is forgotten the same way by all, and who is forgotten does not belong.
func TestBounds(t *testing.T) {
	word := func(i int, at int64, who trust.Key) Word {
		return Word{Identity: Identity{fmt.Sprint(i), trust.Key{byte(i), byte(i >> 8)}}, At: at, Who: who}
	}
	var s Set
	var ws []Word
	for i := range maxKept + 2 {
		ws = append(ws, word(i, int64(i), alice.Key))
	}
	s.Merge(ws[:MaxNodes-1], both)
	if err := s.Room(ws[MaxNodes].Identity); err != nil {
		t.Fatal(err)
	}
	s.Merge(ws[:MaxNodes], both)
	if err := s.Room(ws[MaxNodes].Identity); !errors.Is(err, ErrFull) {
		t.Fatal(err)
	}
	if err := s.Room(ws[0].Identity); err != nil {
		t.Fatal(err)
	}
	s.Merge(ws, both)
	if in := s.Belongs(both); len(in) != maxKept || in[ws[0].Identity] || in[ws[1].Identity] || !in[ws[2].Identity] {
		t.Errorf("%d belong", len(in))
	}

	// Of the operators of one node those go first who do not sign now.
	var many Set
	many.Merge([]Word{word(1, 1, alice.Key)}, both)
	for i := range 2 * trust.MaxSigners {
		many.Merge([]Word{word(1, int64(10+i), trust.Key{99, byte(i)})}, both)
	}
	if all := many.All(); len(all) != trust.MaxSigners || !many.Belongs(both)[word(1, 0, trust.Key{}).Identity] {
		t.Errorf("%d words", len(all))
	}
	for _, bad := range []Word{{}, {Identity: Identity{Node: "n"}, At: -1}, {Identity: Identity{Node: "n"}, At: maxAt + 1}, {Identity: Identity{Node: string(make([]byte, MaxNode+1))}}} {
		if bad.Valid() == nil {
			t.Errorf("%+v is valid", bad)
		}
	}
}
