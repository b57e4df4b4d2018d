package rollout

import (
	"errors"
	"fmt"
	"math"
	"slices"

	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/policy/trust"
)

// Anchor is where trust begins: a revision that lists signers and was taken without a signature, as there were none before it. What
// comes after it is judged by signatures; each node keeps its own anchor, and takes none over once it has one.
type Anchor struct {
	Key
	Whole   Word
	Signers []trust.Signer
}

// Valid reports what is wrong with an anchor; nil if nothing is.
func (a *Anchor) Valid() error {
	if a.Revision < 1 || len(a.Signers) == 0 {
		return errors.New("an anchor of no revision, or without signers")
	}
	return errors.Join(a.Whole.valid(), validSigners(a.Signers))
}

const (
	// maxChain is how many revisions in a row are judged; what came before them is settled, and keepChain of them stay.
	maxChain  = 64
	keepChain = 32
)

// Trust judges words by signatures, once there is an anchor. It holds what was said; what of it counts is a State, and a function of
// all that was said, in whatever order it came.
//
// Of what is said of a revision, all of it by the signers of the revision below it in the chain counts: of the chain of revisions that
// decide on all calls, each of which was signed by a signer of the one before, from the anchor on, by rising number. Who changes the list
// of signers must be on the new one, too: so nobody shuts all out by a slip, and nobody is put out by one who goes. A roll back of a
// revision that decides on all calls is signed by one who is on its list and on that of the one before it.
//
// Of two revisions that follow the same one without knowing of each other, the higher decides, if who signed it is on the list of the other,
// too. But who comes first on the list that both follow has his will against who comes after: else a key that was stolen could not be
// taken off the list, since its thief can always sign a revision as if it had been made before that.
type Trust struct {
	charter string
	anchor  *Anchor
	raw     State // what was said without a signature
	words   words
	chain   []link
}

// link is a revision of the chain.
type link struct {
	Key
	signers []trust.Signer
	by      []Signed // that it decides on all calls; nil of the anchor, and of what needed no signature
}

// Reason is why a word is not taken.
type Reason uint8

const (
	Unsigned  Reason = iota // it has no signature
	Stranger                // nobody who is known to sign has signed it
	Forged                  // the signature is not that of the key which it names
	tooEarly                // nobody signs yet
	isSettled               // it is on a revision that is settled
)

// Refused is a word that is not taken.
type Refused struct {
	Of   Key
	Why  Reason
	What string
}

// known are the keys on lists that were signed by keys which are known, from the anchor on: the words of others are not kept.
func (t *Trust) known() map[trust.Key]bool {
	keys := map[trust.Key]bool{}
	add := func(list []trust.Signer) (more bool) {
		for _, s := range list {
			more = more || !keys[s.Key]
			keys[s.Key] = true
		}
		return more
	}
	for more := add(t.anchor.Signers); more; {
		more = false
		for i := range t.words {
			if w := &t.words[i]; len(w.Next) > 0 && keys[w.Who] {
				more = add(w.Next) || more
			}
		}
	}
	return keys
}

// forget drops words whose signer was on a list that another one of its signer has taken the place of: only a signer who lies about a
// document's list has two.
func (t *Trust) forget() {
	known := t.known()
	t.words = slices.DeleteFunc(t.words, func(w Signed) bool { return !known[w.Who] })
}

// check reports why a word is not kept; nil if it is.
func (t *Trust) check(w *Signed) *Refused {
	no := func(why Reason, format string, args ...any) *Refused {
		return &Refused{w.Key, why, fmt.Sprintf("a word on revision %d: ", w.Revision) + fmt.Sprintf(format, args...)}
	}
	switch {
	case t.anchor == nil || t.charter == "":
		return no(tooEarly, "there are no signers yet")
	case w.Compare(t.anchor.Key) <= 0:
		return no(isSettled, "that revision is settled")
	case !t.known()[w.Who]:
		return no(Stranger, "its key %s is on no list of signers", w.Who)
	case !w.Who.Verify(w.Statement(t.charter), w.Sig):
		return no(Forged, "the signature is not that of its key %s", w.Who)
	}
	return nil
}

// judge works out what counts.
func (t *Trust) judge() State {
	a := t.anchor
	t.chain = append(t.chain[:0], link{Key: a.Key, signers: a.Signers})
	var view []Entry
	for _, e := range t.raw.entries {
		if e.Compare(a.Key) < 0 {
			view = append(view, e)
		}
	}
	view = append(view, Entry{Key: a.Key, Whole: &a.Whole})
	top := Key{} // the highest that ever decided on all calls
	for _, k := range t.keys() {
		ws := t.words.on(k)
		raw, _ := t.raw.Of(k)
		at := len(t.chain) - 1
		e, l := t.under(at, ws, &raw, false)
		for i := range t.chain[:at] { // what was made to follow one before, by who comes first on its list
			if f, m := t.under(i, ws, &raw, true); f.Whole != nil && f.Back == nil && rank(&m, t.chain[i].signers) < rank(&t.chain[i+1], t.chain[i].signers) {
				e, l, at = f, m, i
				break
			}
		}
		if e.Trial == nil && e.Whole == nil {
			continue
		}
		if view = append(view, e); e.Whole == nil {
			continue
		}
		top = k
		if e.Back == nil {
			for _, over := range t.chain[at+1:] {
				end(view, over.Key, e.Whole, k)
			}
			t.chain = append(t.chain[:at+1], l)
		}
	}
	force := t.chain[len(t.chain)-1].Key
	for i := range view { // candidates that a higher revision had hidden do not come to light when that is rolled back
		if e := &view[i]; e.Whole == nil && e.Back == nil && e.Compare(force) > 0 && e.Compare(top) < 0 {
			end(view, e.Key, &e.Trial.Word, top)
		}
	}
	return State{view}
}

// end has a revision be over because of a later one.
func end(view []Entry, k Key, w *Word, by Key) {
	i, _ := slices.BinarySearchFunc(view, k, func(e Entry, k Key) int { return e.Compare(k) })
	view[i].Back = &Word{w.At, w.Node, w.By, fmt.Sprintf("revision %d goes before it", by.Revision)}
}

// keys are the revisions above the anchor that anything was said of, rising.
func (t *Trust) keys() (list []Key) {
	for _, e := range t.raw.entries {
		if e.Compare(t.anchor.Key) > 0 {
			list = append(list, e.Key)
		}
	}
	for i := range t.words {
		list = append(list, t.words[i].Key)
	}
	slices.SortFunc(list, Key.Compare)
	return slices.Compact(list)
}

// under is what counts of a revision if it follows that at place i of the chain. aside says that it was made to follow that one, and
// not the one that follows it now: words are only of use then that say so.
func (t *Trust) under(i int, ws []Signed, raw *Entry, aside bool) (e Entry, l link) {
	judges := t.chain[i].signers
	if len(judges) == 0 {
		if !aside {
			e = *raw // nobody need sign
		}
		l.Key = e.Key
		return e, l
	}
	var trial *Signed
	var whole, promotes, backs []*Signed
	for j := range ws {
		w := &ws[j]
		at := trust.Rank(judges, w.Who)
		slot := slotOf(w.Kind)
		if at < 0 || aside && slot != slotBack && w.From != t.chain[i].Key {
			continue
		}
		word := w.word(judges[at].Name)
		switch slot {
		case slotApply:
			if stays(w) {
				whole = append(whole, w)
			}
		case slotTry:
			if stays(w) && (trial == nil || trial.compareTimes(w) < 0) {
				trial, e.Trial = w, &Trial{word, w.How}
			}
		case slotPromote:
			promotes = append(promotes, w)
		case slotPause:
			if p := (Pause{word, w.Kind == trust.Pause}); e.Pause == nil || e.Pause.compare(p) < 0 {
				e.Pause = &p
			}
		case slotBack:
			backs = append(backs, w)
		}
	}
	if e.Trial == nil {
		e.Pause = nil
	} else {
		l.signers = trial.Next
		whole = append(whole, promotes...)
	}
	for _, w := range whole {
		word := w.word(judges[trust.Rank(judges, w.Who)].Name)
		if e.Whole == nil || word.compare(*e.Whole) < 0 {
			e.Whole = &word
		}
		l.by = append(l.by, *w)
	}
	if first := firstApply(whole); first != nil {
		l.signers = first.Next
	}
	for _, w := range backs {
		word := w.word(judges[trust.Rank(judges, w.Who)].Name)
		may := e.Whole == nil || len(l.signers) == 0 || trust.Rank(l.signers, w.Who) >= 0
		if may && (e.Back == nil || word.compare(*e.Back) < 0) {
			e.Back = &word
		}
	}
	if b := raw.Back; b != nil && e.Back == nil && e.Trial != nil && e.Whole == nil && b.By == Guardian && hasGuard(&e.Trial.How) {
		e.Back = b
	}
	if len(ws) > 0 {
		e.Key = ws[0].Key
	} else {
		e.Key = raw.Key
	}
	l.Key = e.Key
	return e, l
}

// stays reports whether who signs a document stays on its list, or it has none.
func stays(w *Signed) bool { return len(w.Next) == 0 || trust.Rank(w.Next, w.Who) >= 0 }

// compareTimes orders words of one slot and revision of several signers.
func (w *Signed) compareTimes(o *Signed) int {
	if w.At != o.At {
		return int(max(-1, min(1, w.At-o.At)))
	}
	return w.compare(o)
}

// firstApply is the word whose list of signers counts, if several have signed that a document is for all calls.
func firstApply(ws []*Signed) (first *Signed) {
	for _, w := range ws {
		if w.Kind == trust.Apply && (first == nil || w.compareTimes(first) < 0) {
			first = w
		}
	}
	return first
}

// hasGuard reports that a trial has a guard that may roll it back.
func hasGuard(r *policy.Rollout) bool {
	g := r.Guard
	return g.DenyRate != policy.Unguarded || g.P99Wait != policy.Unguarded || g.OutputLength != policy.Unguarded || g.Cost != policy.Unguarded
}

// rank is the first place in a list that a signer of a revision has; above all places if none has one.
func rank(l *link, list []trust.Signer) int {
	best := math.MaxInt
	for i := range l.by {
		if r := trust.Rank(list, l.by[i].Who); r >= 0 {
			best = min(best, r)
		}
	}
	return best
}

// settle moves the anchor on where the chain has become long.
func (t *Trust) settle(view *State) bool {
	if len(t.chain) <= maxChain {
		return false
	}
	l := t.chain[len(t.chain)-keepChain]
	if len(l.signers) == 0 {
		return false
	}
	e, _ := view.Of(l.Key)
	t.moveTo(Anchor{l.Key, *e.Whole, l.signers}, view)
	return true
}

// moveTo has a revision be the anchor. What counted of those before is kept for the history.
func (t *Trust) moveTo(a Anchor, view *State) {
	t.anchor = &a
	t.words = slices.DeleteFunc(t.words, func(w Signed) bool { return w.Compare(a.Key) <= 0 })
	past := slices.DeleteFunc(slices.Clone(view.entries), func(e Entry) bool { return e.Compare(a.Key) >= 0 })
	above := slices.DeleteFunc(slices.Clone(t.raw.entries), func(e Entry) bool { return e.Compare(a.Key) <= 0 })
	t.raw = State{}
	t.raw.Merge(past)
	t.raw.Merge(above)
}
