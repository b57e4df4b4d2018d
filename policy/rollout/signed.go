package rollout

import (
	"bytes"
	"cmp"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/policy/trust"
)

// Signed is an operator's word on a revision, under his signature. All but Node is signed.
type Signed struct {
	Key
	Kind string // trust.Apply, Try, Promote, Pause, Resume, RollBack
	From Key    // the revision that was in force for him
	At   int64  // Unix ms by his clock, or later than the word that this one follows
	Why  string
	How  policy.Rollout // of Try
	Next []trust.Signer // that the document lists; of Apply and Try
	Who  trust.Key
	Sig  [64]byte
	Node string // that was asked
}

// Signed is the revision as signatures name it.
func (k Key) Signed() trust.Revision { return trust.Revision{Number: k.Revision, Hash: k.Hash} }

// KeyFrom is a revision as signatures name it.
func KeyFrom(r trust.Revision) Key { return Key{r.Number, r.Hash} }

// Statement is what is signed, in the cluster of a charter.
func (w *Signed) Statement(charter string) *trust.Statement {
	return trust.OnRevision(w.Kind, charter, w.At, w.Key.Signed(), w.From.Signed(), w.Why, w.how(), w.Next)
}

// how is what a trial's signature covers of it: each field, in the order in which they came to be.
func (w *Signed) how() []string {
	if w.Kind != trust.Try {
		return nil
	}
	h, n := &w.How, func(v int64) string { return strconv.FormatInt(v, 10) }
	f := append([]string{n(h.Canary), h.By, n(int64(len(h.Zones)))}, h.Zones...)
	return append(f, n(h.Bake.Milliseconds()), n(h.Guard.DenyRate), n(h.Guard.P99Wait), n(h.Guard.OutputLength), n(h.Guard.Cost))
}

// slots are what the words of one key holder on one revision are kept by: one for each.
const (
	slotApply = iota
	slotTry
	slotPromote
	slotPause
	slotBack
	slots
)

func slotOf(kind string) int {
	switch kind {
	case trust.Apply:
		return slotApply
	case trust.Try:
		return slotTry
	case trust.Promote:
		return slotPromote
	case trust.Pause, trust.Resume:
		return slotPause
	case trust.RollBack:
		return slotBack
	}
	return -1
}

// lasting reports that of the words of a slot the last counts; else the first does.
func lasting(slot int) bool { return slot == slotTry || slot == slotPause }

// Valid reports what is wrong with the form of a word; nil if nothing is.
func (w *Signed) Valid() error {
	slot := slotOf(w.Kind)
	switch {
	case slot < 0:
		return fmt.Errorf("a word of the kind %.64q", w.Kind)
	case w.Revision < 1 || w.From.Revision < 0:
		return fmt.Errorf("a word on revision %d, from %d", w.Revision, w.From.Revision)
	case slot <= slotPromote && w.From.Compare(w.Key) >= 0:
		return fmt.Errorf("revision %d cannot follow %d", w.Revision, w.From.Revision)
	case slot > slotTry && len(w.Next) > 0:
		return errors.New("signers in a word on no document")
	case w.Kind != trust.Try && !isZero(&w.How):
		return errors.New("a trial in a word on none")
	}
	if err := (Word{w.At, w.Node, "", w.Why}).valid(); err != nil {
		return err
	}
	if w.Kind == trust.Try {
		if err := w.How.Valid(); err != nil {
			return err
		}
	}
	return validSigners(w.Next)
}

func isZero(r *policy.Rollout) bool {
	return r.Canary == 0 && r.By == "" && r.Zones == nil && r.Bake == 0 && r.Guard == policy.Guard{}
}

func validSigners(list []trust.Signer) error {
	if len(list) > trust.MaxSigners {
		return fmt.Errorf("%d signers, at most %d are allowed", len(list), trust.MaxSigners)
	}
	for i, s := range list {
		if s.Name == "" || len(s.Name) > trust.MaxName || strings.ContainsAny(s.Name, "=\n") || trust.Rank(list, s.Key) != i {
			return fmt.Errorf("a signer of the name %.64q, or one key twice", s.Name)
		}
	}
	return nil
}

// compare orders words totally; 0 is for the same word.
func (w *Signed) compare(o *Signed) int {
	return cmp.Or(w.place(o), cmp.Compare(w.At, o.At), strings.Compare(w.Kind, o.Kind), w.From.Compare(o.From), strings.Compare(w.Why, o.Why),
		slices.Compare(w.how(), o.how()), slices.CompareFunc(w.Next, o.Next, func(a, b trust.Signer) int {
			return cmp.Or(strings.Compare(a.Name, b.Name), bytes.Compare(a.Key[:], b.Key[:]))
		}), strings.Compare(w.Node, o.Node), bytes.Compare(w.Sig[:], o.Sig[:]))
}

// place orders words by where they are kept.
func (w *Signed) place(o *Signed) int {
	return cmp.Or(w.Key.Compare(o.Key), cmp.Compare(slotOf(w.Kind), slotOf(o.Kind)), bytes.Compare(w.Who[:], o.Who[:]))
}

// word is what the rest of the package knows of it, when it was said by the signer name.
func (w *Signed) word(name string) Word { return Word{w.At, w.Node, name + signedBy, w.Why} }

// signedBy follows a signer's name where it is told who said something.
const signedBy = " (signed)"

// words are the words of key holders, by place, at most one for each; of each revision and slot at most trust.MaxSigners, and of the
// MaxEntries highest revisions. Like State they are a join semilattice.
type words []Signed

// merge takes a word over and reports whether it is news.
func (ws *words) merge(w Signed) bool {
	i, known := slices.BinarySearchFunc(*ws, w, func(a, b Signed) int { return a.place(&b) })
	if known {
		c := w.compare(&(*ws)[i])
		if lasting(slotOf(w.Kind)) && c <= 0 || !lasting(slotOf(w.Kind)) && c >= 0 {
			return false
		}
		(*ws)[i] = w
		return true
	}
	*ws = slices.Insert(*ws, i, w)
	of := func(x *Signed) bool { return x.Key == w.Key && slotOf(x.Kind) == slotOf(w.Kind) }
	first := i
	for first > 0 && of(&(*ws)[first-1]) {
		first--
	}
	if last := first + trust.MaxSigners; last < len(*ws) && of(&(*ws)[last]) {
		*ws = slices.Delete(*ws, last, last+1)
		if last == i {
			return false
		}
	}
	if ws.revisions() > MaxEntries {
		lowest := (*ws)[0].Key
		*ws = slices.DeleteFunc(*ws, func(x Signed) bool { return x.Key == lowest })
		return lowest != w.Key
	}
	return true
}

func (ws words) revisions() (n int) {
	for i := range ws {
		if i == 0 || ws[i].Key != ws[i-1].Key {
			n++
		}
	}
	return n
}

// has reports whether the very word is known: it need not be checked again.
func (ws words) has(w *Signed) bool {
	i, known := slices.BinarySearchFunc(ws, *w, func(a, b Signed) int { return a.place(&b) })
	return known && ws[i].compare(w) == 0
}

// on are the words on a revision.
func (ws words) on(k Key) []Signed {
	i, _ := slices.BinarySearchFunc(ws, k, func(w Signed, k Key) int { return w.Key.Compare(k) })
	j := i
	for j < len(ws) && ws[j].Key == k {
		j++
	}
	return ws[i:j]
}
