package baseline

import (
	"cmp"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/freeze"
	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/sim/result"
	"github.com/swarmpurse/swarmpurse/sim/scenario"
	"github.com/swarmpurse/swarmpurse/sim/workload"
)

const (
	// lull is how often at most a node looks whether news have brought room for those who wait.
	lull = ledger.Millis(50)

	// What callers are told when to come back, where the time at which there will be room is not known.
	soonSlots = ledger.Millis(1000)
	soonStock = ledger.Millis(2000)
	soonest   = ledger.Millis(50)
	// jitterMost is the most that nodes add to what they tell, which is up to a quarter.
	jitterMost = ledger.Millis(10_000)
)

// run is one system's run.
type run struct {
	sc     *scenario.Scenario
	source workload.Source
	pool   pool
	local  bool // decisions take no hop to another node

	binder   *binder
	tally    *result.Tally
	provider scenario.Bucket
	judge    judge
	down     *scenario.Downtime
	changes  []changing
	words    freeze.Set    // of operators, which all know at once
	frozen   *freeze.View  // by them
	end      ledger.Millis // no event after it
	stop     ledger.Millis // no call from here on

	now     ledger.Millis
	events  events
	calls   uint64
	gates   map[cell]*gate
	order   []*gate   // as they were made
	waiting [][]*call // by node
	dice    *rand.Rand
	queue   int // calls that waited at one node, at most, since the warmup was over
}

// changing is a change of the world: exactly one of its parts is set.
type changing struct {
	at     ledger.Millis
	policy *policy.Policy
	epoch  int   // of partitions
	stops  []int // nodes that go down
	freeze *freeze.Key
	on     bool            // of freeze
	order  *scenario.Fault // of an operator, to top a budget up or burn tokens of it
}

func newRun(kind string, sc *scenario.Scenario, timeline []scenario.Event, source workload.Source) *run {
	r := &run{
		sc: sc, source: source,
		binder:   newBinder(sc.Policies[0], sc.Workload),
		tally:    result.NewTally(kind, sc.Policies, sc.Warmup),
		down:     scenario.NewDowntime(sc, timeline),
		provider: sc.Provider.Bucket(),
		end:      millis(sc.Duration + sc.Rest), stop: millis(sc.Duration),
		gates: map[cell]*gate{}, dice: rand.New(rand.NewPCG(sc.Seed, 0x6261636b)), // apart from all other dice
	}
	r.tally.Streams(sc.Workload)
	r.waiting = make([][]*call, r.down.Nodes())
	newest := sc.Policies[0]
	for _, e := range timeline {
		switch e.Kind {
		case scenario.Revise:
			// It knows no candidates: what is tried is not for it.
			if f := &sc.Faults[e.Fault]; f.Act != "" || sc.Policies[f.Policy].Rollout() != nil {
				continue
			}
			if p := sc.Policies[sc.Faults[e.Fault].Policy]; policy.Newer(p, newest) {
				newest = p
				r.changes = append(r.changes, changing{at: millis(e.At), policy: p})
			}
		case scenario.Freeze:
			k := &sc.Faults[e.Fault].Freeze
			r.changes = append(r.changes, changing{at: millis(e.At), freeze: k, on: true})
			if e.Until != scenario.Never {
				r.changes = append(r.changes, changing{at: millis(e.Until), freeze: k})
			}
		case scenario.Mint, scenario.Burn:
			for range e.Nodes {
				r.changes = append(r.changes, changing{at: millis(e.At), order: &sc.Faults[e.Fault]})
			}
		case scenario.Crash, scenario.Leave:
			r.changes = append(r.changes, changing{at: millis(e.At), stops: e.Nodes})
		}
	}
	return r
}

func (r *run) run() {
	for i, c := range r.changes {
		r.events.push(event{at: c.at, what: change, do: i})
	}
	r.pull()
	for {
		e, ok := r.events.pop()
		if !ok || e.at > r.end {
			return
		}
		r.now = e.at
		switch e.what {
		case change:
			r.change(&r.changes[e.do])
		case settle:
			r.settle(e.call)
		case wake:
			if e.gate.wake == e.at {
				e.gate.wake = forever
				r.serve(e.gate)
			}
		case arrive:
			if e.do == byItself {
				r.pull()
			}
			if !e.call.offered {
				e.call.offered = true
				r.tally.Offered(&e.call.Call)
			}
			r.decide(e.call)
		case deadline:
			if c := e.call; c.gate != nil && c.attempts == e.attempt {
				r.giveUp(c)
			}
		}
	}
}

// byItself marks the arrival of a call that the source made by itself: the next one is then pulled.
const byItself = 1

func (r *run) pull() {
	if c, ok := r.source.Next(); ok && c.At < r.stop {
		r.events.push(event{at: c.At, what: arrive, do: byItself, call: &call{Call: c}})
	}
}

// lost reports whether nobody is there to answer at a node.
func (r *run) lost(node int, at ledger.Millis) bool {
	return r.down.Down(node, duration(at))
}

func duration(m ledger.Millis) time.Duration { return time.Duration(m) * time.Millisecond }

// decide admits a call, refuses it, or lets it wait.
func (r *run) decide(c *call) {
	if r.lost(c.Node, r.now) {
		r.refuse(c)
		return
	}
	if until, paused := r.down.Paused(c.Node, duration(r.now)); paused {
		r.events.push(event{at: millis(until + time.Millisecond - 1), what: arrive, call: c})
		return
	}
	var ok bool
	if c.class, c.draws, ok = r.binder.bind(&c.Call); !ok {
		r.deny(c)
		return
	}
	if r.isFrozen(c) {
		r.deny(c)
		return
	}
	r.calls++
	c.seq = r.calls
	short, ok := r.try(c)
	if ok {
		return
	}
	until := r.now + millis(c.class.LatencyBudget)
	for i := range c.draws {
		d := &c.draws[i]
		b := r.pool.look(r.now, r.pool.site(c.Node), d.in)
		if d.reserved > b.most(r.pool.ever(b)) {
			r.deny(c)
			return
		}
	}
	if until == r.now {
		r.comeBack(c, short)
		return
	}
	r.wait(c, short)
	r.events.push(event{at: until, what: deadline, call: c, attempt: c.attempts})
}

// try admits a call if it can run now, and says otherwise which of its draws is short.
func (r *run) try(c *call) (short int, ok bool) {
	site := r.pool.site(c.Node)
	for i := range c.draws {
		d := &c.draws[i]
		if d.reserved > r.pool.look(r.now, site, d.in).left() || r.behind(c, cell{site, d.in.index}) {
			return i, false
		}
	}
	for i := range c.draws {
		d := &c.draws[i]
		d.window = r.pool.take(r.now, c.Node, d.in, d.reserved)
		r.judge.take(r.now, d.in, d.reserved)
	}
	c.admitted = r.now
	runs := c.Runs
	if wait, ok := r.provider.Take(r.now, c.Prompt+c.Output); ok {
		r.tally.Admitted(&c.Call, r.now, r.local)
	} else {
		c.refused, c.wait, runs = true, wait, scenario.RefusalTakes
	}
	r.events.push(event{at: r.now + runs, what: settle, call: c})
	return 0, true
}

// behind reports whether a better call waits for a rate. It then saves up for that one: small calls would
// otherwise keep it from ever having enough. Nothing is lost by it, since no call needs more than the burst. A
// stock does not fill while calls wait, so there the first call that fits is served.
func (r *run) behind(c *call, at cell) bool {
	g := r.gates[at]
	if g == nil || g.root == nil || g.in.spec().Kind != ledger.Rate {
		return false
	}
	first := g.first()
	return first != c && first.before(c)
}

// wait puts a call where it is short.
func (r *run) wait(c *call, short int) {
	at := cell{r.pool.site(c.Node), c.draws[short].in.index}
	g := r.gates[at]
	if g == nil {
		g = &gate{site: at.site, in: c.draws[short].in, wake: forever}
		r.gates[at] = g
		r.order = append(r.order, g)
	}
	g.insert(c, c.draws[short].reserved)
	c.short = short
	c.place = len(r.waiting[c.Node])
	r.waiting[c.Node] = append(r.waiting[c.Node], c)
	if r.now >= millis(r.sc.Warmup) {
		r.queue = max(r.queue, len(r.waiting[c.Node]))
	}
	r.arm(g)
}

// leave takes a waiting call from its gate.
func (r *run) leave(c *call) {
	c.gate.remove(c)
	list := r.waiting[c.Node]
	last := len(list) - 1
	list[c.place] = list[last]
	list[c.place].place = c.place
	list[last] = nil
	r.waiting[c.Node] = list[:last]
}

// serve admits the calls at a gate that can run now.
func (r *run) serve(g *gate) {
	for g.root != nil {
		left := r.pool.look(r.now, g.site, g.in).left()
		c := g.first()
		if g.in.spec().Kind != ledger.Rate {
			c = g.fitting(left)
		}
		if c == nil || c.need > left {
			break
		}
		r.leave(c)
		if short, ok := r.try(c); !ok {
			r.wait(c, short)
		}
	}
	r.arm(g)
}

// arm sees to it that a gate is looked at when time may have brought enough.
func (r *run) arm(g *gate) {
	if g.root == nil {
		return
	}
	need := g.root.least
	if g.in.spec().Kind == ledger.Rate {
		need = g.first().need
	}
	at, ok := r.pool.look(r.now, g.site, g.in).when(need)
	if !ok {
		at = forever
	}
	if news, ok := r.pool.news(r.now, g.site, g.in); ok {
		at = min(at, max(news, r.now+lull))
	}
	if at != g.wake && at <= r.end {
		g.wake = at
		r.events.push(event{at: at, what: wake, gate: g})
	}
}

// giveUp ends the wait of a call whose latency budget is over.
func (r *run) giveUp(c *call) {
	g := c.gate
	r.leave(c)
	r.comeBack(c, c.short)
	r.serve(g)
}

// comeBack has a caller who was told when there may be room come back then, if the scenario says so.
func (r *run) comeBack(c *call, short int) {
	d := &c.draws[short]
	b := r.pool.look(r.now, r.pool.site(c.Node), d.in)
	at := r.now
	switch when, ok := b.when(d.reserved); {
	case b.spec.Kind == ledger.Rate && ok:
		at = when
	case b.spec.Kind == ledger.Slots:
		at += soonSlots
	case b.left()+b.open >= d.reserved:
		at += soonStock
		if ok {
			at = min(at, when)
		}
	case ok:
		at = when
	case b.spec.Kind == ledger.Rate || b.part != r.pool.ever(b):
		at += soonStock
	default:
		r.deny(c) // it will never be there
		return
	}
	r.returns(c, at)
}

// returns has a caller come back at a time, or a little later as nodes tell it.
func (r *run) returns(c *call, at ledger.Millis) {
	at = max(at, r.now+soonest)
	at += ledger.Millis(r.dice.Int64N(int64(min((at-r.now)/4, jitterMost) + 1))) // as nodes do
	if c.attempts >= r.sc.Retries || at >= r.stop {
		r.refuse(c)
		return
	}
	c.attempts++
	r.tally.Returns(at)
	r.events.push(event{at: at, what: arrive, call: c})
}

func (r *run) refuse(c *call) {
	r.tally.Deferred(&c.Call)
	r.follow(c, false)
}

func (r *run) deny(c *call) {
	r.tally.Denied(&c.Call)
	r.follow(c, false)
}

func (r *run) follow(c *call, ended bool) {
	for _, next := range r.source.Follow(&c.Call, r.now, ended) {
		if next.At < r.stop {
			r.events.push(event{at: max(next.At, r.now), what: arrive, call: &call{Call: next}})
		}
	}
}

// settle ends a call that ran.
func (r *run) settle(c *call) {
	crashed := r.down.Crashed(c.Node, duration(c.admitted), duration(r.now))
	for i := range c.draws {
		d := &c.draws[i]
		if crashed && d.in.spec().Kind != ledger.Slots {
			continue
		}
		if c.refused {
			d.used = 0
		}
		r.pool.give(r.now, c.Node, d)
		r.judge.give(r.now, d)
	}
	if !crashed && !c.refused {
		r.tally.Settled(&c.Call)
	}
	site := r.pool.site(c.Node)
	for i := range c.draws {
		if g := r.gates[cell{site, c.draws[i].in.index}]; g != nil {
			r.serve(g)
		}
	}
	if c.refused {
		c.refused = false
		r.tally.Refused(&c.Call)
		r.returns(c, r.now+c.wait)
		return
	}
	r.follow(c, true)
}

func (r *run) change(c *changing) {
	switch {
	case c.policy != nil:
		r.binder.revise(c.policy, r.now)
		for _, g := range r.order {
			r.serve(g)
		}
	case c.freeze != nil:
		r.says(*c.freeze, c.on)
	case c.order != nil:
		r.ordered(c.order)
	case c.epoch > 0:
		r.pool.(*known).regroup(r.now, c.epoch, r.binder.instances)
		r.again()
	default:
		for _, node := range c.stops {
			for list := r.waiting[node]; len(list) > 0; list = r.waiting[node] {
				c := list[0]
				g := c.gate
				r.leave(c)
				r.refuse(c)
				r.serve(g)
			}
		}
	}
}

// again has all waiting calls tried anew, at the places that count now.
func (r *run) again() {
	var all []*call
	for _, list := range r.waiting {
		all = append(all, list...)
	}
	for _, c := range all {
		r.leave(c)
	}
	slices.SortFunc(all, func(a, b *call) int {
		return cmp.Or(cmp.Compare(b.class.Weight, a.class.Weight), cmp.Compare(a.seq, b.seq))
	})
	for _, c := range all {
		if short, ok := r.try(c); !ok {
			r.wait(c, short)
		}
	}
}
