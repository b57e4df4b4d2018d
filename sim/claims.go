package sim

import (
	"maps"
	"slices"
	"strings"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/guardian"
	books "github.com/swarmpurse/swarmpurse/ledger/judge"
)

// What the audit knows of guarding: what was decided of generations, which is what they count for from then on, whatever
// their nodes have on disk or in memory; what heirs were credited; what guardians have promised while a lease runs.

// claimed is a generation of which a decision is durable somewhere.
type claimed struct {
	value  guardian.Value
	finals map[ledger.InstanceID]*books.Final
	closed map[string][][2]uint64 // generations with which its records show no entries any more, by node
	floor  ledger.Instant         // instances whose lives ended by then may be missing
}

// forgot reports whether a generation had forgotten an instance by its final records, as its life was over.
func (c *claimed) forgot(id ledger.InstanceID) bool {
	_, ends, mortal := id.Life()
	return mortal && c.finals[id] == nil && ends <= c.floor
}

// folded reports whether final records say that everything with a peer was booked, and show no entry with it any more.
func (c *claimed) folded(peer ledger.Holder) bool {
	return slices.ContainsFunc(c.closed[peer.Node], func(s [2]uint64) bool { return s[0] <= peer.Gen && peer.Gen <= s[1] })
}

// credits reports whether final records show what was credited for a key.
func (c *claimed) credits(id ledger.InstanceID, k dueID) bool {
	f := c.finals[id]
	return f != nil && slices.ContainsFunc(f.Dues, func(d books.Due) bool { return d.From == k.from && d.To == k.to })
}

type dueID struct {
	instance int32
	from, to ledger.Holder
}

// credit is a due, and to whom it went.
type credit struct {
	heir ledger.Holder
	ledger.Due
	freed ledger.Tokens // slots in use by the books, that are free again by it
}

// own reports whether what is due is what the generation owned, and not what was on its way from it.
func (k *dueID) own() bool { return k.to.IsZero() || k.to == k.from }

// guarding judges what a transaction has made durable about guarding.
func (a *audit) guarding(n *node, ws []ledger.Write) {
	for _, x := range ws {
		if x.Value == nil {
			continue
		}
		g, ok, err := ledger.ReadGuard(x)
		if err != nil {
			a.w.fail("records can be read", "%s: %v", n.name, err)
			return
		}
		if ok && g.Own != nil {
			a.sets[n.self] = g.Own.Set
		}
		if !ok || g.Ward == nil {
			continue
		}
		if d := g.Ward; d.Decided {
			if c := a.claims[d.Of]; c != nil {
				if c.value != *d.Value {
					a.w.fail("at most one value is decided of a generation", "%s knows of %v %+v, before it was %+v", n.name, d.Of, *d.Value, c.value)
				}
			} else if d.Version == d.Value.Version { // else its records are not here yet
				a.claim(d.Of, *d.Value, n.copies(d.Of))
			}
		} else if p := d.Promised.By; p.Node != "" && p.Node != d.Of.Node {
			a.promised(d.Of)
		}
	}
}

// copies lists what is on the disk of a generation's records.
func (n *node) copies(of ledger.Holder) (rs []guardian.Record) {
	for _, k := range slices.Sorted(maps.Keys(n.disk)) {
		if !strings.HasPrefix(k, "copy/"+of.Node) {
			continue
		}
		if g, ok, err := ledger.ReadGuard(ledger.Write{Key: k, Value: n.disk[k]}); ok && err == nil && g.Record.Of == of {
			rs = append(rs, g.Record.Record)
		}
	}
	return rs
}

// ward is what the node's disk says of a generation, apart from its records; nil if nothing.
func (n *node) ward(of ledger.Holder) *guardian.Ward {
	k := ledger.WardKey(of)
	g, ok, err := ledger.ReadGuard(ledger.Write{Key: k, Value: n.disk[k]})
	if n.disk[k] == nil || !ok || err != nil {
		return nil
	}
	return g.Ward
}

// guardians are the nodes whose data directories guard a generation, nil for a directory that is gone.
func (w *world) guardians(set []ledger.Holder) (ns []*node) {
	for _, g := range set {
		if n := w.byName[g.Node]; n != nil && n.dir == g.Gen {
			ns = append(ns, n)
		} else {
			ns = append(ns, nil)
		}
	}
	return ns
}

// promised judges that a generation was promised to a claim: a majority of promises comes after its lease only, and
// whoever spends a rate by it has stopped by then.
func (a *audit) promised(of ledger.Holder) {
	o := a.w.byName[of.Node]
	if !o.up || o.self != of || o.core.Replica == nil {
		return
	}
	o.core.Replica.Elapsed(o.uptime())
	l := o.core.Replica.Guarding().Lease
	set, n := o.core.Replica.Guardians(), 0
	for _, g := range a.w.guardians(set) {
		if g == nil {
			continue
		}
		if d := g.ward(of); d != nil && d.Promised.By.Node != "" && d.Promised.By.Node != of.Node {
			n++
		}
	}
	a.leased(of, n, len(set), l.Held && l.Left > 0)
}

func (a *audit) leased(of ledger.Holder, promises, guardians int, fresh bool) {
	if fresh && guardians > 0 && promises >= guardian.Majority(guardians) {
		a.w.fail("nobody else is promised a generation while its lease runs", "%d of %d guardians have promised %v to others", promises, guardians, of)
	}
}

// claim takes over what was decided of a generation: from now on it is what its final records show.
func (a *audit) claim(of ledger.Holder, v guardian.Value, records []guardian.Record) {
	c := claimed{value: v, finals: map[ledger.InstanceID]*books.Final{}, closed: map[string][][2]uint64{}}
	for _, r := range records {
		rec, err := ledger.Inspect(ledger.Write(r))
		if err != nil {
			a.w.fail("records can be read", "final records of %v: %v", of, err)
			return
		}
		if rec.Closed != nil {
			c.closed[rec.Node] = rec.Closed
		}
		c.floor = max(c.floor, rec.Floor)
		if rec.Instance != "" && c.finals[rec.Instance] == nil {
			f, err := books.ReadFinal(records, rec.Instance)
			if err != nil {
				a.w.fail("records can be read", "final records of %v: %v", of, err)
				return
			}
			c.finals[rec.Instance] = &f
		}
	}
	a.take(of, &c)
}

// take puts what was decided in the place of what was known of a generation.
func (a *audit) take(of ledger.Holder, c *claimed) {
	a.claims[of], a.decided = c, a.w.now
	h := a.w.pool.holder(of)
	for k, e := range a.entries { // what the final records do not show was never told, or is closed and folded
		if k.holder != h {
			continue
		}
		if a.after[k] = e; !c.folded(a.w.pool.names[k.peer]) {
			delete(a.entries, k)
		}
	}
	for k, d := range a.dues { // and what it was credited that they do not show is for the next heir
		if d.heir == of && !c.credits(a.w.pool.ids[k.instance], k) {
			if k.own() {
				a.totals(windowKey{k.instance, d.Window}).out -= d.Tokens
				a.owed[k.instance] -= d.Shares
				a.comesBack(k, -d.freed)
			}
			delete(a.dues, k)
		}
	}
	for in, id := range a.w.pool.ids {
		a.final(int32(in), h, c.finals[id])
	}
	a.judged(of, c)
}

// final puts the account that final records show, if any, in the place of what was known of it.
func (a *audit) final(in, h int32, f *books.Final) {
	k := sideKey{in, h}
	s := a.sides[k]
	if s == nil && f == nil {
		return
	}
	s = a.side(k)
	if f == nil {
		f = &books.Final{}
	}
	for _, p := range f.Pairs {
		a.entries[entryKey{in, h, a.w.pool.holder(p.Peer)}] = p.Entry
	}
	was, wasLive, own := s.live, s.isLive, s.durable
	a.genesis[in] -= s.durable.Genesis
	s.claimed, s.final = true, f.State
	s.durable, s.isDurable, s.live, s.isLive = ledger.State{}, false, ledger.State{}, false
	if wasLive && (f.State == nil || was.Window >= f.State.Window) {
		a.totals(windowKey{in, was.Window}).add(&was, -1)
	}
	for i := range s.left {
		if f.State == nil || s.left[i].Window > f.State.Window {
			a.totals(windowKey{in, s.left[i].Window}).add(&s.left[i], -1)
		}
	}
	s.left = nil
	a.beyond(in, s, &own)
	if f.State == nil {
		return
	}
	a.genesis[in] += f.State.Genesis
	s.durable, s.isDurable = *f.State, true
	t := *f.State
	t.Spent = left(&t) - t.Reserved
	if !wasLive || was.Window <= t.Window { // else what it came to in that window stays as it was seen
		s.live, s.isLive = t, true
		a.totals(windowKey{in, t.Window}).add(&t, 1)
	}
}

// judged judges whether final records show all that came to others, and all that callers were told.
func (a *audit) judged(of ledger.Holder, c *claimed) {
	h := a.w.pool.holder(of)
	for k, e := range a.entries {
		if k.peer != h || a.claims[a.w.pool.names[k.holder]] != nil || c.forgot(a.w.pool.ids[k.instance]) {
			continue
		}
		a.came(k, e, a.entries[entryKey{k.instance, h, k.holder}])
	}
	n := a.w.byName[of.Node]
	for in, id := range a.w.pool.ids {
		s := a.sides[sideKey{int32(in), h}]
		if s == nil || c.forgot(id) {
			continue
		}
		if spec, ok := n.resolve(id); ok {
			a.covered(n, id, s, &spec)
		}
	}
}

// came judges what one account has credited of another by what that one has given.
func (a *audit) came(k entryKey, e, gave ledger.Entry) {
	if e.SharesIn > gave.SharesOut || e.In > 0 && (e.Window > gave.Window || e.Window == gave.Window && e.In > gave.Out) {
		a.w.fail("what came to others is in what a claim finds", "%v credits %+v of %v in %s, whose final records show %+v",
			a.w.pool.names[k.holder], e, a.w.pool.names[k.peer], a.w.pool.ids[k.instance], gave)
	}
}

// covered judges that what callers were told by a generation that was claimed lies below its final held mark: all above
// is in use by its heir.
func (a *audit) covered(n *node, id ledger.InstanceID, s *side, spec *ledger.Spec) {
	s.expire(n.clockNow())
	if spec.Kind == ledger.Rate || spec.Ceiling != ledger.Hard || s.told <= 0 {
		return
	}
	if f := s.final; f == nil || s.toldOf > f.Window || s.toldOf == f.Window && s.told > f.Held {
		a.w.fail("spending stays below what a claim finds", "%s: callers were given %d of window %d of %s, final is %+v", n.name, s.told, s.toldOf, id, f)
	}
}

// due judges what an heir was credited: once, no more than final records show, and by whom it is due to.
func (a *audit) due(n *node, id ledger.InstanceID, k dueID, d ledger.Due) {
	if d == (ledger.Due{}) {
		return
	}
	if was, ok := a.dues[k]; ok {
		if was.heir != n.self || was.Due != d {
			a.w.fail("what final records show is credited once", "%s: %+v of %v for %v, and %+v to %v", n.name, d, k.from, k.to, was.Due, was.heir)
		}
		return
	}
	a.dues[k] = credit{heir: n.self, Due: d}
	c := a.claims[k.from]
	if c == nil {
		a.w.fail("what is credited was decided", "%s is credited %+v of %v", n.name, d, k.from)
		return
	}
	f := c.finals[id]
	if f == nil || f.State == nil {
		a.w.fail("no more is credited than final records show", "%s: %+v of %v, which has no account of %s", n.name, d, k.from, id)
		return
	}
	s := f.State
	if k.own() {
		most := s.Issued() + s.In - s.Out - s.Lapsed
		if k.to.IsZero() {
			most -= max(s.Held, s.Spent+s.Reserved)
		} else {
			most -= a.dues[dueID{k.instance, k.from, ledger.Holder{}}].Tokens
		}
		if d.Tokens > max(0, most) || d.Shares > s.Shares() || d.Tokens > 0 && d.Window != s.Window {
			a.w.fail("no more is credited than final records show", "%s: %+v of %v, whose final account of %s is %+v", n.name, d, k.from, id, *s)
		}
		a.totals(windowKey{k.instance, d.Window}).out += d.Tokens
		a.owed[k.instance] += d.Shares
		a.dues[k] = credit{n.self, d, a.comesBack(k, d.Tokens)}
		// Nothing is held back below Observe.
		if acc := n.core.Replica.Account(id); !k.to.IsZero() && (acc == nil || acc.Spec().Ceiling != ledger.Observe) {
			from := a.side(sideKey{k.instance, a.w.pool.holder(k.from)})
			if from.expire(n.clockNow()); from.told > 0 {
				a.w.fail("slots come back when their calls have ended", "%s is credited %d of %s, of which callers of %v have %d", n.name, d.Tokens, id, k.from, from.told)
			}
		}
	}
}

// comesBack books that slots which lie below a final held mark are free again, and returns how many of them were in use.
func (a *audit) comesBack(k dueID, n ledger.Tokens) ledger.Tokens {
	s := a.sides[sideKey{k.instance, a.w.pool.holder(k.from)}]
	if k.to.IsZero() || s == nil || !s.isLive {
		return 0
	}
	n = min(n, s.live.Spent+s.live.Reserved) // the rest lies between that and the mark
	s.live.Spent -= n
	a.totals(windowKey{k.instance, s.live.Window}).used -= n
	return n
}

// claimable judges what a claim could decide on now of a generation that runs: it must show what callers were told.
func (a *audit) claimable(n *node) {
	set := n.core.Replica.Guardians()
	if len(set) == 0 || a.claims[n.self] != nil {
		return
	}
	ns := a.w.guardians(set)
	ws := make([]*guardian.Ward, len(ns))
	for i, g := range ns {
		ws[i] = &guardian.Ward{}
		if g != nil {
			if w := g.ward(n.self); w != nil {
				ws[i] = w
			}
		}
	}
	for i, x := range ws {
		notLater := 0
		for j, y := range ws {
			if ns[j] != nil && y.Version <= x.Version { // a directory that is gone answers no claim
				notLater++
			}
		}
		if x.Version == 0 || notLater < guardian.Majority(len(ws)) {
			continue
		}
		n.core.Replica.EachAccount(func(acc *ledger.Account) {
			id, spec := acc.ID(), acc.Spec()
			s := a.side(sideKey{a.w.pool.instance(id), a.w.pool.holder(n.self)})
			rec, err := ledger.Inspect(ledger.Write{Key: "account/" + string(id), Value: ns[i].disk[ledger.CopyKey(n.self, "account/"+string(id))]})
			if err != nil {
				a.w.fail("records can be read", "%s's copy of %v: %v", ns[i].name, n.self, err)
				return
			}
			a.covered(n, id, &side{told: s.told, toldOf: s.toldOf, slots: slices.Clone(s.slots), final: rec.Account}, &spec)
		})
	}
}
