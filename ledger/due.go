package ledger

// Ticks in vain. Of a replica from which nobody wants anything most ticks only let signals fade and rights accrue. Due says until
// when that is so, and Idle does it for all of them at once. A node ticks anyway; for whoever drives thousands of replicas it is most
// of their ticks.

// Due returns when the first tick comes that does more than Idle, unless there is an input before; it is not after now if the next one
// does. now is the time of the last Tick, or that which Idle stood for last; it is asked when the batch of what came since is complete, and
// holds while the clock and that of leases advance alike. Rows that come leave it as it is, as long as Heard completes their batch.
func (r *Replica) Due(now Instant) Instant {
	r.roused = false
	g, w := &r.guards, &r.words
	switch {
	case r.fenced, r.Pending(), r.touched.any(), len(r.unacked) > 0, !r.heir.IsZero(), now < r.lastSlow,
		g.released, g.moving, len(g.tells) > 0, g.news && !g.over, r.bound && r.guard.Held() != g.held,
		len(w.owed) > 0, w.own != nil, len(w.shut) > 0:
		return now
	}
	due := min(r.lastSlow+slowTick, r.nextTurn)
	if at, ok := r.guard.Due(); ok {
		due = min(due, now+Instant((at-r.elapsed).Milliseconds()))
	}
	for _, in := range r.active {
		if due <= now {
			return now
		}
		due = min(due, r.dueOf(now, in))
	}
	return due
}

// mostHears is how many instances Hears looks at.
const mostHears = 16

// Hears reports, where Due has just said that ticks are in vain, that Heard completes any batch of rows of other nodes until then. So whoever
// drives the replica may give it those later, with the times at which they came: nothing comes of them but what is to be passed on.
func (r *Replica) Hears() bool {
	for i, in := range r.order {
		if i == mostHears || in.account != nil && (!in.active || in.need.First > 0) {
			return false
		}
	}
	return true
}

// dueOf is Due of an active instance. It is passed over only while its row waits for its time: so it stays active.
func (r *Replica) dueOf(now Instant, in *instance) Instant {
	a := in.account
	switch {
	case a == nil, in.tickedAt != now, in.dirty, len(in.changes) > 0, in.arriving > 0, in.unseated, in.need.First > 0,
		len(in.early)+len(in.held)+len(in.asks) > 0, now >= in.tellAt, in.tellNow():
		return now
	}
	due := min(in.tellAt, in.ends)
	a.mu.Lock()
	d := dust{a.s.Free, a.spec.Amount, a.s.Window, r.places}
	if !a.ready || a.touched || a.asked+a.refused+a.given > 0 || a.spec.Feedback.On() || a.autonomy > 0 && a.heldBinds() || d.free > 0 && d != in.dust {
		due = now
	}
	if a.phantom > 0 {
		due = min(due, a.phantomUntil)
	}
	if l := a.accrual.lots; len(l) > 0 {
		due = min(due, l[0].expires)
	}
	observed := a.spec.Ceiling == Observe
	a.mu.Unlock()
	switch {
	case due <= now || !in.called || observed || r.cfg.Strategy.Ahead(r.viewSelf(now, in)) <= 0:
	case now < in.aheadAt && in.aheadAt <= now+aheadRefuse:
		due = min(due, in.aheadAt)
	default:
		return now
	}
	return due
}

// Idle stands for n ticks, every ms apart and the last at now, which Due said would do nothing else. It comes before any other
// input but rows.
func (r *Replica) Idle(now Instant, n int, every Millis) {
	from := now - Instant(n)*Instant(every)
	for i := range n {
		r.refill(from + Instant(i+1)*Instant(every))
	}
	for _, in := range r.active {
		if in.tickedAt != from {
			continue // a row made it active since
		}
		a := in.account
		a.mu.Lock()
		a.advance(now)
		a.fade(n, every)
		a.mu.Unlock()
		in.tickedAt = now
	}
}

// fade has the signals fade as n ticks do, every ms apart, in which nothing happens: to the bit. Caller holds mu.
func (a *Account) fade(n int, every Millis) {
	w := ewmaPart(every, demandConstant)
	for range n {
		a.demand.blend(0, w)
		a.unmet.blend(0, w)
		a.lending.blend(0, w)
		a.use(float64(every)/1000, every)
	}
}
