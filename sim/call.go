package sim

import (
	"cmp"
	"errors"
	"maps"
	"slices"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/sim/scenario"
	"github.com/swarmpurse/swarmpurse/sim/workload"
)

// call is one call on its way through a node.
type call struct {
	workload.Call
	first      ledger.Millis // when it arrived first
	tries      int
	req        admit.Request
	waiter     *admit.Waiter
	id         admit.ID
	life       uint32
	got        uint64 // rights that the node had received when the call arrived
	came       micros // when it came this time
	offered    bool
	ended      bool
	unheld     bool             // it has waited for guardians
	refused    bool             // by the provider, and wait is how long that says to wait
	unreached  bool             // or not even that: its upstream was not there
	redirected bool             // its caller has asked another node, as he was told
	upstream   *policy.Upstream // that it was sent to; nil if the policy routes no calls
	begins     time.Duration    // until that begins its answer
	said       int64            // what its stream has it put out, 0 while that is Output, and how long it then runs
	ran        ledger.Millis
	wait       ledger.Millis
	flow       *flow // its answer, if bytes of it are told of
	charges    []admit.Charge
	at         ledger.Instant // of the decision, by the node's clock
	until      ledger.Instant // the reservation's end, by that clock
}

// reserved is what was set aside for the call of an instance.
func (c *call) reserved(id ledger.InstanceID) ledger.Tokens {
	for i := range c.charges {
		if c.charges[i].Instance == id {
			return c.charges[i].Amount
		}
	}
	return 0
}

// arrive plans the next call of the source.
func (w *world) arrive() {
	c, ok := w.source.Next()
	if !ok {
		return
	}
	w.next = c
	w.plan(micros(c.At)*milli, evArrival, nil, nil)
}

// enter has a call arrive at its node.
func (w *world) enter(c *call) {
	n := w.nodes[c.Node]
	if !c.offered {
		c.offered = true
		c.first = w.millis()
		w.tally.Offered(&c.Call)
	}
	if !n.up {
		w.over(c, false) // connection refused
		w.tally.Deferred(&c.Call)
		return
	}
	c.req = admit.Request{
		Call: policy.Call{
			Tenant: c.Tenant, Agent: c.Agent, Class: c.Class, Model: c.Model, Priority: c.Priority,
			PromptTokens: c.Prompt, MaxOutputTokens: c.Max, Data: w.sc.Workload[c.Stream].Data,
		},
		Wait: admit.UseClassDefault,
	}
	c.life, c.got, c.came = n.life, n.got, w.now
	w.calls++
	if n.paused {
		n.hold(event{kind: evCall, p: c})
		return
	}
	n.try(c)
}

// try is what the caller's goroutine does: decide at once, or hand the call to the loop.
func (n *node) try(c *call) {
	n.rouse()
	now := n.clockNow()
	if id, ok := n.core.Engine.Try(now, &c.req); ok {
		c.id = id
		n.decided(c)
		n.doze()
		return
	}
	n.do(event{kind: evCall, p: c})
}

// offer is what the loop does with it.
func (n *node) offer(c *call) {
	id, waiter, err := n.core.Offer(n.clockNow(), &c.req)
	switch {
	case err != nil:
		n.undecided(c, err)
	case waiter != nil:
		c.waiter, waiter.Notify = waiter, c
		n.waiting[c] = struct{}{}
		n.w.measure.waits(n)
	default:
		c.id = id
		n.decided(c)
	}
}

// undecided tells the caller that the node cannot decide.
func (n *node) undecided(c *call, err error) {
	if !errors.Is(err, admit.ErrNotReady) {
		n.w.fail("calls are valid", "call %d of tenant %q: %v", c.Seq, c.Tenant, err)
	}
	if c.waiter != nil {
		delete(n.waiting, c)
		c.waiter = nil
	}
	n.w.calls--
	n.w.tally.Deferred(&c.Call)
	n.w.over(c, false)
}

// decided tells the caller.
func (n *node) decided(c *call) {
	w := n.w
	if c.waiter != nil {
		c.id = c.waiter.ID
		if c.waiter.Unheld() && !c.unheld && w.now >= span(w.sc.Warmup) {
			c.unheld = true
			w.measure.unheld++
		}
		delete(n.waiting, c)
		c.waiter = nil
	}
	d, err := n.core.Engine.Lookup(c.id)
	if err != nil {
		w.fail("decisions are remembered until they are told", "%v", err)
		return
	}
	w.mix(uint64(d.Verdict))
	n.checkArm(c, &d)
	local := d.Waited == 0 || n.got == c.got
	w.measure.decided(d.Verdict, &c.Call)
	n.served(c, &d)
	if d.Verdict.Admitted() {
		if a := d.Advice; a != nil {
			w.tally.Degraded(&c.Call)
			if a.MaxOutputTokens > 0 { // its caller does as he was told
				c.Output = min(c.Output, a.MaxOutputTokens)
			}
		}
		c.charges, c.at, c.until = d.Reserved, n.decidedAt(d.Reserved, d.At), d.Expires
		w.judge.admitted(n, c)
		n.checkFrozen(c)
		for i := range c.charges {
			n.book(c, c.charges[i].Instance, c.charges[i].Amount)
		}
		n.checkCharges(c)
		w.tally.Paid(&c.Call, highest(d.Reserved))
		begins, reached := n.sent(c, &d)
		c.begins = max(1, begins)
		runs := c.Runs + ledger.Millis(begins.Milliseconds())
		if !reached {
			c.refused, c.unreached, c.wait, runs = true, true, unreachedAgain, unreachedTakes
		} else if wait, ok := w.provider.Take(w.millis(), c.Prompt+c.Output); ok {
			w.tally.Admitted(&c.Call, w.millis(), local)
		} else {
			c.refused, c.wait, runs = true, wait, scenario.RefusalTakes
		}
		ends := w.now + micros(runs)*milli
		w.lastEnd = max(w.lastEnd, ends)
		if bytes := w.sc.Workload[c.Stream].Bytes; bytes > 0 && !c.refused {
			w.begins(c, bytes, micros(runs)*milli)
			return
		}
		w.plan(ends, evSettle, nil, c)
		return
	}
	w.calls--
	if n.redirected(c, &d) {
		return
	}
	if d.Verdict == admit.Defer && w.returns(c, d.RetryAfter) {
		return
	}
	if d.Verdict == admit.Defer {
		w.tally.Deferred(&c.Call)
	} else {
		w.tally.Denied(&c.Call)
	}
	w.over(c, false)
}

// returns has a caller come back who was told to, if the scenario says so.
func (w *world) returns(c *call, after time.Duration) bool {
	if w.sc.RetryAfter > 0 {
		after = w.sc.RetryAfter
	}
	at := w.now + span(after)
	if c.tries >= w.sc.Retries || at >= w.arrivalsEnd {
		return false
	}
	c.tries++
	w.tally.Returns(ledger.Millis(at / milli))
	w.plan(at, evCall, nil, c)
	return true
}

// turnedAway is the end of a call that the provider refused.
func (n *node) turnedAway(c *call) {
	w := n.w
	w.tally.Refused(&c.Call)
	after := time.Duration(c.wait) * time.Millisecond
	if !w.sc.Blind {
		u := admit.Upstream{Refused: true, RetryAfter: after}
		if c.unreached {
			u = admit.Upstream{Unreachable: true}
		}
		if _, err := n.core.Engine.Feedback(n.clockNow(), c.id, u); err != nil {
			w.fail("a refusal can be told", "call %d at %s: %v", c.Seq, n.name, err)
		}
	}
	rc, err := n.core.Engine.Release(n.clockNow(), c.id)
	if err != nil || rc.Repeated {
		w.fail("a call ends once", "call %d at %s: %+v, %v", c.Seq, n.name, rc, err)
		return
	}
	w.calls--
	w.stir("call", n.name)
	w.judge.settled(n, c, &rc)
	for i := range rc.Charged {
		n.book(c, rc.Charged[i].Instance, -c.reserved(rc.Charged[i].Instance))
	}
	n.checkCharges(c)
	c.refused, c.unreached, c.charges = false, false, nil
	if !w.returns(c, after) {
		w.tally.Deferred(&c.Call)
		w.over(c, false)
	}
	if len(n.waiting) > 0 {
		n.do(event{kind: evGone})
	}
}

// book tells the audit what a caller was given by a decision, or refunded if amount is negative.
func (n *node) book(c *call, id ledger.InstanceID, amount ledger.Tokens) {
	spec, ok := n.resolve(id)
	switch {
	case ok && spec.Kind == ledger.Slots:
		n.w.audit.gaveSlots(n, id, c, amount)
	case ok:
		n.w.audit.gave(n, id, windowOf(&spec, c.at), amount)
	}
}

// decidedAt is the moment of an admission by the node's clock, which decides into which window it falls. The clock may
// step back by some ms while it works off that it was ahead; accounts that turned before that stay in the new window.
func (n *node) decidedAt(charges []admit.Charge, at ledger.Instant) ledger.Instant {
	for i := range charges {
		id := charges[i].Instance
		if spec, ok := n.resolve(id); ok && windowOf(&spec, at) != windowOf(&spec, n.latest) &&
			n.core.Replica.Account(id).State(at).Window == windowOf(&spec, n.latest) {
			return n.latest
		}
	}
	return at
}

// settle books what a call really used.
func (n *node) settle(c *call) {
	w := n.w
	if c.ended {
		w.fail("a call ends once", "call %d ended twice", c.Seq)
		return
	}
	if c.refused {
		n.turnedAway(c)
		return
	}
	st := admit.Settlement{Usage: &admit.Usage{PromptTokens: c.Prompt, CompletionTokens: c.Output}, Outcome: "ok"}
	if w.audit.bug == bugUncounted && w.now > w.arrivalsEnd/3 {
		st.Partial = true
	}
	rc, err := n.core.Engine.Settle(n.clockNow(), c.id, st)
	if err != nil {
		w.fail("an admitted call can be settled", "call %d at %s: %v", c.Seq, n.name, err)
		return
	}
	if rc.Repeated {
		w.fail("a call ends once", "the first settlement of call %d says that it was settled before", c.Seq)
	}
	c.ended = true
	w.calls--
	w.stir("call", n.name)
	n.answered(c)
	w.judge.settled(n, c, &rc)
	for i := range rc.Charged {
		ch := &rc.Charged[i]
		n.book(c, ch.Instance, ch.Amount-ch.Overrun-c.reserved(ch.Instance))
	}
	n.checkCharges(c)
	n.tallyCharges(c, &rc)
	w.tally.Settled(&c.Call)
	w.measure.settled(&c.Call)
	if w.audit.bug == bugSettleTwice {
		for _, ch := range c.charges {
			a := n.core.Replica.Account(ch.Instance)
			a.Settle(n.clockNow(), ch.Amount, 0, a.State(n.clockNow()).Window)
		}
		n.checkCharges(c)
	}
	w.over(c, true)
	if len(n.waiting) > 0 {
		n.do(event{kind: evGone}) // rights came back: calls that wait may run
	}
}

// highest is the price that a call paid at the budget where that was most.
func highest(charges []admit.Charge) (most float64) {
	for i := range charges {
		most = max(most, charges[i].Price.Float())
	}
	return most
}

// tallyCharges counts what a call had set aside and what it was charged, but for slots, which come back.
func (n *node) tallyCharges(c *call, rc *admit.Receipt) {
	var reserved, charged, overrun ledger.Tokens
	for i := range rc.Charged {
		ch := &rc.Charged[i]
		if spec, ok := n.resolve(ch.Instance); ok && spec.Kind != ledger.Slots {
			reserved, charged, overrun = reserved+c.reserved(ch.Instance), charged+ch.Amount, overrun+ch.Overrun
		}
	}
	n.w.tally.Charged(&c.Call, int64(reserved), int64(charged), int64(overrun))
}

// over has the caller go on with its chain.
func (w *world) over(c *call, ended bool) {
	for _, next := range w.source.Follow(&c.Call, w.millis(), ended) {
		if at := micros(next.At) * milli; at < w.arrivalsEnd {
			w.plan(at, evCall, nil, &call{Call: next})
		}
	}
}

// ends is the end of a call that ran. Its node may have died meanwhile: then the settlement reaches nobody.
func (w *world) ends(c *call) {
	n := w.nodes[c.Node]
	if !n.up || n.life != c.life {
		w.calls--
		w.over(c, true)
		return
	}
	if n.paused {
		n.hold(event{kind: evSettle, p: c})
		return
	}
	n.rouse()
	n.settle(c)
	n.doze()
}

// lost forgets the calls that wait in a process that died. Callers see their connection break.
func (n *node) lost() {
	calls := slices.SortedFunc(maps.Keys(n.waiting), func(a, b *call) int {
		return cmp.Or(cmp.Compare(a.Seq, b.Seq), cmp.Compare(a.first, b.first))
	})
	clear(n.waiting)
	for _, c := range calls {
		n.w.calls--
		n.w.tally.Deferred(&c.Call)
		n.w.over(c, false)
	}
}
