package sim

import (
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/core"
	"github.com/swarmpurse/swarmpurse/node/freeze"
	"github.com/swarmpurse/swarmpurse/sim/promise"
	"github.com/swarmpurse/swarmpurse/sim/result"
)

const (
	maxBacklog = 8192                      // operations that wait for a node's loop, as in production
	maxUnread  = 1024                      // packets that wait in the socket of a process that is stopped
	maxRecords = 4 * admit.DefaultMaxQueue // decisions that a node remembers: all that wait may be refused at once
	drainFor   = 20 * second
	leaveFor   = 5 * second
	releaseFor = 2 * second // for a peer to take over what is left
	joinAgain  = 2 * second
)

// node is one process and its disk.
type node struct {
	w *world
	i int
	*end
	name   string
	self   ledger.Holder // in its present generation
	dir    uint64        // the first generation of its data directory
	booted micros        // when its machine started: the clock of leases begins there

	// What dies with the process.
	up, paused bool
	life       uint32
	core       core.Core
	comparer   core.Comparer
	clock      *core.Clock
	dice       *rand.Rand
	started    micros
	policy     int // index of the policy in force
	busy       bool
	writing    []ledger.Write
	backlog    []event
	tickDue    bool
	ticked     ledger.Instant // when it had its last tick, or caught up with it
	still      bool           // no fault has come since then, and the clock was steady
	unread     int            // packets in backlog while paused
	waiting    map[*call]struct{}
	got        uint64 // credits of rights from peers
	view       *view
	out        outbox
	misheard   *result.Violation   // the first, of rows that were heard later
	relays     []*news             // rows that came in this batch
	newest     [][]seen            // by instance and holder
	minting    []*order            // top-ups that are not durable yet
	touched    []ledger.InstanceID // whose accounts may have moved in this operation
	leaving    leaving
	roll       revisions
	followed   int  // generations that have followed another in this process
	synced     bool // by the join that comes after the first

	// What stays.
	disk    map[string][]byte
	wallOff micros         // of its wall clock
	latest  ledger.Instant // that its clock ever showed
	failing int            // faults that make its disk fail, or slow
	slow    micros
	frozen  freeze.Set
	kept    kept
	ice     *freeze.View // of frozen, as the engine has it
	gone    bool         // left, or died for good
	crashed bool         // and is not to be back yet
	counted uint64       // the directory that the judge knows of
}

type leaving struct {
	since    micros // 0: it is not
	heir     ledger.Holder
	handed   bool
	rested   bool   // what is spent is in a batch
	released micros // since when its lease is given up
	back     bool   // it comes back, so long after it has left
	away     micros
}

func (w *world) addNode(i int) *node {
	name := fmt.Sprintf("n%04d", i)
	n := &node{
		w: w, i: i, end: &end{node: int32(i), zone: w.zones[w.sc.ZoneOf(i)]}, name: name,
		self: ledger.Holder{Node: name, Gen: 1}, dir: 1, disk: map[string][]byte{},
	}
	w.nodes, w.linkEnds, w.idle = append(w.nodes, n), append(w.linkEnds, n.end), append(w.idle, idle{})
	w.byName[name] = n
	return n
}

// start runs the process on its disk.
func (n *node) start() {
	w := n.w
	n.life++
	w.idle[n.i] = idle{life: n.life}
	n.up, n.paused, n.busy, n.gone = true, false, false, false
	n.writing, n.backlog, n.unread, n.tickDue, n.minting = nil, nil, 0, false, nil
	n.started = w.now
	if n.life%2 == 0 {
		n.booted = w.now // it was the machine that went down, not just the process
	}
	n.clock = core.NewClock(n.wall())
	n.dice = rand.New(rand.NewPCG(w.sc.Seed, uint64(n.i)<<32|uint64(n.life)))
	n.comparer = core.Comparer{}
	n.waiting = map[*call]struct{}{}
	n.newest, n.relays, n.synced, n.view = nil, nil, false, nil
	n.leaving, n.still = leaving{}, false
	n.out.init(n)
	n.core = core.Core{}
	now := n.clockNow()
	n.loadRevisions()
	w.measure.adopted[n.policy]++
	w.inForce(n.policy)
	r, ok := n.open(now, nil)
	if !ok {
		return
	}
	n.core = core.Core{
		Replica: r,
		Engine:  admit.New(now, admit.Config{Node: n.name, Gen: n.self.Gen, Rand: n.dice, MaxRecords: maxRecords, Shards: 1, Zone: w.zoneName(n.zone)}, w.sc.Policies[n.policy]),
	}
	n.ice = n.frozen.View()
	n.core.Engine.SetFrozen(n.ice)
	if n.core.Replica.Charter().ID.IsZero() {
		if err := n.core.Replica.Found(w.charter); err != nil {
			w.fail("a node takes the charter", "%s: %v", n.name, err)
			return
		}
	}
	w.audit.loaded(n)
	// What was restored is durable before anybody can hear of it.
	n.store(n.core.Writes(now))
	n.effects(n.core.Commit(now))
	w.audit.restarted(n)
	n.see(w.pool.viewOf(n))
	n.govern()
	if n.counted != n.dir { // a holder that came later, with its own part of overdrafts; generations of a directory have one
		n.counted = n.dir
		w.judge.came(max(w.pool.members(n), w.sc.Founders))
	}
	w.plan(w.now+micros(n.dice.Int64N(int64(core.TickEvery)*int64(milli))), evTick, n, nil)
	if len(w.measure.frozen.words) > 0 {
		if to := n.view.pick(nil, n, -1, n.dice, 1); len(to) > 0 {
			n.compareFrozen(w.nodes[to[0]]) // with its join
		}
	}
	w.plan(w.now+joinAgain+micros(n.dice.Int64N(int64(second))), evSync, n, nil)
}

// open makes the replica of what is on the disk; before is that of the generation which has ended in this process, if any.
func (n *node) open(now ledger.Instant, before *ledger.Replica) (*ledger.Replica, bool) {
	w := n.w
	records := make([]ledger.Write, 0, len(n.disk))
	for _, k := range slices.Sorted(maps.Keys(n.disk)) {
		records = append(records, ledger.Write{Key: k, Value: n.disk[k]})
	}
	r, ws, err := core.Start(now, n.uptime(), ledger.Config{
		Self: ledger.Holder{Node: n.name, Gen: n.dir}, Zone: w.zoneName(n.zone), Host: n.name,
		Strategy: w.strategy, Rand: n.dice, Resolve: n.specs, Bytes: core.MessageBytes(w.pool.rate), Scratch: &w.scratch,
	}, w.sc.Policies[n.policy].Guards(), records, before)
	if err != nil {
		w.fail("a node loads what it wrote", "%s: %v", n.name, err)
		return nil, false
	}
	n.store(ws)
	n.self = r.Self()
	return r, true
}

// succeed goes on as the next generation. A disk that takes no writes keeps the node from it: then it tries again.
func (n *node) succeed() {
	w := n.w
	if !n.core.Over() || n.failing > 0 || n.leaving.released > 0 {
		return
	}
	n.leaving.heir, n.leaving.handed = ledger.Holder{}, false // what it hands on is the next generation's
	now := n.clockNow()
	r, ok := n.open(now, n.core.Replica)
	if !ok {
		return
	}
	n.forgetDead()
	n.core.Succeed(now, r)
	r.SetPeers(n.view.peers)
	n.followed++
	w.measure.successions++
	w.pool.retagged(n)
	w.stir("generation", n.name)
}

// forgetDead forgets the rows of holders that are not live: the next generation's replica does not take them along.
func (n *node) forgetDead() {
	for _, vs := range n.newest {
		for h := range vs {
			if vs[h].version > 0 && !n.view.lives(n.w.pool.names[h]) {
				vs[h].version = 0
			}
		}
	}
}

// stop ends the process at once.
func (n *node) stop() {
	w := n.w
	n.wake()
	if n.busy && n.dice.IntN(2) == 0 {
		n.store(n.writing) // the write had reached the disk, though nobody heard of it
		n.minted(true)
		if b := n.roll.writing; b != nil {
			n.kept = b.kept
		}
	}
	w.audit.crashed(n)
	n.up, n.busy = false, false
	n.life++
	w.measure.adopted[n.policy]--
	w.inForce(n.policy)
	w.measure.rollouts.look(w)
	for _, e := range n.backlog {
		if c, ok := e.p.(*call); ok && e.kind == evCall {
			n.waiting[c] = struct{}{} // its caller sees the connection break, too
		} else if ok && e.kind == evSettle {
			w.calls--
			w.over(c, true)
		}
	}
	n.backlog = nil
	n.lost()
}

// wipe replaces the data directory by an empty one: a new generation.
func (n *node) wipe() {
	n.disk = map[string][]byte{}
	n.frozen, n.kept = freeze.Set{}, kept{}
	n.latest = 0
	n.self.Gen++
	n.dir = n.self.Gen
}

func (n *node) resolve(id ledger.InstanceID) (ledger.Spec, bool) {
	b, _, ok := n.w.sc.Policies[n.policy].Resolve(n.w.charter.ID, id)
	if !ok {
		return ledger.Spec{}, false
	}
	return b.Spec, true
}

// specs is what the ledger resolves by.
func (n *node) specs(id ledger.InstanceID) (ledger.Spec, bool) {
	s, ok := n.resolve(id)
	if n.w.audit.bug == bugBoundless && s.Ceiling == ledger.Hard {
		s.Ceiling = ledger.Observe
	}
	return s, ok
}

const wordSize = 64

// happen is what comes to a process that is up.
func (n *node) happen(e *event) {
	switch e.kind {
	case evDisk:
		n.stored()
	case evSpread:
		n.out.run()
	case evView:
		n.do(*e)
	default:
		n.do(*e)
	}
}

// do is one operation of the loop, at once or when the loop is free. A process that is stopped holds it up, and while
// the disk is written to, what is an input of the replica waits.
func (n *node) do(e event) {
	n.listen()
	_, rows := e.p.(*packet)
	if !rows || n.due() {
		n.rouse()
	}
	if n.paused {
		n.hold(e)
		return
	}
	if e.kind == evTick {
		n.expire()
	}
	if n.busy && input(e.kind) {
		n.hold(e)
		if e.kind != evTick {
			return
		}
	} else {
		n.perform(&e)
	}
	if rows && !n.due() {
		if fx, ok := n.core.Replica.Heard(); ok {
			n.effects(fx)
			return
		}
		n.rouse()
	}
	n.flush()
	if e.kind == evTick {
		n.sleep()
	} else {
		n.doze()
	}
}

// input reports whether an operation changes the replica. The others decide on calls, settle them, or only read.
func input(k eventKind) bool {
	return k != evCall && k != evSettle && k != evGone && k != evSync && k != evFrozen && k != evRevision && k != evWave
}

func (n *node) hold(e event) {
	if e.kind == evTick {
		n.tickDue = true // tickers do not pile up
		return
	}
	packet := e.kind == evRows || e.kind == evMessage || e.kind == evFrozen || e.kind == evRevision
	if packet && n.paused {
		if n.unread++; n.unread > maxUnread {
			return // the socket's buffer is full
		}
	}
	if len(n.backlog) >= maxBacklog && packet {
		return // dropped; peers tell again what matters
	}
	n.backlog = append(n.backlog, e)
}

// free takes up what was held, but for what the disk still holds up.
func (n *node) free() {
	if n.paused {
		return
	}
	held := n.backlog
	n.backlog, n.unread = nil, 0
	for i := range held {
		if c, ok := held[i].p.(*call); ok && held[i].kind == evCall && c.life != n.life {
			continue
		}
		if n.busy && input(held[i].kind) {
			n.backlog = append(n.backlog, held[i])
			continue
		}
		n.perform(&held[i])
	}
	if n.tickDue && !n.busy {
		n.tickDue = false
		n.perform(&event{kind: evTick})
	}
	n.flush()
}

func (n *node) perform(e *event) {
	w := n.w
	now := n.clockNow()
	switch e.kind {
	case evCall:
		n.offer(e.p.(*call))
	case evSettle:
		n.settle(e.p.(*call))
	case evTick:
		n.tick()
	case evView:
		n.see(w.pool.viewOf(n))
	case evRows:
		n.received(n.learn(now, e.p.(*packet), &w.rows), e.p)
	case evMessage:
		switch m := e.p.(type) {
		case *packet:
			n.received(n.learn(now, m, &w.rows), m)
		default:
			n.touch(m)
			n.received(n.core.Replica.Receive(now, m), m)
			if d, ok := m.(*ledger.Digest); ok && len(d.Holders) > 64 && w.pool.digestSize(d) > promise.PacketRoom { // a stream comes once
				w.scratch.Spare(d)
			}
		}
	case evSync:
		n.sync()
	case evGone:
	case evLack:
		n.lacks(now, e.p.(admit.Lack))
	case evFrozen:
		n.hears(e.p)
	case evRevision:
		n.hearsRevision(now, e.p)
	case evWave:
		n.wave(e.p.(*waves))
	case evOrder:
		n.ordered(now, e.p.(*order))
	default:
		panic(fmt.Sprintf("BUG: event %d at a node", e.kind))
	}
}

// learn gives the replica those rows that are news. What it passes on is found in the order in which they came. All are
// looked up before the first is given on: waiting for the memory of one then overlaps with that of the next.
func (n *node) learn(now ledger.Instant, p *packet, rows *ledger.SharedRows) error {
	first := len(n.relays)
	for _, x := range p.news {
		if n.fresh(x) {
			n.relays = append(n.relays, x)
		}
	}
	rows.Rows = rows.Rows[:0]
	for _, x := range n.relays[first:] {
		rows.Rows = append(rows.Rows, &x.row)
	}
	return n.core.Replica.Receive(now, rows)
}

func (n *node) received(err error, m any) {
	if err != nil && n.core.Replica.Fenced() {
		n.w.fail("no node is fenced that keeps its disk", "%s by %T: %v", n.name, m, err)
	}
}

// expire is the part of a tick that waits for no disk.
func (n *node) expire() {
	if step := n.clock.Follow(n.wall(), n.elapsed(), core.TickEvery); step > 0 {
		n.w.audit.stepped(n, step)
		if n.w.audit.bug != bugForgetSteps {
			n.core.Stepped(n.clockNow(), step)
		}
	}
	n.core.Expire(n.clockNow())
}

func (n *node) tick() {
	n.core.Tick(n.clockNow())
	n.compare(n.clockNow())
	n.watchRollout(n.clockNow())
	n.succeed() // if the disk kept it from it
	if n.leaving.since > 0 {
		n.leave()
	}
}

// flush completes batches until nothing is left to do, or the disk is written to.
func (n *node) flush() {
	for range core.Rounds {
		decided, pending := n.core.Advance(n.clockNow())
		for _, d := range decided {
			if c := d.Notify.(*call); d.Err != nil {
				n.undecided(c, d.Err)
			} else {
				n.decided(c)
			}
		}
		if n.busy || !pending && n.roll.changes == n.roll.durable && !n.roll.counted || !n.core.Ready() {
			break
		}
		n.writing = n.core.Writes(n.clockNow())
		n.roll.writing = n.toWrite()
		if len(n.writing) > 0 || n.roll.writing != nil {
			if n.w.audit.bug == bugTellEarly {
				n.effects(n.core.Commit(n.clockNow()))
			}
			n.busy = true
			n.w.plan(n.w.now+n.w.links.sync.draw(n.w.dice)+n.slow, evDisk, n, nil)
			break
		}
		n.effects(n.core.Commit(n.clockNow()))
		n.succeed()
	}
	n.check()
}

// stored is the end of a write.
func (n *node) stored() {
	n.rouse()
	n.busy = false
	switch told := !n.core.Writing(); { // too early, by a planted bug
	case n.failing > 0 && !told:
		n.core.Abort(n.clockNow())
	case n.failing == 0:
		n.store(n.writing)
		if !told {
			n.effects(n.core.Commit(n.clockNow()))
			n.succeed()
		}
	}
	n.wroteRevisions(n.failing == 0)
	n.minted(n.failing == 0)
	n.writing = nil
	n.check()
	n.free()
	n.doze()
}

// store puts writes on the disk.
func (n *node) store(ws []ledger.Write) {
	defer func() { // what is durable together is judged together
		n.w.audit.guarding(n, ws)
		for _, x := range ws {
			n.w.audit.wrote(n, x)
		}
	}()
	for _, x := range ws {
		if n.w.audit.bug == bugLoseWrites && n.dice.IntN(4) == 0 {
			continue
		}
		if n.w.audit.bug == bugLoseMarks && n.onlyMark(x) {
			continue
		}
		if x.Value == nil {
			if was, ok := n.disk[x.Key]; ok {
				n.w.audit.drops(n, ledger.Write{Key: x.Key, Value: was})
			}
			delete(n.disk, x.Key)
		} else {
			n.disk[x.Key] = x.Value
		}
	}
}

// onlyMark reports whether a write raises a mark and changes nothing else that other records must fit to.
func (n *node) onlyMark(x ledger.Write) bool {
	was, err := ledger.Inspect(ledger.Write{Key: x.Key, Value: n.disk[x.Key]})
	now, err2 := ledger.Inspect(x)
	if err != nil || err2 != nil || was.Account == nil || now.Account == nil {
		return false
	}
	a, b := *was.Account, *now.Account
	return b.Mark > a.Mark && a.Window == b.Window && a.Shares() == b.Shares() && a.In == b.In && a.Out == b.Out
}

// effects is the one place where effects of the ledger meet the world.
func (n *node) effects(fx ledger.Effects) {
	for _, s := range fx.Sends {
		n.w.audit.told(n, s.Message)
		n.tell(s.To, s.Message)
	}
	relayed := 0
	for _, s := range fx.Spreads {
		if s.Row.Holder == n.self {
			x := n.w.pool.intern(s.Row)
			n.w.audit.spread(n, s.Row)
			if !x.byTime {
				n.w.stir("row of "+s.Row.Instance.Name(), n.name)
			}
			n.fresh(x)
			n.out.put(x, s.Weight)
			continue
		}
		relayed = n.passOn(n.w.now, s, relayed)
	}
	if len(fx.Spreads) > 0 {
		n.out.added()
	}
	n.relays = n.relays[:0]
	for _, e := range fx.Events {
		switch e.Kind {
		case ledger.GotRights:
			n.got++
		}
	}
}

// passOn queues a row of relays, from one of them on, to be told to others. It returns where it is.
func (n *node) passOn(now micros, s ledger.Spread, from int) int {
	for from < len(n.relays) && &n.relays[from].row.Row != s.Row {
		from++ // the replica had it already
	}
	if from < len(n.relays) && len(n.view.live)-1 > promise.Fanout*promise.Waves {
		n.out.relay(now, n.relays[from], s.Weight)
	}
	return from
}

// see takes over what the failure detector says.
func (n *node) see(v *view) {
	if n.view == v {
		return
	}
	n.view = v
	n.core.Replica.SetPeers(v.peers)
	n.comparer.Members(n.clockNow(), v.names)
	if n.w.placed {
		n.neighbors()
	}
}

// compare tells a peer what this node knows, when it is time.
func (n *node) compare(now ledger.Instant) {
	if !n.comparer.Due(now) {
		return
	}
	to, pause := n.comparer.Peer(now, true, n.dice)
	if to == "" {
		return
	}
	size := wordSize
	if to != n.name {
		size = n.tellDigest(n.w.byName[to])
		n.compareRevisions(n.w.byName[to])
		n.compareFrozen(n.w.byName[to])
	}
	n.comparer.Told(now, pause, size, n.w.pool.rate, n.dice)
}

func (n *node) tellDigest(to *node) (size int) {
	n.listen()
	d := n.core.Replica.Digest()
	size = n.w.pool.digestSize(d)
	n.send(to, size, evMessage, d)
	return size
}

// sync is a push/pull with a peer by chance: both tell what they know.
func (n *node) sync() {
	w := n.w
	pause := span(promise.SyncPause(len(w.nodes)))
	if !n.synced { // memberlist starts up to a pause late; before, the node joined a second time
		n.synced = true
		pause += micros(w.dice.Int64N(int64(pause)))
	}
	w.plan(w.now+pause, evSync, n, nil)
	if to := n.view.pick(nil, n, -1, n.dice, 1); len(to) > 0 {
		p := w.nodes[to[0]]
		n.tellDigest(p)
		n.compareRevisions(p)
		n.compareFrozen(p)
		if p.up && !w.links.cut(p.end, n.end) {
			p.tellDigest(n)
			p.compareRevisions(n)
			p.compareFrozen(n)
		}
	}
}

// leave drains the node and hands on what it has, to the nearest live peer.
func (n *node) leave() {
	w := n.w
	l := &n.leaving
	_, open := n.core.Engine.Counts()
	if open+len(n.waiting) > 0 && w.now < l.since+drainFor {
		return
	}
	r := n.core.Replica
	now := n.clockNow()
	if !n.view.lives(l.heir) { // it died, or goes on as another generation
		l.heir = n.view.nearest(n)
		if !l.heir.IsZero() {
			_ = r.Leave(now, l.heir) // it is live; next tick sees to the rest
		}
	}
	late := w.now > l.since+drainFor+leaveFor
	if !l.handed && !(!l.heir.IsZero() && r.Handed()) && !late {
		return
	}
	l.handed = true
	// What is left here is its heir's as soon as guardians hold what is unspent, and those whom this node guards have
	// found others; or without that, when it cannot wait any longer. What it rests with is written first, and noted then.
	late = late && w.now > l.since+drainFor+2*leaveFor
	written := l.rested
	l.rested = r.Rest()
	if l.released == 0 && (written && l.rested && r.Noted() && r.WardsToMove() == 0 || late) {
		l.released = w.now
		r.Release()
		return
	}
	if l.released > 0 && (n.core.Over() || len(r.Guardians()) == 0 || w.now > l.released+releaseFor) {
		back, away := l.back, l.away
		n.gone = true
		n.stop()
		if !back {
			w.measure.ends(n)
		}
		w.pool.left(n)
		if back {
			w.plan(w.now+away, evBack, nil, n)
		}
	}
}
