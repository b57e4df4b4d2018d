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

func (t *touchList) take() []*instance {
	t.mu.Lock()
	defer t.mu.Unlock()
	ins := t.ins
	t.ins = nil
	return ins
}

// grow adds a change that is applied when it is durable.
func (r *Replica) grow(in *instance, c change) {
	in.changes = append(in.changes, c)
	r.mark(in)
	if c.edge != nil {
		r.markEdge(in, c.edge)
	}
}

// mark has the account's record written with this batch.
func (r *Replica) mark(in *instance) {
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
	r.batch.meta = append(r.batch.meta, Write{key, value})
}

func (r *Replica) send(to string, m any) {
	r.batch.sends = append(r.batch.sends, Send{to, m})
}

// Pending reports whether there is anything to write or to do.
func (r *Replica) Pending() bool {
	b := &r.batch
	return len(b.dirty)+len(b.edges)+len(b.meta)+len(b.sends)+len(b.spreads)+len(b.grown) > 0 || r.versionsLow()
}

// versionsLow reports that the durable mark of row versions should move ahead.
func (r *Replica) versionsLow() bool { return r.version+versionChunk/2 > r.versionMark }

// Writes returns what this batch must make durable, in one transaction. It may be empty.
func (r *Replica) Writes(now Instant) []Write {
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
		s := a.s
		a.mu.Unlock()
		for _, c := range in.changes {
			c.apply(&s, after[c.edge])
		}
		s.At = now
		ws = append(ws, Write{keyAccount + string(in.id), encodeState(&s)})
	}
	for _, ref := range r.batch.edges {
		ws = append(ws, Write{entryKey(ref.in.id, ref.e.peer), encodeEntry(after[ref.e])})
	}
	return append(ws, r.batch.meta...)
}

// Commit applies what had to wait for Writes to be durable, and returns what to do now.
func (r *Replica) Commit(now Instant) Effects {
	if r.versionNext > 0 {
		r.versionMark, r.versionNext = r.versionNext, 0
	}
	for _, in := range r.batch.dirty {
		a := in.account
		a.mu.Lock()
		before := a.s.Balance()
		for _, c := range in.changes {
			var e *Entry
			var in0 Tokens
			if c.edge != nil {
				e = &c.edge.Entry
				in0 = a.s.In
			}
			c.apply(&a.s, e)
			if a.spec.Kind == Rate && e != nil && a.s.In > in0 {
				a.accrual.borrow(a.s.In-in0, c.edge.lapses)
			}
			if c.then != nil {
				c.then()
			}
		}
		a.rights += a.s.Balance() - before
		if len(in.changes) > 0 {
			if a.spec.Kind == Rate {
				a.retune()
			}
			a.payDebt()
			r.batch.grown = append(r.batch.grown, a)
			a.touch()
		}
		r.nextTurn = min(r.nextTurn, a.end)
		a.mu.Unlock()
		in.changes = in.changes[:0]
		in.dirty = false
	}
	for _, ref := range r.batch.edges {
		ref.e.dirty = false
	}
	fx := Effects{r.batch.sends, r.batch.spreads, r.batch.grown}
	r.batch = batch{}
	return fx
}

// Abort forgets the batch after its writes failed. What was given away stays taken from the balance and
// is written with the next batch; what was to be added is not, and peers will tell it again.
func (r *Replica) Abort() {
	r.versionNext = 0
	for _, in := range r.batch.dirty {
		in.changes = in.changes[:0]
		if !in.account.started() {
			// Its opening failed: nobody may find it half made.
			in.account = nil
			r.unuse(in.id)
			in.dirty = false
		}
	}
	b := batch{edges: r.batch.edges, meta: r.batch.meta}
	for _, in := range r.batch.dirty {
		if in.dirty {
			b.dirty = append(b.dirty, in)
		}
	}
	r.batch = b
}

func (a *Account) started() bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	return a.ready
}
