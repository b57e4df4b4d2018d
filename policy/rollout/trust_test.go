package rollout

import (
	"bytes"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/swarmpurse/swarmpurse/policy/trust"
)

const charter = "0123456789abcdef"

// keyring are some people's keys; who stands where in a list of signers is up to each test.
var keyring = func() map[string]trust.Secret {
	m := map[string]trust.Secret{}
	for i, name := range []string{"alice", "bob", "carol", "mallory"} {
		s, err := trust.NewSecret(bytes.NewReader(bytes.Repeat([]byte{byte(i + 1)}, 32)))
		if err != nil {
			panic(err)
		}
		m[name] = s
	}
	return m
}()

func signersOf(names ...string) (list []trust.Signer) {
	for _, n := range names {
		list = append(list, trust.Signer{Name: n, Key: keyring[n].Public()})
	}
	return list
}

func rev(n int64) Key { return Key{Revision: n} }

// signed is a word of somebody.
func signed(who, kind string, of, from Key, at int64, next ...string) Signed {
	w := Signed{Key: of, Kind: kind, From: from, At: at, Who: keyring[who].Public(), Node: "n1"}
	if kind == trust.Apply || kind == trust.Try {
		w.Next = signersOf(next...)
	}
	if kind == trust.Try {
		w.How = canary
	}
	w.Sig = keyring[who].Sign(w.Statement(charter))
	return w
}

// pinned is a node whose trust begins with revision 10, which some people sign for.
func pinned(names ...string) *Watch {
	w := &Watch{}
	w.Begin(Life{Node: "n1"}, 1000)
	w.SetCharter(charter)
	w.Learn([]Entry{{Key: rev(9), Whole: &Word{Node: "n1"}}, {Key: rev(10), Whole: &Word{Node: "n1"}}})
	w.Pin(Anchor{rev(10), Word{Node: "n1"}, signersOf(names...)})
	return w
}

// hears has a node hear of words again and again, as nodes that compare what they know do, until nothing is news.
func (w *Watch) hears(ws []Signed, es []Entry) {
	for {
		_, one, _ := w.LearnSigned(ws)
		_, two, _ := w.Learn(es)
		if one == nil && two == nil {
			return
		}
	}
}

// TestTrust is what counts, case by case. All begin with revision 10, which alice, bob and carol sign for, in this order.
func TestTrust(t *testing.T) {
	back := func(k Key, by string) Entry { return Entry{Key: k, Back: &Word{At: 1, Node: "n2", By: by}} }
	whole := func(k Key) Entry { return Entry{Key: k, Whole: &Word{At: 1, Node: "n2", By: "op"}} }
	for _, test := range []struct {
		name              string
		words             []Signed
		unsigned          []Entry
		stable, candidate int64
		refused           string // some of why a word is refused at first
	}{
		{"nothing was said", nil, nil, 10, 0, ""},
		{"a signed revision", []Signed{signed("alice", trust.Apply, rev(11), rev(10), 1, "alice", "bob")}, nil, 11, 0, ""},
		{"an unsigned revision", nil, []Entry{whole(rev(11))}, 10, 0, "without a signature"},
		{"an unsigned roll back", []Signed{signed("alice", trust.Apply, rev(11), rev(10), 1, "alice", "bob")}, []Entry{back(rev(11), "op")}, 11, 0, "without a signature"},
		{"a roll back in the guard's name of what decides on all calls", []Signed{signed("alice", trust.Apply, rev(11), rev(10), 1, "alice", "bob")}, []Entry{back(rev(11), Guardian)}, 11, 0, "without a signature"},
		{"a roll back of the anchor", nil, []Entry{back(rev(10), "op")}, 10, 0, ""},
		{"of the anchor, signed", []Signed{signed("alice", trust.RollBack, rev(10), rev(10), 1)}, nil, 10, 0, ""},
		{"a stranger's revision", []Signed{signed("mallory", trust.Apply, rev(11), rev(10), 1, "mallory")}, nil, 10, 0, "no list of signers"},
		{"another's signature", []Signed{func() Signed {
			w := signed("mallory", trust.Apply, rev(11), rev(10), 1, "alice")
			w.Who = keyring["alice"].Public()
			return w
		}()}, nil, 10, 0, "not that of its key"},
		{"another document under a signature", []Signed{func() Signed {
			w := signed("alice", trust.Apply, rev(11), rev(10), 1, "alice")
			w.Hash[0]++
			return w
		}()}, nil, 10, 0, "not that of its key"},
		{"other signers under a signature", []Signed{func() Signed {
			w := signed("alice", trust.Apply, rev(11), rev(10), 1, "alice")
			w.Next = append(w.Next, signersOf("mallory")...)
			return w
		}()}, nil, 10, 0, "not that of its key"},
		{"tried otherwise than signed", []Signed{func() Signed {
			w := signed("alice", trust.Try, rev(11), rev(10), 1, "alice")
			w.How.Canary = 1_000_000
			return w
		}()}, nil, 10, 0, "not that of its key"},
		{"a candidate", []Signed{signed("bob", trust.Try, rev(11), rev(10), 1, "alice", "bob")}, nil, 10, 11, ""},
		{"promoted", []Signed{signed("bob", trust.Try, rev(11), rev(10), 1, "alice", "bob"), signed("alice", trust.Promote, rev(11), rev(10), 2)}, nil, 11, 0, ""},
		{"promoted without a trial", []Signed{signed("alice", trust.Promote, rev(11), rev(10), 2)}, nil, 10, 0, ""},
		{"promoted by the trial's time, which nobody signed", []Signed{signed("bob", trust.Try, rev(11), rev(10), 1, "alice", "bob")},
			[]Entry{{Key: rev(11), Whole: &Word{Node: "n2", By: Baked}}}, 10, 11, "without a signature"},
		{"a candidate that the guard rolls back", []Signed{signed("bob", trust.Try, rev(11), rev(10), 1, "alice", "bob")}, []Entry{back(rev(11), Guardian)}, 10, 0, ""},
		{"promoted all the same", []Signed{signed("bob", trust.Try, rev(11), rev(10), 1, "alice", "bob"), signed("alice", trust.Promote, rev(11), rev(10), 2)},
			[]Entry{back(rev(11), Guardian)}, 11, 0, ""},
		{"a candidate that an operator rolls back", []Signed{signed("bob", trust.Try, rev(11), rev(10), 1, "alice", "bob"), signed("carol", trust.RollBack, rev(11), rev(10), 2)}, nil, 10, 0, ""},
		{"rolled back", []Signed{signed("bob", trust.Apply, rev(11), rev(10), 1, "alice", "bob"), signed("alice", trust.RollBack, rev(11), rev(11), 2)}, nil, 10, 0, ""},
		{"rolled back by who was put out", []Signed{signed("bob", trust.Apply, rev(11), rev(10), 1, "alice", "bob"), signed("carol", trust.RollBack, rev(11), rev(11), 2)}, nil, 11, 0, ""},
		{"rolled back by who came with it", []Signed{signed("bob", trust.Apply, rev(11), rev(10), 1, "mallory", "bob"), signed("mallory", trust.RollBack, rev(11), rev(11), 2)}, nil, 11, 0, ""},
		{"who signs leaves the list", []Signed{signed("bob", trust.Apply, rev(11), rev(10), 1, "alice")}, nil, 10, 0, ""},
		{"the new list signs", []Signed{signed("bob", trust.Apply, rev(11), rev(10), 1, "mallory", "bob"), signed("mallory", trust.Apply, rev(12), rev(11), 2, "mallory")}, nil, 12, 0, ""},
		{"and not once it was rolled back", []Signed{
			signed("bob", trust.Apply, rev(11), rev(10), 1, "mallory", "bob"), signed("mallory", trust.Apply, rev(12), rev(11), 2, "mallory"),
			signed("bob", trust.RollBack, rev(11), rev(11), 3),
		}, nil, 10, 0, ""},
		{"who was put out goes on", []Signed{signed("bob", trust.Apply, rev(11), rev(10), 1, "alice", "bob"), signed("carol", trust.Apply, rev(12), rev(10), 2, "carol")}, nil, 11, 0, ""},
		{"who was put out says that it was before", []Signed{signed("bob", trust.Apply, rev(13), rev(10), 5, "alice", "bob"), signed("carol", trust.Apply, rev(12), rev(10), 0, "carol")}, nil, 13, 0, ""},
		{"and goes on from there", []Signed{
			signed("bob", trust.Apply, rev(13), rev(10), 5, "alice", "bob"), signed("carol", trust.Apply, rev(11), rev(10), 0, "carol"),
			signed("carol", trust.Apply, rev(12), rev(11), 0, "carol", "mallory"), signed("mallory", trust.Apply, rev(99), rev(12), 0, "mallory"),
		}, nil, 13, 0, ""},
		{"who comes before on the list takes it back", []Signed{
			signed("carol", trust.Apply, rev(11), rev(10), 1, "carol"), signed("carol", trust.Apply, rev(12), rev(11), 2, "carol"), signed("bob", trust.Apply, rev(13), rev(10), 3, "alice", "bob"),
		}, nil, 13, 0, ""},
		{"two at once: the higher, if its signer is on the other's list", []Signed{
			signed("alice", trust.Apply, rev(11), rev(10), 1, "alice", "carol"), signed("carol", trust.Apply, rev(12), rev(10), 1, "alice", "carol"),
		}, nil, 12, 0, ""},
		{"signatures are given up", []Signed{signed("alice", trust.Apply, rev(11), rev(10), 1)}, []Entry{whole(rev(12))}, 12, 0, ""},
		{"a candidate that was hidden does not come to light", []Signed{
			signed("bob", trust.Try, rev(11), rev(10), 1, "alice", "bob"), signed("bob", trust.Apply, rev(12), rev(10), 1, "alice", "bob"), signed("alice", trust.RollBack, rev(12), rev(12), 2),
		}, nil, 10, 0, ""},
	} {
		w := pinned("alice", "bob", "carol")
		_, _, no := w.LearnSigned(test.words)
		_, _, more := w.Learn(test.unsigned)
		why := ""
		for _, r := range append(no, more...) {
			why += r.What + "\n"
		}
		w.hears(test.words, test.unsigned)
		f := w.State.InForce(always)
		if f.Stable.Revision != test.stable || f.Candidate.Revision != test.candidate || !strings.Contains(why, test.refused) || (why == "") != (test.refused == "") {
			t.Errorf("%s: %d is in force and %d is tried; want %d and %d; refused %q, want %q", test.name, f.Stable.Revision, f.Candidate.Revision, test.stable, test.candidate, why, test.refused)
		}
	}
}

// genSigned is a word of somebody on one of few revisions, so that words meet.
func genSigned(t *rapid.T, people []string) Signed {
	key := func(name string, lowest int64) Key {
		k := rev(rapid.Int64Range(lowest, 14).Draw(t, name))
		if k.Revision > 10 {
			k.Hash[0] = rapid.ByteRange(0, 1).Draw(t, name+" hash")
		}
		return k
	}
	of := key("of", 11)
	from := key("from", 10)
	kind := rapid.SampledFrom([]string{trust.Apply, trust.Apply, trust.Apply, trust.Try, trust.Promote, trust.Pause, trust.Resume, trust.RollBack}).Draw(t, "kind")
	if from.Compare(of) >= 0 && slotOf(kind) <= slotPromote {
		from = rev(10)
	}
	who := rapid.SampledFrom(people).Draw(t, "who")
	next := rapid.Permutation([]string{"alice", "bob", "carol", "mallory"}).Draw(t, "next")[:rapid.IntRange(1, 3).Draw(t, "signers")]
	return signed(who, kind, of, from, rapid.Int64Range(0, 2).Draw(t, "at"), next...)
}

// TestTrustConverges: nodes that hear the same words, in any order, with those between that no signer said, come to the same.
func TestTrustConverges(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		everybody := []string{"alice", "bob", "carol", "mallory"}
		ws := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Signed { return genSigned(t, everybody) }), 0, 10).Draw(t, "words")
		es := genEntries(t)
		for i := range es {
			es[i].Revision += 9
			if b := es[i].Back; b != nil && rapid.Bool().Draw(t, "guard") {
				b.By = Guardian
			}
		}
		one, two := pinned("alice", "bob", "carol"), pinned("alice", "bob", "carol")
		one.hears(ws, es)
		for _, w := range rapid.Permutation(ws).Draw(t, "order") {
			two.LearnSigned([]Signed{w})
			if rapid.Bool().Draw(t, "between") {
				two.Learn(es)
			}
		}
		two.hears(ws, es)
		// What each of them knows is all that the other needs.
		one.hears(two.Words(), two.Unsigned())
		two.hears(one.Words(), one.Unsigned())
		if !reflect.DeepEqual(one.Words(), two.Words()) || !reflect.DeepEqual(one.State, two.State) {
			t.Fatalf("of\n%+v\n%+v\nthe one knows\n%+v\nthe other\n%+v", ws, es, one.State, two.State)
		}
		for _, e := range one.State.Entries() {
			if err := e.Valid(); err != nil {
				t.Fatalf("%+v: %v", e, err)
			}
		}
		// And so does one that is started again.
		three := &Watch{}
		three.SetCharter(charter)
		three.Learn(one.Unsigned())
		three.Restore(one.Anchor(), one.Words())
		if !reflect.DeepEqual(one.State, three.State) {
			t.Fatalf("started again:\n%+v\n%+v", one.State, three.State)
		}
	})
}

// TestStrangersChangeNothing: whatever is said by who has no key of the list, what counts is what it was.
func TestStrangersChangeNothing(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		honest := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Signed {
			w := genSigned(t, []string{"alice", "bob"})
			for i := range w.Next { // none of them puts the stranger on a list
				if w.Next[i].Name == "mallory" {
					w.Next = slices.Delete(w.Next, i, i+1)
					if len(w.Next) == 0 {
						w.Next = signersOf("alice")
					}
					return signed(nameOf(w.Who), w.Kind, w.Key, w.From, w.At, namesOf(w.Next)...)
				}
			}
			return w
		}), 0, 6).Draw(t, "words")
		lies := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Signed {
			w := genSigned(t, []string{"mallory"})
			if rapid.Bool().Draw(t, "in another's name") {
				w.Who = keyring["alice"].Public()
			}
			return w
		}), 0, 6).Draw(t, "lies")
		es := genEntries(t)
		for i := range es {
			es[i].Revision += 9
		}
		with, without := pinned("alice", "bob"), pinned("alice", "bob")
		without.hears(honest, nil)
		with.hears(lies, es)
		with.hears(honest, es)
		with.hears(append(slices.Clone(lies), honest...), es)
		if len(with.Signers()) == 0 {
			t.Fatal("nobody signs")
		}
		if !reflect.DeepEqual(with.State, without.State) {
			t.Fatalf("lies\n%+v\n%+v\nhave made\n%+v\nof\n%+v", lies, es, with.State, without.State)
		}
	})
}

func nameOf(k trust.Key) string {
	for name, s := range keyring {
		if s.Public() == k {
			return name
		}
	}
	return ""
}

func namesOf(list []trust.Signer) (names []string) {
	for _, s := range list {
		names = append(names, s.Name)
	}
	return names
}

// TestThiefIsPutOut: a key that was stolen changes nothing any more once one who comes before it on the list has taken it off, whatever
// its thief signs, and says when he did.
func TestThiefIsPutOut(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		put := signed("bob", trust.Apply, rev(rapid.Int64Range(11, 14).Draw(t, "revision")), rev(10), 1, "alice", "bob")
		put.Hash[0] = 7
		put.Sig = keyring["bob"].Sign(put.Statement(charter))
		thief := rapid.SliceOfN(rapid.Custom(func(t *rapid.T) Signed {
			w := genSigned(t, []string{"carol", "mallory"})
			if rapid.Bool().Draw(t, "about it") {
				kind := rapid.SampledFrom([]string{trust.RollBack, trust.Pause, trust.Promote}).Draw(t, "act")
				w = signed(nameOf(w.Who), kind, put.Key, rev(10), 0)
			}
			return w
		}), 0, 8).Draw(t, "thief")
		w := pinned("alice", "bob", "carol")
		w.hears(thief, nil)
		w.hears(append([]Signed{put}, thief...), nil)
		if f := w.State.InForce(always); f.Stable != put.Key || f.Candidate != (Key{}) {
			t.Fatalf("%v is in force and %v is tried, not %v, of\n%+v", f.Stable, f.Candidate, put.Key, thief)
		}
	})
}

// TestSignersApart: operators on two sides of a cut do what their nodes let them; after the heal all nodes have one revision, and none that
// anybody rolled back who might.
func TestSignersApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		sides := [2]*Watch{pinned("alice", "bob", "carol"), pinned("alice", "bob", "carol")}
		var said []Signed
		for i := range rapid.IntRange(0, 10).Draw(t, "acts") {
			side := rapid.IntRange(0, 1).Draw(t, "side")
			w := sides[side]
			f := w.State.InForce(always)
			who := rapid.SampledFrom([]string{"alice", "bob", "carol"}).Draw(t, "who")
			of := Key{Revision: rapid.Int64Range(11, 16).Draw(t, "revision"), Hash: [32]byte{byte(side)}}
			kind := rapid.SampledFrom([]string{trust.Apply, trust.Try, trust.Promote, trust.RollBack}).Draw(t, "kind")
			if kind == trust.Promote || kind == trust.RollBack && f.Candidate != (Key{}) {
				of = f.Candidate
			} else if kind == trust.RollBack {
				of = f.Stable
			} else if of.Compare(f.Stable) <= 0 {
				continue
			}
			if of == (Key{}) {
				continue
			}
			x := signed(who, kind, of, f.Stable, int64(i), rapid.Permutation([]string{"alice", "bob", "carol"}).Draw(t, "next")[:2]...)
			if err := w.Counts(x); err != nil {
				continue
			}
			w.LearnSigned([]Signed{x})
			if g := w.State.InForce(always); kind == trust.Apply && g.Stable != of || kind == trust.RollBack && (g.Stable == of || g.Candidate == of) {
				t.Fatalf("%s of %v came to %+v", kind, of, g)
			}
			said = append(said, x)
			if rapid.IntRange(0, 3).Draw(t, "leak") == 0 {
				sides[1-side].LearnSigned([]Signed{rapid.SampledFrom(said).Draw(t, "leaked")})
			}
		}
		sides[0].hears(sides[1].Words(), nil)
		sides[1].hears(sides[0].Words(), nil)
		a, b := sides[0].State.InForce(always), sides[1].State.InForce(always)
		if a.Stable != b.Stable || a.Candidate != b.Candidate || a.Stable == (Key{}) || len(sides[0].Signers()) == 0 {
			t.Fatalf("after the heal %+v and %+v", a, b)
		}
	})
}

// TestLongChain: what is long ago is settled, and the rest counts as before.
func TestLongChain(t *testing.T) {
	w := pinned("alice", "bob")
	last := rev(10)
	for i := range int64(3 * maxChain) {
		who := []string{"alice", "bob"}[i%2]
		x := signed(who, trust.Apply, rev(11+i), last, i, "alice", "bob")
		if err := w.Counts(x); err != nil {
			t.Fatal(err)
		}
		w.LearnSigned([]Signed{x})
		last = x.Key
		if f := w.State.InForce(always); f.Stable != last {
			t.Fatalf("revision %d: %v is in force", x.Revision, f.Stable)
		}
	}
	if len(w.Words()) > maxChain || w.Anchor().Revision < 10+2*maxChain {
		t.Errorf("%d words above revision %d", len(w.Words()), w.Anchor().Revision)
	}
	if e, ok := w.State.Of(rev(20)); !ok || e.Whole == nil {
		t.Errorf("the history has lost revision 20")
	}
	if err := w.Counts(signed("alice", trust.RollBack, w.Anchor().Key, last, 1)); err == nil || !strings.Contains(err.Error(), "settled") {
		t.Errorf("a settled revision is rolled back: %v", err)
	}
}

// TestWordsAreBounded: who signs cannot have more kept than there is room for.
func TestWordsAreBounded(t *testing.T) {
	var ws words
	for i := range 2 * MaxEntries {
		ws.merge(signed("alice", trust.Try, rev(int64(11+i)), rev(10), 1, "alice"))
	}
	if ws.revisions() != MaxEntries || ws[0].Revision != 11+MaxEntries {
		t.Errorf("%d revisions, from %d on", ws.revisions(), ws[0].Revision)
	}
	for i := range 2 * trust.MaxSigners {
		x := signed("alice", trust.Try, rev(1000), rev(10), 1, "alice")
		x.Who[0] = byte(i)
		ws.merge(x)
	}
	if n := len(ws.on(rev(1000))); n != trust.MaxSigners {
		t.Errorf("%d words of one kind on one revision", n)
	}
}

// TestCountsSaysWhy: what an operator is told whose word would not count.
func TestCountsSaysWhy(t *testing.T) {
	w := pinned("alice", "bob")
	w.LearnSigned([]Signed{signed("alice", trust.Apply, rev(11), rev(10), 1, "alice", "carol")})
	for _, test := range []struct {
		word Signed
		want string
	}{
		{signed("alice", trust.Apply, rev(12), rev(11), 2, "alice"), ""},
		{signed("alice", trust.Apply, rev(12), rev(11), 2, "carol"), "leaves alice, who signs it, off trust.signers"},
		{signed("mallory", trust.Apply, rev(12), rev(11), 2, "mallory"), "on no list of signers"},
		{signed("bob", trust.Apply, rev(12), rev(11), 2, "bob"), "the word of bob does not count here"},
		{signed("carol", trust.RollBack, rev(11), rev(11), 2), "carol is not on the list of signers of revision 11 and on that of the one before it"},
		{signed("alice", trust.RollBack, rev(11), rev(11), 2), ""},
		{signed("alice", trust.RollBack, rev(10), rev(11), 2), "settled"},
	} {
		err := w.Counts(test.word)
		if (err == nil) != (test.want == "") || err != nil && !strings.Contains(err.Error(), test.want) {
			t.Errorf("%s of %d: %v, want %q", test.word.Kind, test.word.Revision, err, test.want)
		}
	}
	if n := len(w.Words()); n != 1 {
		t.Errorf("asking has changed what is known: %s", fmt.Sprint(n))
	}
}

// BenchmarkLearnSigned is what a word costs that is news, with a chain of many before it, and one that is known.
func BenchmarkLearnSigned(b *testing.B) {
	w := pinned("alice", "bob")
	last := rev(10)
	var xs []Signed
	for i := range int64(keepChain) {
		x := signed("alice", trust.Apply, rev(11+i), last, i, "alice", "bob")
		xs, last = append(xs, x), x.Key
		w.LearnSigned([]Signed{x})
	}
	b.Run("known", func(b *testing.B) {
		for b.Loop() {
			if _, news, _ := w.LearnSigned(xs); news != nil {
				b.Fatal("news")
			}
		}
	})
	b.Run("news", func(b *testing.B) {
		x := signed("bob", trust.Pause, last, last, 0)
		for at := int64(1); b.Loop(); at++ {
			b.StopTimer()
			x.At = at
			x.Sig = keyring["bob"].Sign(x.Statement(charter))
			b.StartTimer()
			if _, news, no := w.LearnSigned([]Signed{x}); len(news) != 1 {
				b.Fatal(no)
			}
		}
	})
}
