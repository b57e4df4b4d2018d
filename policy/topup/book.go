package topup

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"slices"
	"strings"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy/trust"
)

const (
	// MaxActs is how many acts may be known until the node that is asked refuses to add one, and MaxOfOne how many of one instance at one holder.
	MaxActs  = 8192
	MaxOfOne = 1024
	// maxKept bounds a Book: what others took just below the bound is kept as well.
	maxKept = 2 * MaxActs
)

// ErrFull says that too many top-ups are known.
var ErrFull = errors.New("too many signed top-ups are kept")

// Shown is what an account, in a row of it or in what its guardians keep, shows as minted by top-ups: of a window since it began, of a grant since its
// holder began.
type Shown struct {
	Holder   ledger.Holder
	Instance ledger.InstanceID
	Window   ledger.Window
	Minted   ledger.Tokens
}

// ShownBy is what a row shows.
func ShownBy(r *ledger.Row) Shown { return Shown{r.Holder, r.Instance, r.Window, r.Minted} }

// since is from when on, in Unix ms by operators' clocks, acts may be of what is shown: those before the window, or the life, began are of another. An
// act that is signed just before the end of a window may be done just after it.
func (s *Shown) since() int64 {
	at := int64(s.Window) * 1000
	if begins, _, ok := s.Instance.Life(); ok {
		at = max(at, int64(begins))
	}
	if at <= trust.Lasts {
		return 0
	}
	return at - trust.Lasts
}

// After reports whether what is shown was certainly minted after a time, in Unix ms, by its window or its life, each of which may be half an hour wrong by
// somebody's clock.
func (s *Shown) After(at int64) bool {
	const wrong = 30 * 60 * 1000
	return s.since() > at+wrong
}

// Book is the acts that a node knows, by holder and id. Books merge as acts do that come alone, in any order and any number of times
// (semilattice), as long as there are no more than twice MaxActs: beyond that no more are taken. Beside them it has what was there before anybody
// signed. A Book has one owner. The zero value is empty.
type Book struct {
	acts  map[ledger.Holder]map[key]Act
	n     int
	older map[account]older
}

// key tells acts at one holder apart. Operators may sign one id for several instances, or amounts, of which the holder does one: which, others do not know.
type key struct {
	name   string // of the instance, as ledger.InstanceID.Name has it
	id     string
	amount ledger.Tokens
}

func (k key) compare(o key) int {
	return cmp.Or(strings.Compare(k.name, o.name), strings.Compare(k.id, o.id), cmp.Compare(k.amount, o.amount))
}

func (a *Act) key() key {
	k := key{id: a.ID, amount: a.Amount}
	if id, err := ledger.NewInstanceID(ledger.CharterID{}, a.Budget, "", 0, make([]string, len(a.Key)), a.Key); err == nil { // no instance has a name that is too long
		k.name = id.Name()
	}
	return k
}

type account struct {
	holder   ledger.Holder
	instance ledger.InstanceID
}

// older is what was minted in a window before anybody signed.
type older struct {
	window ledger.Window
	tokens ledger.Tokens
}

// Merge takes acts over, and returns those that are news. Signatures are not checked.
func (b *Book) Merge(as []Act) (news []Act) {
	for _, a := range as {
		of, k := b.acts[a.Holder], a.key()
		old, known := of[k]
		if known && a.order(&old) <= 0 || !known && b.n >= maxKept {
			continue
		}
		if of == nil {
			if b.acts == nil {
				b.acts = map[ledger.Holder]map[key]Act{}
			}
			of = map[key]Act{}
			b.acts[a.Holder] = of
		}
		if !known {
			b.n++
		}
		of[k] = a
		news = append(news, a)
	}
	return slices.DeleteFunc(news, func(a Act) bool { last := b.acts[a.Holder][a.key()]; return last.order(&a) != 0 })
}

// Has reports whether that act, or a later one that is the same but for its time, is known: it need not be checked.
func (b *Book) Has(a *Act) bool {
	old, ok := b.acts[a.Holder][a.key()]
	return ok && a.order(&old) <= 0
}

// Of are the acts at a holder, by instance and id.
func (b *Book) Of(h ledger.Holder) (as []Act) {
	of := b.acts[h]
	for _, k := range slices.SortedFunc(maps.Keys(of), key.compare) {
		as = append(as, of[k])
	}
	return as
}

// Len is how many acts there are.
func (b *Book) Len() int { return b.n }

// Signed is how many tokens acts allow an account to show as minted: of the acts of one id those of the most.
func (b *Book) Signed(s Shown) (sum ledger.Tokens) {
	name, since := s.Instance.Name(), s.since()
	most := map[string]ledger.Tokens{}
	for k, a := range b.acts[s.Holder] {
		if a.At >= since && k.name == name {
			most[k.id] = max(most[k.id], k.amount)
		}
	}
	for _, n := range most {
		sum = min(ledger.MaxTokens, sum+n)
	}
	return sum
}

// Covers reports whether all that an account shows as minted was signed for, or is from before anybody signed.
func (b *Book) Covers(s Shown) bool {
	if s.Minted == 0 {
		return true
	}
	lacks := s.Minted - b.Signed(s)
	if o, ok := b.older[account{s.Holder, s.Instance}]; ok && lacks > 0 && o.window == s.Window {
		lacks -= o.tokens
	}
	return lacks <= 0
}

// Predates takes what acts do not allow of what is shown for minted before anybody signed: more is not, in that window.
func (b *Book) Predates(s Shown) {
	lacks := s.Minted - b.Signed(s)
	k := account{s.Holder, s.Instance}
	if o, ok := b.older[k]; lacks <= 0 || ok && o.window == s.Window && o.tokens >= lacks || !ok && len(b.older) >= maxKept {
		return
	}
	if b.older == nil {
		b.older = map[account]older{}
	}
	b.older[k] = older{s.Window, lacks}
}

// Room reports why the holder does not take another act of an instance; nil if it does.
func (b *Book) Room(s Shown) error {
	n, name := 0, s.Instance.Name()
	for k := range b.acts[s.Holder] {
		if k.name == name {
			n++
		}
	}
	switch {
	case n >= MaxOfOne:
		return fmt.Errorf("%w: %d of %q at %s: ask another node for this one", ErrFull, n, name, s.Holder.Node)
	case b.n >= MaxActs:
		return fmt.Errorf("%w: %d, at most %d may be: top fewer instances up, by more at a time", ErrFull, b.n, MaxActs)
	}
	return nil
}

// Turn forgets acts of an account that count no more, as its window, or its life, began after them.
func (b *Book) Turn(s Shown) {
	name, since := s.Instance.Name(), s.since()
	of := b.acts[s.Holder]
	for k, a := range of {
		if a.At < since && k.name == name {
			delete(of, k)
			b.n--
		}
	}
}

// Keep forgets all of holders that nothing is told of any more.
func (b *Book) Keep(told func(ledger.Holder) bool) {
	maps.DeleteFunc(b.acts, func(h ledger.Holder, of map[key]Act) bool {
		if told(h) {
			return false
		}
		b.n -= len(of)
		return true
	})
	maps.DeleteFunc(b.older, func(k account, _ older) bool { return !told(k.holder) })
}

// All are all acts, by holder and id.
func (b *Book) All() (as []Act) {
	for _, h := range slices.SortedFunc(maps.Keys(b.acts), ledger.Holder.Compare) {
		as = append(as, b.Of(h)...)
	}
	return as
}
