package ledger

import (
	"slices"
)

// What final records mean here: to a peer of the generation that was claimed, and to its heir. Everything is credited
// once, by a key that is a record itself; all of it are changes that apply when they are durable.

// slotsSlack is how much later than its owner's clock said the slots of a claimed generation come free.
const slotsSlack = 60_000

// final returns what was decided of a generation; nil if that is not known here, or its records have not come yet.
func (r *Replica) final(of Holder) *final {
	v, ok := r.guard.Decision(of)
	if !ok {
		delete(r.guards.finals, of) // it goes on after all, see package guardian
		return nil
	}
	f := r.guards.finals[of]
	if f == nil {
		records, ok := r.guard.Records(of)
		if !ok {
			return nil
		}
		f = readFinal(of, v.Heir, v.IsWord(), records, len(r.charter.Founders))
		if r.guards.finals == nil {
			r.guards.finals = map[Holder]*final{}
		}
		r.guards.finals[of] = f
	}
	return f
}

// inherit books what is decided, as far as it is not booked yet. It reports whether something has to wait.
func (r *Replica) inherit(now Instant) (waits bool) {
	if r.charter.ID.IsZero() {
		return true
	}
	for _, of := range r.guard.Decisions() {
		if of == r.self {
			continue
		}
		heir, f := r.guard.Heir(of) == r.self, r.shown(of, r.self)
		if p := r.guards.parts[of]; p != nil && r.past.has(of) && !slices.ContainsFunc(p.about, func(h Holder) bool { return h != r.self && r.unsettled(h, of) }) {
			delete(r.guards.parts, of)
		}
		if !r.past.has(of) && (f == nil || r.closeEdges(now, f) || r.fold(f)) {
			waits = true
		}
		if heir {
			if f = r.final(of); f == nil {
				waits = true
				continue
			}
			if !r.chain(f) {
				waits = true
				continue
			}
			if r.takeSeats(f) {
				waits = true
			}
			for _, id := range f.order {
				if r.takeDues(now, f, id) {
					waits = true
				}
			}
		}
	}
	return r.takeSeatsBack() || waits
}

// ready returns the account of an instance, once it is open and nothing of it waits for the disk; nil until then.
func (r *Replica) ready(now Instant, id InstanceID) (in *instance, gone bool) {
	a, err := r.Open(now, id)
	if err != nil {
		return nil, true // the policy does not have it; with one that does, everything is looked at again
	}
	in = r.instances[id]
	if !a.started() || in.dirty || len(in.changes) > 0 {
		return nil, false
	}
	return in, false
}

// expect books that so many shares come with this batch, unless there would be more than all: a node that was claimed
// and does not know may hear of what is another's by now. None of it is usable, since nothing of it will be held.
func (in *instance) expect(n Shares) bool {
	a := in.account
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.s.Shares()+in.coming+n > TotalShares {
		return false
	}
	in.coming += n
	return true
}

// closeEdges settles with a peer that was claimed: what it gave to this node comes as its final records say, and what
// they do not show as come goes back.
func (r *Replica) closeEdges(now Instant, f *final) (waits bool) {
	for _, in := range slices.Clone(r.order) {
		e, fa := in.edges[f.of], f.accounts[in.id]
		if e != nil && e.Closed || e == nil && fa.entry(r.self) == (Entry{}) {
			continue
		}
		if r.closeEdge(now, f, in.id) {
			waits = true
		}
	}
	for _, id := range f.order {
		if r.instances[id] == nil && f.accounts[id].entry(r.self) != (Entry{}) && r.closeEdge(now, f, id) {
			waits = true
		}
	}
	return waits
}

func (r *Replica) closeEdge(now Instant, f *final, id InstanceID) (waits bool) {
	in, gone := r.ready(now, id)
	if in == nil {
		return !gone
	}
	e, err := r.anyEdge(in, f.of)
	if err != nil {
		return true
	}
	fa, a := f.accounts[id], in.account
	theirs, forgot := fa.entry(r.self), f.forgot(id)
	if forgot { // what it had came to an end there, ours included
		theirs.SharesIn = e.SharesOut
	}
	a.mu.Lock()
	a.advance(now)
	kind, window, late := a.spec.Kind, a.s.Window, a.lateFirst(now)
	a.mu.Unlock()
	if kind != Rate && theirs.Window > window && theirs.Out > 0 {
		return true // of a window that is not issued here yet
	}
	if !in.expect(max(0, theirs.SharesOut-e.SharesIn) + max(0, e.SharesOut-theirs.SharesIn)) {
		return true
	}
	told := &Transfer{From: f.of, To: r.self, Window: theirs.Window, Out: theirs.Out, SharesOut: theirs.SharesOut, First: theirs.First}
	r.grow(in, change{edge: e, apply: func(s *State, e *Entry) {
		if e.Closed {
			return
		}
		e.Closed = true
		s.come(e, told, kind == Windowed, kind != Rate)
		e.SharesBack = e.SharesOut - theirs.SharesIn
		s.SharesIn += e.SharesBack
		s.arrive(e.SharesBack, max(late, e.First), kind == Windowed)
		if kind != Rate && e.Window == s.Window && !forgot {
			e.Back = onTheWay(*e, fa, theirs)
			s.In += e.Back
			s.Taken.add(Taken{In: -e.Back, Out: -e.Back})
		}
	}, then: func() { r.tookBack(in, e) }})
	r.activate(in)
	return false
}

// onTheWay is what of the rights given in e did not come to the other side, by its final account: of the window of e.
func onTheWay(e Entry, other *finalAccount, theirs Entry) Tokens {
	switch {
	case other == nil || other.state.Window < e.Window || !other.state.Issues:
		return e.Out
	case other.state.Window > e.Window:
		return 0 // it has lived on: what it did with them is not shown
	case theirs.Window == e.Window:
		return e.Out - theirs.In
	}
	return e.Out
}

// lateFirst is the first window for which shares count that come back: one that nobody can have issued them for, however
// they went. Late is safe.
func (a *Account) lateFirst(now Instant) Window {
	if a.spec.Kind != Windowed {
		return 0
	}
	first := a.s.Window + 1
	if a.s.ArrivingFirst >= first {
		first = a.s.ArrivingFirst + 1
	}
	if w, _, _ := a.spec.calendar().At(max(now, a.last)); w >= first {
		first = w + 1
	}
	return first
}

// takeDues credits this node, as the heir, with what final records show of an instance.
func (r *Replica) takeDues(now Instant, f *final, id InstanceID) (waits bool) {
	in, gone := r.ready(now, id)
	if in == nil {
		return !gone
	}
	fa, a := f.accounts[id], in.account
	a.mu.Lock()
	a.advance(now)
	spec, window, late, last := a.spec, a.s.Window, a.lateFirst(now), a.last
	a.mu.Unlock()
	s := &fa.state
	first := Window(0)
	if spec.Kind == Windowed {
		if first = s.Window + 1; s.Arriving > 0 {
			first = max(first, s.ArrivingFirst)
		}
	}
	own := Due{Shares: s.Shares(), Window: s.Window}
	if spec.Kind != Rate && spec.Ceiling != Observe {
		own.Tokens = max(0, s.owned()-max(s.Held, s.used())-s.Debt)
	}
	own.Taken = s.taken(own.Tokens, spec.Kind == Rate)
	if r.due(in, f, dueKey{from: f.of}, own, first, window) {
		waits = true
	}
	if spec.Kind == Slots {
		// What was reserved below the held mark came back by then, or the last of those calls was seen to end.
		if last < s.HeldTill+slotsSlack && !r.former.ended(f.of, id) {
			waits = true
		} else {
			n := max(0, s.owned()-s.Debt) - own.Tokens
			if r.due(in, f, dueKey{f.of, f.of}, Due{Window: s.Window, Tokens: n, Taken: Taken{In: -n, Spent: -n}}, 0, window) {
				waits = true
			}
		}
	}
	for _, peer := range fa.peers() {
		e := fa.entries[peer]
		if _, done := in.dues[dueKey{f.of, peer}]; done || e.Closed {
			continue
		}
		other := r.shown(peer, f.of)
		if other == nil { // it is for the peer to take what is on its way to it, unless it was claimed, too
			_, claimed := r.guard.Decision(peer)
			waits = waits || claimed
			continue
		}
		if other.past.has(f.of) || other.forgot(id) {
			continue // it had booked all that was between the two
		}
		oa := other.accounts[id]
		theirs := oa.entry(f.of)
		way := Due{Shares: e.SharesOut - theirs.SharesIn, Window: e.Window}
		if spec.Kind != Rate && e.Window == s.Window {
			way.Tokens = onTheWay(e, oa, theirs)
			way.Taken = Taken{In: -way.Tokens, Out: -way.Tokens}
		}
		if r.due(in, f, dueKey{f.of, peer}, way, max(first, late, e.First), window) {
			waits = true
		}
	}
	return waits
}

// due credits one key, unless that was done, here or by an earlier heir whose final records show it.
func (r *Replica) due(in *instance, f *final, k dueKey, d Due, first, window Window) (waits bool) {
	if d.Window < window {
		d.Tokens, d.Taken = 0, Taken{} // they lapsed with it
	}
	if _, done := in.dues[k]; done || d.Shares <= 0 && d.Tokens <= 0 && d.Taken == (Taken{}) {
		return false
	}
	if r.between(f, func(h *final) bool {
		a := h.accounts[in.id]
		if a == nil {
			return h.forgot(in.id)
		}
		_, done := a.dues[k]
		return done
	}) {
		return false
	}
	if (d.Tokens > 0 || d.Taken != Taken{}) && d.Window > window {
		return true // of a window that is not issued here yet
	}
	if !in.expect(d.Shares) {
		return true
	}
	windowed := in.account.Spec().Kind == Windowed
	if in.dues == nil {
		in.dues = map[dueKey]Due{}
	}
	in.dues[k] = Due{} // it is on its way to the disk
	r.grow(in, change{due: &dueChange{k, d}, apply: func(s *State, _ *Entry) {
		s.SharesIn += d.Shares
		s.arrive(d.Shares, first, windowed)
		if s.Window == d.Window {
			s.In += d.Tokens
			s.Taken.add(d.Taken)
		}
	}})
	r.activate(in)
	return false
}

// sortedDues lists the keys of what was credited in an order that does not depend on the map.
func (in *instance) sortedDues() []dueKey {
	ks := make([]dueKey, 0, len(in.dues))
	for k := range in.dues {
		ks = append(ks, k)
	}
	slices.SortFunc(ks, func(a, b dueKey) int {
		if c := a.from.Compare(b.from); c != 0 {
			return c
		}
		return a.to.Compare(b.to)
	})
	return ks
}

// chain reports whether the final records of all heirs between a claimed generation and this one are here.
func (r *Replica) chain(f *final) bool {
	for h := f.heir; h != r.self; {
		g := r.final(h)
		if g == nil {
			return false
		}
		h = g.heir
	}
	return true
}

// between reports whether the final records of any heir between a claimed generation and this one show something.
func (r *Replica) between(f *final, shows func(*final) bool) bool {
	for h := f.heir; h != r.self; {
		g := r.final(h)
		if shows(g) {
			return true
		}
		h = g.heir
	}
	return false
}

// dueChange is a credit that waits for the disk.
type dueChange struct {
	key dueKey
	Due
}

// takeSeats takes over the seats that a claimed generation held, by its final records, with what they were used for.
func (r *Replica) takeSeats(f *final) (waits bool) {
	for i := range r.seats.of {
		s, told := f.seats[i]
		if !told {
			s = Seat{Index: i, Holder: r.charter.Founders[i]}
		}
		have := r.seats.of[i]
		if r.between(f, func(h *final) bool { return h.seats[i].Serial > s.Serial }) {
			continue // an earlier heir had it, and its final records say where it went
		}
		if p := f.passes[i]; p != nil {
			if r.seats.pass[i] == nil && have.Serial <= p.Seat.Serial && have.Holder != r.self && r.seats.done[i] < p.Seat.Serial {
				r.goOnPassing(i, *p)
			}
			continue
		}
		if s.Holder != f.of || have.Holder == r.self || have.Serial > s.Serial && r.guard.Heir(have.Holder) != r.self {
			continue
		}
		r.takeSeat(i, max(have.Serial, s.Serial)+1, r.usedBy(f, i))
	}
	return false
}

// goOnPassing goes on with a hand-over that a claimed generation had begun.
func (r *Replica) goOnPassing(i int, p SeatPass) {
	p.From = r.self
	r.seats.of[i] = p.Seat
	r.places++
	r.seats.pass[i], r.seats.since[i] = &p, r.guard.Version()+1
	r.meta(seatKey(i), encodeSeat(&p.Seat))
	r.meta(passKey(i), encodeMessage(&p))
	if p.To == r.self {
		delete(r.seats.pass, i)
		r.meta(passKey(i), nil)
		r.takeSeat(i, p.Seat.Serial+1, p.used())
	}
}

// used is what the seat was used for, by hashes of instances, and up to which level.
func (p *SeatPass) used() map[uint64]Tokens {
	used := make(map[uint64]Tokens, len(p.Used))
	for k, h := range p.Used {
		used[h] = unknownLevel
		if p.Levels != nil {
			used[h] = p.Levels[k]
		}
	}
	return used
}

// takeSeat makes a seat this node's own.
func (r *Replica) takeSeat(i int, serial uint64, used map[uint64]Tokens) {
	s := Seat{Index: i, Serial: serial, Holder: r.self}
	r.seats.of[i], r.seats.since[i] = s, r.guard.Version()+1
	r.places++
	r.seats.used[i] = make(map[uint64]Tokens, len(used))
	hs := make([]uint64, 0, len(used))
	for h := range used {
		hs = append(hs, h)
	}
	slices.Sort(hs)
	for _, h := range hs {
		r.use(i, h, used[h])
	}
	for _, in := range r.order {
		if in.account != nil {
			in.unseated = true
			r.activate(in)
		}
	}
	r.meta(seatKey(i), encodeSeat(&s))
}

// usedBy says for what a claimed generation had used a seat, and up to which level.
func (r *Replica) usedBy(f *final, i int) map[uint64]Tokens {
	used := map[uint64]Tokens{}
	for h, level := range f.used[i] {
		used[h] = level.known()
	}
	for _, id := range f.order {
		s, h := f.accounts[id].state, hashID(id)
		spec, known := r.cfg.Resolve(id)
		if s.Seats&(1<<i) == 0 || !known {
			continue
		}
		if spec.Kind == Windowed || spec.Kind == Rate {
			used[h] = 0
			if _, ends, ok := id.Life(); ok {
				used[h] = lifeLevel(ends)
			}
			continue
		}
		a := &Account{seats: len(r.charter.Founders), levels: make([]Tokens, len(r.charter.Founders))}
		for j := range a.levels {
			a.levels[j] = max(f.used[j][h], unknownLevel)
		}
		used[h] = a.yield(&s, i, spec.Amount)
	}
	return used
}

// takeSeatsBack ends hand-overs to generations that were claimed: what the taker's final records show is its heir's,
// all else never came, and is this node's again.
func (r *Replica) takeSeatsBack() (waits bool) {
	for i := range r.seats.of {
		p := r.seats.pass[i]
		if p == nil {
			continue
		}
		f := r.shown(p.To, r.self)
		if f == nil {
			_, claimed := r.guard.Decision(p.To)
			waits = waits || claimed
			continue
		}
		delete(r.seats.pass, i)
		r.meta(passKey(i), nil)
		if s, ok := f.seats[i]; ok && s.Serial >= p.Seat.Serial {
			continue
		}
		r.takeSeat(i, p.Seat.Serial+1, p.used())
	}
	return false
}
