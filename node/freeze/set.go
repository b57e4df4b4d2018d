package freeze

import (
	"crypto/sha256"
	"encoding/binary"
	"errors"
	"fmt"
	"maps"
	"slices"
	"time"
)

const (
	// MaxFrozen is how many keys may be frozen until further ones are refused at the node that is asked.
	MaxFrozen = 512
	// MaxWords bounds the words of a Set, those that something is not frozen any more included: they must be kept, or an older
	// word of a node that was away would freeze it again.
	MaxWords = 2 * MaxFrozen
)

// ErrFull says that too much is frozen.
var ErrFull = errors.New("too much is frozen")

// Set is the last word of each key. Sets merge as words do that come alone: in any order, any number of times, by any way
// (semilattice), as long as there are no more than MaxWords. Beyond that the oldest words of what is not frozen are forgotten:
// then an older word may freeze again what was unfrozen, which an operator sees and can end, and never the other way round.
// (Only if more than MaxWords keys are frozen, which takes many nodes that are asked while they do not hear of each other,
// are the oldest of those forgotten.) A Set has one owner. The zero value is empty.
type Set struct{ words map[Key]Word }

// Merge takes words over that are later than those known, and returns these, each once, by key.
func (s *Set) Merge(ws []Word) (news []Word) {
	if s.words == nil {
		s.words = map[Key]Word{}
	}
	fresh := map[Key]bool{}
	for _, w := range ws {
		if old, known := s.words[w.Key]; !known || w.later(old) {
			s.words[w.Key] = w
			fresh[w.Key] = true
		}
	}
	if len(fresh) == 0 {
		return nil
	}
	for len(s.words) > MaxWords {
		s.forget()
	}
	for k := range fresh {
		if w, kept := s.words[k]; kept {
			news = append(news, w)
		}
	}
	slices.SortFunc(news, func(a, b Word) int { return a.compare(b.Key) })
	return news
}

// forget drops the word that is missed least.
func (s *Set) forget() {
	var least Word
	for _, w := range s.words {
		older := w.Frozen == least.Frozen && (least.later(w) || !w.later(least) && w.compare(least.Key) < 0)
		if least.Key == (Key{}) || !w.Frozen && least.Frozen || older {
			least = w
		}
	}
	delete(s.words, least.Key)
}

// Say makes the word of an operator that a key is frozen or not from now on, and takes it over. It is later than the word
// known of that key, whatever the clocks say: who unfreezes what he sees frozen has his will.
func (s *Set) Say(now int64, node string, k Key, frozen bool, by, why string) (Word, error) {
	w := Word{Key: k, Frozen: frozen, At: max(0, now), Node: node, By: by, Why: why}
	if old, known := s.words[k]; known {
		w.At = max(w.At, old.At+1)
	}
	return w, s.SaySigned(w)
}

// ErrEarlier says that something later was said of a key.
var ErrEarlier = errors.New("something later was said of it")

// SaySigned takes the word of an operator over whose time he has set himself, as it is signed.
func (s *Set) SaySigned(w Word) error {
	if err := w.Valid(); err != nil {
		return err
	}
	old, known := s.words[w.Key]
	switch {
	case known && old == w:
		return nil
	case known && !w.later(old):
		return fmt.Errorf("%w, at %s", ErrEarlier, time.UnixMilli(old.At).UTC().Format("2006-01-02 15:04:05.000 UTC"))
	case w.Frozen && !old.Frozen && s.count() >= MaxFrozen:
		return fmt.Errorf("%w: %d instances, tenants and agents are: unfreeze some first", ErrFull, s.count())
	}
	s.Merge([]Word{w})
	return nil
}

// News reports whether a word is later than what is known.
func (s *Set) News(w *Word) bool {
	old, known := s.words[w.Key]
	return !known || w.later(old)
}

// Words are all words, by key.
func (s *Set) Words() []Word {
	return slices.SortedFunc(maps.Values(s.words), func(a, b Word) int { return a.compare(b.Key) })
}

// Frozen are the words of what is frozen, by key.
func (s *Set) Frozen() []Word {
	return slices.DeleteFunc(s.Words(), func(w Word) bool { return !w.Frozen })
}

func (s *Set) count() (n int) {
	for _, w := range s.words {
		if w.Frozen {
			n++
		}
	}
	return n
}

// Of is the last word of a key; false if there is none.
func (s *Set) Of(k Key) (Word, bool) {
	w, ok := s.words[k]
	return w, ok
}

// Hash tells sets apart, by the words that keep holds for; nil for all.
func (s *Set) Hash(keep func(*Word) bool) (sum [32]byte) {
	h := sha256.New()
	var n [8]byte
	number := func(v uint64) {
		binary.BigEndian.PutUint64(n[:], v)
		h.Write(n[:])
	}
	for _, w := range s.Words() {
		if keep != nil && !keep(&w) {
			continue
		}
		h.Write(w.Who[:])
		h.Write(w.Sig[:])
		for _, f := range []string{w.Instance, w.Tenant, w.Agent, w.Node, w.By, w.Why} {
			number(uint64(len(f)))
			h.Write([]byte(f))
		}
		number(uint64(w.At) << 1)
		if w.Frozen {
			number(1)
		}
	}
	return [32]byte(h.Sum(nil))
}
