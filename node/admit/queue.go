package admit

import (
	"slices"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// diskGrace is how long a call may wait for this node's own disk whatever it says of waiting: the first use
// of an instance and the turn of a window take one write.
const diskGrace = 1000 // ms

// Waiter is a call that waits. It belongs to the owner.
type Waiter struct {
	// Request must not change while the call waits.
	Request *Request
	// Notify is the driver's, to find whom to answer.
	Notify any

	// ID is set when the call is decided.
	ID ID

	bound    *bound
	takes    []ledger.Take
	since    ledger.Instant
	deadline ledger.Instant
	disk     ledger.Instant // deadline when only the disk is waited for
	expires  ledger.Instant
	tag      float64
	gone     bool
}

// queue holds the calls that wait in the order of service: start-time fair queueing by the classes' weights
// (Goyal, Vin and Cheng, SIGCOMM 1996), each call counting as one. A tag never changes, so a call that
// waits moves ahead of ever more newcomers of better classes: that is the aging.
type queue struct {
	waiters []*Waiter // by tag
	virtual float64   // the tag served last
	last    map[string]float64
}

func (q *queue) push(w *Waiter) {
	if q.last == nil {
		q.last = map[string]float64{}
	}
	class := w.bound.plan.Class
	w.tag = max(q.virtual, q.last[class.Name]) + 1/float64(max(1, class.Weight))
	q.last[class.Name] = w.tag
	i, _ := slices.BinarySearchFunc(q.waiters, w.tag, func(x *Waiter, tag float64) int {
		if x.tag <= tag {
			return -1
		}
		return 1
	})
	q.waiters = slices.Insert(q.waiters, i, w)
}

// Offer decides on a call, or lets it wait: then the waiter is not nil, and a later Pump returns it. An error
// means that nothing was decided. The owner's.
func (e *Engine) Offer(now ledger.Instant, l Ledger, r *Request) (ID, *Waiter, error) {
	if err := r.valid(); err != nil {
		return 0, nil, err
	}
	if e.draining.Load() {
		return e.refused(now, r, nil, refusal{Defer, CodeDraining, "this node is shutting down: ask another node", time.Second}, 0), nil, nil
	}
	if l.Fenced() {
		return e.refused(now, r, nil, refusal{Deny, CodeFenced, "this node is fenced: peers know a later state of it than its data directory holds; restore the newer directory or start with an empty one", 0}, 0), nil, nil
	}
	b, err := e.plan(now, l, r)
	if err != nil {
		return 0, nil, err
	}
	if !b.plan.Admit {
		return e.refused(now, r, b, refusal{Deny, CodeNoRule, "no rule of the policy matches this call, and its default is deny", 0}, 0), nil, nil
	}
	w := &Waiter{Request: r, bound: b, since: now, expires: expiry(now, r), takes: make([]ledger.Take, len(b.takes))}
	for i := range b.takes {
		n, err := b.takes[i].draw.Amount(&r.Call)
		if err != nil {
			return 0, nil, invalid(err)
		}
		w.takes[i] = ledger.Take{Account: b.takes[i].account, Amount: n}
	}
	wait := b.plan.Class.LatencyBudget
	if r.Wait >= 0 {
		wait = min(wait, r.Wait)
	}
	w.deadline = now + ledger.Instant(wait.Milliseconds())
	w.disk = max(w.deadline, now+diskGrace)
	if len(e.queue.waiters) >= e.cfg.MaxQueue {
		no := refusal{Defer, CodeQueueFull, "too many calls wait at this node", e.jitter(time.Second)}
		return e.refused(now, r, b, no, 0), nil, nil
	}
	for i := range b.takes {
		b.takes[i].gate.waiting.Add(1)
	}
	e.queue.push(w)
	// The usual case is decided at once: nobody waits ahead, and rights are there or cannot be had.
	for _, d := range e.pump(now, l, w) {
		if d == w {
			return w.ID, nil, nil
		}
	}
	return 0, w, nil
}

// Pump goes through the calls that wait, in the order of service, and returns those that were decided. Call
// it when accounts have grown and on every tick. The owner's.
func (e *Engine) Pump(now ledger.Instant, l Ledger) []*Waiter { return e.pump(now, l, nil) }

// pump looks at only, or at all if it is nil. Only a call behind which nobody waits may be looked at alone.
func (e *Engine) pump(now ledger.Instant, l Ledger, only *Waiter) (decided []*Waiter) {
	q := &e.queue
	if len(q.waiters) == 0 {
		return nil
	}
	if only != nil {
		for i := range only.bound.takes {
			if only.bound.takes[i].gate.waiting.Load() > 1 {
				only = nil // others wait at the same place: it is their turn first
				break
			}
		}
	}
	kept := q.waiters[:0]
	for _, w := range q.waiters {
		switch {
		case w.gone:
			w.leave()
		case only != nil && w != only:
			kept = append(kept, w)
		case e.decide(now, l, w):
			w.leave()
			q.virtual = max(q.virtual, w.tag)
			decided = append(decided, w)
		default:
			kept = append(kept, w)
		}
	}
	clear(q.waiters[len(kept):])
	q.waiters = kept
	e.tell(now, l)
	return decided
}

// tell lets the ledger know what the first waiting call of each instance needs, and opens the gates.
func (e *Engine) tell(now ledger.Instant, l Ledger) {
	for _, w := range e.queue.waiters {
		for i := range w.bound.takes {
			if g := w.bound.takes[i].gate; g.blocked {
				g.blocked = false
				if g.need > 0 {
					l.Waiting(now, g.id, g.need)
				}
			}
		}
	}
	if len(e.queue.waiters) == 0 {
		e.queue.last, e.queue.virtual = nil, 0
	}
}

// leave takes a waiter out of its gates.
func (w *Waiter) leave() {
	for i := range w.bound.takes {
		w.bound.takes[i].gate.waiting.Add(-1)
	}
}

// decide tries one waiting call. false: it goes on waiting.
func (e *Engine) decide(now ledger.Instant, l Ledger, w *Waiter) bool {
	waited := time.Duration(now-w.since) * time.Millisecond
	for i := range w.bound.takes {
		if w.bound.takes[i].gate.blocked {
			if now < w.deadline {
				return false // somebody ahead waits at the same instance
			}
			return e.giveUp(now, l, w, i, waited)
		}
	}
	why, at := ledger.Reserve(now, w.expires, w.takes, false)
	switch why {
	case ledger.Enough:
		return e.finish(now, w, waited)
	case ledger.NoRights:
		g := w.bound.takes[at].gate
		need := w.takes[at].Amount
		o := l.Outlook(now, g.id, need)
		if now >= w.deadline || hopeless(w.takes[at].Account.Spec(), o, need, w.deadline) {
			return e.giveUp(now, l, w, at, waited)
		}
		g.blocked, g.need = true, need
	default: // the disk: the next batch brings what lacks
		if now >= w.disk {
			return e.giveUp(now, l, w, at, waited)
		}
		g := w.bound.takes[at].gate
		g.blocked, g.need = true, 0
	}
	return false
}

// finish records an admission.
func (e *Engine) finish(now ledger.Instant, w *Waiter, waited time.Duration) bool {
	id, ok := e.admitted(now, w.expires, w.Request, w.bound, w.takes, waited)
	if !ok {
		id = e.refused(now, w.Request, w.bound, refusal{Defer, CodeBusy, "too many reservations are open at this node: settle or release some", e.jitter(time.Second)}, waited)
	}
	w.ID = id
	return true
}

// giveUp ends the wait: on the overdraft if the ceilings allow, else with a refusal.
func (e *Engine) giveUp(now ledger.Instant, l Ledger, w *Waiter, at int, waited time.Duration) bool {
	if why, _ := ledger.Reserve(now, w.expires, w.takes, true); why == ledger.Enough {
		return e.finish(now, w, waited)
	}
	t := &w.bound.takes[at]
	w.takes[at].Account.Missed(w.takes[at].Amount)
	o := l.Outlook(now, t.gate.id, w.takes[at].Amount)
	w.ID = e.refused(now, w.Request, w.bound, e.explain(now, t, w.takes[at].Amount, o), waited)
	return true
}

// Cancel takes a call out of the queue whose caller has gone. It is not decided. The owner's.
func (e *Engine) Cancel(w *Waiter) { w.gone = true }

// Queued returns how many calls wait, by class name. The owner's.
func (e *Engine) Queued() map[string]int {
	n := map[string]int{}
	for _, w := range e.queue.waiters {
		if !w.gone {
			n[w.bound.plan.Class.Name]++
		}
	}
	return n
}
