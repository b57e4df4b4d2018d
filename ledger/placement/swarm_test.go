package placement

import (
	"container/heap"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// swarm runs replicas with this package's strategy on virtual time, in one goroutine and from one seed. The
// network loses nothing: messages between two nodes take 1 to 5 ms, rows 20 to 120 ms, as gossip does.
type swarm struct {
	setup
	t     *testing.T
	now   ledger.Instant
	dice  *rand.Rand
	id    ledger.InstanceID
	nodes []*node
	queue events
	seq   int
	ticks []func() // run every 50 ms, after the nodes' own ticks

	bucket *omniscient // gets every call too, if there is one

	offered, admitted              ledger.Tokens
	calls, served, local           int           // served ones include the local ones, which never waited
	longest                        ledger.Millis // that a served call waited
	asks, refusals, gifts, gotRows int
	shareMoves                     int
	sharesMoved                    ledger.Shares
}

// setup says what swarm it is.
type setup struct {
	n, founders int
	spec        ledger.Spec
	disk        ledger.Millis // what a write takes; 0 for none at all
	lazy        bool          // accounts are opened by calls and peers only
}

type node struct {
	s     *swarm
	self  ledger.Holder
	r     *ledger.Replica
	a     *ledger.Account // nil until it is opened
	inbox []func()        // what came during a write
	busy  bool            // writes
	line  []call          // waits, first come first served
	spent ledger.Tokens
}

type call struct {
	amount   ledger.Tokens
	deadline ledger.Instant
}

func (c call) waited(now ledger.Instant) ledger.Millis {
	return ledger.Millis(now - c.deadline + patience)
}

const (
	start    ledger.Instant = 1_700_000_000_000
	patience ledger.Instant = 2_000 // ms that a call waits
)

type event struct {
	at  ledger.Instant
	seq int
	do  func()
}

type events []event

func (e events) Len() int { return len(e) }
func (e events) Less(i, j int) bool {
	return e[i].at < e[j].at || e[i].at == e[j].at && e[i].seq < e[j].seq
}
func (e events) Swap(i, j int) { e[i], e[j] = e[j], e[i] }
func (e *events) Push(x any)   { *e = append(*e, x.(event)) }
func (e *events) Pop() any {
	x := (*e)[len(*e)-1]
	*e = (*e)[:len(*e)-1]
	return x
}

func (s *swarm) after(d ledger.Millis, do func()) {
	s.seq++
	heap.Push(&s.queue, event{s.now + ledger.Instant(d), s.seq, do})
}

// newSwarm founds a cluster of n nodes, all of them founders, with one instance.
func newSwarm(t *testing.T, n int, seed uint64, spec ledger.Spec) *swarm {
	t.Helper()
	return setup{n: n, founders: n, spec: spec}.swarm(t, seed)
}

func (c setup) swarm(t *testing.T, seed uint64) *swarm {
	t.Helper()
	s := &swarm{setup: c, t: t, now: start, dice: rand.New(rand.NewPCG(seed, 1))}
	var founders []ledger.Holder
	var peers []ledger.Peer
	for i := range c.n {
		h := ledger.Holder{Node: fmt.Sprintf("n%02d", i), Gen: 1}
		if i < c.founders {
			founders = append(founders, h)
		}
		peers = append(peers, ledger.Peer{Holder: h, Alive: true, Distance: 5})
	}
	charter, err := ledger.NewCharter("test", founders, [16]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	if s.id, err = ledger.NewInstanceID(charter.ID, "pool", "compute", c.spec.Kind, nil, nil); err != nil {
		t.Fatal(err)
	}
	for i, p := range peers {
		h := p.Holder
		nd := &node{s: s, self: h}
		nd.r = ledger.NewReplica(ledger.Config{
			Self: h, Strategy: Strategy{}, Rand: rand.New(rand.NewPCG(seed, uint64(i)+100)),
			Resolve: func(ledger.InstanceID) (ledger.Spec, bool) { return c.spec, true },
		})
		if err := nd.r.Found(charter); err != nil {
			t.Fatal(err)
		}
		nd.r.SetPeers(peers)
		if !c.lazy {
			nd.open()
		}
		s.nodes = append(s.nodes, nd)
		nd.flush()
		s.after(ledger.Millis(i)%50, nd.tick)
	}
	s.after(50, s.tick)
	return s
}

func (s *swarm) tick() {
	for _, f := range s.ticks {
		f()
	}
	s.after(50, s.tick)
}

func (s *swarm) run(d ledger.Millis) {
	until := s.now + ledger.Instant(d)
	for len(s.queue) > 0 && s.queue[0].at <= until {
		e := heap.Pop(&s.queue).(event)
		s.now = e.at
		e.do()
	}
	s.now = until
	for _, n := range s.nodes {
		if off := n.r.Conservation(); off != 0 {
			s.t.Fatalf("the accounts of %v are off by %d", n.self, off)
		}
	}
}

func (n *node) open() {
	if n.a == nil {
		a, err := n.r.Open(n.s.now, n.s.id)
		if err != nil {
			n.s.t.Fatal(err)
		}
		n.a = a
	}
}

// do runs one input of the node's, after what is being written.
func (n *node) do(f func()) {
	if n.busy {
		n.inbox = append(n.inbox, f)
		return
	}
	f()
	n.flush()
}

func (n *node) tick() {
	n.do(func() {
		n.r.Tick(n.s.now)
		n.serve()
	})
	n.s.after(50, n.tick)
}

// flush makes the batch durable and does what it says.
func (n *node) flush() {
	for range 8 {
		if !n.r.Pending() {
			return
		}
		n.r.Writes(n.s.now)
		if n.s.disk > 0 {
			n.busy = true
			n.s.after(n.s.disk, func() {
				n.busy = false
				n.commit()
				came := n.inbox
				n.inbox = nil
				for _, f := range came {
					f()
				}
				n.flush()
			})
			return
		}
		n.commit()
	}
	n.s.t.Fatalf("%v always has more to do", n.self)
}

func (n *node) commit() {
	s := n.s
	fx := n.r.Commit(s.now)
	for _, x := range fx.Sends {
		n.post(x)
	}
	for _, x := range fx.Spreads {
		if x.Row.Holder != n.self {
			continue // every row reaches every node from its holder
		}
		for _, p := range s.nodes {
			if p != n {
				s.after(20+ledger.Millis(s.dice.IntN(100)), func() { s.gotRows++; p.receive([]ledger.Row{*x.Row}) })
			}
		}
	}
	for _, e := range fx.Events {
		if e.Kind == ledger.GaveShares {
			s.shareMoves++
			s.sharesMoved += e.Shares
		}
	}
	if len(fx.Grown) > 0 {
		n.serve()
	}
}

func (n *node) post(x ledger.Send) {
	s := n.s
	switch m := x.Message.(type) {
	case *ledger.Ask:
		s.asks++
	case *ledger.Refuse:
		s.refusals++
	case *ledger.Transfer:
		if m.AskID != 0 {
			s.gifts++
		}
	}
	for _, p := range s.nodes {
		if p.self.Node == x.To {
			s.after(1+ledger.Millis(s.dice.IntN(5)), func() { p.receive(x.Message) })
		}
	}
}

func (n *node) receive(m any) {
	n.do(func() {
		if err := n.r.Receive(n.s.now, m); err != nil {
			n.s.t.Fatalf("%v refuses %T: %v", n.self, m, err)
		}
	})
}

// call is one call of a client of this node.
func (n *node) call(amount ledger.Tokens) {
	s := n.s
	s.calls++
	s.offered += amount
	if s.bucket != nil {
		s.bucket.call(s, amount)
	}
	n.do(func() {
		n.open()
		if len(n.line) == 0 && n.reserve(amount) {
			s.local++
			return
		}
		n.a.Missed(amount)
		n.line = append(n.line, call{amount, s.now + patience})
		n.serve()
	})
}

func (n *node) reserve(amount ledger.Tokens) bool {
	s := n.s
	takes := []ledger.Take{{Account: n.a, Amount: amount}}
	why, _ := ledger.Reserve(s.now, s.now+60_000, takes, false)
	if why == ledger.NoMark && s.disk == 0 {
		n.r.Tick(s.now)
		n.r.Writes(s.now)
		fx := n.r.Commit(s.now)
		for _, x := range fx.Sends {
			n.post(x)
		}
		why, _ = ledger.Reserve(s.now, s.now+60_000, takes, false)
	}
	if why != ledger.Enough {
		return false
	}
	n.a.Settle(s.now, amount, amount, takes[0].Window)
	s.served++
	s.admitted += amount
	n.spent += amount
	return true
}

// serve tries the calls that wait and tells the replica what the first one needs.
func (n *node) serve() {
	now := n.s.now
	if len(n.line) == 0 {
		return
	}
	n.line = slices.DeleteFunc(n.line, func(c call) bool { return now >= c.deadline })
	for len(n.line) > 0 && n.reserve(n.line[0].amount) {
		n.s.longest = max(n.s.longest, n.line[0].waited(now))
		n.line = n.line[1:]
	}
	var need ledger.Need
	if len(n.line) > 0 {
		need = ledger.Need{First: n.line[0].amount, Until: n.line[0].deadline, Since: n.line[0].deadline - patience}
		for _, c := range n.line {
			need.All += c.amount
		}
	}
	n.r.Waiting(now, n.s.id, need)
}

// poisson makes calls of one node, of amounts drawn by size, at perSecond on average.
func (n *node) poisson(perSecond func() float64, size func() ledger.Tokens) {
	s := n.s
	s.ticks = append(s.ticks, func() {
		for k := poisson(s.dice, perSecond()/20); k > 0; k-- {
			amount := size()
			s.after(ledger.Millis(s.dice.IntN(50)), func() { n.call(amount) })
		}
	})
}

// poisson draws how many events happen where mean are expected (Knuth's method, for small means).
func poisson(dice *rand.Rand, mean float64) int {
	k, p, limit := 0, dice.Float64(), math.Exp(-mean)
	for p > limit {
		k++
		p *= dice.Float64()
	}
	return k
}

func fixed(n ledger.Tokens) func() ledger.Tokens { return func() ledger.Tokens { return n } }
func steady(perSecond float64) func() float64    { return func() float64 { return perSecond } }

func (s *swarm) report() {
	s.t.Helper()
	s.t.Logf("offered %d in %d calls, admitted %d in %d (%.1f%% without a hop); %d asks, %d refused, %d gifts, %d rows, %.2f asks a call; %d share moves, %.3f of all",
		s.offered, s.calls, s.admitted, s.served, 100*float64(s.local)/float64(max(1, s.served)),
		s.asks, s.refusals, s.gifts, s.gotRows, float64(s.asks)/float64(max(1, s.served)),
		s.shareMoves, float64(s.sharesMoved)/float64(ledger.TotalShares))
}

// omniscient is one bucket that all callers share with no delay: the bound. Calls wait in it, first come
// first served, as long as they would in the swarm.
type omniscient struct {
	level    float64
	at       ledger.Instant
	line     []call
	admitted ledger.Tokens
}

func (b *omniscient) call(s *swarm, amount ledger.Tokens) {
	b.line = append(b.line, call{amount, s.now + patience})
	b.serve(s)
}

func (b *omniscient) serve(s *swarm) {
	perMs := float64(s.spec.Per) / float64(s.spec.PerMillis)
	for len(b.line) > 0 {
		c := b.line[0]
		// The moment at which the bucket can serve the first call.
		at := max(b.at, c.deadline-patience)
		b.level = min(b.level+float64(at-b.at)*perMs, float64(s.spec.Amount))
		b.at = at
		if lack := float64(c.amount) - b.level; lack > 0 {
			full := at + ledger.Instant(math.Ceil(lack/perMs))
			if full >= c.deadline {
				b.line = b.line[1:]
				continue
			}
			if full > s.now {
				return
			}
			b.level += float64(full-at) * perMs
			b.at = full
		}
		b.level -= float64(c.amount)
		b.admitted += c.amount
		b.line = b.line[1:]
	}
}

func (n *node) shares() ledger.Shares {
	st := n.a.State(n.s.now)
	return st.Shares()
}
