package judge

import (
	"slices"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// Together judges what only all books of one instance show. kind and ceiling are those of the instance.
func Together(books []*Book, kind ledger.Kind, ceiling ledger.Ceiling) error {
	told := books
	for i, b := range told {
		if b.Final != nil {
			books = slices.Clone(books)
			books[i] = b.effective()
		}
	}
	for i, b := range told {
		if b.Final != nil && b.Final.Word {
			books[i].absorb(b.Dues, books)
		}
	}
	if err := once(books); err != nil {
		return err
	}
	if err := shares(books); err != nil {
		return err
	}
	for i, b := range books {
		for k := range b.Uses {
			w := b.Uses[k].Window
			if !earlier(books[:i], w) {
				if err := window(books, w, kind, ceiling); err != nil {
					return err
				}
			}
		}
	}
	return nil
}

// earlier reports whether one of the books has that window.
func earlier(books []*Book, w ledger.Window) bool {
	for _, b := range books {
		for i := range b.Uses {
			if b.Uses[i].Window == w {
				return true
			}
		}
	}
	return false
}

func shares(books []*Book) error {
	var genesis, owned, inFlight ledger.Shares
	for _, a := range books {
		if a.There {
			genesis += a.Given
			owned += a.Shares
		}
		if a.Final != nil {
			due, _ := credited(books, func(d *Due) bool { return d.From == a.Self && d.own() })
			if owned -= due; due > a.Shares {
				return broken(CreditedOnce, "%s: %d shares for the %d of %v", a.ID, due, a.Shares, a.Self)
			}
		}
		for _, b := range books {
			if a == b {
				continue
			}
			out, in := find(a.Disk, b.Self), find(b.Pairs, a.Self)
			if in.SharesIn > out.SharesOut || in.Window > out.Window && in.In > 0 || in.Window == out.Window && in.In > out.Out {
				return broken(GivenBeforeCome, "%s: %v has credited %+v, %v durably gave %+v", a.ID, b.Self, in.Entry, a.Self, out.Entry)
			}
			due := ledger.Shares(0)
			if a.Final != nil && b.Final != nil {
				due, _ = credited(books, func(d *Due) bool { return d.From == a.Self && d.To == b.Self })
			}
			way := find(a.Pairs, b.Self).SharesOut - find(a.Pairs, b.Self).SharesBack - in.SharesIn - due
			if way < 0 {
				return broken(CreditedOnce, "%s: of the shares from %v to %v, %d were credited twice", a.ID, a.Self, b.Self, -way)
			}
			inFlight += way
		}
	}
	if genesis > ledger.TotalShares {
		return broken(GenesisOnce, "%s: it gave %d", books[0].ID, genesis)
	}
	if owned+inFlight != genesis {
		return broken(SharesConserved, "%s: %d are owned, %d on the way, genesis gave %d", books[0].ID, owned, inFlight, genesis)
	}
	return nil
}

// window judges one window over all nodes, those included that are in another one by now.
func window(books []*Book, w ledger.Window, kind ledger.Kind, ceiling ledger.Ceiling) error {
	id := books[0].ID
	var all, issued, rolled, minted, over, spent, used, in, out, closed ledger.Tokens
	var limit, overdraft, rollover, topUps, burned, burns ledger.Tokens
	var counted ledger.Shares
	claimed := false
	for _, b := range books {
		topUps, burns = topUps+b.TopUps, burns+b.Burns
		back := ledger.Tokens(0)
		if b.Final != nil {
			claimed = true
			_, due := credited(books, func(d *Due) bool { return d.From == b.Self && d.own() })
			out += due(w)
			closed -= due(w)
			_, freed := credited(books, func(d *Due) bool { return d.From == b.Self && d.To == b.Self })
			back = freed(w) // slots whose calls have ended since
		}
		for k := range b.Uses {
			u := &b.Uses[k]
			if u.Window != w {
				continue
			}
			s := &u.Last
			all += s.Issued()
			issued += s.Base - s.Cut
			rolled += s.Rolled
			minted += s.Minted
			burned += s.Burned
			over += s.Overdrawn
			spent += s.Spent + s.Reserved - min(back, s.Spent+s.Reserved)
			in += s.In
			out += s.Out
			closed += s.Spent + s.Reserved + s.Lapsed + s.Balance()
			counted += s.Counted
			used += u.Used
			limit, overdraft, rollover = max(limit, u.Limit), max(overdraft, u.Overdraft), max(rollover, u.Rollover)
			if n := s.Base - s.Cut; kind == ledger.Windowed && n > ledger.Issue(s.Counted, u.Limit) {
				return broken(IssuedInLimit, "%s window %d: %v issued %d for %d shares and a limit of %d", id, w, b.Self, n, s.Counted, u.Limit)
			}
			if b.Final != nil && b.Final.Word {
				_, due := credited(books, func(d *Due) bool { return d.From == b.Self && d.own() })
				if n := due(w); n > s.Balance() {
					return broken(CreditedOnce, "%s window %d: by an operator's word %d came back from %v, which had %d", id, w, n, b.Self, s.Balance())
				}
			}
			if s.Balance() < 0 {
				return broken(BalancePositive, "%s: that of %v is %d in window %d", id, b.Self, s.Balance(), w)
			}
		}
	}
	if in > out {
		return broken(GivenBeforeCome, "%s window %d: %d tokens came, %d left", id, w, in, out)
	}
	if closed+(out-in) != all {
		return broken(RightsConserved, "%s window %d: %d issued, %d found, %d on the way", id, w, all, closed, out-in)
	}
	if burned > burns {
		return broken(BurnedOnWord, "%s window %d: %d of %d", id, w, burned, burns)
	}
	if kind == ledger.Rate {
		return nil
	}
	if kind == ledger.Windowed && counted > ledger.TotalShares {
		return broken(CountedOnce, "%s window %d: %d counted", id, w, counted)
	}
	if minted > topUps || kind == ledger.Grant && minted < topUps && !claimed {
		return broken(MintedOnce, "%s window %d: %d of %d", id, w, minted, topUps)
	}
	if issued > limit {
		return broken(IssuedInLimit, "%s window %d: %d of %d", id, w, issued, limit)
	}
	if rolled > rollover {
		return broken(IssuedInLimit, "%s window %d: %d rolled over, at most %d may be", id, w, rolled, rollover)
	}
	limit += rolled + minted
	switch ceiling {
	case ledger.Hard:
		if over > 0 {
			return broken(OverdraftInLimit, "%s window %d: %d beyond a hard limit", id, w, over)
		}
	case ledger.Soft:
		if over > overdraft {
			return broken(OverdraftInLimit, "%s window %d: %d, at most %d may be", id, w, over, overdraft)
		}
		if claimed {
			return nil // a node without a lease goes on with what it holds, which may be another's by then
		}
		limit += over
	case ledger.Observe:
		return nil
	}
	if spent > limit || used > limit {
		return broken(AdmittedInLimit, "%s window %d: %d spent and reserved, %d told to callers, limit %d", id, w, spent, used, limit)
	}
	return nil
}
