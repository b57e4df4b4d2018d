package judge

import (
	"slices"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// Book is what the judge knows of one node and one instance, through all of the node's lives. It is a value but for
// its slices; Clone copies those that change in place.
type Book struct {
	Self ledger.Holder
	ID   ledger.InstanceID

	There  bool // an account is open, or on disk, or was until its life was over
	Gone   bool // it is forgotten; all below stays what it was
	Window ledger.Window
	Shares ledger.Shares
	Given  ledger.Shares // by genesis
	Pairs  []Pair        // as they are in memory; on disk while no account is open
	Disk   []Pair        // as they are on disk
	closed []Pair        // those of Pairs that are closed, in memory or folded: they stay as they are
	Dues   []Due         // credited to it as an heir
	Final  *Final        // what was decided of it, once it is claimed; from then on that is what it is

	Uses   []Use // by window, the present one last but for clocks that are behind
	TopUps ledger.Tokens
	Burns  ledger.Tokens // that operators asked for
	lost   []lostSlots
	accrue accrual
}

// Use is what came of one window at one node.
type Use struct {
	Window ledger.Window
	Last   ledger.State  // the last that was seen of it
	Used   ledger.Tokens // told to callers, less what they were refunded
	// The largest in force here while the window was the present one.
	Limit, Overdraft, Rollover ledger.Tokens
}

// lostSlots is a call whose node forgot it in a crash; it keeps its slots until its TTL ends.
type lostSlots struct {
	n       ledger.Tokens
	expires ledger.Instant
}

// accrual bounds what a rate may mint here: its shares' part of the rate over the time that it had them.
type accrual struct {
	on      bool
	base    ledger.Tokens
	allowed float64
	shares  ledger.Shares
	at      ledger.Instant
}

// NewBook is an empty book.
func NewBook(self ledger.Holder, id ledger.InstanceID) *Book { return &Book{Self: self, ID: id} }

// Clone is a book of its own.
func (b *Book) Clone() *Book {
	c := *b
	c.Uses, c.lost = slices.Clone(b.Uses), slices.Clone(b.lost)
	return &c
}

func (b *Book) use(w ledger.Window) *Use {
	i, ok := slices.BinarySearchFunc(b.Uses, w, func(u Use, w ledger.Window) int { return int(u.Window - w) })
	if !ok {
		b.Uses = slices.Insert(b.Uses, i, Use{Window: w})
	}
	return &b.Uses[i]
}

// Admitted tells that a caller was given n tokens of window w.
func (b *Book) Admitted(w ledger.Window, n ledger.Tokens) { b.use(w).Used += n }

// Settled tells that of n tokens reserved in w only kept were charged.
func (b *Book) Settled(w ledger.Window, n, kept ledger.Tokens) { b.use(w).Used -= n - kept }

// ToppedUp tells that a top-up is durable.
func (b *Book) ToppedUp(n ledger.Tokens) { b.TopUps += n }

// Burned tells that an operator has n tokens burned here. Whether a crash before it is durable undoes it is not known.
func (b *Book) Burned(n ledger.Tokens) { b.Burns += n }

// LostSlots tells that the node forgot a call in a crash.
func (b *Book) LostSlots(n ledger.Tokens, expires ledger.Instant) {
	b.lost = append(b.lost, lostSlots{n, expires})
}

// Crashed tells that the node lost its memory.
func (b *Book) Crashed() { b.accrue = accrual{} }

// Time is what Look needs to know of time.
type Time struct {
	True ledger.Instant // what a perfect clock shows
	Top  ledger.Instant // the latest that this node's clock ever showed
	// Steady says that no clock was ever set forward: only then is it known what a rate may accrue.
	Steady bool
}

// Expire takes back the slots of forgotten calls whose TTL has ended by a node's clock.
func (b *Book) Expire(top ledger.Instant) {
	b.lost = slices.DeleteFunc(b.lost, func(l lostSlots) bool {
		over := top >= l.expires
		if over {
			b.use(0).Used -= l.n
		}
		return over
	})
}

// Look judges the node's side of the instance and takes it into the book. r is nil while the node is down; spec is
// what the instance is by the node's policy.
func (b *Book) Look(r *ledger.Replica, d *Disk, spec ledger.Spec, t Time) error {
	b.Expire(t.Top)
	durable := d.Account(b.ID)
	if b.forgotten(r, durable, t.Top) {
		return nil
	}
	if b.There && durable == nil && (r == nil || r.Account(b.ID) == nil) {
		return broken(ForgottenOnce, "%v has forgotten %s before its life was over", b.Self, b.ID)
	}
	if b.Gone {
		return broken(ForgottenOnce, "%v had forgotten %s, and opens it again", b.Self, b.ID)
	}
	s := durable
	b.Disk = d.Pairs(b.ID)
	b.Pairs, b.Dues = b.Disk, d.Dues(b.ID)
	if r != nil {
		if a := r.Account(b.ID); a != nil {
			live, _, _, ready := a.Peek()
			if !ready && durable != nil && durable.Issues {
				return broken(OpenIfDurable, "%v has %s on disk and does not open it", b.Self, b.ID)
			}
			if ready {
				if err := b.look(a, &live, durable, spec, t); err != nil {
					return err
				}
				s = &live
				b.Pairs = make([]Pair, 0, len(b.Disk)+1)
				r.EachEntry(b.ID, func(peer ledger.Holder, e ledger.Entry) { b.Pairs = append(b.Pairs, Pair{peer, e}) })
				b.Dues = nil
				r.EachDue(b.ID, func(from, to ledger.Holder, d ledger.Due) { b.Dues = append(b.Dues, Due{From: from, To: to, Due: d}) })
			}
		}
	}
	if b.There = s != nil; !b.There {
		return nil
	}
	folded := func(h ledger.Holder) bool { return r == nil || r.Folded(h) }
	b.Disk = withFolded(b.Disk, b.closed, folded)
	b.Pairs = withFolded(b.Pairs, b.closed, folded)
	b.closed = nil
	for _, p := range b.Pairs {
		if p.Closed {
			b.closed = append(b.closed, p)
		}
	}
	if l := s.Lapses(); l.Decayed < 0 || l.Expired < 0 || l.Burned < 0 {
		return broken(LapsesAddUp, "%v in %s: %d lapsed, of which %d decayed, %d expired and %d were burned", b.Self, b.ID, s.Lapsed, l.Decayed, l.Expired, l.Burned)
	}
	b.Window, b.Shares, b.Given = s.Window, s.Shares(), s.Genesis
	u := b.use(s.Window)
	u.Last = *s
	u.Limit = max(u.Limit, spec.Amount)
	if spec.Ceiling == ledger.Soft {
		u.Overdraft = max(u.Overdraft, ppm(spec.Amount, spec.OverdraftPPM))
	}
	u.Rollover = max(u.Rollover, ppm(spec.Amount, spec.RolloverPPM))
	var si, so ledger.Shares
	var in, out ledger.Tokens
	for i := range b.Pairs {
		e := &b.Pairs[i]
		si, so = si+e.SharesIn+e.SharesBack, so+e.SharesOut
		if e.Window == s.Window {
			in, out = in+e.In+e.Back, out+e.Out
		}
	}
	for _, d := range b.Dues {
		si += d.Shares
		if d.Window == s.Window {
			in += d.Tokens
		}
	}
	if si != s.SharesIn || so != s.SharesOut || in != s.In || out != s.Out {
		return broken(SumsOfEntries, "%v in %s: the account has %d %d %d %d (shares in, out; rights in, out), its entries %d %d %d %d",
			b.Self, b.ID, s.SharesIn, s.SharesOut, s.In, s.Out, si, so, in, out)
	}
	return nil
}

// forgotten reports whether the node has forgotten the instance, as its life is over.
func (b *Book) forgotten(r *ledger.Replica, durable *ledger.State, top ledger.Instant) bool {
	_, ends, mortal := b.ID.Life()
	if !mortal || !b.There || durable != nil || r != nil && r.Account(b.ID) != nil || top < ends {
		return false
	}
	b.Gone = true
	return true
}

// look judges an open account.
func (b *Book) look(a *ledger.Account, live, durable *ledger.State, spec ledger.Spec, t Time) error {
	if durable == nil {
		return broken(OpenIfDurable, "%v has opened %s, which is not on disk", b.Self, b.ID)
	}
	if off := a.Audit(); off != 0 {
		return broken(Equations, "%v in %s: off by %d: %+v", b.Self, b.ID, off, *live)
	}
	if live.Window != durable.Window {
		return broken(DurableFirst, "%v: %s is in window %d, on disk in %d", b.Self, b.ID, live.Window, durable.Window)
	}
	if live.Spent+live.Reserved > durable.Mark || live.Mark > durable.Mark || live.MarkTill > durable.MarkTill {
		return broken(BelowMark, "%v: %s has spent %d+%d, mark %d till %d, on disk is mark %d till %d",
			b.Self, b.ID, live.Spent, live.Reserved, live.Mark, live.MarkTill, durable.Mark, durable.MarkTill)
	}
	if used := b.use(live.Window).Used; live.Spent+live.Reserved < used {
		return broken(AdmittedIsBooked, "%v: %s has spent %d and reserved %d of window %d, callers were given %d",
			b.Self, b.ID, live.Spent, live.Reserved, live.Window, used)
	}
	if spec.Kind == ledger.Rate && t.Steady {
		return b.accrued(live, &spec, t.True)
	}
	return nil
}

func (b *Book) accrued(s *ledger.State, spec *ledger.Spec, now ledger.Instant) error {
	x := &b.accrue
	if !x.on {
		*x = accrual{on: true, base: s.Base, at: now}
	}
	x.allowed += float64(spec.Per) / float64(spec.PerMillis) * float64(now-x.at) * float64(x.shares) / float64(ledger.TotalShares)
	x.at, x.shares = now, s.Shares()
	if grown := s.Base - x.base; float64(grown) > x.allowed+1 {
		return broken(AccruedByShares, "%v: %s accrued %d, its shares at most %.1f", b.Self, b.ID, grown, x.allowed)
	}
	return nil
}

func ppm(n ledger.Tokens, parts int64) ledger.Tokens {
	return ledger.Tokens(int64(n) * parts / 1_000_000)
}
