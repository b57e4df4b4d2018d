package freeze

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/swarmpurse/swarmpurse/policy/trust"
)

// keys are few, so that words meet.
var keys = []Key{{Instance: "pool"}, {Instance: "day/search"}, {Tenant: "search"}, {Tenant: "ads"}, {Agent: "crawler"}, {Tenant: "search", Agent: "crawler"}}

// words draws words of few keys, times and nodes: many have one time, some one node too.
func words(t *rapid.T, label string) []Word {
	return rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Word {
		return Word{
			Key: rapid.SampledFrom(keys).Draw(t, "key"), Frozen: rapid.Bool().Draw(t, "frozen"), At: rapid.Int64Range(0, 3).Draw(t, "at"),
			Node: rapid.SampledFrom([]string{"n1", "n2"}).Draw(t, "node"), By: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "by"),
			Why: rapid.SampledFrom([]string{"", "runaway"}).Draw(t, "why"),
		}
	}), 0, 12).Draw(t, label)
}

func of(lists ...[]Word) *Set {
	s := &Set{}
	for _, ws := range lists {
		s.Merge(ws)
	}
	return s
}

// TestLaws: whatever way words take, in whatever order and number, sets come to the same, which is the last word of each key.
func TestLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := words(t, "a"), words(t, "b"), words(t, "c")
		whole := of(a, b, c)
		for name, s := range map[string]*Set{
			"again":                   of(a, a, b, c, b),
			"in another order":        of(c, a, b),
			"as sets, from the right": of(a, of(b, c).Words()),
			"as sets, from the left":  of(of(a, b).Words(), c),
			"one by one": of(func() (all [][]Word) {
				for _, w := range rapid.Permutation(slices.Concat(a, b, c)).Draw(t, "order") {
					all = append(all, []Word{w})
				}
				return all
			}()...),
		} {
			if !reflect.DeepEqual(s.Words(), whole.Words()) || s.Hash(nil) != whole.Hash(nil) {
				t.Fatalf("%s: %v is not %v", name, s.Words(), whole.Words())
			}
		}
		// The last word of each, by a judge that knows no sets.
		for _, k := range keys {
			var last *Word
			for _, w := range slices.Concat(a, b, c) {
				if w.Key == k && (last == nil || w.later(*last)) {
					last = &w
				}
			}
			got, known := whole.Of(k)
			if known != (last != nil) || known && got != *last {
				t.Fatalf("%v: %+v, want %+v", k, got, last)
			}
		}
		// What is told on is what is new, and nothing is without it.
		s := of(a)
		before := s.Words()
		news := s.Merge(b)
		if again := of(before, news); !reflect.DeepEqual(again.Words(), s.Words()) {
			t.Fatalf("who hears only the news knows %v, want %v", again.Words(), s.Words())
		}
		if more := s.Merge(b); more != nil {
			t.Fatalf("news for the second time: %v", more)
		}
		if x, y := of(a), of(b); reflect.DeepEqual(x.Words(), y.Words()) != (x.Hash(nil) == y.Hash(nil)) {
			t.Fatalf("hashes of %v and %v", x.Words(), y.Words())
		}
	})
}

// TestOrder: of two words one is later, and three are in a row.
func TestOrder(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		ws := words(t, "words")
		for _, a := range ws {
			for _, b := range ws {
				a.Key, b.Key = Key{}, Key{}
				if a == b && a.later(b) || a != b && a.later(b) == b.later(a) {
					t.Fatalf("%+v and %+v", a, b)
				}
				for _, c := range ws {
					c.Key = Key{}
					if a.later(b) && b.later(c) && !a.later(c) {
						t.Fatalf("%+v, %+v, %+v", a, b, c)
					}
				}
			}
		}
	})
}

// TestSaid: an operator has his will over all that his node knows, whatever the clocks of others said, and it wins wherever it
// comes to.
func TestSaid(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		known, elsewhere := words(t, "known"), words(t, "older")
		s := of(known)
		k, frozen := rapid.SampledFrom(keys).Draw(t, "key"), rapid.Bool().Draw(t, "frozen")
		w, err := s.Say(rapid.Int64Range(-1, 4).Draw(t, "now"), "n1", k, frozen, "op", "")
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := s.Of(k); got != w || w.Frozen != frozen {
			t.Fatalf("%+v is not what is known: %+v", w, got)
		}
		for _, o := range known {
			if o.Key == k && !w.later(o) {
				t.Fatalf("%+v is not later than %+v", w, o)
			}
		}
		there := of(known, elsewhere)
		old, had := there.Of(k)
		there.Merge([]Word{w})
		if got, _ := there.Of(k); had && old.later(w) != (got == old) || !had && got != w {
			t.Fatalf("%+v met %+v and left %+v", w, old, got)
		}
	})
}

// TestViewSaysWhatIsFrozen against a judge that goes through all words.
func TestViewSaysWhatIsFrozen(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		s := of(words(t, "words"))
		v := s.View()
		frozen := func(k Key) bool { w, _ := s.Of(k); return w.Frozen }
		for _, tenant := range []string{"", "search", "ads"} {
			for _, agent := range []string{"", "crawler", "other"} {
				want := tenant != "" && frozen(Key{Tenant: tenant}) || agent != "" && (frozen(Key{Agent: agent}) || frozen(Key{Tenant: tenant, Agent: agent}))
				w := v.Caller(tenant, agent)
				if (w != nil) != want || want && !w.Frozen {
					t.Fatalf("tenant %q, agent %q: %v, want %v, of %v", tenant, agent, w, want, s.Words())
				}
			}
		}
		for _, name := range []string{"pool", "day/search", "day"} {
			if w := v.Instance(name); (w != nil) != frozen(Key{Instance: name}) {
				t.Fatalf("instance %s: %v", name, w)
			}
		}
	})
}

func numbered(n int, frozen bool, at int64) (ws []Word) {
	for i := range n {
		ws = append(ws, Word{Key: Key{Tenant: fmt.Sprintf("t%04d", i)}, Frozen: frozen, At: at + int64(i), Node: "n1"})
	}
	return ws
}

// TestBounds: what is frozen stays so when words of what is not any more are too many; and further freezes are refused in time.
func TestBounds(t *testing.T) {
	s := of(numbered(MaxFrozen-1, true, 0))
	if _, err := s.Say(9, "n1", Key{Agent: "a"}, true, "", ""); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Say(9, "n1", Key{Agent: "b"}, true, "", ""); !errors.Is(err, ErrFull) {
		t.Fatalf("one too many: %v", err)
	}
	if _, err := s.Say(9, "n1", Key{Agent: "a"}, true, "", "again"); err != nil {
		t.Fatalf("what is frozen is frozen again: %v", err)
	}
	if _, err := s.Say(9, "n1", Key{Agent: "a"}, false, "", ""); err != nil {
		t.Fatal(err)
	}
	for i := range 5 * MaxWords {
		k := Key{Agent: fmt.Sprint(i)}
		for _, frozen := range []bool{true, false} {
			if _, err := s.Say(int64(1000+i), "n1", k, frozen, "", ""); err != nil {
				t.Fatal(err)
			}
		}
	}
	if len(s.Words()) != MaxWords || len(s.Frozen()) != MaxFrozen-1 {
		t.Errorf("%d words, %d frozen", len(s.Words()), len(s.Frozen()))
	}
	if _, known := s.Of(Key{Agent: fmt.Sprint(5*MaxWords - 1)}); !known {
		t.Error("the latest word was forgotten")
	}
	// Many nodes that did not hear of each other may freeze more: the latest stay.
	s = of(numbered(MaxWords+10, true, 0), numbered(3, false, 1))
	if _, known := s.Of(Key{Tenant: "t0009"}); known || len(s.Words()) != MaxWords || len(s.Frozen()) != MaxWords {
		t.Errorf("%d words", len(s.Words()))
	}
}

func TestValid(t *testing.T) {
	long := strings.Repeat("x", MaxField+1)
	for _, k := range []Key{{}, {Instance: "a", Tenant: "b"}, {Instance: "a", Agent: "b"}, {Tenant: long}, {Agent: long}, {Instance: long}} {
		if k.Valid() == nil {
			t.Errorf("%+v is a key", k)
		}
	}
	for _, w := range []Word{{}, {At: -1, Node: "n"}, {At: maxAt + 1, Node: "n"}, {Node: strings.Repeat("n", MaxNode+1)}, {Node: "n", By: strings.Repeat("b", MaxBy+1)}, {Node: "n", Why: strings.Repeat("w", MaxWhy+1)}} {
		if w.Key = keys[0]; w != (Word{Key: keys[0]}) && w.Valid() == nil || w.Node == "" && w.Valid() == nil {
			t.Errorf("%+v is a word", w)
		}
	}
	for k, want := range map[Key]string{
		keys[0]: `instance "pool"`, keys[2]: `tenant "search"`, keys[4]: `agent "crawler"`, keys[5]: `agent "crawler" of tenant "search"`,
	} {
		if k.String() != want || !strings.HasPrefix(want, k.Kind()) {
			t.Errorf("%q, a %s, want %q", k, k.Kind(), want)
		}
	}
	w := Word{Key: keys[2], At: 1_700_000_000_000, Why: "spends too much"}
	if got := w.Reason(); got != `tenant "search" is frozen by an operator since 2023-11-14 22:13:20 UTC: spends too much` {
		t.Error(got)
	}
}

// TestSigned: a signed word is taken as it is signed, once, and not after a later one.
func TestSigned(t *testing.T) {
	var s Set
	w := Word{Key: Key{Agent: "a"}, Frozen: true, At: 9, Node: "n1", Who: trust.Key{1}, Sig: [64]byte{2}}
	for range 2 {
		if err := s.SaySigned(w); err != nil {
			t.Fatal(err)
		}
	}
	earlier := w
	earlier.At, earlier.Frozen = 8, false
	if err := s.SaySigned(earlier); !errors.Is(err, ErrEarlier) || s.News(&earlier) || s.News(&w) {
		t.Errorf("an earlier word: %v", err)
	}
	earlier.At = 10
	if !s.News(&earlier) {
		t.Error("a later word is no news")
	}
	none := func(*Word) bool { return false }
	if s.Hash(none) != (&Set{}).Hash(nil) || s.Hash(nil) == s.Hash(none) {
		t.Error("hashes of some words")
	}
	w.By = "x"
	if w.Valid() == nil {
		t.Error("a signed word says by whom beside that")
	}
}
