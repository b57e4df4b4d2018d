package rollout

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"
	"testing"

	"pgregory.net/rapid"

	"github.com/swarmpurse/swarmpurse/policy"
)

var canary = policy.Rollout{Canary: 100_000, By: "agent", Guard: policy.Guard{DenyRate: 50_000, P99Wait: 200_000}}

// few values, so that generated words meet.
func genWord(t *rapid.T) Word {
	return Word{At: rapid.Int64Range(0, 3).Draw(t, "at"), Node: rapid.SampledFrom([]string{"n1", "n2"}).Draw(t, "node"),
		By: rapid.SampledFrom([]string{"a", "b"}).Draw(t, "by")}
}

func genEntry(t *rapid.T) Entry {
	e := Entry{Key: Key{Revision: rapid.Int64Range(1, 4).Draw(t, "revision")}}
	e.Hash[0] = rapid.ByteRange(0, 1).Draw(t, "hash")
	kinds := rapid.IntRange(1, 15).Draw(t, "says")
	if kinds&1 != 0 || kinds == 8 {
		how := canary
		how.Canary = rapid.Int64Range(1, 2).Draw(t, "canary")
		e.Trial = &Trial{genWord(t), how}
	}
	if kinds&2 != 0 {
		w := genWord(t)
		e.Whole = &w
	}
	if kinds&4 != 0 {
		w := genWord(t)
		e.Back = &w
	}
	if kinds&8 != 0 {
		e.Pause = &Pause{genWord(t), rapid.Bool().Draw(t, "on")}
	}
	return e
}

func genEntries(t *rapid.T) []Entry {
	return rapid.SliceOfN(rapid.Custom(genEntry), 0, 6).Draw(t, "entries")
}

func merged(parts ...[]Entry) *State {
	s := &State{}
	for _, p := range parts {
		s.Merge(p)
	}
	return s
}

func always(Key) bool { return true }

// TestMergeLaws: the same words give the same state, whatever the order, the repeats and the way.
func TestMergeLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		a, b, c := genEntries(t), genEntries(t), genEntries(t)
		all := merged(a, b, c)
		for name, s := range map[string]*State{
			"commutative": merged(c, b, a),
			"idempotent":  merged(a, b, c, b, a, c),
			"associative": merged(merged(a, b).Entries(), c),
			"by states":   merged(a, merged(b, c).Entries()),
			"one by one": func() *State {
				s := &State{}
				for _, e := range rapid.Permutation(slices.Concat(a, b, c)).Draw(t, "order") {
					s.Merge([]Entry{e})
				}
				return s
			}(),
		} {
			if !reflect.DeepEqual(s, all) && (len(s.entries) > 0 || len(all.entries) > 0) {
				t.Fatalf("not %s:\n%+v\n%+v", name, s, all)
			}
			if got, want := s.InForce(always), all.InForce(always); got.Stable != want.Stable || got.Candidate != want.Candidate {
				t.Fatalf("%s: in force %+v and %+v", name, got, want)
			}
		}
		// Monotone: what was said is not unsaid, and merging more into less gives all.
		for _, e := range all.Entries() {
			more := merged(all.Entries(), c)
			if m, ok := more.Of(e.Key); !ok || e.Back != nil && m.Back == nil || e.Whole != nil && m.Whole == nil {
				t.Fatalf("%+v became %+v", e, m)
			}
		}
		if news := all.Merge(slices.Concat(a, b, c)); len(news) != 0 {
			t.Fatalf("known words were news: %+v", news)
		}
	})
}

// TestBoundedMerge: the laws hold where entries are dropped.
func TestBoundedMerge(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		var es []Entry
		for i := range MaxEntries + rapid.IntRange(1, 40).Draw(t, "more") {
			w := Word{At: int64(i), Node: "n"}
			es = append(es, Entry{Key: Key{Revision: int64(i + 1)}, Whole: &w})
			if i%3 == 0 {
				es = append(es, Entry{Key: Key{Revision: int64(i + 1)}, Back: &w})
			}
		}
		a, b := merged(rapid.Permutation(es).Draw(t, "one")), merged(rapid.Permutation(es).Draw(t, "other"))
		if !reflect.DeepEqual(a, b) || len(a.entries) != MaxEntries {
			t.Fatalf("%d and %d entries, or other ones", len(a.entries), len(b.entries))
		}
	})
}

// operator does what its node allows, as the node's loop does: on what it knows.
func operator(t *rapid.T, s *State, node string, now int64) []Entry {
	w := Word{At: now, Node: node, By: "op"}
	f := s.InForce(always)
	one := func(e Entry, err error) []Entry {
		if err != nil {
			if !errors.Is(err, ErrRefused) {
				t.Fatalf("not refused, but wrong: %v", err)
			}
			return nil
		}
		return []Entry{e}
	}
	var es []Entry
	switch rapid.IntRange(0, 5).Draw(t, "act") {
	case 0:
		es = one(s.Apply(w, Key{Revision: rapid.Int64Range(1, 9).Draw(t, "revision"), Hash: [32]byte{node[1]}}, nil, f))
	case 1:
		r := canary
		es = one(s.Apply(w, Key{Revision: rapid.Int64Range(1, 9).Draw(t, "revision"), Hash: [32]byte{node[1]}}, &r, f))
	case 2:
		es = one(s.Promote(w, f))
	case 3:
		es = one(s.Pause(w, rapid.Bool().Draw(t, "on"), f))
	default:
		var err error
		if es, err = s.RollBack(w, f, always); err != nil && !errors.Is(err, ErrRefused) {
			t.Fatal(err)
		}
	}
	for _, e := range es {
		if err := e.Valid(); err != nil {
			t.Fatalf("%+v: %v", e, err)
		}
	}
	return es
}

// TestOperatorsApart: operators on two sides of a partition do what they like; after the heal all nodes have one revision in force,
// none that anybody rolled back, and one at all if there was one.
func TestOperatorsApart(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		common := &State{}
		w := Word{Node: "n1"}
		common.Merge([]Entry{{Key: Key{Revision: 1}, Whole: &w}})
		sides := [2]*State{merged(common.Entries()), merged(common.Entries())}
		var said []Entry
		for i := range rapid.IntRange(0, 12).Draw(t, "acts") {
			side := rapid.IntRange(0, 1).Draw(t, "side")
			es := operator(t, sides[side], fmt.Sprint("n", side+1), int64(i))
			sides[side].Merge(es)
			said = append(said, es...)
			// A delivery across, now and then, of any part.
			if len(said) > 0 && rapid.IntRange(0, 3).Draw(t, "leak") == 0 {
				sides[1-side].Merge([]Entry{rapid.SampledFrom(said).Draw(t, "leaked")})
			}
		}
		a, b := merged(sides[0].Entries(), sides[1].Entries()), merged(sides[1].Entries(), sides[0].Entries())
		fa, fb := a.InForce(always), b.InForce(always)
		if !reflect.DeepEqual(a, b) || fa.Stable != fb.Stable || fa.Candidate != fb.Candidate {
			t.Fatalf("after the heal:\n%+v\n%+v", fa, fb)
		}
		if fa.Stable == (Key{}) {
			t.Fatalf("no revision is left: %+v", a)
		}
		for _, e := range said {
			if e.Back != nil && (e.Key == fa.Stable || e.Key == fa.Candidate) {
				t.Fatalf("revision %v was rolled back and is in force", e.Key)
			}
		}
	})
}

func TestLife(t *testing.T) {
	key := func(r int64) Key { return Key{Revision: r} }
	s := &State{}
	now := int64(0)
	say := func(e Entry, err error) error {
		if err == nil {
			s.Merge([]Entry{e})
		}
		now++
		return err
	}
	word := func() Word { return Word{At: now, Node: "n1", By: "op"} }
	force := func() InForce { return s.InForce(always) }
	back := func() error {
		es, err := s.RollBack(word(), force(), always)
		s.Merge(es)
		now++
		return err
	}
	for _, step := range []struct {
		name              string
		do                func() error
		refused           string
		stable, candidate int64
		paused            bool
	}{
		{"nothing to roll back", back, "there is nothing to roll back", 0, 0, false},
		{"the first, though as a canary, is all there is", func() error { return say(s.Apply(word(), key(1), &canary, force())) }, "", 1, 0, false},
		{"it cannot go", back, "no revision below 1", 1, 0, false},
		{"whole", func() error { return say(s.Apply(word(), key(2), nil, force())) }, "", 2, 0, false},
		{"an older one", func() error { return say(s.Apply(word(), key(2), nil, force())) }, "revision 2 is in force", 2, 0, false},
		{"nothing to promote", func() error { return say(s.Promote(word(), force())) }, "there is no candidate", 2, 0, false},
		{"a candidate", func() error { return say(s.Apply(word(), key(3), &canary, force())) }, "", 2, 3, false},
		{"another one", func() error { return say(s.Apply(word(), key(4), &canary, force())) }, "revision 3 is a candidate", 2, 3, false},
		{"paused", func() error { return say(s.Pause(word(), true, force())) }, "", 2, 3, true},
		{"twice", func() error { return say(s.Pause(word(), true, force())) }, "paused already", 2, 3, true},
		{"resumed", func() error { return say(s.Pause(word(), false, force())) }, "", 2, 3, false},
		{"not paused", func() error { return say(s.Pause(word(), false, force())) }, "is not paused", 2, 3, false},
		{"on more calls", func() error {
			r := canary
			r.Canary = 500_000
			return say(s.Apply(word(), key(3), &r, force()))
		}, "", 2, 3, false},
		{"promoted", func() error { return say(s.Promote(word(), force())) }, "", 3, 0, false},
		{"rolled back all the same", back, "", 2, 0, false},
		{"it never returns", func() error { return say(s.Apply(word(), key(3), nil, force())) }, "was rolled back by op at 1970-01-01", 2, 0, false},
		{"a candidate", func() error { return say(s.Apply(word(), key(5), &canary, force())) }, "", 2, 5, false},
		{"that is given up", back, "", 2, 0, false},
		{"and the stable one as well", back, "", 1, 0, false},
		{"a candidate", func() error { return say(s.Apply(word(), key(6), &canary, force())) }, "", 1, 6, false},
		{"whole above it", func() error { return say(s.Apply(word(), key(7), nil, force())) }, "", 7, 0, false},
		{"rolling that back brings no candidate to light", back, "", 1, 0, false},
	} {
		err := step.do()
		if (err == nil) != (step.refused == "") || err != nil && !strings.Contains(err.Error(), step.refused) {
			t.Fatalf("%s: %v", step.name, err)
		}
		f := force()
		if f.Stable.Revision != step.stable || f.Candidate.Revision != step.candidate || (f.Paused != nil) != step.paused {
			t.Fatalf("%s: in force %+v", step.name, f)
		}
	}
}

// TestMissingDocuments: a node goes by what it has, and says what it lacks.
func TestMissingDocuments(t *testing.T) {
	w := Word{Node: "n"}
	s := merged([]Entry{{Key: Key{Revision: 1}, Whole: &w}, {Key: Key{Revision: 2}, Whole: &w}, {Key: Key{Revision: 3}, Trial: &Trial{w, canary}}})
	f := s.InForce(func(k Key) bool { return k.Revision == 1 })
	if f.Stable.Revision != 1 || f.Candidate.Revision != 0 || len(f.Missing) != 2 {
		t.Errorf("%+v", f)
	}
	// A candidate is no stand-in for a stable revision that is not here yet, and is not tried beside an older one.
	if f := s.InForce(func(k Key) bool { return k.Revision == 3 }); f.Stable != (Key{}) || f.Candidate != (Key{}) || len(f.Missing) != 2 {
		t.Errorf("%+v", f)
	}
	if f := s.InForce(func(k Key) bool { return k.Revision != 2 }); f.Stable.Revision != 1 || f.Candidate != (Key{}) || len(f.Missing) != 1 {
		t.Errorf("%+v", f)
	}
	// So nothing is said from there that rests on what is in force.
	lacks := s.InForce(func(k Key) bool { return k.Revision == 1 })
	_, first := s.Apply(w, Key{Revision: 9}, &canary, lacks)
	_, second := s.Apply(w, Key{Revision: 2, Hash: [32]byte{1}}, nil, lacks)
	_, third := s.RollBack(w, lacks, always)
	for _, err := range []error{first, second, third} {
		if !errors.Is(err, ErrRefused) || !strings.Contains(err.Error(), "without its document") {
			t.Errorf("%v", err)
		}
	}
	if _, err := s.Apply(w, Key{Revision: 9}, nil, lacks); err != nil {
		t.Errorf("%v", err)
	}
	if keep := s.Keep(2); len(keep) != 2 || keep[0].Revision != 3 || keep[1].Revision != 2 {
		t.Errorf("keeps %v", keep)
	}
}

// TestTooManyGivenUp: revisions that are given up cannot push the one in force out.
func TestTooManyGivenUp(t *testing.T) {
	w := Word{Node: "n"}
	s := merged([]Entry{{Key: Key{Revision: 1}, Whole: &w}})
	for r := int64(2); ; r++ {
		e, err := s.Apply(w, Key{Revision: r}, &canary, s.InForce(always))
		if err != nil {
			if !strings.Contains(err.Error(), "were given up") || r > MaxEntries/2 {
				t.Fatalf("revision %d: %v", r, err)
			}
			break
		}
		s.Merge([]Entry{e})
		es, _ := s.RollBack(w, s.InForce(always), always)
		s.Merge(es)
	}
	if f := s.InForce(always); f.Stable.Revision != 1 {
		t.Errorf("%+v", f)
	}
}

func genRow(t *rapid.T) Row {
	counts := func(name string) (c Counts) {
		c.Calls, c.Refused = rapid.Int64Range(0, 5).Draw(t, name), rapid.Int64Range(0, 5).Draw(t, name)
		c.Longer[3] = rapid.Int64Range(0, 5).Draw(t, name)
		c.Outputs, c.Dear = rapid.Int64Range(0, 5).Draw(t, name), rapid.Int64Range(0, 5).Draw(t, name)
		return c
	}
	return Row{Life{rapid.SampledFrom([]string{"n1", "n2"}).Draw(t, "node"), rapid.Int64Range(1, 2).Draw(t, "began")}, counts("stable"), counts("candidate")}
}

func TestTallyLaws(t *testing.T) {
	rapid.Check(t, func(t *rapid.T) {
		rows := rapid.SliceOfN(rapid.Custom(genRow), 0, 12).Draw(t, "rows")
		var a, b Tally
		for _, r := range rows {
			a.Merge(r)
		}
		for _, r := range rapid.Permutation(slices.Concat(rows, rows)).Draw(t, "order") {
			b.Merge(r)
		}
		if !slices.Equal(a.Rows(), b.Rows()) {
			t.Fatalf("%+v\n%+v", a, b)
		}
		for _, r := range rows {
			if a.Merge(r) {
				t.Fatalf("known counts were news: %+v", r)
			}
		}
	})
}
