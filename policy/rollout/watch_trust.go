package rollout

import (
	"fmt"
	"slices"

	"github.com/swarmpurse/swarmpurse/policy/trust"
)

// SetCharter says which cluster signatures are for. Words are only taken by signature once it is known.
func (w *Watch) SetCharter(id string) { w.trust.charter = id }

// Anchor is where trust begins for this node; nil while words need no signature.
func (w *Watch) Anchor() *Anchor { return w.trust.anchor }

// Signers are those who may say something of the revision that comes next; nil if nobody need sign.
func (w *Watch) Signers() []trust.Signer {
	if len(w.trust.chain) == 0 {
		return nil
	}
	return w.trust.chain[len(w.trust.chain)-1].signers
}

// Pin has words be judged by signatures from a revision on. It is of no use if that is below the present anchor.
func (w *Watch) Pin(a Anchor) []Said {
	t := &w.trust
	if t.anchor != nil && a.Compare(t.anchor.Key) <= 0 {
		return nil
	}
	t.raw = State{} // nothing above it has a signature
	t.moveTo(a, &w.State)
	return w.rejudge()
}

// Restore takes up what was durable, beside the entries without signatures, which State has: the anchor, nil if there is none, and words.
// They are not checked again.
func (w *Watch) Restore(a *Anchor, ws []Signed) {
	if a == nil {
		return
	}
	w.trust.anchor, w.trust.raw = a, State{w.State.entries}
	for i := range ws {
		w.trust.words.merge(ws[i])
	}
	w.rejudge()
}

// Links are the revisions that are in force, or would be if those after them were rolled back, with who signs what follows each: from
// the anchor on, by rising number; nil while words need no signature.
func (w *Watch) Links() (list []Link) {
	for _, l := range w.trust.chain {
		list = append(list, Link{l.Key, l.signers})
	}
	return list
}

// Link is one of them.
type Link struct {
	Key
	Signers []trust.Signer
}

// NameOf is how the latest list calls a key; "" if none does.
func (w *Watch) NameOf(k trust.Key) string {
	for _, l := range slices.Backward(w.trust.chain) {
		if at := trust.Rank(l.signers, k); at >= 0 {
			return l.signers[at].Name
		}
	}
	return ""
}

// rejudge works out what counts, and says what has changed of it.
func (w *Watch) rejudge() (said []Said) {
	old := w.State
	w.State = w.trust.judge()
	if w.trust.settle(&w.State) {
		w.State = w.trust.judge()
	}
	for _, e := range w.State.entries {
		if was, _ := old.Of(e.Key); !was.equal(&e) {
			said = append(said, Said{was, e})
		}
	}
	for _, e := range old.entries {
		if _, still := w.State.Of(e.Key); !still {
			said = append(said, Said{e, Entry{Key: e.Key}})
		}
	}
	return said
}

// LearnSigned takes over words of operators, which must be valid in form. It says what has changed of what counts, which words are news
// that should be told on, and which are not kept: they may be later, when it is known who signs, and are told again then.
func (w *Watch) LearnSigned(ws []Signed) (said []Said, news []Signed, no []Refused) {
	t := &w.trust
	rest := slices.Clone(ws)
	for again := true; again && len(rest) > 0; { // a word may say who signs another
		again = false
		var left []Signed
		for i := range rest {
			x := &rest[i]
			switch {
			case t.words.has(x):
			case t.check(x) != nil:
				left = append(left, *x)
			case t.words.merge(*x):
				news, again = append(news, *x), true
			}
		}
		rest = left
	}
	for i := range rest {
		if why := t.check(&rest[i]); why != nil && why.Why < tooEarly {
			no = append(no, *why)
		}
	}
	if news == nil {
		return nil, nil, no
	}
	t.forget()
	return w.rejudge(), news, no
}

// learnUnsigned is Learn once words are judged by signatures.
func (w *Watch) learnUnsigned(es []Entry) (said []Said, news []Entry, no []Refused) {
	t := &w.trust
	for _, e := range es {
		if e.Compare(t.anchor.Key) <= 0 {
			continue // settled
		}
		if len(w.Signers()) > 0 {
			guards := e.Back != nil && e.Back.By == Guardian && slices.ContainsFunc(t.words.on(e.Key), func(x Signed) bool { return x.Kind == trust.Try })
			if !guards || e.Trial != nil || e.Whole != nil || e.Pause != nil {
				no = append(no, Refused{e.Key, Unsigned, fmt.Sprintf("a word on revision %d without a signature", e.Revision)})
			}
			if !guards {
				continue
			}
			e = Entry{Key: e.Key, Back: e.Back}
		}
		if changed := t.raw.Merge([]Entry{e}); changed != nil {
			news = append(news, changed...)
			said = append(said, w.rejudge()...)
		}
	}
	return said, news, no
}

// Unsigned are all words without a signature that others may need, by key, rising; Words those with one.
func (w *Watch) Unsigned() []Entry {
	if w.trust.anchor == nil {
		return w.State.entries
	}
	return w.trust.raw.entries
}

// Words are all words that are signed, by key, rising. The caller must not change them.
func (w *Watch) Words() []Signed { return w.trust.words }

// Counts reports whether a word of an operator would count if it was known, and why not. It changes nothing.
func (w *Watch) Counts(x Signed) error {
	t := w.trust
	if t.anchor != nil && x.Compare(t.anchor.Key) <= 0 {
		return refused("revision %d is settled, as trust.signers begins with it or many revisions came after it: apply a new revision instead", x.Revision)
	}
	if why := t.check(&x); why != nil {
		return refused("%s", why.What)
	}
	name := w.NameOf(x.Who)
	if name == "" {
		return refused("the key %s is not one of those that sign now", x.Who)
	}
	t.words, t.chain = slices.Clone(t.words), nil
	t.words.merge(x)
	view := t.judge()
	e, _ := view.Of(x.Key)
	said := func(o *Word) bool { return o != nil && o.At == x.At && o.Why == x.Why && o.By == name+signedBy }
	ok := false
	switch slotOf(x.Kind) {
	case slotApply, slotPromote:
		ok = e.Back == nil && e.Whole != nil
	case slotTry:
		ok = e.Back == nil && e.Trial != nil && said(&e.Trial.Word)
	case slotPause:
		ok = e.Pause != nil && said(&e.Pause.Word)
	case slotBack:
		ok = e.Back != nil
	}
	// What others signed while they were on no list comes to light when they are put back on one.
	if top := t.chain[len(t.chain)-1].Key; ok && top.Compare(x.Key) > 0 && top.Compare(w.Links()[len(w.Links())-1].Key) > 0 {
		return refused("revision %d, which was signed before by who may not sign now, would come into force with it: apply a document of a higher revision instead", top.Revision)
	}
	switch {
	case ok:
		return nil
	case !stays(&x):
		return refused("the document leaves %s, who signs it, off trust.signers: have somebody sign who stays on the list; to hand over to others, add them with one revision, and have one of them sign the next", name)
	case x.Kind == trust.RollBack:
		return refused("%s is not on the list of signers of revision %d and on that of the one before it, which a roll back needs: have somebody sign who is on both, or apply a new revision", name, x.Revision)
	}
	return refused("the word of %s does not count here: %s signs for revision %d, and others have come after it", name, name, x.From.Revision)
}

// Lists reports whether a document of a revision lists the signers that were signed with it. One that does not is of no use.
func (w *Watch) Lists(k Key, signers []trust.Signer) bool {
	for _, x := range w.trust.words.on(k) {
		if s := slotOf(x.Kind); (s == slotApply || s == slotTry) && !slices.Equal(x.Next, signers) {
			return false
		}
	}
	return true
}
