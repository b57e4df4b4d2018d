package ledger_test

import (
	"errors"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"sort"
	"time"

	. "github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/placement"
)

// world is a small swarm on one goroutine: replicas, their disks and clocks, and a network that may do
// anything to a packet but change it. check in model_test.go judges it after every step.
type world struct {
	fatalf   func(string, ...any)
	logf     func(string, ...any)
	now      Instant // true time
	nodes    []*wnode
	net      []packet
	old      []packet // delivered before, for replays
	ids      []InstanceID
	specs    map[InstanceID][]Spec // by policy version
	model    *model
	lossy    func() bool          // whether the next packet is lost; nil for never
	fate     func(*wnode) outcome // of batches in rounds; nil for commit
	guards   Guards               // what the policy says about them
	part     int                  // bytes of records in a message about guarding; 0 for what is usual
	few      bool                 // nobody but its heir and guardians is told all records of one that was claimed
	charter  Charter
	lost     int      // directories
	strategy Strategy // nil for placement's
	honest   bool     // operators vouch for the dead only: one that comes back hears first that it is over
}

type wnode struct {
	w       *world
	i       int
	self    Holder
	dir     uint64 // the first generation of its data directory
	disk    map[string][]byte
	r       *Replica // nil while down
	off     Millis   // of the clock
	top     Instant  // the latest that the clock ever showed
	version int      // of the policy
	side    int      // of a partition
	left    bool     // is leaving
	passing bool     // and its peers hear of it
	open    []*reservation
	mints   []topUp // in this batch
	highest uint64  // version of a row ever sent
}

func (n *wnode) GoString() string { return n.self.Node }

// topUp is one of 100 tokens.
type topUp struct {
	node int
	id   InstanceID
	name string
}

type packet struct {
	from, to int
	bytes    []byte
}

// reservation is one admitted call.
type reservation struct {
	takes   []Take
	expires Instant
}

const ttl = 30_000

var testStart = Instant(1_700_000_000_000)

func newWorld(n, founders int, seed uint64, specs map[string][]Spec) *world {
	w := &world{now: testStart, specs: map[InstanceID][]Spec{}}
	var fs []Holder
	for i := range n {
		h := Holder{Node: fmt.Sprintf("n%d", i), Gen: uint64(i + 1)}
		w.nodes = append(w.nodes, &wnode{w: w, i: i, self: h, dir: h.Gen, disk: map[string][]byte{}})
		if i < founders {
			fs = append(fs, h)
		}
	}
	charter, err := NewCharter("test", fs, [16]byte{byte(seed)})
	if err != nil {
		panic(err)
	}
	names := slices.Sorted(maps.Keys(specs))
	for _, name := range names {
		id, err := NewInstanceID(charter.ID, name, "compute", specs[name][0].Kind, nil, nil)
		if err != nil {
			panic(err)
		}
		w.ids = append(w.ids, id)
		w.specs[id] = specs[name]
	}
	w.model, w.charter = newModel(w), charter
	for _, nd := range w.nodes {
		nd.start(seed)
		if err := nd.r.Found(charter); err != nil {
			panic(err)
		}
	}
	w.members()
	for _, nd := range w.nodes {
		nd.batch(commit, nil)
	}
	return w
}

// clock is what the node's clock shows. The one of leases goes with it, and never steps.
func (n *wnode) clock() Instant {
	if n.r != nil {
		n.r.Elapsed(time.Duration(n.w.now-testStart) * time.Millisecond)
	}
	n.top = max(n.top, n.w.now+Instant(n.off))
	return n.w.now + Instant(n.off)
}

// start brings the node up on its disk.
func (n *wnode) start(seed uint64) {
	n.r = NewReplica(n.config(seed))
	n.r.SetGuards(n.clock(), n.w.guards)
	if n.w.part > 0 {
		n.r.SetPart(n.w.part)
	}
	if n.w.few {
		n.r.SetWhole(0)
	}
	var ws []Write
	for k, v := range n.disk {
		ws = append(ws, Write{k, v})
	}
	sort.Slice(ws, func(i, j int) bool { return ws[i].Key > ws[j].Key }) // any order must do
	n.w.model.started(n)
	if err := n.r.Load(n.clock(), ws); err != nil {
		n.w.fatalf("node %d does not load what it wrote: %v", n.i, err)
	}
	if n.w.honest {
		n.hearWord()
	}
}

func (n *wnode) config(seed uint64) Config {
	strategy := n.w.strategy
	if strategy == nil {
		strategy = placement.Strategy{}
	}
	return Config{
		Self: n.self, Directory: n.dir, Strategy: strategy, Rand: rand.New(rand.NewPCG(seed, uint64(n.i))),
		Resolve: func(id InstanceID) (Spec, bool) {
			ss, ok := n.w.specs[id]
			if !ok {
				return Spec{}, false
			}
			return ss[n.version%len(ss)], true
		},
	}
}

func (n *wnode) crash() {
	n.r = nil
	n.mints = nil
	n.w.model.crashed(n)
	n.open = nil
	n.w.members()
}

// members tells every node who is alive, by the partition.
func (w *world) members() {
	for _, n := range w.nodes {
		if n.r == nil {
			continue
		}
		var ps []Peer
		for _, p := range w.nodes {
			ps = append(ps, Peer{Holder: p.self, Directory: p.dir, Alive: p.r != nil && p.side == n.side, Passing: p.passing})
		}
		slices.SortFunc(ps, func(a, b Peer) int { return a.Holder.Compare(b.Holder) })
		n.r.SetPeers(ps)
	}
}

type outcome int

const (
	commit outcome = iota
	abort
	crashBefore
	crashAfter
)

// batch runs one batch of a node: meanwhile happens between the disk's start and its end.
func (n *wnode) batch(o outcome, meanwhile func()) {
	if n.r == nil {
		return
	}
	ws := n.r.Writes(n.clock())
	if meanwhile != nil {
		meanwhile()
	}
	switch o {
	case abort:
		n.r.Abort()
		n.mints = nil
		return
	case crashBefore:
		n.crash()
		return
	}
	n.write(ws)
	n.w.model.toppedUp(n.mints)
	n.mints = nil
	if o == crashAfter {
		n.crash()
		return
	}
	defer n.follow()
	n.say(n.r.Commit(n.clock()))
}

// say does what a batch brings.
func (n *wnode) say(fx Effects) {
	for _, s := range fx.Sends {
		n.w.model.told(n, s.Message)
		n.w.send(n, s.To, s.Message)
	}
	for _, s := range fx.Spreads {
		if s.Row.Holder == n.self {
			n.w.model.spread(n, s.Row)
			n.highest = s.Row.Version
		}
		for _, p := range n.w.nodes {
			if p != n {
				n.w.send(n, p.self.Node, []Row{*s.Row})
			}
		}
	}
}

// follow starts the next generation of a node whose present one was claimed.
func (n *wnode) follow() {
	heir, over := n.r.Retired()
	if !over {
		return
	}
	before := n.r
	n.r = nil
	n.model().crashed(n)
	n.open, n.mints, n.left = nil, nil, false
	var records []Write
	for k, v := range n.disk {
		records = append(records, Write{k, v})
	}
	next := Holder{Node: n.self.Node, Gen: n.self.Gen + 1}
	if heir.Node == n.self.Node {
		next = heir
	}
	for _, x := range Succeed(records, next.Gen) {
		if x.Value == nil {
			delete(n.disk, x.Key)
		} else {
			n.disk[x.Key] = x.Value
		}
	}
	n.model().buried(n)
	n.self = next
	n.start(n.self.Gen)
	n.r.Follow(before)
	n.w.members()
}

// lose destroys the node's directory. It comes back with an empty one, and joins.
func (n *wnode) lose() {
	n.w.lost++
	n.r = nil
	n.model().crashed(n)
	n.open, n.mints, n.left = nil, nil, false
	n.model().buried(n)
	n.self.Gen++
	for i := range n.model().mints {
		if m := &n.model().mints[i]; m.node == n.i {
			m.name = "" // so are the names of its top-ups
		}
	}
	n.dir, n.disk, n.highest = n.self.Gen, map[string][]byte{}, 0
	n.start(n.self.Gen)
	if err := n.r.Found(n.w.charter); err != nil {
		n.w.fatalf("node %d does not join: %v", n.i, err)
	}
	n.w.members()
	n.batch(commit, nil)
}

func (n *wnode) model() *model { return n.w.model }

func (n *wnode) write(ws []Write) {
	n.w.model.wrote(n, ws)
	for _, x := range ws {
		if x.Value == nil {
			delete(n.disk, x.Key)
		} else {
			n.disk[x.Key] = x.Value
		}
	}
}

func (w *world) send(from *wnode, to string, m any) {
	for _, p := range w.nodes {
		if p.self.Node == to && p != from {
			w.net = append(w.net, packet{from.i, p.i, Encode(m)})
		}
	}
}

// digest tells a peer what rows this node has.
func (n *wnode) digest(to *wnode) {
	d := n.r.Digest()
	n.w.model.told(n, d)
	n.w.send(n, to.self.Node, d)
}

// deliver takes packet k off the net, or leaves it there too.
func (w *world) deliver(k int, keep bool) {
	p := w.net[k]
	if !keep {
		w.net = slices.Delete(w.net, k, k+1)
	}
	w.receive(p)
}

func (w *world) receive(p packet) {
	to := w.nodes[p.to]
	if to.r == nil || to.side != w.nodes[p.from].side {
		return // lost
	}
	if len(w.old) < 256 {
		w.old = append(w.old, p)
	} else {
		w.old[(len(w.net)*31+len(p.bytes))%256] = p
	}
	m, err := Decode(p.bytes)
	if err != nil {
		w.fatalf("what %d sent does not decode: %v", p.from, err)
	}
	if err := to.r.Receive(to.clock(), m); err != nil {
		w.logf("node %d refuses %T: %v", p.to, m, err)
	}
	if to.r.Fenced() {
		w.fatalf("node %d is fenced by %T %+v from %d", p.to, m, m, p.from)
	}
}

// need is what one call wants that can wait for two seconds.
func need(now Instant, n Tokens) Need { return Need{First: n, All: n, Since: now, Until: now + 2000} }

// reserve tries one call on a node; what lacks is asked for.
func (n *wnode) reserve(ids []InstanceID, amounts []Tokens, overdraw, wait bool) bool {
	if n.r == nil {
		return false
	}
	now := n.clock()
	var takes []Take
	for k, id := range ids {
		a, err := n.r.Open(now, id)
		if errors.Is(err, ErrEnded) || errors.Is(err, ErrRetired) { // it finds out at its next commit that its generation is over
			return false
		}
		if err != nil {
			n.w.fatalf("node %d opens %s: %v", n.i, id, err)
			return false
		}
		takes = append(takes, Take{Account: a, Amount: amounts[k]})
	}
	Sort(takes)
	why, at := Reserve(now, now+ttl, takes, overdraw)
	if why != Enough {
		if why == NoRights && wait {
			takes[at].Account.Missed(takes[at].Amount)
			n.r.Waiting(now, takes[at].Account.ID(), need(now, takes[at].Amount))
		}
		return false
	}
	if wait {
		for _, t := range takes {
			n.r.Waiting(now, t.Account.ID(), Need{})
		}
	}
	n.open = append(n.open, &reservation{takes, now + ttl})
	for _, t := range takes {
		n.w.model.admitted(n, t)
	}
	return true
}

// settle ends open reservation k; part is what was used of it, in percent.
func (n *wnode) settle(k int, part int64) {
	res := n.open[k]
	n.open = slices.Delete(n.open, k, k+1)
	for _, t := range res.takes {
		used := Tokens(int64(t.Amount) * part / 100)
		charged, over := t.Account.Settle(n.clock(), t.Amount, used, t.Window)
		n.w.model.settled(n, t, charged-over)
	}
}

// forfeit ends a call that the provider refused: rates with feedback get nothing back.
func (n *wnode) forfeit(k int) {
	res := n.open[k]
	n.open = slices.Delete(n.open, k, k+1)
	for _, t := range res.takes {
		charged := Tokens(0)
		if !t.Account.Forfeit(n.clock(), t.Amount) {
			charged, _ = t.Account.Settle(n.clock(), t.Amount, 0, t.Window)
		}
		n.w.model.settled(n, t, charged)
	}
}

// round lets time pass for everybody: every node ticks, writes, and gets its packets.
func (w *world) round(dt Millis) {
	w.now += Instant(dt)
	for _, n := range w.nodes {
		if n.r != nil {
			n.r.Tick(n.clock())
			n.batchOfRound()
		}
	}
	for range 4 {
		ps := w.net
		w.net = nil
		for _, p := range ps {
			if w.lossy == nil || !w.lossy() {
				w.receive(p)
			}
		}
		for _, n := range w.nodes {
			if n.r != nil && n.r.Pending() {
				n.batchOfRound()
			}
		}
	}
	w.check()
}

// batchOfRound ends as it has to. A node that crashes is back at once, and the others do not notice.
func (n *wnode) batchOfRound() {
	o := commit
	if n.w.fate != nil {
		o = n.w.fate(n)
	}
	if n.batch(o, nil); n.r == nil {
		n.start(uint64(n.w.now))
		n.w.members()
	}
}

// heal ends all faults and runs until nothing is left to do.
func (w *world) heal(latest int) {
	for _, n := range w.nodes {
		w.model.jumps += max(0, -n.off)
		n.side, n.version, n.off = 0, latest, 0
		if n.left {
			n.crash() // it comes back
			n.left = false
		}
		if n.r == nil {
			n.start(uint64(n.i) + 77)
		}
	}
	w.members()
	for _, n := range w.nodes {
		n.r.Respec(n.clock())
		for _, id := range w.ids {
			n.r.Waiting(n.clock(), id, Need{})
			n.open1(id)
		}
	}
	why := ""
	for k := range 600 {
		w.round(250)
		for _, n := range w.nodes { // which may have become other generations
			for _, id := range w.ids {
				n.open1(id)
			}
		}
		if k%4 == 3 {
			for i, n := range w.nodes {
				for j, p := range w.nodes {
					if i != j {
						n.digest(p)
					}
				}
			}
		}
		if why = w.unrest(); why == "" && k > 8 {
			return
		}
	}
	w.fatalf("150 s after the last fault: %s", why)
}

// issuesWhole turns the windows of a swarm at rest: of a limit of up to some 400 nothing stays out.
func (w *world) issuesWhole() {
	for _, n := range w.nodes {
		w.now = max(w.now, n.top) // a clock that was ahead may have turned already
	}
	_, _, w.now = Calendar{Length: 60_000}.At(w.now) // that of the other calendars ends, too
	var before []Holder
	for _, n := range w.nodes {
		before = append(before, n.self)
	}
	rounds := 40
	if w.guards.Guardians > 0 {
		rounds = 160 // free shares gather once they are held
	}
	for range rounds {
		w.round(50)
	}
	for i, n := range w.nodes {
		if n.self != before[i] {
			return // leases have ended meanwhile: what a generation that is over has issued came to its heir
		}
	}
	for _, id := range w.ids {
		spec := w.specs[id][w.nodes[0].version]
		var issued Tokens
		var owned Shares
		for _, n := range w.nodes {
			s := n.r.Account(id).State(n.clock())
			issued += s.Base - s.Cut
			owned += s.Shares()
		}
		if owned != TotalShares {
			w.fatalf("%s: %d shares of all are owned", id, owned)
		}
		if spec.Kind != Windowed && len(w.model.claims) > 0 {
			continue // what was issued by those that were claimed stays in their books
		}
		switch spec.Kind {
		case Windowed:
			if spec.Amount > 400 && issued <= spec.Amount && issued+Tokens(len(w.nodes)) > spec.Amount {
				continue
			}
		case Grant, Slots:
			if issued > spec.Amount {
				continue // a larger limit was in force, and what was spent of it is not taken back
			}
		case Rate:
			continue
		}
		if issued != spec.Amount {
			w.fatalf("%s: %d issued of %d two seconds after the turn", id, issued, spec.Amount)
		}
	}
}

// open1 opens an account, unless the generation is over, which a node finds out at its next commit.
func (n *wnode) open1(id InstanceID) {
	if _, err := n.r.Open(n.clock(), id); err != nil && !errors.Is(err, ErrRetired) && !errors.Is(err, ErrEnded) {
		n.w.fatalf("node %d opens %s: %v", n.i, id, err)
	}
}

// unrest says what keeps the swarm from being at rest, or "".
func (w *world) unrest() string {
	if w.guards.Guardians > 0 {
		for _, n := range w.nodes {
			if len(n.r.Guardians()) != 3 {
				return fmt.Sprintf("node %d has the guardians %v", n.i, n.r.Guardians())
			}
			for _, g := range n.r.Guardians() {
				if !slices.ContainsFunc(w.nodes, func(p *wnode) bool { return p.self.Node == g.Node && p.dir == g.Gen }) {
					return fmt.Sprintf("node %d has the guardian %v, which is no more", n.i, g)
				}
			}
		}
		for _, id := range w.ids {
			if _, ends, _ := id.Life(); ends <= w.now {
				continue
			}
			var owned Shares
			for _, n := range w.nodes {
				if a := n.r.Account(id); a != nil {
					s := a.State(n.clock())
					owned += s.Shares()
				}
			}
			if owned != TotalShares {
				return fmt.Sprintf("%s: %d shares of all are owned", id, owned)
			}
		}
	}
	for _, n := range w.nodes {
		if own, first := n.r.Seats(), w.nodes[0].r.Seats(); !slices.Equal(own, first) {
			return fmt.Sprintf("node %d takes the seats to be with %v, node 0 with %v", n.i, own, first)
		}
		if u := n.r.Unacked(); u > 0 {
			return fmt.Sprintf("node %d has %d transfers not acknowledged", n.i, u)
		}
		for _, id := range w.ids {
			if _, ends, _ := id.Life(); ends <= w.now {
				continue
			}
			sent, _ := n.r.Sent(id)
			ks := n.r.Rows(n.clock(), id)
			if len(ks) == 0 || ks[0].Holder != n.self {
				return fmt.Sprintf("node %d has no account of %s", n.i, id)
			}
			own := ks[0]
			if w.specs[id][0].Kind != Rate {
				live := own.Row
				live.Demand, live.Unmet, live.Surplus = sent.Demand, sent.Unmet, sent.Surplus
				if w.specs[id][0].HalfLife > 0 {
					live.Lapsed, live.Decayed = sent.Lapsed, sent.Decayed // never at rest
				}
				if live != sent {
					return fmt.Sprintf("node %d has not sent\n%+v, last\n%+v", n.i, live, sent)
				}
			}
			for _, p := range w.nodes {
				if p == n {
					continue
				}
				ks := p.r.Rows(p.clock(), id)
				k := slices.IndexFunc(ks, func(k Known) bool { return k.Holder == n.self })
				if k < 0 || ks[k].Row != sent {
					return fmt.Sprintf("node %d does not know the row of node %d for %s", p.i, n.i, id)
				}
			}
		}
	}
	return ""
}
