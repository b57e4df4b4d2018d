package rollout

import (
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/swarmpurse/swarmpurse/policy"
)

const (
	// MaxEntries bounds a State: the revisions of the highest numbers are kept.
	MaxEntries = 256
	// maxAbove is how many revisions may have been given up above the one in force until a node takes no further candidate.
	// Below half of MaxEntries, so that two sides of a partition that do their most cannot push it out.
	maxAbove = MaxEntries/2 - 8
)

// ErrRefused is wrapped by all that a State does not take from an operator.
var ErrRefused = errors.New("refused")

// State is what was said of each revision. It is a join semilattice under Merge: entries join by themselves (a roll back wins over
// a promotion, whichever came first), and of all of them the MaxEntries of the highest numbers are kept. (Keeping the highest of
// a total order loses nothing that a further merge needs: what is among the highest of all is among the highest of each part.)
// A State has one owner. The zero value is empty.
type State struct {
	entries []Entry // by key, rising
}

// Entries are all entries, by key, rising. The caller must not change them.
func (s *State) Entries() []Entry { return s.entries }

// Of is what was said of a revision.
func (s *State) Of(k Key) (Entry, bool) {
	if i, ok := s.find(k); ok {
		return s.entries[i], true
	}
	return Entry{Key: k}, false
}

func (s *State) find(k Key) (int, bool) {
	return slices.BinarySearchFunc(s.entries, k, func(e Entry, k Key) int { return e.Compare(k) })
}

// Merge takes over what is said there and not known here, and returns the entries that have changed. Entries must be valid.
func (s *State) Merge(es []Entry) (news []Entry) {
	for _, e := range es {
		i, known := s.find(e.Key)
		if !known {
			if len(s.entries) == MaxEntries {
				if i == 0 {
					continue
				}
				s.entries = slices.Delete(s.entries, 0, 1)
				i--
			}
			s.entries = slices.Insert(s.entries, i, e)
			news = append(news, e)
			continue
		}
		if j := join(s.entries[i], e); !j.equal(&s.entries[i]) {
			s.entries[i] = j
			news = append(news, j)
		}
	}
	return news
}

// InForce is what the revisions come to at a node that has the documents for which has holds.
type InForce struct {
	Stable    Key // of all calls; the zero Key: nothing was ever applied
	Candidate Key // of some; the zero Key: of none
	Trial     *Trial
	Paused    *Pause
	// Since is from when on the bake time counts.
	Since int64
	// Missing are revisions that would be in force, if their documents were here.
	Missing []Key
}

// InForce looks it up. The stable revision is the highest that decides on all calls and was not rolled back; where there is none
// yet, the highest candidate, since there is nothing to compare it with. The candidate is the highest one above.
func (s *State) InForce(has func(Key) bool) (f InForce) {
	for i := len(s.entries) - 1; i >= 0; i-- {
		e := &s.entries[i]
		if !e.live() || e.Whole == nil {
			continue
		}
		if !has(e.Key) {
			f.Missing = append(f.Missing, e.Key)
			continue
		}
		f.Stable = e.Key
		break
	}
	waits := len(f.Missing) > 0 // for the stable revision: until it is here, nothing is tried
	for i := len(s.entries) - 1; i >= 0; i-- {
		e := &s.entries[i]
		if e.Compare(f.Stable) <= 0 {
			break
		}
		if !e.live() || e.Whole != nil || e.Trial == nil {
			continue
		}
		if !has(e.Key) {
			f.Missing = append(f.Missing, e.Key)
			return f // an older one would be tried meanwhile that nobody else tries
		}
		if waits {
			return f
		}
		if f.Stable == (Key{}) {
			f.Stable = e.Key
			return f
		}
		f.Candidate, f.Trial = e.Key, e.Trial
		f.Since = e.Trial.At
		if p := e.Pause; p != nil {
			f.Since = max(f.Since, p.At)
			if p.On {
				f.Paused = p
			}
		}
		return f
	}
	return f
}

// next is the time of a word that comes after those of an entry, whatever the clocks say.
func (e *Entry) next(w Word) Word {
	w.At = max(0, w.At)
	if e.Trial != nil {
		w.At = max(w.At, e.Trial.At+1)
	}
	if e.Pause != nil {
		w.At = max(w.At, e.Pause.At+1)
	}
	return w
}

func refused(format string, args ...any) error {
	return fmt.Errorf("%w: %s", ErrRefused, fmt.Sprintf(format, args...))
}

// Apply is the word that a revision decides on all calls (r is nil), or is tried. It changes nothing by itself: Merge does. force
// is what the node has in force.
func (s *State) Apply(w Word, k Key, r *policy.Rollout, force InForce) (Entry, error) {
	old, _ := s.Of(k)
	e := Entry{Key: k}
	if b := old.Back; b != nil {
		return e, refused("revision %d was rolled back by %s at %s: give the document a higher revision", k.Revision, b.By, at(b.At))
	}
	if k.Compare(force.Stable) <= 0 {
		return e, refused("revision %d is in force, and the document says %d: it must be higher", force.Stable.Revision, k.Revision)
	}
	if force.Candidate != (Key{}) && k != force.Candidate && (r != nil || k.Compare(force.Candidate) < 0) {
		return e, refused("revision %d is a candidate: promote it or roll it back first (swarmpurse policy promote, swarmpurse policy rollback)", force.Candidate.Revision)
	}
	for _, m := range force.Missing {
		if m != k && (r != nil || k.Compare(m) < 0) {
			return e, force.missing()
		}
	}
	if r == nil || force.Stable == (Key{}) {
		e.Whole = &w // the first has nothing to be compared with
		return e, w.valid()
	}
	above := 0
	for i := range s.entries {
		if s.entries[i].Compare(force.Stable) > 0 {
			above++
		}
	}
	if above >= maxAbove {
		return e, refused("%d revisions above %d were given up: apply one without a canary first", above, force.Stable.Revision)
	}
	w = old.next(w)
	e.Trial = &Trial{w, *r}
	return e, errors.Join(w.valid(), r.Valid())
}

// missing says that the node is not up to date.
func (f *InForce) missing() error {
	return refused("revision %d is known at this node without its document: ask another node, or try again in some seconds", f.Missing[0].Revision)
}

// candidate checks that k, or any if it is the zero Key, is the candidate.
func (f *InForce) candidate(k Key) error {
	switch {
	case f.Candidate == (Key{}):
		return refused("there is no candidate: begin with swarmpurse policy apply --canary 10%% FILE")
	case k != (Key{}) && k != f.Candidate:
		return refused("revision %d is the candidate, not %d", f.Candidate.Revision, k.Revision)
	}
	return nil
}

// Promote is the word that the candidate decides on all calls.
func (s *State) Promote(w Word, force InForce) (Entry, error) {
	if err := force.candidate(Key{}); err != nil {
		return Entry{}, err
	}
	return Entry{Key: force.Candidate, Whole: &w}, w.valid()
}

// Pause is the word that the candidate is not promoted by itself; on false: that it may be, when it has baked once more.
func (s *State) Pause(w Word, on bool, force InForce) (Entry, error) {
	if err := force.candidate(Key{}); err != nil {
		return Entry{}, err
	}
	old, _ := s.Of(force.Candidate)
	if was := force.Paused != nil; was == on {
		if on {
			return Entry{}, refused("revision %d is paused already", force.Candidate.Revision)
		}
		return Entry{}, refused("revision %d is not paused", force.Candidate.Revision)
	}
	w = old.next(w)
	// Trial goes with it, so that the entry says something where nothing else of the revision is known yet.
	return Entry{Key: force.Candidate, Trial: old.Trial, Pause: &Pause{w, on}}, w.valid()
}

// RollBack is the word that the candidate is given up, or, without one, the stable revision: then the one below it is in force
// again, which has must hold for.
func (s *State) RollBack(w Word, force InForce, has func(Key) bool) ([]Entry, error) {
	k := force.Candidate
	if k == (Key{}) {
		k = force.Stable
	}
	if k == force.Stable && len(force.Missing) > 0 {
		return nil, force.missing()
	}
	if k == (Key{}) {
		return nil, refused("no policy was applied yet: there is nothing to roll back")
	}
	below := InForce{}
	if k == force.Candidate {
		below = force
	} else {
		without := func(drop func(e Entry) bool) InForce {
			rest := State{slices.DeleteFunc(slices.Clone(s.entries), drop)}
			return rest.InForce(has)
		}
		if below = without(func(e Entry) bool { return e.Key == k || e.Whole == nil }); below.Stable == (Key{}) {
			below = without(func(e Entry) bool { return e.Compare(k) >= 0 }) // none was ever applied but as a candidate
		}
		if below.Stable == (Key{}) {
			return nil, refused("no revision below %d is known here with its document: apply another document under a higher revision", k.Revision)
		}
	}
	if err := w.valid(); err != nil {
		return nil, err
	}
	es := []Entry{{Key: k, Back: &w}}
	// Candidates that were hidden by it must not come to light.
	for _, e := range s.entries {
		if e.Key != k && e.Compare(k) < 0 && e.Compare(below.Stable) > 0 && e.live() && e.Whole == nil {
			w := w
			w.Why = fmt.Sprintf("revision %d came after it", k.Revision)
			es = append(es, Entry{Key: e.Key, Back: &w})
		}
	}
	return es, nil
}

// Keep lists the revisions whose documents a node should keep: those in force, and those that a roll back could bring back.
func (s *State) Keep(most int) (list []Key) {
	candidates := 0
	for i := len(s.entries) - 1; i >= 0 && len(list) < most; i-- {
		switch e := &s.entries[i]; {
		case !e.live():
		case e.Whole != nil:
			list = append(list, e.Key)
		case candidates == 0:
			candidates++
			list = append(list, e.Key)
		}
	}
	return list
}

func at(ms int64) string { return time.UnixMilli(ms).UTC().Format("2006-01-02 15:04:05 UTC") }
