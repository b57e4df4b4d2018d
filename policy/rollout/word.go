package rollout

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/swarmpurse/swarmpurse/policy"
)

// Bounds of a word, in bytes.
const (
	MaxNode = 128
	MaxBy   = 256
	MaxWhy  = 512
)

// maxAt bounds the time of a word, so that a later one can always be said.
const maxAt = 1 << 53

// Guardian is By of what the guard says, and Baked of what nobody had to say: the candidate was tried for its time.
const (
	Guardian = "guard"
	Baked    = "bake"
)

// Key names a revision: its number and the hash of its document.
type Key struct {
	Revision int64
	Hash     [32]byte
}

// KeyOf names a policy.
func KeyOf(p *policy.Policy) Key { return Key{p.Revision(), p.Hash()} }

// Compare orders revisions as policy.Newer does: by number, then by hash.
func (k Key) Compare(o Key) int {
	return cmp.Or(cmp.Compare(k.Revision, o.Revision), bytes.Compare(k.Hash[:], o.Hash[:]))
}

func (k Key) String() string {
	return fmt.Sprintf("%d (%s)", k.Revision, hex.EncodeToString(k.Hash[:4]))
}

// Word says who said something, when and why.
type Word struct {
	At   int64  // Unix ms by the clock of the node that was asked
	Node string // that was asked
	By   string // who asked
	Why  string
}

func (w Word) valid() error {
	switch {
	case w.At < 0 || w.At > maxAt:
		return fmt.Errorf("a word of the time %d", w.At)
	case w.Node == "" || len(w.Node) > MaxNode || len(w.By) > MaxBy || len(w.Why) > MaxWhy:
		return errors.New("a word that does not say who gave it, or more than it may")
	}
	return nil
}

// compare orders words totally.
func (w Word) compare(o Word) int {
	return cmp.Or(cmp.Compare(w.At, o.At), strings.Compare(w.Node, o.Node), strings.Compare(w.By, o.By), strings.Compare(w.Why, o.Why))
}

// Trial says how a revision is tried as a candidate.
type Trial struct {
	Word
	How policy.Rollout
}

func (t Trial) compare(o Trial) int {
	a, b := &t.How, &o.How
	return cmp.Or(t.Word.compare(o.Word), cmp.Compare(a.Canary, b.Canary), strings.Compare(a.By, b.By), slices.Compare(a.Zones, b.Zones),
		cmp.Compare(a.Bake, b.Bake), cmp.Compare(a.Guard.DenyRate, b.Guard.DenyRate), cmp.Compare(a.Guard.P99Wait, b.Guard.P99Wait),
		cmp.Compare(a.Guard.OutputLength, b.Guard.OutputLength), cmp.Compare(a.Guard.Cost, b.Guard.Cost))
}

// Pause says that a candidate is not promoted by itself, or that it may be again.
type Pause struct {
	Word
	On bool
}

func (p Pause) compare(o Pause) int {
	on := func(p Pause) int {
		if p.On {
			return 1
		}
		return 0
	}
	return cmp.Or(p.Word.compare(o.Word), cmp.Compare(on(p), on(o)))
}

// Entry is what was said of one revision. Of what is said once, the first word is kept; of what is said again, the last.
type Entry struct {
	Key
	Trial *Trial // it is tried, or was; the last word on how
	Pause *Pause // the last word
	Whole *Word  // it decides on all calls: applied so, or promoted; the first word
	Back  *Word  // it was rolled back, which holds for ever; the first word
}

// Valid reports what is wrong with an entry; nil if nothing is.
func (e *Entry) Valid() error {
	if e.Revision < 1 {
		return fmt.Errorf("revision %d", e.Revision)
	}
	if e.Trial == nil && e.Whole == nil && e.Back == nil {
		return errors.New("an entry that says nothing")
	}
	var errs []error
	if t := e.Trial; t != nil {
		errs = append(errs, t.Word.valid(), t.How.Valid())
	}
	if e.Pause != nil {
		errs = append(errs, e.Pause.valid())
	}
	if e.Whole != nil {
		errs = append(errs, e.Whole.valid())
	}
	if e.Back != nil {
		errs = append(errs, e.Back.valid())
	}
	return errors.Join(errs...)
}

func pick[T any](a, b *T, compare func(a, b T) int, sign int) *T {
	switch {
	case a == nil:
		return b
	case b == nil || sign*compare(*a, *b) >= 0:
		return a
	}
	return b
}

// join is the least that says what both say.
func join(a, b Entry) Entry {
	const first, last = -1, 1
	return Entry{
		Key: a.Key, Trial: pick(a.Trial, b.Trial, Trial.compare, last), Pause: pick(a.Pause, b.Pause, Pause.compare, last),
		Whole: pick(a.Whole, b.Whole, Word.compare, first), Back: pick(a.Back, b.Back, Word.compare, first),
	}
}

// equal reports that two entries of one revision say the same. What is kept is only ever picked, so pointers may differ.
func (e *Entry) equal(o *Entry) bool {
	return same(e.Trial, o.Trial, Trial.compare) && same(e.Pause, o.Pause, Pause.compare) && same(e.Whole, o.Whole, Word.compare) && same(e.Back, o.Back, Word.compare)
}

func same[T any](a, b *T, compare func(a, b T) int) bool {
	return a == nil && b == nil || a != nil && b != nil && compare(*a, *b) == 0
}

// live reports that it was not rolled back.
func (e *Entry) live() bool { return e.Back == nil }

// Seed is what calls are split by under a revision, so that each chooses other ones.
func (k Key) Seed() uint64 { return binary.BigEndian.Uint64(k.Hash[:8]) }
