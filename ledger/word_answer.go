package ledger

import (
	"slices"
)

// What a node answers for a word. It is what is durable, and held where guardians hold what it tells: after a claim of this
// node its heir finds no less.

// answerWord answers, if what it has to say is settled. It reports whether it did.
func (r *Replica) answerWord(now Instant, o *owedAnswer) bool {
	m := o.ask
	if s, ok := r.words.shut[m.Dead[0]]; !ok || s.ID != m.ID {
		return true // given up
	}
	if r.guards.news || r.guards.over || len(r.seats.pass) > 0 || !r.quiet() {
		o.version = 0
		return false
	}
	if o.version == 0 {
		o.version = max(1, r.guard.Version()) // has all that it tells
	}
	if r.bound && r.guard.Held() < o.version && !r.loses(m.Dead) {
		return false
	}
	parts := r.wordParts(now, m)
	for i, p := range parts {
		p.ID, p.From, p.To, p.Part, p.Parts = m.ID, r.self, m.From, i, len(parts)
		if m.From == r.self {
			r.takeAnswer(now, p)
		} else {
			r.send(m.From.Node, p)
		}
	}
	return true
}

// quiet reports that nothing of what a word asks about is on its way to the disk. A change of an account's own tokens is
// none of it.
func (r *Replica) quiet() bool {
	for _, in := range r.order {
		if in.coming > 0 {
			return false
		}
		for _, e := range in.edges {
			if e.dirty {
				return false
			}
		}
	}
	return true
}

// loses reports whether this generation has no majority of guardians left once the dead are dead: then nobody can claim
// it, and nothing new of it will be held before the word is given.
func (r *Replica) loses(dead []Holder) bool {
	left := 0
	set := r.guard.Set()
	for _, g := range set {
		if !r.guard.Gone(g) && !slices.ContainsFunc(dead, func(h Holder) bool { return h.Node == g.Node && h.Gen >= g.Gen }) {
			left++
		}
	}
	return left < (len(set)/2 + 1)
}

// wordParts is the answer, cut into messages.
func (r *Replica) wordParts(now Instant, m *WordAsk) []*WordAnswer {
	first := &WordAnswer{Retired: r.guard.Decisions(), Seats: r.Seats()}
	for i, s := range r.seats.of {
		if s.Holder != r.self {
			continue
		}
		u := WordSeat{Seat: s}
		for h := range r.seats.used[i] {
			u.Used = append(u.Used, h)
		}
		slices.Sort(u.Used)
		first.Held = append(first.Held, u)
	}
	parts := []*WordAnswer{first}
	for _, in := range r.order {
		last := parts[len(parts)-1]
		if len(last.Accounts) == wordParts {
			last = &WordAnswer{}
			parts = append(parts, last)
		}
		last.Accounts = append(last.Accounts, r.wordAccount(now, in, m))
	}
	return parts
}

// wordAccount is what this node says of one instance.
func (r *Replica) wordAccount(now Instant, in *instance, m *WordAsk) WordAccount {
	w := WordAccount{Instance: in.id, Net: in.founding}
	w.Window, w.First = r.wordWindow(now, in.id)
	s := in.parked
	if a := in.account; a != nil {
		a.mu.Lock()
		state := a.s
		a.mu.Unlock()
		s = &state
	}
	if s != nil {
		w.Net += s.Shares()
		w.Window = max(w.Window, s.Window)
	}
	for _, k := range in.rows {
		if slices.Contains(m.Dead, k.Holder) {
			w.Window = max(w.Window, k.Window)
		}
	}
	for _, e := range in.sortedEdges() {
		if slices.Contains(m.Live, e.peer) { // the two sides of it add up to what is on its way
			w.Net -= e.SharesIn - e.SharesOut + e.SharesBack
		} else if slices.Contains(m.Dead, e.peer) && e.Entry != (Entry{}) {
			w.With = append(w.With, WordPair{Dead: e.peer, SharesOut: e.SharesOut, SharesIn: e.SharesIn,
				Window: e.Window, Out: e.Out, In: e.In})
			w.Window, w.First = max(w.Window, e.Window), max(w.First, e.First)
		}
	}
	return w
}

// wordWindow is the window of an instance now, and the first that nobody can have issued yet, by this node's clock.
func (r *Replica) wordWindow(now Instant, id InstanceID) (window, first Window) {
	spec, known := r.cfg.Resolve(id)
	if !known || spec.Kind != Windowed {
		return 0, 0
	}
	window, _, _ = spec.calendar().At(now)
	first, _, _ = spec.calendar().At(now + wordSlack)
	return window, first + 1
}
