package ledger_test

import (
	"slices"
	"strings"

	. "github.com/swarmpurse/swarmpurse/ledger"
)

// model is the simple judge: it knows what callers were told and nothing of how accounts work.
type model struct {
	w       *world
	charter Charter
	used    map[useKey]Tokens // admitted and not refunded
	last    map[useKey]State  // the last state seen of a node in a window
	limit   map[winKey]Tokens // the largest limit in force anywhere while the window was open
	over    map[winKey]Tokens // the largest overdraft
	roll    map[winKey]Tokens // the largest rollover
	mints   []topUp           // that are durable
	events  map[InstanceID][]event
	jumps   Millis // what clocks ran ahead of time
	lost    []lostSlots
	minting map[useKey]minting
}

// minting bounds what a rate account may accrue: its shares' part of the rate over the time that it had them.
type minting struct {
	life    *Replica
	base    Tokens
	allowed float64
	shares  Shares
	at      Instant
}

func (m *model) mint(n *wnode, id InstanceID, s *State, spec Spec) {
	k := useKey{id, 0, n.i}
	x := m.minting[k]
	if x.life != n.r {
		x = minting{life: n.r, base: s.Base, at: m.w.now}
	}
	x.allowed += float64(spec.Per) / float64(spec.PerMillis) * float64(m.w.now-x.at) * float64(x.shares) / float64(TotalShares)
	x.at, x.shares = m.w.now, s.Shares()
	m.minting[k] = x
	if grown := s.Base - x.base; float64(grown) > x.allowed+1 && m.jumps == 0 {
		m.w.fatalf("%s: node %d accrued %d, its shares at most %.1f", id, n.i, grown, x.allowed)
	}
}

// lostSlots is a call whose node forgot it in a crash; it keeps its slots until its TTL ends.
type lostSlots struct {
	k       useKey
	n       Tokens
	expires Instant
}

func (m *model) crashed(n *wnode) {
	for _, r := range n.open {
		for _, t := range r.takes {
			if t.Account.Spec().Kind == Slots {
				m.lost = append(m.lost, lostSlots{useKey{t.Account.ID(), 0, n.i}, t.Amount, r.expires})
			}
		}
	}
}

func (m *model) expire() {
	m.lost = slices.DeleteFunc(m.lost, func(l lostSlots) bool {
		over := m.w.nodes[l.k.node].top >= l.expires
		if over {
			m.used[l.k] -= l.n
		}
		return over
	})
}

type useKey struct {
	id   InstanceID
	w    Window
	node int
}

type winKey struct {
	id InstanceID
	w  Window
}

// event is rate tokens that were admitted, or refunded when negative.
type event struct {
	at Instant
	n  Tokens
}

func newModel(w *world, c Charter) *model {
	return &model{w, c, map[useKey]Tokens{}, map[useKey]State{}, map[winKey]Tokens{}, map[winKey]Tokens{}, map[winKey]Tokens{},
		nil, map[InstanceID][]event{}, 0, nil, map[useKey]minting{}}
}

func (m *model) admitted(n *wnode, t Take) {
	id := t.Account.ID()
	m.used[useKey{id, t.Window, n.i}] += t.Amount
	if t.Account.Spec().Kind == Rate {
		m.events[id] = append(m.events[id], event{m.w.now, t.Amount})
		m.checkRate(id, t.Account.Spec())
	}
}

func (m *model) settled(n *wnode, t Take, kept Tokens) {
	id := t.Account.ID()
	m.used[useKey{id, t.Window, n.i}] -= t.Amount - kept
	if t.Account.Spec().Kind == Rate && kept < t.Amount {
		m.events[id] = append(m.events[id], event{m.w.now, kept - t.Amount})
	}
}

// checkRate: in any time T, no more than rate × (T + L) + burst is admitted, and what was refunded in T + L.
func (m *model) checkRate(id InstanceID, spec Spec) {
	es := m.events[id]
	var admitted Tokens
	for i := len(es) - 1; i >= 0; i-- {
		if es[i].n < 0 {
			continue
		}
		admitted += es[i].n
		span := Millis(m.w.now-es[i].at) + spec.Lend + m.jumps
		var refunds Tokens
		for _, e := range es {
			if e.n < 0 && e.at >= es[i].at-Instant(spec.Lend) {
				refunds -= e.n
			}
		}
		most := Tokens(float64(spec.Per)/float64(spec.PerMillis)*float64(span)) + spec.Amount + refunds
		if admitted > most {
			m.w.fatalf("%s: %d tokens admitted in %d ms, at most %d may be", id, admitted, m.w.now-es[i].at, most)
		}
	}
}

// told checks that nothing is told before it is durable.
func (m *model) told(n *wnode, msg any) {
	t, ok := msg.(*Transfer)
	if ok {
		e := n.diskEntries()[t.Instance][t.To]
		if t.SharesOut > e.SharesOut || t.Out > 0 && (e.Window < t.Window || e.Window == t.Window && t.Out > e.Out) {
			m.w.fatalf("node %d tells %+v and has %+v on disk", n.i, t, e)
		}
	}
	if a, ok := msg.(*Ack); ok {
		e := n.diskEntries()[a.Instance][a.To]
		if a.SharesIn > e.SharesIn {
			m.w.fatalf("node %d acknowledges %+v and has %+v on disk", n.i, a, e)
		}
		s := n.diskState(a.Instance)
		if s == nil || a.Window == s.Window && a.In > 0 && (e.Window != a.Window || a.In > e.In) {
			m.w.fatalf("node %d acknowledges %+v and has %+v on disk", n.i, a, e)
		}
	}
}

// wrote checks that what only grows does so on disk.
func (m *model) wrote(n *wnode, x Write) {
	was, ok := n.disk[x.Key]
	if !ok || x.Value == nil {
		return
	}
	switch {
	case strings.HasPrefix(x.Key, KeyEntry):
		a, _ := DecodeEntry(was)
		b, err := DecodeEntry(x.Value)
		if err != nil || b.SharesIn < a.SharesIn || b.SharesOut < a.SharesOut || b.Window < a.Window || b.First < a.First && b.AckedShares < a.SharesOut ||
			b.Window == a.Window && (b.In < a.In || b.Out < a.Out || b.AckedOut < a.AckedOut) || b.AckedShares < a.AckedShares {
			m.w.fatalf("node %d: entry %q goes from %+v to %+v: %v", n.i, x.Key, a, b, err)
		}
	case strings.HasPrefix(x.Key, KeyAccount):
		a, _ := DecodeState(was)
		b, err := DecodeState(x.Value)
		if err != nil || b.Genesis < a.Genesis || b.SharesIn < a.SharesIn || b.SharesOut < a.SharesOut || b.Window < a.Window ||
			b.ArrivingFirst < a.ArrivingFirst || b.Window == a.Window && (b.In < a.In || b.Out < a.Out || b.Cut < a.Cut) {
			m.w.fatalf("node %d: account %q goes from %+v to %+v: %v", n.i, x.Key, a, b, err)
		}
		if b.Balance() < 0 && b.Mark < b.Spent+b.Reserved {
			m.w.fatalf("node %d: account %q is written with a balance of %d", n.i, x.Key, b.Balance())
		}
	}
}

// check judges the whole swarm.
func (w *world) check() {
	m := w.model
	m.expire()
	for _, id := range w.ids {
		m.checkInstance(id)
	}
}

func (m *model) checkInstance(id InstanceID) {
	w := m.w
	type side struct {
		s       *State
		entries map[Holder]Entry
		disk    map[Holder]Entry
	}
	sides := make([]side, len(w.nodes))
	windows := map[Window]bool{}
	var genesis, owned, inFlight Shares
	for i, n := range w.nodes {
		sd := &sides[i]
		sd.disk = n.diskEntries()[id]
		sd.entries = sd.disk
		durable := n.diskState(id)
		sd.s = durable
		var a *Account
		if n.r != nil {
			a = n.r.Account(id)
		}
		if a != nil {
			live, _, _, ready := a.Peek()
			if !ready && durable != nil && durable.Issues {
				w.fatalf("node %d: %s is durable but not open", n.i, id)
			}
			if ready {
				sd.s = &live
				if durable == nil {
					w.fatalf("node %d: %s is open but not durable", n.i, id)
				}
				if off := a.Audit(); off != 0 {
					w.fatalf("node %d: the equations of %s are off by %d: %+v", n.i, id, off, live)
				}
				if live.Spent+live.Reserved > durable.Mark && live.Window == durable.Window || live.Mark > durable.Mark || live.MarkTill > durable.MarkTill {
					w.fatalf("node %d: %s has spent %d+%d, mark %d, durable mark %d (till %d, %d)", n.i, id, live.Spent, live.Reserved, live.Mark, durable.Mark, live.MarkTill, durable.MarkTill)
				}
				if live.Window != durable.Window {
					w.fatalf("node %d: %s is in window %d, on disk in %d", n.i, id, live.Window, durable.Window)
				}
				if spec := w.specs[id][n.version]; spec.Kind == Rate {
					m.mint(n, id, &live, spec)
				}
				sd.entries = map[Holder]Entry{}
				n.r.EachEntry(id, func(peer Holder, e Entry) { sd.entries[peer] = e })
				if used := m.used[useKey{id, live.Window, i}]; live.Spent+live.Reserved < used {
					w.fatalf("node %d: %s has spent %d+%d of window %d, callers were given %d", i, id, live.Spent, live.Reserved, live.Window, used)
				}
			}
		}
		if sd.s == nil {
			continue
		}
		s := sd.s
		spec := w.specs[id][n.version]
		k := winKey{id, s.Window}
		m.limit[k] = max(m.limit[k], spec.Amount)
		if spec.Ceiling == Soft {
			m.over[k] = max(m.over[k], Tokens(int64(spec.Amount)*spec.OverdraftPPM/1_000_000))
		}
		m.roll[k] = max(m.roll[k], Tokens(int64(spec.Amount)*spec.RolloverPPM/1_000_000))
		genesis += s.Genesis
		owned += s.Shares()
		windows[s.Window] = true
		m.last[useKey{id, s.Window, i}] = *s
		// The account's sums are those of its entries.
		var si, so Shares
		var in, out Tokens
		for _, e := range sd.entries {
			si, so = si+e.SharesIn, so+e.SharesOut
			if e.Window == s.Window {
				in, out = in+e.In, out+e.Out
			}
		}
		if si != s.SharesIn || so != s.SharesOut || in != s.In || out != s.Out {
			w.fatalf("node %d: %s sums up %d %d %d %d, its entries %d %d %d %d", i, id, s.SharesIn, s.SharesOut, s.In, s.Out, si, so, in, out)
		}
	}
	if genesis > TotalShares {
		w.fatalf("%s: genesis gave %d shares", id, genesis)
	}
	for i, a := range sides {
		for j, b := range sides {
			if i == j {
				continue
			}
			out, in := a.disk[w.nodes[j].self], b.entries[w.nodes[i].self]
			if in.SharesIn > out.SharesOut || in.Window > out.Window && in.In > 0 || in.Window == out.Window && in.In > out.Out {
				w.fatalf("%s: node %d has credited %+v, node %d gave %+v durably", id, j, in, i, out)
			}
			inFlight += a.entries[w.nodes[j].self].SharesOut - in.SharesIn
		}
	}
	if owned+inFlight != genesis {
		w.fatalf("%s: %d shares owned, %d in flight, %d by genesis", id, owned, inFlight, genesis)
	}
	for win := range windows {
		m.checkWindow(winKey{id, win})
	}
}

// checkWindow judges one window over all nodes, those included that are in another one by now.
func (m *model) checkWindow(k winKey) {
	w := m.w
	spec := w.specs[k.id][0]
	var all, issued, rolled, minted, over, spent, used, in, out, closed Tokens
	var counted Shares
	for i := range w.nodes {
		s, ok := m.last[useKey{k.id, k.w, i}]
		if !ok {
			continue
		}
		all += s.Issued()
		issued += s.Base - s.Cut
		rolled += s.Rolled
		minted += s.Minted
		over += s.Overdrawn
		spent += s.Spent + s.Reserved
		in += s.In
		out += s.Out
		closed += s.Spent + s.Reserved + s.Lapsed + s.Balance()
		used += m.used[useKey{k.id, k.w, i}]
		counted += s.Counted
		if spec.Kind == Windowed && s.Base-s.Cut > Issue(s.Counted, m.limit[k]) {
			w.fatalf("%s: node %d issued %d-%d in window %d for %d shares and a limit of %d", k.id, i, s.Base, s.Cut, k.w, s.Counted, m.limit[k])
		}
		if s.Balance() < 0 {
			w.fatalf("%s: node %d has a balance of %d in window %d", k.id, i, s.Balance(), k.w)
		}
	}
	if counted > TotalShares {
		w.fatalf("%s window %d: %d shares were counted", k.id, k.w, counted)
	}
	if in > out {
		w.fatalf("%s window %d: %d tokens came, %d left", k.id, k.w, in, out)
	}
	if closed+(out-in) != all {
		w.fatalf("%s window %d: %d issued, %d found, %d in flight", k.id, k.w, all, closed, out-in)
	}
	if spec.Kind == Rate {
		return
	}
	var topUps Tokens
	for _, t := range m.mints {
		if t.id == k.id {
			topUps += 100
		}
	}
	if spec.Kind == Grant && minted < topUps {
		w.fatalf("%s: topped up %d of %d", k.id, minted, topUps)
	}
	if issued > m.limit[k] || rolled > m.roll[k] || minted > topUps {
		w.fatalf("%s window %d: issued %d of %d, rolled %d of %d, topped up %d of %d",
			k.id, k.w, issued, m.limit[k], rolled, m.roll[k], minted, topUps)
	}
	limit := m.limit[k] + rolled + minted
	switch spec.Ceiling {
	case Hard:
		if over > 0 {
			w.fatalf("%s window %d: %d beyond a hard limit", k.id, k.w, over)
		}
	case Soft:
		if over > m.over[k] {
			w.fatalf("%s window %d: overdrawn by %d, at most %d may be", k.id, k.w, over, m.over[k])
		}
		limit += over
	case Observe:
		return
	}
	if spent > limit || used > limit {
		w.fatalf("%s window %d: spent %d, admitted %d, limit %d", k.id, k.w, spent, used, limit)
	}
}
