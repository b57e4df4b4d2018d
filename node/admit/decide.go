package admit

import (
	"fmt"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// decide tries one call. done: it was admitted or refused, and w.ID is set. Otherwise it waits, at the draw
// whose index is returned.
func (e *Engine) decide(now ledger.Instant, l Ledger, w *Waiter) (done bool, at int) {
	ttl := w.Request.ttl()
	for {
		why, at := w.reserve(now, ttl)
		t, need := (*boundTake)(nil), ledger.Tokens(0)
		if why != ledger.Enough {
			t, need = &w.bound.takes[at], w.takes[at].Amount
		}
		switch why {
		case ledger.Enough:
			e.finish(now, ttl, w)
			return true, 0
		case ledger.NoRights:
			kept := t.gate.kept(w)
			if !w.overdraw {
				if now < w.deadline && !hopeless(t.account.Spec(), l.Outlook(now, t.gate.id, min(need+kept, ledger.MaxTokens)), need, kept, w.deadline) {
					w.rights = true
					return false, at
				}
				w.overdraw = true
				continue
			}
			e.refuse(now, l, w, at, kept)
			return true, 0
		default: // the disk: the next batch brings what lacks
			if w.disk == 0 {
				w.disk = now + diskGrace
			}
			if now < max(w.deadline, w.disk) {
				w.rights = false
				return false, at
			}
			e.refuseForDisk(now, w, at)
			return true, 0
		}
	}
}

// reserve tries to reserve, but for what others keep.
func (w *Waiter) reserve(now ledger.Instant, ttl ledger.Millis) (ledger.Short, int) {
	for i := range w.bound.takes {
		if g := w.bound.takes[i].gate; len(g.keepers) > 0 {
			if w.overdraw && w.takes[i].Account.Spec().Ceiling != ledger.Hard {
				continue
			}
			if kept := g.kept(w); kept > 0 && w.takes[i].Account.Rights(now) < kept+w.takes[i].Amount {
				return ledger.NoRights, i
			}
		}
	}
	return ledger.Reserve(now, now+ledger.Instant(ttl), w.takes, w.overdraw)
}

// behind decides on a call that must wait at its at-th draw for others, if its time is over or will not do.
// Otherwise it goes on waiting, at the draw whose index is returned.
func (e *Engine) behind(now ledger.Instant, l Ledger, w *Waiter, at int) (done bool, to int) {
	t, need := &w.bound.takes[at], w.takes[at].Amount
	if first := t.gate.list[0]; !first.rights {
		// All wait for this node's disk.
		if w.disk == 0 {
			w.disk = now + diskGrace
		}
		if now < max(w.deadline, w.disk) {
			w.rights = false
			return false, at
		}
		e.refuseForDisk(now, w, at)
		return true, 0
	}
	ahead := t.gate.ahead(w)
	if now < w.deadline {
		o := l.Outlook(now, t.gate.id, min(need+ahead, ledger.MaxTokens))
		if !hopeless(t.account.Spec(), o, need, ahead, w.deadline) {
			w.rights = true
			return false, at
		}
	}
	if t.account.Spec().Ceiling != ledger.Hard {
		w.overdraw = true
		return e.decide(now, l, w)
	}
	e.refuse(now, l, w, at, ahead)
	return true, 0
}

// finish records an admission.
func (e *Engine) finish(now ledger.Instant, ttl ledger.Millis, w *Waiter) {
	id, ok := e.admitted(now, ttl, w.Request, w.bound, w.takes, w.waited(now))
	if !ok {
		id = e.refused(now, w.Request, w.bound, refusal{
			verdict: Defer, code: CodeBusy, retry: e.jitter(time.Second),
			reason: "too many reservations are open at this node: settle or release some",
		}, w.waited(now))
	}
	w.ID, w.served = id, ok
}

// refuse records that rights were short at a draw.
func (e *Engine) refuse(now ledger.Instant, l Ledger, w *Waiter, at int, ahead ledger.Tokens) {
	t, need := &w.bound.takes[at], w.takes[at].Amount
	w.takes[at].Account.Missed(need)
	o := l.Outlook(now, t.gate.id, min(need+ahead, ledger.MaxTokens))
	w.ID = e.refused(now, w.Request, w.bound, e.explain(now, t, need, ahead, o), w.waited(now))
	if g := t.gate; len(g.list) == 0 && o.Local < need && o.Swarm >= need {
		// The caller is told to come back soon: have the rights brought here until then. The next Pump ends the
		// asking.
		l.Waiting(now, g.id, need)
		g.told = need
		e.queue.rouse(g)
	}
}

func (e *Engine) refuseForDisk(now ledger.Instant, w *Waiter, at int) {
	w.ID = e.refused(now, w.Request, w.bound, refusal{
		verdict: Defer, code: CodeDisk, retry: e.jitter(time.Second),
		reason: fmt.Sprintf("budget %q: this node's disk has not confirmed a write in %v, and what is not on disk may not be spent", w.bound.takes[at].gate.id.Name(), diskGrace*time.Millisecond),
	}, w.waited(now))
}
