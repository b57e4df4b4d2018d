package admit

import (
	"errors"
	"slices"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
)

const (
	// diskGrace is how long a call may wait for this node's own disk whatever it says of waiting: the first
	// use of an instance, the turn of a window and the first overdraft take one write.
	diskGrace = 1000 // ms

	// stepBack is how far now may lie before the latest one seen: readings of one clock that arrive out of
	// order. Beyond it the clock was put back.
	stepBack = 1000 // ms

	// askedTogether bounds the calls whose rights are asked for in one go.
	askedTogether = 64

	// patience is how often a call may be short at another instance than before until it keeps what it needs
	// of those that it is not short at.
	patience = 2
)

// Waiter is a call that waits. It belongs to the owner.
type Waiter struct {
	// Request must not change while the call waits.
	Request *Request
	// Notify is the driver's, to find whom to answer.
	Notify any

	// ID is set when the call is decided. Err is set instead if it turned out that it cannot be: see Offer.
	ID  ID
	Err error

	call     *policy.Call // what runs: the request's, or a cheaper one
	bound    *bound       // nil while the ledger cannot open what it draws on
	plan     *policy.Plan // that it came with, if it waits again: see Succeed
	takes    []ledger.Take
	prices   []policy.PPM // by take: what its amount was reckoned with
	seq      uint64       // order of arrival
	since    ledger.Instant
	deadline ledger.Instant
	disk     ledger.Instant // deadline of waiting for the disk, once it is waited for
	overdraw bool           // the wait for rights is over, or is in vain: soft ceilings may overdraw
	gate     *gate          // where it waits; nil once it is decided or was cancelled, and while it has no plan
	line     *classLine     // and among which others
	counted  ledger.Tokens  // what it needed when it came there
	look     ledger.Instant // when to ask again whether it waits in vain
	rights   bool           // it is rights that it waits for, not the disk
	scant    bool           // no more is left in the swarm than its class leaves to better ones
	moves    int            // how often it was short at another instance than before
	unheld   bool           // it waited for guardians

	// keeps: a call that needs several instances could find one short each time, since others take from the one
	// while it waits for the other. When that has happened, it keeps its part of the others.
	keeps bool

	served bool // admitted

	passed   uint64 // upstreams, by its plan's sites, that it has passed over
	diverted bool   // it has passed over all of them
}

// queue is all calls that wait.
type queue struct {
	busy []*gate // that have waiting calls, or something to tell the ledger; in the order in which they began
	n    int     // calls that wait at them
	// unopened are calls that wait until the ledger can open what they draw on, in the order in which they came.
	unopened []*Waiter
	seq      uint64
	now      ledger.Instant // the latest seen
	// Calls that wait at gates by class and tenant, and those that had to make room: the next Pump tells them.
	classes []*classQueue
	full    []*Waiter
	frozen  bool // what is frozen has changed since the last Pump
}

// clock returns the time that the queue goes by. When the clock was put back, what is left of each wait stays.
func (q *queue) clock(now ledger.Instant) ledger.Instant {
	if now < q.now-stepBack {
		by := q.now - now
		for _, g := range q.busy {
			for w := range g.all() {
				w.shift(by)
			}
		}
		for _, w := range q.unopened {
			w.shift(by)
		}
		q.now = now
	}
	q.now = max(q.now, now)
	return q.now
}

// shift takes w's times along with a clock that was put back.
func (w *Waiter) shift(by ledger.Instant) {
	w.since -= by
	w.look -= by
	w.deadline -= by
	if w.disk != 0 {
		w.disk -= by
	}
}

// Unheld reports whether the call has waited for guardians: rights were at hand and durable, but not held.
func (w *Waiter) Unheld() bool { return w.unheld }

// needs is what w draws at g.
func (w *Waiter) needs(g *gate) ledger.Tokens { return w.takes[w.at(g)].Amount }

// at is the draw that has gate g.
func (w *Waiter) at(g *gate) int {
	for i := range w.bound.takes {
		if w.bound.takes[i].gate == g {
			return i
		}
	}
	panic("BUG: a waiting call does not draw on the instance at which it waits")
}

func (w *Waiter) waited(now ledger.Instant) ledger.Millis {
	return ledger.Millis(max(0, now-w.since))
}

// rouse puts a gate on the list that Pump goes through.
func (q *queue) rouse(g *gate) {
	if !g.busy {
		g.busy = true
		q.busy = append(q.busy, g)
	}
}

// enter has a newcomer wait at its i-th draw.
func (q *queue) enter(w *Waiter, i int) {
	g := w.bound.takes[i].gate
	g.insert(w)
	q.rouse(g)
	q.n++
	q.counted(w, 1)
}

// move has a waiting call wait at its i-th draw instead. What it has gained on newcomers goes with it.
func (q *queue) move(w *Waiter, i int) {
	from, to := w.gate, w.bound.takes[i].gate
	lead := (w.line.start - from.virtual) / tokens(w.needs(from))
	q.unkeep(w)
	from.remove(w)
	to.insert(w)
	if w.line.n == 1 {
		w.line.start = min(w.line.start, to.virtual+lead*tokens(w.needs(to)))
	}
	q.rouse(to)
	if w.moves++; w.moves >= patience {
		q.keep(w)
	}
}

// keep has w keep what it needs at the gates at which it does not wait.
func (q *queue) keep(w *Waiter) {
	w.keeps = true
	for i := range w.bound.takes {
		if g := w.bound.takes[i].gate; g != w.gate {
			g.keepers = append(g.keepers, w)
			g.close()
			q.rouse(g)
		}
	}
}

func (q *queue) unkeep(w *Waiter) {
	if !w.keeps {
		return
	}
	w.keeps = false
	for i := range w.bound.takes {
		g := w.bound.takes[i].gate
		g.keepers = drop(g.keepers, w)
		g.close()
	}
}

// leave takes a call out of its gate.
func (q *queue) leave(w *Waiter) {
	q.unkeep(w)
	w.gate.remove(w)
	q.n--
	q.counted(w, -1)
}

// Offer decides on a call, or lets it wait: then the waiter is not nil, and a later Pump returns it. An error
// (of a call that has waited, the waiter's) means that nothing was decided: ErrInvalid, or ErrNotReady. The owner's; ask for the Answer before the next
// call of Offer or Pump, since refusals are soon forgotten when many come.
func (e *Engine) Offer(now ledger.Instant, l Ledger, r *Request) (ID, *Waiter, error) {
	now = e.queue.clock(now)
	e.renew(now, l)
	if err := r.valid(); err != nil {
		return 0, nil, err
	}
	if e.draining.Load() {
		return e.refused(now, r, nil, refusal{verdict: Defer, code: CodeDraining, reason: "this node is shutting down: ask another node", retry: e.promise(now, &e.promises, time.Second, nodeSlot)}, 0), nil, nil
	}
	if e.isFenced(l) {
		return e.refused(now, r, nil, fencedRefusal, 0), nil, nil
	}
	if why := e.unaudited.Load(); why != nil {
		return e.refused(now, r, nil, e.unauditedRefusal(now, *why), 0), nil, nil
	}
	w := &Waiter{Request: r, since: now}
	switch done, err := e.begin(now, l, w); {
	case errors.Is(err, ErrLater):
		if id := e.refuseUnopened(now, l, r); id != 0 {
			return id, nil, nil
		}
		if len(e.queue.unopened) >= e.cfg.MaxQueue {
			return e.refused(now, r, nil, e.queueFull("too many calls wait at this node", e.promise(now, &e.promises, time.Second, nodeSlot)), 0), nil, nil
		}
		w.disk = now + diskGrace
		e.queue.unopened = append(e.queue.unopened, w)
		return 0, w, nil
	case err != nil:
		return 0, nil, err
	case done:
		return w.ID, nil, nil
	}
	if g := w.gate; g.asker() == w {
		e.tell(now, l, g)
	}
	return 0, w, nil
}

// begin finds the plan of a call that has come, and decides on it or lets it wait at a gate.
func (e *Engine) begin(now ledger.Instant, l Ledger, w *Waiter) (done bool, err error) {
	r := w.Request
	b, err := e.planOf(now, l, w)
	var denied *deniedError
	if errors.As(err, &denied) {
		b := &bound{plan: denied.plan}
		e.tried(b)
		w.ID = e.refused(now, r, b, denied.no, w.waited(now))
		return true, nil
	}
	if err != nil {
		return false, err
	}
	if !b.plan.Admit {
		w.ID = e.refused(now, r, b, refusal{verdict: Deny, code: CodeNoRule, reason: "no rule of the policy matches this call, and its default is deny"}, w.waited(now))
		return true, nil
	}
	if no := e.stopped(r, b); no != nil {
		w.ID = e.refused(now, r, b, *no, w.waited(now))
		return true, nil
	}
	w.bound, w.call, w.deadline = b, b.experiment.as(&r.Call), w.since+ledger.Instant(latencyBudget(b.plan, r).Milliseconds())
	if err := e.degrade(now, l, w); err != nil {
		return false, err
	}
	if no := e.settleOn(now, w); no != nil {
		w.ID = e.refused(now, r, w.bound, *no, w.waited(now))
		return true, nil
	}
	if err := w.price(); err != nil {
		return false, err
	}
	if e.unlift(now, l, w) {
		if err := w.price(); err != nil {
			return false, err
		}
	}
	if b.sites != nil {
		b = w.bound
	}
	for i := range b.takes {
		if t := &b.takes[i]; t.floor != nil || t.gate.fair != nil {
			t.gate.refresh(now)
		}
	}
	e.asks(w)
	if no := e.shed(now, w); no != nil {
		w.ID = e.refused(now, r, w.bound, *no, w.waited(now))
		return true, nil
	}
	e.queue.seq++
	w.seq = e.queue.seq
	i := e.overtakes(w)
	if i >= 0 {
		done, i = e.behind(now, l, w, i)
	} else if done, i = e.decide(now, l, w); w.served {
		e.charge(w)
	}
	if done {
		return true, nil
	}
	if no := e.crowded(now, l, w, i); no != nil {
		w.ID = e.refused(now, r, w.bound, *no, w.waited(now))
		return true, nil
	}
	e.queue.enter(w, i)
	return false, nil
}

// latencyBudget is how long a call waits for rights.
func latencyBudget(p *policy.Plan, r *Request) time.Duration {
	if r.Wait >= 0 {
		return min(p.Class.LatencyBudget, r.Wait)
	}
	return p.Class.LatencyBudget
}

// reopen tries the calls again that wait until the ledger can open what they draw on, and refuses those whose
// time for the disk is over.
func (e *Engine) reopen(now ledger.Instant, l Ledger, decided []*Waiter) []*Waiter {
	q := &e.queue
	for len(q.unopened) > 0 {
		w := q.unopened[0]
		done, err := e.begin(now, l, w)
		switch {
		case errors.Is(err, ErrLater):
			if now < w.disk {
				return decided // those behind it came later, and wait for the same
			}
			w.ID = e.refused(now, w.Request, nil, e.diskSlow(now, ""), w.waited(now))
			done = true
		case err != nil:
			w.Err, done = err, true
		}
		q.unopened[0] = nil
		q.unopened = q.unopened[1:]
		if done {
			decided = append(decided, w)
		}
	}
	q.unopened = nil
	return decided
}

// price works out what the call draws, at the present prices.
func (w *Waiter) price() error {
	if w.takes == nil {
		w.takes = make([]ledger.Take, len(w.bound.takes))
		w.prices = make([]policy.PPM, len(w.bound.takes))
	}
	for i := range w.bound.takes {
		if price := w.bound.takes[i].price(); price != w.prices[i] {
			if err := w.priceAt(i, price); err != nil {
				return err
			}
		}
	}
	return nil
}

// priceAt works out what the call takes at its i-th draw.
func (w *Waiter) priceAt(i int, price policy.PPM) error {
	t := &w.bound.takes[i]
	n, cost, err := t.amount(w.call, price)
	if err != nil {
		return invalid(err)
	}
	w.takes[i] = ledger.Take{Account: t.account, Amount: n, Cost: cost, Headroom: w.bound.plan.Class.Headroom}
	w.prices[i] = price
	return nil
}

// overtakes returns the first draw at which the newcomer must queue behind others, or -1 if its class lets it
// pass all that wait. Passing is charged to its class.
func (e *Engine) overtakes(w *Waiter) int {
	for i := range w.bound.takes {
		if g := w.bound.takes[i].gate; g.n > 0 && !g.passes(w) {
			return i
		}
	}
	return -1
}

// charge books a call that was admitted with its class and tenant, wherever others wait.
func (e *Engine) charge(w *Waiter) {
	var at uint8
	for i := range w.bound.takes {
		g := w.bound.takes[i].gate
		s := g.share(w)
		if s != nil {
			s.had(float64(w.takes[i].Amount))
		}
		if g.n > 0 {
			g.lineOf(w).served(g, w)
		}
		if g.n > 0 || s != nil {
			if i < inline {
				at |= 1 << i
			}
		}
	}
	if at != 0 {
		e.attained(w.ID, at)
	}
}

// Pump goes through the calls that wait, in the order of service, and returns those that were decided. Call
// it when accounts have grown and on every tick. The owner's.
func (e *Engine) Pump(now ledger.Instant, l Ledger) []*Waiter {
	now = e.queue.clock(now)
	e.renew(now, l)
	fenced := e.isFenced(l)
	var decided []*Waiter
	if fenced {
		for _, w := range e.queue.unopened {
			w.ID = e.refused(now, w.Request, nil, fencedRefusal, w.waited(now))
		}
		decided, e.queue.unopened = e.queue.unopened, nil
	}
	e.corrections.apply()
	e.refreshFloors(now)
	decided = e.reopen(now, l, e.displaced(e.stopWaiting(now, decided)))
	for i := 0; i < len(e.queue.busy); i++ { // it may grow
		g := e.queue.busy[i]
		if fenced {
			decided = e.refuseAll(now, g, decided)
		} else {
			decided = e.serve(now, l, g, decided)
		}
	}
	// Once all have been looked at, each gate tells the ledger whom it waits for. A gate at which nobody waits
	// is forgotten.
	e.queue.busy = slices.DeleteFunc(e.queue.busy, func(g *gate) bool {
		e.tell(now, l, g)
		g.busy = g.n+len(g.keepers) > 0
		return !g.busy
	})
	return decided
}

// serve goes through the calls that wait at one gate.
func (e *Engine) serve(now ledger.Instant, l Ledger, g *gate, decided []*Waiter) []*Waiter {
	limit := int64(open) // somebody goes on waiting here whose class has that headroom
	for {
		g.refresh(now)
		line := g.first(limit)
		if line == nil {
			break
		}
		w := line.head()
		done, to := e.decide(now, l, w)
		switch {
		case done:
			decided = e.done(w, decided)
		case w.bound.takes[to].gate != g:
			e.queue.move(w, to)
		default:
			limit = line.headroom
		}
	}
	for _, w := range g.expired(now) { // those behind
		done, to := e.behind(now, l, w, w.at(g))
		switch {
		case done:
			decided = e.done(w, decided)
		case w.bound.takes[to].gate != g:
			e.queue.move(w, to)
		}
	}
	return decided
}

// done takes a call that was decided out of the queue.
func (e *Engine) done(w *Waiter, decided []*Waiter) []*Waiter {
	if w.served {
		e.charge(w)
	}
	e.queue.leave(w)
	return append(decided, w)
}

// tell lets the ledger know what the calls need that wait for rights at a gate.
func (e *Engine) tell(now ledger.Instant, l Ledger, g *gate) {
	var need ledger.Need
	if w := g.asker(); w != nil {
		i := w.at(g)
		keep := w.takes[i].Account.Headroom(w.bound.plan.Class.Headroom) + w.spares(i)
		need = ledger.Need{
			First: min(w.needs(g)+keep, ledger.MaxTokens), All: min(g.wanted(w)+keep, ledger.MaxTokens),
			Since: w.since, Until: max(w.deadline, w.disk), Floor: w.first(g), Share: w.short(),
		}
		if need.Floor || need.Share > ledger.RankNone { // it is for all of the tenant's calls, which follow each other
			calls := w.line.by[w.Request.Tenant].calls
			need.Until = max(need.Until, min(calls[len(calls)-1].deadline, now+shareAsks))
		}
	} else if g.n == 0 && len(g.keepers) > 0 {
		w := g.keepers[0]
		need = ledger.Need{First: w.needs(g), All: w.needs(g), Since: w.since, Until: w.deadline}
	}
	if need.First > 0 {
		need.All = min(need.All+g.turns.all(), ledger.MaxTokens)
	}
	if need.First > 0 || g.told > 0 {
		l.Waiting(now, g.id, need)
	}
	g.told = need.First
}

func (e *Engine) isFenced(l Ledger) bool {
	f := l.Fenced()
	if f != e.fenced.Load() {
		e.fenced.Store(f)
	}
	return f
}

// refuseAll ends the wait of all calls at a gate, since the node may not act.
func (e *Engine) refuseAll(now ledger.Instant, g *gate, decided []*Waiter) []*Waiter {
	for g.n > 0 {
		w := g.first(open).head()
		w.ID = e.refused(now, w.Request, w.bound, fencedRefusal, w.waited(now))
		e.queue.leave(w)
		decided = append(decided, w)
	}
	return decided
}

// Cancel takes a call out of the queue whose caller has gone, and reports whether it still waited: then it is
// not decided. Otherwise its ID says how it was decided. The owner's.
func (e *Engine) Cancel(w *Waiter) bool {
	if n := len(e.queue.unopened); n > 0 {
		if e.queue.unopened = drop(e.queue.unopened, w); len(e.queue.unopened) < n {
			return true
		}
	}
	if w.gate == nil {
		return false
	}
	e.queue.leave(w)
	return true
}

// Waits reports whether any call waits. The owner's.
func (e *Engine) Waits() bool { return e.queue.n+len(e.queue.unopened)+len(e.queue.full) > 0 }

// Queued returns how many calls wait, by class name; those whose class is not known yet are left out. The owner's.
func (e *Engine) Queued() map[string]int {
	n := map[string]int{}
	for _, g := range e.queue.busy {
		for _, l := range g.lines {
			if l.n > 0 {
				n[l.class] += l.n
			}
		}
	}
	return n
}
