package ledger

import (
	"math"
	"slices"
)

const (
	demandConstant = 5_000         // ms, smoothing of demand
	slowTick       = 1_000         // ms between looks at what only time changes
	driftPause     = 5_000         // ms between rounds of share transfers of one instance
	driftMost      = 16            // peers that get shares in one round
	mostLooked     = 64            // peers in a second whose asks may bring them shares
	giftShows      = Millis(4_500) // until a peer's row shows the shares that it was given, as a rule
	versionChunk   = 1024
)

// activate puts an instance on the list that ticks look at.
func (r *Replica) activate(in *instance) {
	if !in.active && in.account != nil {
		in.active, r.roused = true, true
		r.active = append(r.active, in)
	}
}

// Tick does what time brings: windows turn, marks move ahead of spending, rights decay, changed rows are
// sent, unacknowledged transfers are told again, shares drift. Call it some 20 times a second; a tick in
// which nothing moved costs nothing.
func (r *Replica) Tick(now Instant) {
	r.refill(now)
	if r.fenced {
		r.touched.take()
		return
	}
	for _, in := range r.touched.take() {
		r.activate(in)
	}
	if now >= r.nextTurn {
		r.turnAll(now)
	}
	slow := due(now, r.lastSlow, slowTick)
	if slow {
		r.lastSlow = now
		r.lookAround()
	}
	r.active = slices.DeleteFunc(r.active, func(in *instance) bool {
		quiet := r.tickOne(now, in, slow)
		if quiet {
			in.active = false
		}
		return quiet
	})
	r.guardTick(now, slow)
	r.repeat(now)
	if slow {
		r.passSeats(now)
		r.repeatSeats(now)
		r.forget(now)
	}
}

// due reports whether pause has passed since at. A clock that stepped back makes everything due, rather
// than nothing until it has caught up.
func due(now, at Instant, pause Millis) bool { return now < at || now >= at+Instant(pause) }

// turnAll issues every window that has begun.
func (r *Replica) turnAll(now Instant) {
	r.nextTurn = maxInstant
	for _, in := range r.order {
		a := in.account
		if a == nil || in.over || len(in.changes) > 0 {
			continue // what waits for the disk comes first; Commit sees to the next turn
		}
		a.mu.Lock()
		a.advance(now)
		if w, end, turn := a.due(now); turn {
			r.turn(in, now, w, end)
			r.activate(in)
		} else {
			r.nextTurn = min(r.nextTurn, a.end)
		}
		a.mu.Unlock()
	}
}

// tickOne looks at one active instance. It reports whether nothing is left to do for it.
func (r *Replica) tickOne(now Instant, in *instance, slow bool) (quiet bool) {
	a := in.account
	if a == nil {
		return true
	}
	a.mu.Lock()
	a.advance(now)
	a.touched = false
	if now >= in.ends && a.ready { // there is nothing to tell, give or ask for any more
		a.mu.Unlock()
		in.early, in.held, in.asks, in.news = nil, nil, nil, false
		return true
	}
	if dt := Millis(now - in.tickedAt); dt > 0 {
		if in.tickedAt == 0 {
			dt = 50
		}
		sec := float64(dt) / 1000
		a.demand.add(float64(a.asked)/sec, dt, demandConstant)
		a.unmet.add(float64(a.refused)/sec, dt, demandConstant)
		a.lending.add(float64(a.given)/sec, dt, demandConstant)
		a.use(sec, dt)
		in.called = in.called || a.asked > 0
		a.asked, a.refused, a.given = 0, 0, 0
		in.tickedAt = now
	} else if dt < 0 {
		in.tickedAt = now
	}
	changed := false
	if a.ready && !in.dirty {
		var more bool
		if more, changed = a.reconcile(); more {
			extra := a.extra(a.s.Window)
			r.grow(in, change{apply: func(s *State, _ *Entry) { extra(s) }})
		}
		r.extendHeld(now, in)
		if mark, till := a.extend(); mark > 0 || till > 0 {
			w := a.s.Window
			r.growLater(in, change{apply: func(s *State, _ *Entry) {
				if s.Window == w {
					s.Mark = max(s.Mark, mark)
				}
				s.MarkTill = max(s.MarkTill, till)
			}})
		}
		a.wantMark, a.wantTill = 0, 0
	}
	if slow && a.decay() {
		changed = true
	}
	if a.phantom > 0 && now >= a.phantomUntil {
		a.s.Reserved -= a.phantom
		a.rights += a.phantom
		a.phantom = 0
	}
	if in.need.First > 0 && now >= in.need.Until+needLasts { // who waits still says so again
		in.need = Need{}
	}
	busy := a.demand > 0 || a.used > 0 || a.unmet > 0 || a.phantom > 0 || in.need.First > 0 || len(in.held) > 0 || a.lending > 0 || len(in.asks) > 0 ||
		a.spec.HalfLife > 0 && a.rights > 0 || !a.ready || a.s.Debt > 0 || a.accrual.lent > 0
	a.mu.Unlock()

	if changed {
		r.markLater(in)
	}
	if in.unseated && in.foundingBy == 0 && in.account.started() {
		in.unseated = false
		r.adopt(in)
	}
	if !r.heir.IsZero() && r.handOn(now, in) {
		busy = true
	}
	if r.gather(now, in) {
		busy = true
	}
	r.answerEarly(now, in)
	r.serveHeld(now, in)
	if slow {
		r.offer(now, in)
	}
	if len(in.asks) > 0 {
		r.giveUp(now, in)
	}
	r.ahead(now, in)
	if r.emit(now, in) {
		busy = true
	}
	if slow && due(now, in.driftAt, driftPause) && !in.dirty {
		in.driftAt = now
		in.news = false
		if r.drift(now, in) {
			busy = true
		}
	}
	return !busy && !in.news && !in.unseated && len(in.early) == 0
}

// drift moves shares toward demand, as the strategy says. Grants and slots are issued once, so that
// their shares are worth nothing later. It reports whether some went: then there is a row to tell.
func (r *Replica) drift(now Instant, in *instance) (gave bool) {
	a := in.account
	if k := a.Spec().Kind; k != Windowed && k != Rate || !a.started() || !r.heir.IsZero() {
		return false
	}
	if r.guards.alone {
		return false
	}
	in.gifts = slices.DeleteFunc(in.gifts, func(g gift) bool { return due(now, g.at, giftShows) })
	if s := r.sums(in, a.State(now).Window); !r.cfg.Strategy.Drifts(r.viewSelf(now, in), s.others) {
		return false
	}
	v := r.view(now, in)
	for range driftMost {
		i, n := r.cfg.Strategy.Drift(v)
		if n = min(n, v.Share); i < 0 || n <= 0 {
			return gave
		}
		to := v.Peers[i].Holder
		r.moveShares(now, in, to, n)
		in.gifts = append(in.gifts, gift{to, now})
		v.Lending -= v.Lending * float64(n) / float64(v.Share) // asks follow the shares
		v.Share -= n
		v.Peers[i].Given = true
		gave = true
	}
	return gave
}

// along gives a peer that asks for rights of a rate shares with them, as the strategy says: the message goes anyway, and
// who asks is who lacks some. Shares of windows would only count from the next one on.
func (r *Replica) along(now Instant, in *instance, e *edge, m *Ask) (given Shares) {
	a := in.account
	if a.Spec().Kind != Rate || !r.heir.IsZero() {
		return 0
	}
	in.looked = slices.DeleteFunc(in.looked, func(g gift) bool { return due(now, g.at, slowTick) })
	if len(in.looked) >= mostLooked || slices.ContainsFunc(in.looked, func(g gift) bool { return g.to == e.peer }) {
		return 0
	}
	in.looked = append(in.looked, gift{e.peer, now})
	in.gifts = slices.DeleteFunc(in.gifts, func(g gift) bool { return due(now, g.at, giftShows) })
	v := r.view(now, in)
	i, ok := slices.BinarySearchFunc(v.Peers, e.peer, func(p PeerView, h Holder) int { return p.Holder.Compare(h) })
	if !ok || v.Peers[i].Given {
		return 0
	}
	n := min(r.cfg.Strategy.Along(v, i, m), v.Share)
	if n <= 0 {
		return 0
	}
	a.mu.Lock()
	given = a.giveShares(e, n, now)
	a.mu.Unlock()
	if given > 0 {
		in.gifts = append(in.gifts, gift{e.peer, now})
	}
	return given
}

// gift is shares that were given lately.
type gift struct {
	to Holder
	at Instant
}

func (r *Replica) moveShares(now Instant, in *instance, to Holder, n Shares) {
	e, err := r.edge(in, to)
	if err != nil || len(r.unacked) >= MaxOpen {
		return
	}
	in.account.mu.Lock()
	given := in.account.giveShares(e, n, now)
	in.account.mu.Unlock()
	if given > 0 {
		r.moved(in, e.peer, GaveRights, 0, given)
		r.gave(now, in, e, 0)
	}
}

// gatherBelow is the limit for each member below which free shares are gathered: each holder may keep a token from
// being issued, which is less than a thousandth of any larger limit and not worth messages.
const gatherBelow = 1000

// gathers reports whether the free shares of an instance are brought together, so that they issue.
func (r *Replica) gathers(spec *Spec) bool {
	return spec.Kind == Windowed && spec.Ceiling != Observe && spec.Amount/gatherBelow < Tokens(r.members())
}

// dust is what gather has looked at: without change there is nothing new to do.
type dust struct {
	free   Shares
	limit  Tokens
	window Window
	places uint64
}

// gather gives free shares to where the strategy gathers them, as soon as there are some. It reports whether
// they wait for the disk.
func (r *Replica) gather(now Instant, in *instance) (waits bool) {
	a := in.account
	a.mu.Lock()
	spec, d := a.spec, dust{a.s.Free, a.spec.Amount, a.s.Window, r.places}
	a.mu.Unlock()
	if d.free == 0 || d == in.dust || !r.heir.IsZero() || r.guards.alone {
		return false
	}
	if in.dirty {
		return true
	}
	in.dust = d
	if !r.gathers(&spec) {
		return false
	}
	v := r.view(now, in)
	if i, n := r.cfg.Strategy.Gather(v); i >= 0 && n > 0 {
		r.moveShares(now, in, v.Peers[i].Holder, min(n, d.free))
	}
	return false
}

// Conservation returns what the equations of this node's accounts are off by: always 0, or there is a bug.
func (r *Replica) Conservation() Tokens {
	var off Tokens
	for _, in := range r.order {
		if in.account != nil && !in.dirty {
			off = Tokens(math.Min(float64(off)+float64(in.account.Audit()), float64(MaxTokens)))
		}
	}
	return off
}
