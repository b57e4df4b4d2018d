package sim

import (
	"fmt"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/guardian"
	books "github.com/swarmpurse/swarmpurse/ledger/judge"
)

// What becomes of generations that have ended: at rest all that they had is in use again, but for that of generations which
// nobody can claim.

// claims is how long after all faults are over the rights of the last generation that died may take to come back: a lease
// and its margin, once more for those whose guardians have started anew, and a minute for the claim.
func (w *world) claims() micros {
	d := time.Duration(0)
	for _, p := range w.sc.Policies {
		if g := p.Guards(); g.Guardians > 0 {
			d = max(d, time.Duration(g.Lease)*time.Millisecond)
		}
	}
	if d == 0 {
		return 0
	}
	return 2*span(d+guardian.Margin(d)) + 60*second
}

// stranded says why nobody can claim a generation that has ended, "" if somebody can.
func (w *world) stranded(of ledger.Holder) string {
	set := w.audit.sets[of]
	if len(set) == 0 {
		return "unguarded"
	}
	have, fresh := 0, 0
	for _, g := range w.guardians(set) {
		if g == nil || !g.up {
			continue
		}
		d := g.ward(of)
		if d == nil || d.Version == 0 {
			continue
		}
		have++
		if l := g.core.Replica.Guarding().Lease; len(g.core.Replica.Guardians()) == 0 || l.Held && l.Left > 0 {
			fresh++
		}
	}
	switch {
	case have < guardian.Majority(len(set)):
		return "lost guardians"
	case fresh == 0:
		return "guardians without a lease"
	}
	return ""
}

// frozen reports whether a node that runs has lost a majority of its guardians for good: what it gives is told to nobody any
// more, and what it spends stays below its held marks, until one of them is back or an operator vouches.
func (w *world) frozen(n *node) bool {
	if n.core.Replica == nil { // it is between two generations
		return false
	}
	set, have := n.core.Replica.Guardians(), 0
	for _, g := range w.guardians(set) {
		if g != nil && g.up {
			have++
		}
	}
	return len(set) > 0 && have < guardian.Majority(len(set))
}

// heir follows decisions from a generation to the first that is not claimed.
func (a *audit) heir(h ledger.Holder) ledger.Holder {
	for range a.claims {
		c := a.claims[h]
		if c == nil {
			return h
		}
		h = c.value.Heir
	}
	return h
}

// astray finds something that generations which have ended had, and that is not in use again. It leaves what is stranded.
func (w *world) astray() string {
	if w.claims() == 0 {
		return ""
	}
	a := &w.audit
	for in, id := range w.pool.ids {
		if w.ended(id) {
			continue // what is on its way when both sides forget it comes nowhere, and nobody has a use for it
		}
		in := int32(in)
		var live, most ledger.Shares
		for h, holder := range w.pool.names {
			s := a.sides[sideKey{in, int32(h)}]
			n := w.byName[holder.Node]
			switch {
			case s == nil || !s.isDurable:
			case n.lives(holder):
				live += s.durable.Shares()
				if w.frozen(n) {
					most += w.ways(in, int32(h))
				}
			case !s.claimed:
				if why := w.stranded(holder); why == "" {
					return fmt.Sprintf("%v has ended with %d shares of %s, and is not claimed", holder, s.durable.Shares(), id.Name())
				}
				most += s.durable.Shares() + w.ways(in, int32(h))
			default:
				if detail := w.inherited(in, int32(h), &most); detail != "" {
					return detail
				}
			}
		}
		if missing := a.genesis[in] - live; missing < 0 || missing > most {
			return fmt.Sprintf("%s: live holders have %d of %d shares; %d may be with those that nobody can claim or that are frozen", id.Name(), live, a.genesis[in], most)
		}
	}
	return w.unclosed()
}

// ways is what is on the way to or from a holder, of shares.
func (w *world) ways(in, h int32) (n ledger.Shares) {
	a := &w.audit
	for p := range int32(len(w.pool.names)) {
		to, from := a.entries[entryKey{in, h, p}], a.entries[entryKey{in, p, h}]
		n += max(0, to.SharesOut-to.SharesBack-from.SharesIn) + max(0, from.SharesOut-from.SharesBack-to.SharesIn)
	}
	return n
}

// inherited finds out whether what a claimed generation owned was credited, where its heir lives.
func (w *world) inherited(in, h int32, most *ledger.Shares) string {
	a, of, id := &w.audit, w.pool.names[h], w.pool.ids[in]
	f := a.sides[sideKey{in, h}].final
	if f == nil {
		return ""
	}
	heir := a.heir(of)
	n := w.byName[heir.Node]
	if !n.lives(heir) {
		if why := w.stranded(heir); why == "" {
			return fmt.Sprintf("%v, the heir of %v, has ended and is not claimed", heir, of)
		}
		*most += f.Shares() + w.ways(in, h)
		return ""
	}
	spec, ok := n.resolve(id)
	if _, done := a.dues[dueID{in, of, ledger.Holder{}}]; done || !ok {
		return ""
	}
	left := f.Issued() + f.In - f.Out - f.Lapsed - max(f.Held, f.Spent+f.Reserved) - f.Debt
	if f.Shares() > 0 || left > 0 && spec.Kind == ledger.Grant && spec.Ceiling != ledger.Observe {
		return fmt.Sprintf("%v has not been credited what %v had of %s: %d shares, %d tokens", heir, of, id.Name(), f.Shares(), left)
	}
	return ""
}

// forgotten reports that no node which runs has the final records of a generation, nor can find out what was decided: its heir, a majority of its
// guardians and all who were told all of them have lost their disks. Who was told what concerns it alone cannot help others. It takes an operator's word.
func (w *world) forgotten(of ledger.Holder) bool {
	for _, n := range w.nodes {
		if n.up {
			if d := n.ward(of); d != nil && d.Decided && d.Version == d.Value.Version {
				return false
			}
		}
	}
	return w.stranded(of) == "lost guardians"
}

// unclosed finds a live account that has not settled yet with a generation that was claimed.
func (w *world) unclosed() (detail string) {
	for _, n := range w.nodes {
		if !n.up {
			continue
		}
		n.core.Replica.EachAccount(func(acc *ledger.Account) {
			n.core.Replica.EachEntry(acc.ID(), func(peer ledger.Holder, e ledger.Entry) {
				if c := w.audit.claims[peer]; c != nil && !e.Closed && detail == "" && !w.forgotten(peer) {
					detail = fmt.Sprintf("%s has not settled %s with %v, which was claimed by %v", n.name, acc.ID().Name(), peer, c.value.Heir)
				}
			})
		})
	}
	return detail
}

// mostPairs bounds what together looks at.
const mostPairs = 1 << 24

// together has the ledger's own judge compare all holders' books of every instance, as they are at rest. Windows that turn
// are left to the audit: of those that are over nobody knows everything any more.
func (w *world) together() {
	a := &w.audit
	if n := len(w.pool.names); n*n*len(w.pool.ids) > mostPairs {
		return
	}
	byHolder := map[int32][]entryKey{} // by instance and holder it would be no faster
	given := map[sideKey]bool{}        // to whom something was given: it may have ended before it had an account
	for k := range a.entries {
		byHolder[k.holder] = append(byHolder[k.holder], k)
		given[sideKey{k.instance, k.peer}] = true
	}
	for in, id := range w.pool.ids {
		var bs []*books.Book
		var kind ledger.Kind
		var ceiling ledger.Ceiling
		known := false
		for h, holder := range w.pool.names {
			k := sideKey{int32(in), int32(h)}
			s := a.sides[k]
			if s == nil {
				if !given[k] {
					continue
				}
				s = &side{}
			}
			b := books.NewBook(holder, id)
			n := w.byName[holder.Node]
			if c := a.claims[holder]; c != nil {
				b.Final = &books.Final{}
				if f := c.finals[id]; f != nil {
					*b.Final = *f
				}
				b.Final.Pairs = nil
				for _, k := range byHolder[int32(h)] {
					if k.instance == int32(in) {
						b.Final.Pairs = append(b.Final.Pairs, books.Pair{Peer: w.pool.names[k.peer], Entry: a.entries[k]})
					}
				}
			}
			state := s.durable
			b.There = s.isDurable
			for _, k := range byHolder[int32(h)] {
				if k.instance == int32(in) {
					b.Disk = append(b.Disk, books.Pair{Peer: w.pool.names[k.peer], Entry: a.entries[k]})
				}
			}
			b.Pairs = b.Disk
			if n.lives(holder) {
				if acc := n.core.Replica.Account(id); acc != nil {
					live, spec, _, ready := acc.Peek()
					kind, ceiling, known = spec.Kind, spec.Ceiling, true
					if ready {
						state = live
					}
				}
			}
			for k, d := range a.dues {
				if k.instance == int32(in) && d.heir == holder {
					b.Dues = append(b.Dues, books.Due{From: k.from, To: k.to, Due: d.Due})
				}
			}
			b.Window, b.Shares, b.Given = state.Window, state.Shares(), state.Genesis
			if b.There && state.Window == 0 {
				u := books.Use{Last: state, Limit: w.judge.limit(id, 0)}
				u.Overdraft = u.Limit // the judge of callers knows what it may be
				b.Uses = append(b.Uses, u)
			}
			bs = append(bs, b)
		}
		if !known {
			continue
		}
		if said := w.judge.capped(id).windows[0]; said != nil { // at whichever of its nodes
			bs[0].ToppedUp(said.minted)
			bs[0].Burned(said.burned)
		}
		if err := books.Together(bs, kind, ceiling); err != nil {
			w.fail("the books of all holders fit together", "%v", err)
			return
		}
	}
}
