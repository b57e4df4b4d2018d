package judge

import (
	"slices"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// Due is what an heir was credited for one key.
type Due struct {
	From, To ledger.Holder
	ledger.Due
	void bool // by a word that only those knew whom a later one buried: what its rights were spent for stays spent
}

// own reports whether it is for what a generation owned, and not for what was on its way from it.
func (d *Due) own() bool { return d.To.IsZero() || d.To == d.From }

// effective is a book as it counts for the swarm: once its generation is claimed, what was decided of it, whatever its
// node has on its own disk or in memory.
func (b *Book) effective() *Book {
	if b.Final == nil || b.Final.Forgot {
		return b // what is forgotten stays what it was
	}
	e := &Book{Self: b.Self, ID: b.ID, Pairs: b.Final.pairs(b), Disk: b.Final.pairs(b), Dues: b.Final.Dues, TopUps: b.TopUps, Burns: b.Burns, Final: b.Final}
	s := b.Final.State
	if e.There = s != nil; !e.There {
		return e
	}
	e.Window, e.Shares, e.Given = s.Window, s.Shares(), s.Genesis
	if b.Final.Word {
		e.Uses = b.Uses
		return e
	}
	for _, u := range b.Uses {
		if u.Window > s.Window {
			continue // nothing of it was used: Covers sees to that
		}
		if u.Window == s.Window {
			u.Last = *s
		}
		e.Uses = append(e.Uses, u)
	}
	return e
}

// absorb takes into a book of which an operator's word was given what its node was heir of: credited or not, that is among
// what it owned. The decision has keys for it, and no amounts.
func (b *Book) absorb(real []Due, books []*Book) {
	book := func(h ledger.Holder) *Book {
		for _, o := range books {
			if o.Self == h {
				return o
			}
		}
		return &Book{}
	}
	keys := b.Dues
	b.Dues = nil
	for _, k := range keys {
		is := func(d *Due) bool { return d.From == k.From && d.To == k.To }
		if i := slices.IndexFunc(real, func(d Due) bool { return is(&d) }); i >= 0 {
			b.Dues = append(b.Dues, real[i])
			continue
		}
		if n, _ := credited(books, is); n > 0 {
			continue // an earlier heir was
		}
		from := book(k.From)
		switch k.To {
		case ledger.Holder{}:
			k.Shares = from.Shares
		case k.From:
		default:
			out := find(from.Pairs, k.To)
			k.Shares = out.SharesOut - out.SharesBack - find(book(k.To).Pairs, k.From).SharesIn
		}
		b.Dues = append(b.Dues, k)
	}
	for _, d := range real { // of what only the dead knew to be decided: its shares are among what all of them owned
		if !slices.ContainsFunc(keys, func(k Due) bool { return k.From == d.From && k.To == d.To }) {
			d.Shares, d.void = 0, true
			b.Dues = append(b.Dues, d)
		}
	}
	b.Given = b.Shares
	for _, p := range b.Pairs {
		b.Given += p.SharesOut - p.SharesIn
	}
	for _, d := range b.Dues {
		b.Given -= d.Shares
	}
}

// credited sums up what all heirs were credited for one generation's own, and for one way between two.
func credited(books []*Book, is func(*Due) bool) (shares ledger.Shares, tokens func(ledger.Window) ledger.Tokens) {
	var ds []*Due
	for _, b := range books {
		for i := range b.Dues {
			if d := &b.Dues[i]; is(d) {
				shares += d.Shares
				ds = append(ds, d)
			}
		}
	}
	return shares, func(w ledger.Window) (n ledger.Tokens) {
		for _, d := range ds {
			if d.Window == w {
				n += d.Tokens
			}
		}
		return n
	}
}

// once checks that no key is credited twice over all holders.
func once(books []*Book) error {
	type key struct{ from, to ledger.Holder }
	by := map[key]ledger.Holder{}
	for _, b := range books {
		for _, d := range b.Dues {
			if d.void {
				continue
			}
			k := key{d.From, d.To}
			if first, twice := by[k]; twice && d.Due != (ledger.Due{}) {
				return broken(CreditedOnce, "%s: %v and %v were credited for what %v had for %v", b.ID, first, b.Self, d.From, d.To)
			}
			if d.Due != (ledger.Due{}) {
				by[k] = b.Self
			}
		}
	}
	return nil
}
