package ledger

import "slices"

// heldAsk is an ask that waits here for rights.
type heldAsk struct {
	ask   *Ask
	since Instant
	until Instant
}

// hold keeps an ask, and tells the asker, who then waits rather than ask others.
func (r *Replica) hold(now Instant, in *instance, m *Ask) {
	if slices.ContainsFunc(in.held, func(h heldAsk) bool { return h.ask.ID == m.ID && h.ask.From == m.From }) {
		return // it came twice
	}
	at := len(in.held)
	for at > 0 && in.held[at-1].ask.Rank() < m.Rank() {
		at--
	}
	in.held = slices.Insert(in.held, at, heldAsk{m, now, now + Instant(m.Patience)})
	r.activate(in)
	r.send(m.From.Node, &Hold{ID: m.ID, From: r.self, Instance: m.Instance, For: m.Patience})
}

// serveHeld gives for asks that are held, in the order in which they came, as far as there are rights. The first
// that there are not enough for has what there is set aside, so that neither newcomers nor smaller calls take it; so have all that go first.
func (r *Replica) serveHeld(now Instant, in *instance) {
	if len(in.held) == 0 {
		return
	}
	a := in.account
	in.held = slices.DeleteFunc(in.held, func(h heldAsk) bool {
		_, alive := r.alive(h.ask.From)
		return !alive || now >= h.until || now < h.since
	})
	n := 0
	for _, h := range in.held {
		v := r.viewSelf(now, in)
		if h.ask.Window != v.Window {
			n++ // rights of a window that is over are of no use to it
			continue
		}
		if !in.before(&h) || v.GivableTo(h.ask) < h.ask.Need ||
			!r.serve(now, in, h.ask, min(h.ask.Want, v.GivableTo(h.ask))) {
			break
		}
		n++
	}
	in.held = slices.Delete(in.held, 0, n)
	aside := Tokens(0)
	for i := range in.held {
		h := &in.held[i]
		if i > 0 && h.ask.Rank() == RankNone || !in.before(h) {
			break
		}
		aside = min(aside+h.ask.Need, MaxTokens)
	}
	a.mu.Lock()
	a.aside = aside
	a.mu.Unlock()
}

// heldNeed adds up what the asks that are held need, by rank: with what goes before it.
func (in *instance) heldNeed(by *[numRanks]Tokens) {
	for _, h := range in.held {
		for i := range h.ask.Rank() + 1 {
			by[i] += h.ask.Need
		}
	}
}

// before reports whether a held ask comes before the calls that wait here.
func (in *instance) before(h *heldAsk) bool {
	if in.need.First == 0 {
		return true
	}
	if a, b := h.ask.Rank(), in.need.rank(); a != b {
		return a > b
	}
	return h.since <= in.need.Since
}

// receiveHold notes that a donor keeps an ask of ours.
func (r *Replica) receiveHold(now Instant, m *Hold) error {
	in, ok := r.instances[m.Instance]
	if !ok {
		return nil // forgotten meanwhile
	}
	for i := range in.asks {
		if o := &in.asks[i]; o.id == m.ID && o.to == m.From {
			o.held = now + Instant(m.For)
		}
	}
	return nil
}
