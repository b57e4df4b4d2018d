package admit

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"sync"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/placement"
	"github.com/swarmpurse/swarmpurse/policy"
)

const begin = ledger.Instant(1_700_000_000_000)

// fataler is *testing.T, *testing.B and *rapid.T.
type fataler interface {
	Helper()
	Fatalf(format string, args ...any)
}

// swarm is a few nodes on one goroutine, with disks that work unless told otherwise and a network without
// delay.
type swarm struct {
	t      fataler
	now    ledger.Instant
	policy *policy.Policy
	nodes  []*node
	cut    bool // no messages
}

type node struct {
	w    *swarm
	cfg  ledger.Config
	disk map[string][]byte
	self ledger.Holder
	r    *ledger.Replica
	e    *Engine
	done []*Waiter // decided by Pump
	slow bool      // the disk does not answer
}

func newSwarm(t fataler, n int, doc string, c Config) *swarm {
	t.Helper()
	return newSwarmOf(t, n, n, doc, c)
}

// newSwarmOf is a swarm of n nodes, the first of which founded it.
func newSwarmOf(t fataler, n, founders int, doc string, c Config) *swarm {
	t.Helper()
	w := &swarm{t: t, now: begin, policy: parse(t, doc)}
	var all []ledger.Holder
	for i := range n {
		all = append(all, ledger.Holder{Node: fmt.Sprintf("n%d", i+1), Gen: 7})
	}
	charter, err := ledger.NewCharter("test", all[:founders], [16]byte{1})
	if err != nil {
		t.Fatalf("%v", err)
	}
	for i, self := range all {
		n := &node{w: w, self: self, disk: map[string][]byte{}, cfg: ledger.Config{
			Self: self, Strategy: placement.Strategy{}, Rand: rand.New(rand.NewPCG(1, uint64(i))),
			Resolve: func(id ledger.InstanceID) (ledger.Spec, bool) {
				b, _, ok := w.policy.Resolve(charter.ID, id)
				if !ok {
					return ledger.Spec{}, false
				}
				return b.Spec, true
			},
		}}
		n.r = ledger.NewReplica(n.cfg)
		c := c
		c.Node, c.Gen, c.Rand = self.Node, self.Gen, rand.New(rand.NewPCG(2, uint64(i)))
		n.e = New(w.now, c, w.policy)
		if err := n.r.Found(charter); err != nil {
			t.Fatalf("%v", err)
		}
		w.nodes = append(w.nodes, n)
	}
	w.members()
	w.sync()
	return w
}

var parsed sync.Map // policies by source: they never change, and take a while to make

func parse(t fataler, doc string) *policy.Policy {
	t.Helper()
	if p, ok := parsed.Load(doc); ok {
		return p.(*policy.Policy)
	}
	p, err := policy.Parse("test.yaml", []byte(doc))
	if err != nil {
		t.Fatalf("%v", err)
	}
	parsed.Store(doc, p)
	return p
}

func (w *swarm) members() {
	for _, n := range w.nodes {
		var peers []ledger.Peer
		for _, p := range w.nodes {
			if p != n {
				peers = append(peers, ledger.Peer{Holder: p.self, Alive: !w.cut, Distance: 1})
			}
		}
		n.r.SetPeers(peers)
	}
}

// sync completes batches and delivers messages until nothing is left to do.
func (w *swarm) sync() {
	w.t.Helper()
	for range 1000 {
		quiet := true
		for _, n := range w.nodes {
			n.pump()
			if n.e.queue.n > 0 {
				n.r.Tick(w.now) // what waits for the disk wants a mark: the tick sees to it
			}
			if n.slow || !n.r.Pending() {
				continue
			}
			quiet = false
			n.write(n.r.Writes(w.now))
			fx := n.r.Commit(w.now)
			n.pump()
			if w.cut {
				continue
			}
			for _, s := range fx.Sends {
				for _, p := range w.nodes {
					if p.self.Node == s.To {
						_ = p.r.Receive(w.now, s.Message)
					}
				}
			}
			for _, s := range fx.Spreads {
				for _, p := range w.nodes {
					if p != n {
						_ = p.r.Receive(w.now, []ledger.Row{*s.Row})
					}
				}
			}
		}
		if quiet {
			return
		}
	}
	w.t.Fatalf("the swarm does not come to rest")
}

func (n *node) write(ws []ledger.Write) {
	for _, x := range ws {
		if x.Value == nil {
			delete(n.disk, x.Key)
		} else {
			n.disk[x.Key] = x.Value
		}
	}
}

// pass lets time go by, in ticks of 50 ms.
func (w *swarm) pass(d time.Duration) {
	w.t.Helper()
	end := w.now + ledger.Instant(d.Milliseconds())
	for w.now < end {
		w.now = min(w.now+50, end)
		w.tick()
	}
}

func (w *swarm) tick() {
	w.t.Helper()
	for _, n := range w.nodes {
		n.r.Elapsed(time.Duration(w.now-begin) * time.Millisecond)
		n.e.Watch(w.now, n.r)
		n.r.Tick(w.now)
		n.e.Expire(w.now)
	}
	w.sync()
}

func (n *node) pump() {
	n.done = append(n.done, n.e.Pump(n.w.now, n.r)...)
	n.check()
}

// offer decides by Offer alone.
func (n *node) offer(r *Request) (ID, *Waiter, error) {
	id, w, err := n.e.Offer(n.w.now, n.r, r)
	n.check()
	return id, w, err
}

// admit decides as a node does, with time for the disk, and fails the test on errors.
func (n *node) admit(r *Request) (ID, *Waiter) {
	n.w.t.Helper()
	if id, ok := n.e.Try(n.w.now, r); ok {
		return id, nil
	}
	id, w, err := n.offer(r)
	if err != nil {
		n.w.t.Fatalf("offer: %v", err)
	}
	if w != nil {
		n.w.sync()
		if i := slices.Index(n.done, w); i >= 0 {
			n.done = slices.Delete(n.done, i, i+1)
			return w.ID, nil
		}
	}
	return id, w
}

// must admits and fails the test if that did not go as said.
func (n *node) must(r *Request, v Verdict, code string) ID {
	n.w.t.Helper()
	id, w := n.admit(r)
	if w != nil {
		n.w.t.Fatalf("%v waits, want %v %s", r, v, code)
	}
	if a := n.answer(id); a.Verdict != v || a.Code != code {
		n.w.t.Fatalf("got %v %s %q, want %v %s", a.Verdict, a.Code, a.Reason, v, code)
	}
	return id
}

// waits offers a call that has to wait.
func (n *node) waits(r *Request) *Waiter {
	n.w.t.Helper()
	id, w := n.admit(r)
	if w == nil {
		n.w.t.Fatalf("%v does not wait: %+v", r, n.answer(id))
	}
	return w
}

func (n *node) answer(id ID) Answer {
	n.w.t.Helper()
	a, err := n.e.Answer(id)
	if err != nil {
		n.w.t.Fatalf("%v", err)
	}
	return a
}

func (n *node) account(budget string, values ...string) *ledger.Account {
	n.w.t.Helper()
	b, ok := n.w.policy.Budget(budget)
	if !ok {
		n.w.t.Fatalf("no budget %q", budget)
	}
	id, err := b.Instance(n.r.Charter().ID, values)
	if err != nil {
		n.w.t.Fatalf("%v", err)
	}
	a := n.r.Account(id)
	if a == nil {
		n.w.t.Fatalf("no account of %q", id)
	}
	return a
}

// decided returns the waiters that were decided, in order, and forgets them.
func (n *node) decided() []*Waiter {
	d := n.done
	n.done = nil
	return d
}

// check holds the engine to what must always be true of it.
func (n *node) check() {
	n.w.t.Helper()
	e := n.e
	fail := func(format string, args ...any) {
		n.w.t.Helper()
		n.w.t.Fatalf("engine: "+format, args...)
	}
	keeps := map[*Waiter]int{}
	total := 0
	byClass := map[string]int{}
	for _, g := range e.queue.busy {
		if !g.busy {
			fail("gate %s is on the list and does not know", g.id)
		}
		total += g.n
		for _, l := range g.lines {
			l.check(g, fail)
		}
		for w := range g.all() {
			if w.gate != g || w.ID != 0 || w.line != g.line(w.bound.plan.Class.Name) {
				fail("a call that waits at %s says %v, %v", g.id, w.gate, w.ID)
			}
			w.at(g)
			for i := range w.bound.takes {
				if own := e.gates[w.bound.takes[i].gate.id]; own != w.bound.takes[i].gate {
					fail("two gates for %s", own.id)
				}
			}
			byClass[w.bound.plan.Class.Name]++
			c := e.queue.class(w.bound.plan.Class.Name)
			if c == nil || c.by[w.Request.Tenant] == nil || !slices.Contains(c.by[w.Request.Tenant].calls, w) {
				fail("a call is not counted with its class and tenant")
			}
		}
		for _, w := range g.keepers {
			if w.gate == nil || w.gate == g || !w.keeps {
				fail("a call keeps rights at %s and does not wait elsewhere", g.id)
			}
			keeps[w]++
		}
	}
	for w, k := range keeps {
		if k != len(w.bound.takes)-1 {
			fail("a call keeps rights at %d of %d", k, len(w.bound.takes)-1)
		}
	}
	for _, g := range e.gates {
		sum, least := 0, int64(open)
		for _, l := range g.lines {
			if sum += l.n; l.n > 0 {
				least = min(least, l.headroom)
			}
		}
		if len(g.keepers) > 0 || g.fair != nil {
			least = 0
		}
		if g.n != sum || g.closed.Load() != least {
			fail("gate %s counts %d of %d that wait, and is closed from %d on, not %d", g.id, g.n, sum, g.closed.Load(), least)
		}
		if g.n+len(g.keepers) > 0 && !slices.Contains(e.queue.busy, g) {
			fail("gate %s is not on the list", g.id)
		}
		if g.n == 0 && (g.virtual != 0 || len(g.lines) > 0) {
			fail("gate %s is not at rest", g.id)
		}
	}
	if total != e.queue.n || e.queue.n > e.cfg.MaxQueue {
		fail("%d calls wait, counted %d of at most %d", total, e.queue.n, e.cfg.MaxQueue)
	}
	for _, c := range e.queue.classes {
		sum := 0
		for i, q := range c.tenants {
			if sum += len(q.calls); q.at != i || c.by[q.tenant] != q || len(q.calls) == 0 {
				fail("tenant %q of class %q is out of place", q.tenant, c.class)
			}
		}
		if c.n != byClass[c.class] || sum != c.n || len(c.by) != len(c.tenants) || c.n == 0 {
			fail("class %q counts %d calls, %d by tenant, %d wait", c.class, c.n, sum, byClass[c.class])
		}
	}
}

// check holds a line to what must always be true of it.
func (l *classLine) check(g *gate, fail func(string, ...any)) {
	var need ledger.Tokens
	n := 0
	for i, b := range l.heap {
		if b.at != i || l.by[b.tenant] != b || len(b.calls) == 0 || i > 0 && l.less(i, (i-1)/2) {
			fail("tenant %q is out of place in the line of %s", b.tenant, l.class)
		}
		sum := ledger.Tokens(0)
		for k, w := range b.calls {
			sum += w.counted
			if w.line != l || w.Request.Tenant != b.tenant || k > 0 && b.calls[k-1].seq > w.seq {
				fail("a call is out of place in the line of %s", l.class)
			}
		}
		if sum != b.need {
			fail("tenant %q needs %d, counted %d", b.tenant, sum, b.need)
		}
		need += sum
		n += len(b.calls)
	}
	was := l.favored
	if l.favor(g.floors); was != l.favored {
		fail("tenant %v goes first in the line of %s, want %v", was, l.class, l.favored)
	}
	if n != l.n || need != l.need || len(l.by) != len(l.heap)+len(l.rest) || len(l.rest) > maxRest {
		fail("the line of %s counts %d calls that need %d, there are %d that need %d; %d tenants, %d wait and %d rest",
			l.class, l.n, l.need, n, need, len(l.by), len(l.heap), len(l.rest))
	}
	for _, b := range l.rest {
		if b.at != -1 || len(b.calls) > 0 || l.by[b.tenant] != b {
			fail("tenant %q is out of place beside the line of %s", b.tenant, l.class)
		}
	}
}

// checkShards counts the records on the wheel and the lists.
func (n *node) checkShards() {
	n.w.t.Helper()
	for k := range n.e.shards {
		s := &n.e.shards[k]
		s.mu.Lock()
		seen := make([]bool, s.len)
		visit := func(where string, i int32) *record {
			if i >= s.len || seen[i] {
				n.w.t.Fatalf("record %d/%d is on two lists or on none: %s", k, i, where)
			}
			seen[i] = true
			return s.rec(i)
		}
		onWheel := 0
		for b, i := range s.wheel.heads {
			for prev := int32(-1); i >= 0; prev, i = i, s.links[i].next {
				r := visit("wheel", i)
				onWheel++
				if s.links[i].prev != prev || int(s.links[i].bucket) != b || r.state != Reserved && r.state != Expired {
					n.w.t.Fatalf("record %d/%d is wrong on the wheel: %+v", k, i, r)
				}
			}
		}
		if onWheel != s.active || s.active > s.maxOpen {
			n.w.t.Fatalf("shard %d: %d on the wheel, %d open of at most %d", k, onWheel, s.active, s.maxOpen)
		}
		for _, l := range []*list{&s.refused, &s.done} {
			count := int32(0)
			for i := l.head; i >= 0; i = s.links[i].next {
				r := visit("ended", i)
				count++
				if (r.state == Refused) != (l == &s.refused) || r.state == Reserved || r.state == Expired {
					n.w.t.Fatalf("record %d/%d is on the wrong list: %+v", k, i, r)
				}
			}
			if count != l.n {
				n.w.t.Fatalf("shard %d: a list of %d says %d", k, count, l.n)
			}
		}
		if i := slices.Index(seen, false); i >= 0 {
			n.w.t.Fatalf("record %d/%d is lost", k, i)
		}
		s.mu.Unlock()
	}
}

func call(tenant string, tokens int64) *Request {
	return &Request{Call: policy.Call{Tenant: tenant, PromptTokens: tokens}}
}

func (r *Request) of(class string) *Request { r.Class = class; return r }

func (r *Request) wait(d time.Duration) *Request { r.Wait = d; return r }

func (r *Request) live(d time.Duration) *Request { r.TTL = d; return r }

func forTokens(n ledger.Tokens) Settlement {
	return Settlement{Used: []policy.Amount{{Token: "compute", Amount: n}}, Outcome: "ok"}
}
