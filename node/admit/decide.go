package admit

import (
	"fmt"
	"sync/atomic"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
)

// comeBack is how soon a caller comes back who does not wait for rights that are elsewhere, in ms.
const comeBack = 500

// decide tries one call. done: it was admitted or refused, and w.ID is set. Otherwise it waits, at the draw
// whose index is returned.
func (e *Engine) decide(now ledger.Instant, l Ledger, w *Waiter) (done bool, at int) {
	ttl := w.Request.ttl()
	for {
		if w.Err = w.price(); w.Err != nil { // it moves while calls wait
			return true, 0
		}
		why, at := w.reserve(now, ttl)
		t, need := (*boundTake)(nil), ledger.Tokens(0)
		if why != ledger.Enough {
			t, need = &w.bound.takes[at], w.takes[at].Amount
		}
		if w.Err != nil {
			return true, 0
		}
		if why != ledger.Enough && e.usedUp(now, l, w) {
			return e.again(now, l, w)
		}
		switch why {
		case ledger.Enough:
			e.finish(now, ttl, w)
			return true, 0
		case ledger.NoRights:
			kept := t.gate.kept(w)
			if w.unpaid(now, l, t, need, kept) {
				if e.recast(now, l, w, at) {
					return e.again(now, l, w)
				}
				if e.instead(now, l, w, at) {
					return true, 0
				}
			}
			if !w.overdraw {
				if now < w.deadline && !w.hopeless(now, l, t, need, kept) {
					w.rights, w.disk = true, 0
					return false, at
				}
				w.overdraw = true
				continue
			}
			if e.recast(now, l, w, at) {
				return e.again(now, l, w)
			}
			e.refuse(now, l, w, at, kept)
			return true, 0
		default: // the disk or the guardians: the next batch brings what lacks, or asks them for it
			w.unheld = w.unheld || why == ledger.NotHeld
			if w.disk == 0 {
				w.disk = now + diskGrace
				if i := w.vain(now, l); i >= 0 {
					if e.recast(now, l, w, i) {
						return e.again(now, l, w)
					}
					e.refuse(now, l, w, i, w.bound.takes[i].gate.kept(w))
					return true, 0
				}
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

// vain returns a draw for which w waits in vain, whatever the disk does that it needs for another: a refusal waits for
// no disk. -1 if there is none.
func (w *Waiter) vain(now ledger.Instant, l Ledger) int {
	for i := range w.bound.takes {
		t, need := &w.bound.takes[i], w.takes[i].Amount
		spec, kept := t.account.Spec(), t.gate.kept(w)
		if spec.Ceiling != ledger.Hard {
			continue
		}
		spare := w.spare(&spec)
		if o := l.Outlook(now, t.gate.id, min(need+kept+spare, ledger.MaxTokens)); o.Local < need+spare && hopeless(spec, o, need, kept, spare, w.deadline) {
			return i
		}
	}
	return -1
}

// refuseUnopened refuses a call that draws on an instance that cannot be opened now, if one that is open refuses it
// anyway. It is 0 if none does.
func (e *Engine) refuseUnopened(now ledger.Instant, l Ledger, r *Request) ID {
	p, err := e.rev.Load().of(&r.Call).policy.Match(&r.Call)
	if err != nil {
		return 0
	}
	w := &Waiter{Request: r, since: now, deadline: now + ledger.Instant(latencyBudget(p, r).Milliseconds()), bound: &bound{plan: p, cheap: make([]atomic.Pointer[bound], len(p.Degrades))}}
	e.tried(w.bound)
	w.call = w.bound.experiment.as(&r.Call)
	charter := l.Charter().ID
	for i := range p.Draws {
		d := &p.Draws[i]
		if id, err := d.At(now, charter); err == nil {
			if a, err := l.Open(now, id); err == nil {
				w.bound.takes = append(w.bound.takes, boundTake{terms: d.Terms, draw: d, account: a, gate: e.gate(id), size: e.size(d, modelOf(p, r.Model))})
			}
		}
	}
	if no := e.stopped(r, w.bound); no != nil {
		return e.refused(now, r, w.bound, *no, 0)
	}
	if w.price() != nil {
		return 0
	}
	if i := w.vain(now, l); i >= 0 {
		e.refuse(now, l, w, i, 0)
	}
	return w.ID
}

// hopeless reports whether what w needs at one of its draws, and what calls ahead of it need, cannot come before its
// time is over. It looks at all that is known of the instance, so no more often than that changes much.
func (w *Waiter) hopeless(now ledger.Instant, l Ledger, t *boundTake, need, ahead ledger.Tokens) bool {
	if now < w.look && w.look <= now+lookAgain {
		return false
	}
	w.look = now + lookAgain
	spec := t.account.Spec()
	spare := w.spare(&spec)
	o := l.Outlook(now, t.gate.id, min(need+ahead+spare, ledger.MaxTokens))
	w.scant = spare > 0 && o.Swarm < need+spare
	return hopeless(spec, o, need, ahead, spare, w.deadline)
}

// lookAgain is the pause between two looks whether a call waits in vain, in ms.
const lookAgain = 100

// reserve tries to reserve, but for what others keep.
func (w *Waiter) reserve(now ledger.Instant, ttl ledger.Millis) (ledger.Short, int) {
	if w.overdraw {
		if w.Err = w.overdrawn(now); w.Err != nil {
			return ledger.NoRights, 0
		}
	}
	for i := range w.bound.takes {
		w.takes[i].Keep = min(w.bound.takes[i].gate.kept(w)+w.spares(i), ledger.MaxTokens)
	}
	return ledger.Reserve(now, now+ledger.Instant(ttl), w.takes, w.overdraw)
}

// overdrawn prices what w draws beyond the rights that are here.
func (w *Waiter) overdrawn(now ledger.Instant) error {
	for i := range w.bound.takes {
		t := &w.bound.takes[i]
		over := t.draw.Budget.OverdraftPrice
		if over == overdraftAsIs || t.account.Spec().Ceiling != ledger.Soft || t.account.Rights(now) >= w.takes[i].Amount {
			continue
		}
		if err := w.priceAt(i, t.price().Times(over)); err != nil {
			return err
		}
	}
	return nil
}

// overdraftAsIs is the overdraft price that changes nothing.
const overdraftAsIs policy.PPM = 1_000_000

// behind decides on a call that must wait at its at-th draw for others, if its time is over or will not do.
// Otherwise it goes on waiting, at the draw whose index is returned.
func (e *Engine) behind(now ledger.Instant, l Ledger, w *Waiter, at int) (done bool, to int) {
	t, need := &w.bound.takes[at], w.takes[at].Amount
	if first := t.gate.first(w.bound.plan.Class.Headroom + 1); first != nil && !first.head().rights {
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
	if now < w.deadline && !w.hopeless(now, l, t, need, ahead) {
		w.rights, w.disk = true, 0
		return false, at
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
	to, shared := e.send(now, w.Request, w.call, w.bound), w.standing()
	n := noteOf(w.Request, to)
	if shared != nil {
		n = &note{to: to, data: len(w.Request.Data) > 0, shared: shared, counted: w.Request.Counted}
	}
	id, ok := e.admitted(now, ttl, w.Request, w.bound, w.takes, w.prices, w.waited(now), n)
	if !ok {
		id = e.refused(now, w.Request, w.bound, refusal{
			verdict: Defer, code: CodeBusy, retry: e.promise(now, &e.promises, time.Second, nodeSlot),
			reason: "too many reservations are open at this node: settle or release some",
		}, w.waited(now))
	}
	w.ID, w.served = id, ok
}

// refuse records that rights were short at a draw, unless the call can run cheaper.
func (e *Engine) refuse(now ledger.Instant, l Ledger, w *Waiter, at int, ahead ledger.Tokens) {
	if e.instead(now, l, w, at) {
		return
	}
	t, need := &w.bound.takes[at], w.takes[at].Amount
	w.takes[at].Account.Missed(need)
	for i := range w.bound.takes {
		if w.bound.takes[i].draw.Budget.Meters != nil {
			w.takes[i].Account.Missed(w.takes[i].Amount)
		}
	}
	spec := t.account.Spec()
	spare := w.spare(&spec)
	o := l.Outlook(now, t.gate.id, min(need+ahead+spare, ledger.MaxTokens))
	no := e.explain(now, w, t, need, ahead, spare, o)
	no.shared = w.standing()
	w.ID = e.refused(now, w.Request, w.bound, no, w.waited(now))
	if g := t.gate; g.n == 0 && o.Local < need && o.Swarm >= need+spare {
		// The caller is told to come back soon: have the rights brought here until then. The next Pump ends the
		// asking.
		l.Waiting(now, g.id, ledger.Need{First: need, All: need, Since: now, Until: now + comeBack})
		g.told = need
		e.queue.rouse(g)
	}
}

func (e *Engine) refuseForDisk(now ledger.Instant, w *Waiter, at int) {
	no := e.diskSlow(now, fmt.Sprintf("budget %q: ", w.bound.takes[at].gate.id.Name()))
	no.shared = w.standing()
	w.ID = e.refused(now, w.Request, w.bound, no, w.waited(now))
}

func (e *Engine) diskSlow(now ledger.Instant, where string) refusal {
	why := fmt.Sprintf("this node's disk has not confirmed a write in %v", diskGrace*time.Millisecond)
	if e.disk == "" && e.held != "" {
		return refusal{
			verdict: Defer, code: CodeGuardians, retry: e.promise(now, &e.promises, time.Second, nodeSlot),
			reason: where + e.held + ", and what they do not hold may not be spent",
		}
	}
	if e.disk != "" {
		why = "this node cannot write to its disk (" + e.disk + ")"
	}
	return refusal{
		verdict: Defer, code: CodeDisk, retry: e.promise(now, &e.promises, time.Second, nodeSlot),
		reason: where + why + ", and what is not on disk may not be spent",
	}
}
