package ledger

import "sync"

// Write is one durable write: Value nil deletes. Keys are this package's own; the driver keeps them apart
// from others' and gives them back to Load.
type Write struct {
	Key   string
	Value []byte
}

// touchList collects the instances whose accounts moved since the last tick, from any goroutine.
type touchList struct {
	mu  sync.Mutex // guards ins
	ins []*instance
}

func (t *touchList) add(in *instance) {
	t.mu.Lock()
	t.ins = append(t.ins, in)
	t.mu.Unlock()
}

func (t *touchList) any() bool {
	t.mu.Lock()
	defer t.mu.Unlock()
	return len(t.ins) > 0
}

func (t *touchList) take() []*instance {
	t.mu.Lock()
	defer t.mu.Unlock()
	ins := t.ins
	t.ins = nil
	return ins
}

// grow adds a change that is applied when it is durable.
func (r *Replica) grow(in *instance, c change) {
	r.batch.urgent = true
	r.growLater(in, c)
}

// growLater is grow for what nobody waits for.
func (r *Replica) growLater(in *instance, c change) {
	in.changes = append(in.changes, c)
	r.markLater(in)
	if c.edge != nil {
		r.markEdge(in, c.edge)
	}
}

// mark has the account's record written with this batch, and noted at once.
func (r *Replica) mark(in *instance) {
	r.batch.urgent = true
	r.markLater(in)
}

// markLater is mark for what nobody waits for: guardians may hear of it a little later.
func (r *Replica) markLater(in *instance) {
	if !in.dirty {
		in.dirty = true
		r.batch.dirty = append(r.batch.dirty, in)
	}
}

func (r *Replica) markEdge(in *instance, e *edge) {
	if !e.dirty {
		e.dirty = true
		r.batch.edges = append(r.batch.edges, &edgeRef{in, e})
	}
}

func (r *Replica) meta(key string, value []byte) {
	r.batch.urgent = true
	r.batch.meta = append(r.batch.meta, Write{key, value})
}

func (r *Replica) send(to string, m any) {
	r.allowance.left -= cost(m)
	r.batch.sends = append(r.batch.sends, Send{to, m})
}

// Pending reports whether there is anything to write or to do.
func (r *Replica) Pending() bool {
	b := &r.batch
	return len(b.dirty)+len(b.edges)+len(b.meta)+len(b.sends)+len(b.spreads)+len(b.grown) > 0 || r.versionsLow() || r.guard.Pending()
}

// versionsLow reports that the durable mark of row versions should move ahead.
func (r *Replica) versionsLow() bool { return r.version+versionChunk/2 > r.versionMark }

// Writes returns what this batch must make durable, in one transaction. It may be empty. No input may be
// given between it and Commit or Abort; the admission path goes on meanwhile.
func (r *Replica) Writes(now Instant) []Write {
	if len(r.batch.dirty)+len(r.batch.edges)+len(r.batch.meta) == 0 && !r.versionsLow() {
		return r.guardWrites(nil) // rows that came, as a rule
	}
	ws := make([]Write, 0, len(r.batch.dirty)+len(r.batch.edges)+len(r.batch.meta)+1)
	if r.versionsLow() {
		r.versionNext = r.version + versionChunk
		ws = append(ws, Write{keyVersion, encodeVersion(r.versionNext)})
	}
	// Entries as they will be: the live ones with this batch's changes.
	after := make(map[*edge]*Entry, len(r.batch.edges))
	for _, ref := range r.batch.edges {
		e := ref.e.Entry
		after[ref.e] = &e
	}
	for _, in := range r.batch.dirty {
		a := in.account
		a.mu.Lock()
		// The admission path goes on below the mark in memory until Commit, so what is written may not be lower.
		a.s.Mark = min(a.s.Mark, a.mostMark(&a.s))
		a.lowerHeld()
		s := a.s
		for _, c := range in.changes {
			c.apply(&s, after[c.edge])
			if c.due != nil {
				ws = append(ws, Write{dueRecordKey(in.id, c.due.key), encodeDue(&c.due.Due)})
			}
		}
		s.Mark = min(s.Mark, a.mostMark(&s))
		s.Held = min(s.Held, a.mostMark(&s))
		a.mu.Unlock()
		s.At = max(now, s.At)
		in.writtenMark, in.writtenTill = s.Mark, s.MarkTill
		in.writtenHeld, in.heldTill, in.owes = s.Held, s.HeldTill, s.Debt
		ws = append(ws, Write{keyAccount + string(in.id), encodeState(&s)})
	}
	for _, ref := range r.batch.edges {
		ws = append(ws, Write{entryKey(ref.in.id, ref.e.peer), encodeEntry(after[ref.e])})
	}
	return r.guardWrites(append(ws, r.batch.meta...))
}

// Commit applies what had to wait for Writes to be durable, and returns what to do now.
func (r *Replica) Commit(now Instant) Effects {
	if r.versionNext > 0 {
		r.versionMark, r.versionNext = r.versionNext, 0
	}
	version := r.guard.Next()
	for _, in := range r.batch.dirty {
		r.commit(now, in, version)
	}
	for _, ref := range r.batch.edges {
		ref.e.dirty = false
		if version > 0 {
			ref.e.written(version)
		}
	}
	r.minted.trim()
	r.burned.trim()
	r.guardCommit(now)
	return r.effects()
}

// Heard completes a batch of nothing but rows that came, of a replica that sleeps by Due: nothing of it is durable. false if there is
// more in it, which takes Writes and Commit.
func (r *Replica) Heard() (fx Effects, ok bool) {
	b := &r.batch
	if len(b.dirty)+len(b.edges)+len(b.meta)+len(b.sends)+len(b.grown) > 0 || r.roused {
		return fx, false
	}
	return r.effects(), true
}

// effects takes the effects of the batch, and begins the next one.
func (r *Replica) effects() Effects {
	b := &r.batch
	fx := Effects{Sends: b.sends, Spreads: b.spreads, Grown: b.grown, Events: b.events, News: b.news, Stale: b.stale}
	last := &r.last // its effects are over
	b.dirty, b.edges, b.meta, b.mints, b.news, b.stale = again(b.dirty), again(b.edges), nil, nil, 0, 0
	b.sends, b.spreads, b.grown, b.events = again(last.Sends), again(last.Spreads), again(last.Grown), again(last.Events)
	r.last = fx
	return fx
}

// again empties a list, to be filled again. Long ones are not kept.
func again[T any](s []T) []T {
	if cap(s) > 256 {
		return nil
	}
	clear(s)
	return s[:0]
}

func (r *Replica) commit(now Instant, in *instance, version uint64) {
	a := in.account
	a.mu.Lock()
	a.advance(now) // more shares accrue from now on, not from when the account was last looked at
	before := a.s.Balance()
	window, held, till := a.s.Window, a.s.Held, a.s.HeldTill
	for _, c := range in.changes {
		var e *Entry
		if c.edge != nil {
			e = &c.edge.Entry
		}
		in0, shares0 := a.s.In, a.s.SharesIn
		c.apply(&a.s, e)
		if c.edge != nil {
			r.moved(in, c.edge.peer, GotRights, a.s.In-in0, a.s.SharesIn-shares0)
		}
		if d := a.s.In - in0; d > 0 && c.edge != nil && a.spec.Kind == Rate {
			a.accrual.borrow(d, c.lapses)
		}
		if c.then != nil {
			c.then()
		}
		if c.due != nil {
			in.dues[c.due.key] = c.due.Due
			r.reclaimed(in, c.due)
		}
	}
	a.rights += a.s.Balance() - before
	// Calls were settled since Writes, so the two marks may differ: the disk's is the one that holds.
	a.s.Mark = min(a.s.Mark, in.writtenMark)
	a.s.MarkTill = min(a.s.MarkTill, in.writtenTill)
	a.s.Held, a.s.HeldTill = min(a.s.Held, in.writtenHeld), min(a.s.HeldTill, in.heldTill)
	if r.bound && (a.s.Window != window || a.s.Held > held || a.s.HeldTill > till) {
		r.noteMark(in, version, a.s.Window != window)
	}
	if len(in.changes) > 0 {
		if a.spec.Kind == Rate {
			a.retune()
			a.lapseLots()
		}
		a.payDebt()
		r.batch.grown = append(r.batch.grown, a)
		a.touch()
	}
	r.nextTurn = min(r.nextTurn, a.end)
	a.mu.Unlock()
	clear(in.changes)
	in.changes = in.changes[:0]
	in.coming, in.arriving = 0, 0
	in.dirty = false
}

// Abort forgets the batch after its writes failed. What was given away stays taken from the balance, what
// was decided once (charter, vote, seats, genesis) stays decided, and both are written with the next batch.
// What was to be added is not added: peers will tell it again, windows are issued at the next tick. A
// top-up of this batch did not happen, and the driver must say so to its caller.
func (r *Replica) Abort() {
	r.versionNext = 0
	r.nextTurn = minInstant
	r.guard.Abort()
	b := batch{dirty: r.batch.dirty, edges: r.batch.edges, urgent: true}
	for _, w := range r.batch.meta {
		if w.Key != keyMint {
			b.meta = append(b.meta, w)
		}
	}
	r.minted.undo(r.batch.mints)
	r.batch = b
	for _, in := range b.dirty {
		for _, c := range in.changes {
			if c.due != nil {
				delete(in.dues, c.due.key)
				r.guards.news = true
			}
			if c.edge != nil {
				r.guards.news = true
			}
		}
		clear(in.changes)
		in.changes = in.changes[:0]
		in.coming, in.arriving = 0, 0
		if !in.account.started() && in.account.fresh() {
			r.begin(in.account.latest(), in)
		} else if in.foundingBy != 0 {
			r.found(in)
		}
	}
}

func (a *Account) started() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ready
}

// fresh reports that the account has never been durable.
func (a *Account) fresh() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return !a.s.Issues && a.s.At == 0
}

func (a *Account) latest() Instant {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.last
}
