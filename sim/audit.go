package sim

import (
	"slices"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// audit holds the ledger to its invariants (DESIGN 3.1) after every event: it looks at what is on disks, in
// accounts and on the wire. It keeps sums, so that an event costs what it touched.
type audit struct {
	w   *world
	bug bug

	sides   map[sideKey]*side
	entries map[entryKey]ledger.Entry // durable
	windows map[windowKey]*totals
	sent    map[ledger.Holder]uint64 // the highest version of a row that a holder told
	highest map[ledger.Holder]uint64 // durable: versions that it may use
	genesis map[int32]ledger.Shares  // durable, by instance
	checks  uint64
	after   map[entryKey]ledger.Entry         // what claimed generations have on disk, as far as it was ever written
	claims  map[ledger.Holder]*claimed        // what was decided of generations
	decided micros                            // when the last of that was
	sets    map[ledger.Holder][]ledger.Holder // the guardians of generations, as their owners wrote them
	dues    map[dueID]credit                  // durable: what heirs were credited
	owed    map[int32]ledger.Shares           // of them, shares that generations owned, by instance
}

type sideKey struct {
	instance, holder int32
}

type entryKey struct {
	instance, holder, peer int32
}

type windowKey struct {
	instance int32
	window   ledger.Window
}

// side is one account as it was seen last.
type side struct {
	live, durable     ledger.State
	isLive, isDurable bool
	// The windows that it has left lately, as it left them: what of them is later than its final records never came to anything.
	left []ledger.State
	// What callers were told of a window, less what they were refunded.
	told   ledger.Tokens
	toldOf ledger.Window
	slots  []slots // of told, with the end of the reservation
	// Once the generation is claimed, it is what its final records show, nil for no account.
	claimed bool
	final   *ledger.State
	// What it used of a window beyond that, by its own disk: marks, since its next generation counts up to those.
	beyond   ledger.Tokens
	beyondOf ledger.Window
}

// slots were given to a call until an instant of the node's clock.
type slots struct {
	to    *call
	n     ledger.Tokens
	until ledger.Instant
}

// totals is one window of an instance over all holders.
type totals struct {
	issued, rolled, minted, over, used, in, out ledger.Tokens
	beyond                                      ledger.Tokens // used by generations that were claimed, beyond what their heirs count
	since                                       micros
}

func (t *totals) add(s *ledger.State, sign ledger.Tokens) {
	t.issued += sign * (s.Base - s.Cut)
	t.rolled += sign * s.Rolled
	t.minted += sign * s.Minted
	t.over += sign * s.Overdrawn
	t.used += sign * (s.Spent + s.Reserved)
	t.in += sign * s.In
	t.out += sign * s.Out
}

func (a *audit) init(w *world, b bug) {
	*a = audit{
		w: w, bug: b, sides: map[sideKey]*side{}, entries: map[entryKey]ledger.Entry{}, windows: map[windowKey]*totals{},
		sent: map[ledger.Holder]uint64{}, highest: map[ledger.Holder]uint64{}, genesis: map[int32]ledger.Shares{},
		after:  map[entryKey]ledger.Entry{},
		claims: map[ledger.Holder]*claimed{}, sets: map[ledger.Holder][]ledger.Holder{}, dues: map[dueID]credit{}, owed: map[int32]ledger.Shares{},
	}
}

func (a *audit) side(k sideKey) *side {
	s := a.sides[k]
	if s == nil {
		s = &side{}
		a.sides[k] = s
	}
	return s
}

// wrote judges a durable write, which must not take back what was durable before.
func (a *audit) wrote(n *node, x ledger.Write) {
	rec, err := ledger.Inspect(x)
	if err != nil {
		a.w.fail("records can be read", "%s: %v", n.name, err)
		return
	}
	a.record(n, &rec)
}

// drops judges that a record goes from the disk. Only what is closed and in the sums may go, and what
// belongs to a generation that is over.
func (a *audit) drops(n *node, was ledger.Write) {
	rec, err := ledger.Inspect(was)
	if err != nil {
		a.w.fail("records can be read", "%s: %v", n.name, err)
		return
	}
	if _, ends, mortal := rec.Instance.Life(); mortal && n.clockNow() >= ends {
		a.forgets(n, &rec)
		return
	}
	if a.claims[n.self] == nil && (rec.Account != nil || rec.Due != nil || rec.Entry != nil && (!rec.Entry.Closed || a.claims[rec.Peer] == nil)) {
		a.w.fail("only what is closed is dropped", "%s: %+v", n.name, rec)
	}
}

// forgets judges that a record goes whose instance has ended: nothing of it is reserved. The account stays among those that are
// there at once: should the instance be founded again, there would be more than all shares.
func (a *audit) forgets(n *node, was *ledger.Record) {
	s := a.side(sideKey{a.w.pool.instance(was.Instance), a.w.pool.holder(n.self)})
	if was.Account != nil && s.isLive && s.live.Reserved > 0 && a.claims[n.self] == nil {
		a.w.fail("what is reserved is not forgotten", "%s: %s has %+v", n.name, was.Instance, s.live)
	}
}

func (a *audit) record(n *node, rec *ledger.Record) {
	h := a.w.pool.holder(n.self)
	if a.claims[n.self] != nil && rec.Version == 0 {
		if rec.Account != nil {
			in := a.w.pool.instance(rec.Instance)
			a.beyond(in, a.side(sideKey{in, h}), rec.Account)
		}
		if rec.Entry != nil {
			a.after[entryKey{a.w.pool.instance(rec.Instance), h, a.w.pool.holder(rec.Peer)}] = *rec.Entry
		}
		return // it does not know that it was claimed: what it writes is worth nothing
	}
	switch {
	case rec.Account != nil:
		n.touched = append(n.touched, rec.Instance)
		in := a.w.pool.instance(rec.Instance)
		s, b := a.side(sideKey{in, h}), rec.Account
		d := &s.durable
		if s.isDurable && (b.Genesis < d.Genesis || b.SharesIn < d.SharesIn || b.SharesOut < d.SharesOut || b.Window < d.Window ||
			b.Window == d.Window && (b.In < d.In || b.Out < d.Out)) {
			a.w.fail("what only grows does so", "%s: %s goes from %+v to %+v", n.name, rec.Instance, *d, *b)
		}
		// It may grow by a seat that came later.
		if a.genesis[in] += b.Genesis - d.Genesis; a.genesis[in] > ledger.TotalShares {
			a.w.fail("genesis runs once", "%s: %d founding shares", rec.Instance, a.genesis[in])
		}
		s.durable, s.isDurable = *b, true
	case rec.Entry != nil:
		in, peer := a.w.pool.instance(rec.Instance), a.w.pool.holder(rec.Peer)
		k := entryKey{in, h, peer}
		d, b := a.entries[k], *rec.Entry
		if b.SharesIn < d.SharesIn || b.SharesOut < d.SharesOut || b.Window < d.Window || b.First < d.First && b.AckedShares < d.SharesOut || b.AckedShares < d.AckedShares ||
			b.Window == d.Window && (b.In < d.In || b.Out < d.Out || b.AckedOut < d.AckedOut) {
			a.w.fail("what only grows does so", "%s: entry of %s with %v goes from %+v to %+v", n.name, rec.Instance, rec.Peer, d, b)
		}
		if gave := a.entries[entryKey{in, peer, h}]; b.SharesIn > gave.SharesOut || b.In > 0 && (b.Window > gave.Window || b.Window == gave.Window && b.In > gave.Out) {
			a.w.fail("nothing is credited that was not given durably", "%s: %s credits %+v of %v, who gave %+v", n.name, rec.Instance, b, rec.Peer, gave)
		}
		a.entries[k] = b
	case rec.Due != nil:
		a.due(n, rec.Instance, dueID{a.w.pool.instance(rec.Instance), rec.From, rec.To}, *rec.Due)
	case rec.Version > 0:
		a.highest[n.self] = rec.Version
	}
}

// told judges a message: nothing is told before it is durable.
func (a *audit) told(n *node, m any) {
	h := a.w.pool.holder(n.self)
	switch m := m.(type) {
	case *ledger.Transfer:
		e := a.entries[entryKey{a.w.pool.instance(m.Instance), h, a.w.pool.holder(m.To)}]
		if m.SharesOut > e.SharesOut || m.Out > 0 && (e.Window < m.Window || e.Window == m.Window && m.Out > e.Out) {
			a.w.fail("nothing is told before it is durable", "%s tells %+v and has %+v on disk", n.name, m, e)
		}
	case *ledger.Ack:
		if a.claims[n.self] != nil {
			return
		}
		in := a.w.pool.instance(m.Instance)
		e, s := a.entries[entryKey{in, h, a.w.pool.holder(m.To)}], a.side(sideKey{in, h})
		if m.SharesIn > e.SharesIn || !s.isDurable ||
			m.In > 0 && (m.Window > s.durable.Window || m.Window == s.durable.Window && (e.Window != m.Window || m.In > e.In)) {
			a.w.fail("nothing is acknowledged before it is durable", "%s acknowledges %+v and has %+v on disk", n.name, m, e)
		}
	}
}

// spread judges a row of the node's own.
func (a *audit) spread(n *node, row *ledger.Row) {
	if was := a.sent[n.self]; row.Version <= was || row.Version > a.highest[n.self] {
		a.w.fail("rows are monotone", "%s sends version %d after %d; up to %d is durable", n.name, row.Version, was, a.highest[n.self])
	}
	a.sent[n.self] = row.Version
}

// touch notes the accounts that a message is about.
func (n *node) touch(m any) {
	switch m := m.(type) {
	case *ledger.Ask:
		n.touched = append(n.touched, m.Instance)
	case *ledger.Transfer:
		n.touched = append(n.touched, m.Instance)
	case *ledger.Ack:
		n.touched = append(n.touched, m.Instance)
	}
}

// check audits what the operation has touched.
func (n *node) check() {
	for _, id := range n.touched {
		if acc := n.core.Replica.Account(id); acc != nil {
			n.w.audit.account(n, acc)
		}
	}
	n.touched = n.touched[:0]
}

func (n *node) checkCharges(c *call) {
	for i := range c.charges {
		if acc := n.core.Replica.Account(c.charges[i].Instance); acc != nil {
			n.w.audit.account(n, acc)
		}
	}
}

// account judges an account as it is in memory, and its window over all nodes.
func (a *audit) account(n *node, acc *ledger.Account) {
	if live, spec, _, ready := acc.Peek(); ready {
		a.look(n, acc.ID(), live, &spec, acc.Audit())
	}
}

// look judges the state of an account, whose own equation is off by so much.
func (a *audit) look(n *node, id ledger.InstanceID, live ledger.State, spec *ledger.Spec, off ledger.Tokens) {
	a.checks++
	in := a.w.pool.instance(id)
	s := a.side(sideKey{in, a.w.pool.holder(n.self)})
	if off != 0 {
		a.w.fail("the equation of an account closes", "%s: %s is off by %d: %+v", n.name, id, off, live)
	}
	if s.claimed = a.claims[n.self] != nil; s.claimed {
		a.covered(n, id, s, spec)
		return
	}
	d := &s.durable
	if !s.isDurable {
		a.w.fail("what is open is durable", "%s: %s", n.name, id)
	} else if live.Window != d.Window || live.Spent+live.Reserved > d.Mark || live.Mark > d.Mark || live.MarkTill > d.MarkTill {
		a.w.fail("spending stays below the durable mark", "%s: %s has spent %d and reserved %d in window %d; on disk: mark %d of window %d", n.name, id, live.Spent, live.Reserved, live.Window, d.Mark, d.Window)
	}
	if live.Balance() < 0 {
		a.w.fail("no balance is negative", "%s: %s has %d", n.name, id, live.Balance())
	}
	s.expire(n.clockNow())
	if used := live.Spent + live.Reserved; used < s.told && s.toldOf == live.Window {
		a.w.fail("what callers were told is spent or reserved", "%s: %s has spent and reserved %d in window %d; callers were given %d", n.name, id, used, live.Window, s.told)
	}
	t := a.totals(windowKey{in, live.Window})
	if s.isLive {
		a.totals(windowKey{in, s.live.Window}).add(&s.live, -1)
		if s.live.Window != live.Window {
			// What it came to in its old window stays there.
			a.totals(windowKey{in, s.live.Window}).add(&s.live, 1)
			if len(s.left) == mostLeft {
				s.left = slices.Delete(s.left, 0, 1)
			}
			s.left = append(s.left, s.live)
		}
	}
	t.add(&live, 1)
	s.live, s.isLive = live, true
	a.window(id, t, spec)
	if l := live.Lapses(); l.Decayed < 0 || l.Expired < 0 && spec.Ceiling != ledger.Soft || l.Burned < 0 { // an overdraft that ends lapses as less than nothing
		a.w.fail("what lapsed is told apart", "%s: of %s %d decayed, %d expired and %d burned", n.name, id, l.Decayed, l.Expired, l.Burned)
	}
}

// mostLeft is how many windows a generation may turn that cannot have them held, before it is claimed.
const mostLeft = 16

func (a *audit) totals(k windowKey) *totals {
	t := a.windows[k]
	if t == nil {
		t = &totals{since: a.w.now}
		a.windows[k] = t
	}
	return t
}

// window judges one window over all holders, dead ones included.
func (a *audit) window(id ledger.InstanceID, t *totals, spec *ledger.Spec) {
	if t.in > t.out {
		a.w.fail("no right comes that has not left", "%s: %d came, %d left", id, t.in, t.out)
	}
	if spec.Kind == ledger.Rate {
		return // the judge knows its law
	}
	limit := a.w.judge.limit(id, t.since)
	if t.issued+t.rolled > limit {
		a.w.fail("no more is issued than the limit", "%s: issued %d, rolled over %d, of %d", id, t.issued, t.rolled, limit)
	}
	switch spec.Ceiling {
	case ledger.Hard:
		if t.over > 0 {
			a.w.fail("nothing is issued beyond a hard limit", "%s: %d", id, t.over)
		}
		if t.used > limit+t.minted {
			a.w.fail("no hard budget is exceeded", "%s: spent and reserved %d of %d", id, t.used, limit+t.minted)
		}
	case ledger.Soft:
		if most := limit + t.minted + t.beyond; t.used > most {
			a.w.fail("no soft budget passes its overdraft", "%s: spent and reserved %d of %d", id, t.used, most)
		}
	}
}

// beyond notes what a claimed generation has on disk: what it used beyond what its final records show, its heir has, too.
func (a *audit) beyond(in int32, s *side, own *ledger.State) {
	used := own.Spent + own.Reserved
	n := min(max(own.Mark, used), used+own.Balance()) - own.Overdrawn // what it overdrew is of its directory's part
	if f := s.final; f != nil && f.Window >= own.Window {
		if f.Window > own.Window {
			return
		}
		n -= left(f) - f.Overdrawn
	}
	if own.Window != s.beyondOf {
		s.beyond, s.beyondOf = 0, own.Window
	}
	if n > s.beyond {
		a.totals(windowKey{in, own.Window}).beyond += n - s.beyond
		s.beyond = n
	}
}

// left is what final records leave with whoever spent it: all up to the held mark, as far as there were rights. Above those a
// soft account's mark stands for an overdraft that it could take, and its heir lacks nothing by it.
func left(f *ledger.State) ledger.Tokens {
	used := f.Spent + f.Reserved
	return max(used, min(f.Held, used+f.Balance()))
}

// gave notes what a caller was given, or refunded if amount is negative, of the window that the account was in.
func (a *audit) gave(n *node, id ledger.InstanceID, w ledger.Window, amount ledger.Tokens) {
	s := a.side(sideKey{a.w.pool.instance(id), a.w.pool.holder(n.self)})
	switch {
	case s.toldOf == w:
		s.told += amount
	case amount > 0 && w > s.toldOf: // of a window that is over nothing is refunded
		s.toldOf, s.told = w, amount
	}
}

// gaveSlots notes slots that a call was given for the time of its reservation, or gives back if n is negative. Those whose
// time is over came back without it. The generation that gave them may be over by then.
func (a *audit) gaveSlots(n *node, id ledger.InstanceID, c *call, amount ledger.Tokens) {
	in := a.w.pool.instance(id)
	if amount > 0 {
		s := a.side(sideKey{in, a.w.pool.holder(n.self)})
		s.slots = append(s.slots, slots{c, amount, c.until})
		s.told += amount
		return
	}
	for g := n.self; g.Gen >= n.dir; g.Gen-- {
		s := a.side(sideKey{in, a.w.pool.holder(g)})
		if i := slices.IndexFunc(s.slots, func(x slots) bool { return x.to == c }); i >= 0 {
			s.slots = slices.Delete(s.slots, i, i+1)
			s.told += amount
			return
		}
	}
}

// stepped notes that a node's clock was put forward: no call is older by it, so slots come back so much later.
func (a *audit) stepped(n *node, by ledger.Millis) {
	h := a.w.pool.holder(n.self)
	n.core.Replica.EachAccount(func(acc *ledger.Account) {
		s := a.side(sideKey{a.w.pool.instance(acc.ID()), h})
		for i := range s.slots {
			s.slots[i].until += ledger.Instant(by)
		}
	})
}

// expire forgets slots whose time is over.
func (s *side) expire(now ledger.Instant) {
	s.slots = slices.DeleteFunc(s.slots, func(x slots) bool {
		if x.until > now {
			return false
		}
		s.told -= x.n
		return true
	})
}

// crashed notes that a process forgot its calls. What they were given stays spent, but for slots, of which the mark
// holds back as many until their reservations have expired.
func (a *audit) crashed(n *node) {
	h := a.w.pool.holder(n.self)
	n.core.Replica.EachAccount(func(acc *ledger.Account) {
		if acc.Spec().Kind == ledger.Slots {
			s := a.side(sideKey{a.w.pool.instance(acc.ID()), h})
			s.told, s.slots = 0, nil
		}
	})
}

// loaded judges what a process made of its disk: all up to the durable marks counts as spent.
func (a *audit) loaded(n *node) {
	n.core.Replica.EachAccount(func(acc *ledger.Account) {
		live, _, _, _ := acc.Peek()
		a.marked(n, acc.ID(), &live)
	})
}

func (a *audit) marked(n *node, id ledger.InstanceID, live *ledger.State) {
	s := a.side(sideKey{a.w.pool.instance(id), a.w.pool.holder(n.self)})
	d := &s.durable
	if a.claims[n.self] == nil && live.Window == d.Window && live.Spent+live.Reserved+live.Debt < d.Mark {
		a.w.fail("after a crash all up to the durable mark counts as spent", "%s: %s has spent %d and reserved %d in window %d; the mark on disk is %d",
			n.name, id, live.Spent, live.Reserved, live.Window, d.Mark)
	}
}

// restarted judges what a process works with from now on.
func (a *audit) restarted(n *node) {
	n.core.Replica.EachAccount(func(acc *ledger.Account) { a.account(n, acc) })
	n.touched = n.touched[:0]
}

// sweep looks at every account of a node, and that its sums are those of its entries.
func (a *audit) sweep(n *node) {
	n.core.Replica.EachAccount(func(acc *ledger.Account) {
		a.account(n, acc)
		s, _, _, ready := acc.Peek()
		if !ready {
			return
		}
		var es []ledger.Entry
		n.core.Replica.EachEntry(acc.ID(), func(_ ledger.Holder, e ledger.Entry) { es = append(es, e) })
		es = append(es, a.folded(n, acc.ID())...)
		var ds []ledger.Due
		n.core.Replica.EachDue(acc.ID(), func(_, _ ledger.Holder, d ledger.Due) { ds = append(ds, d) })
		a.sums(n, acc.ID(), &s, es, ds)
	})
	a.claimable(n)
}

// folded are the entries of an account that are in its sums only, as they were written last.
func (a *audit) folded(n *node, id ledger.InstanceID) (es []ledger.Entry) {
	in, h, on := a.w.pool.instance(id), a.w.pool.holder(n.self), a.entries
	if a.claims[n.self] != nil {
		on = a.after
	}
	for of := range a.claims {
		if n.core.Replica.Folded(of) {
			es = append(es, on[entryKey{in, h, a.w.pool.holder(of)}])
		}
	}
	return es
}

func (a *audit) sums(n *node, id ledger.InstanceID, s *ledger.State, es []ledger.Entry, ds []ledger.Due) {
	var si, so ledger.Shares
	var in, out ledger.Tokens
	for i := range es {
		e := &es[i]
		si, so = si+e.SharesIn+e.SharesBack, so+e.SharesOut
		if e.Window == s.Window {
			in, out = in+e.In+e.Back, out+e.Out
		}
	}
	for _, d := range ds {
		si += d.Shares
		if d.Window == s.Window {
			in += d.Tokens
		}
	}
	if si != s.SharesIn || so != s.SharesOut || in != s.In || out != s.Out {
		a.w.fail("an account sums up its entries", "%s: %s has %d %d %d %d, its entries %d %d %d %d", n.name, id, s.SharesIn, s.SharesOut, s.In, s.Out, si, so, in, out)
	}
}

// shares checks that the shares of every instance add up, dead holders and what is on the way included. Durable
// figures are compared, since those are what a crash leaves.
func (a *audit) shares() {
	owned, given, come := map[int32]ledger.Shares{}, map[int32]ledger.Shares{}, map[int32]ledger.Shares{}
	for k, s := range a.sides {
		if s.isDurable {
			owned[k.instance] += s.durable.Shares()
			given[k.instance] += s.durable.SharesOut
			come[k.instance] += s.durable.SharesIn
		}
	}
	for in, id := range a.w.pool.ids {
		in := int32(in)
		if flight := given[in] - come[in] + a.owed[in]; flight < 0 || owned[in]-a.owed[in]+flight != a.genesis[in] {
			a.w.fail("shares add up", "%s: %d owned, %d on the way, %d by genesis", id, owned[in]-a.owed[in], flight, a.genesis[in])
			return
		}
	}
}
