package sim

import (
	"math/rand/v2"
	"slices"
	"strings"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/sim/promise"
)

// pool is the model of serf and memberlist by what they promise (package promise): who sees whom, and after how long.
// It also knows rows by what they are, so that all nodes of one process share them.
type pool struct {
	w    *world
	rate int64 // ceiling of bytes per second and node

	known   []member // by node
	version int      // of known
	bits    uint64   // of the cuts that some may not see healed yet
	views   map[viewKey]*view

	ids       []ledger.InstanceID
	instances map[ledger.InstanceID]int32 // into ids
	holders   map[ledger.Holder]int32
	nodeOf    []int32 // by holder
	names     []ledger.Holder
	recent    [][]ring // by instance and holder
	perHolder int      // bytes of a digest for each holder

	idleOf    int     // so many nodes
	idleBytes float64 // cost each for membership
}

// member is what the failure detector says of a node, on the whole; single nodes hear of it a little later.
type member struct {
	known, alive bool
	gen, dir     uint64
	passing      bool   // it has said that it is about to leave
	side         uint64 // the cuts that it is behind, a bit each
	given        uint64 // those across which it has been given up
}

// apart is a cut as the failure detector sees it.
type apart struct {
	bit    uint64
	healed bool
}

type viewKey struct {
	side uint64
	zone int
}

// view is the membership as nodes of one zone on one side see it. It is shared and never changes.
type view struct {
	version int
	peers   []ledger.Peer
	names   []string // of the live ones
	live    []int32  // the same as node numbers
	on      []bool   // by node
}

func (p *pool) init(w *world) {
	*p = pool{
		w: w, rate: w.sc.Gossip.BytesPerSecond, views: map[viewKey]*view{},
		instances: map[ledger.InstanceID]int32{}, holders: map[ledger.Holder]int32{},
	}
	if p.rate == 0 {
		p.rate = 25_000
	}
	for _, n := range w.nodes {
		p.known = append(p.known, member{known: true, alive: true, gen: n.self.Gen, dir: n.dir})
	}
}

// idle is what membership alone costs a node, in bytes per second.
func (p *pool) idle() float64 {
	if n := len(p.w.nodes); p.idleOf != n {
		p.idleOf, p.idleBytes = n, promise.IdleBytes(n)
	}
	return p.idleBytes
}

// status is news for the failure detector, planned for when it comes to know.
type status struct {
	nodes []*node
	life  uint32 // down: of the process that died
	down  bool   // died, or does not answer
	up    bool
	left  bool
	goes  bool   // it says that it is about to leave
	cut   *apart // they are given up by those on its other side, or seen again
}

func (p *pool) tell(after micros, s status) { p.w.plan(p.w.now+after, evStatus, nil, &s) }

func (p *pool) died(n *node) {
	least, most := promise.FailureSeen(len(p.w.nodes))
	more := micros(p.w.dice.ExpFloat64() * float64(second))
	p.tell(span(least)+min(more, span(most-least)), status{nodes: []*node{n}, life: n.life, down: true})
}
func (p *pool) came(n *node) { p.tell(span(promise.Join), status{nodes: []*node{n}, up: true}) }
func (p *pool) goes(n *node) { p.tell(milli, status{nodes: []*node{n}, goes: true}) }

// retagged has the others hear that a node goes on as another generation: its tags say so.
func (p *pool) retagged(n *node) { p.tell(milli, status{nodes: []*node{n}, up: true}) }
func (p *pool) left(n *node)     { p.tell(milli, status{nodes: []*node{n}, left: true}) }

// cutSteps is in how many parts one side gives up the other.
const cutSteps = 4

// split has nodes be cut off from all others: both sides give each other up by and by.
func (p *pool) split(ns []*node, bit uint64) *apart {
	c := &apart{bit: bit}
	p.bits |= bit
	in, out, isIn := []*node{}, []*node{}, make([]bool, len(p.w.nodes))
	for _, n := range ns {
		isIn[n.i] = true
		p.member(n).side |= bit
	}
	for _, n := range p.w.nodes {
		if isIn[n.i] {
			in = append(in, n)
		} else {
			out = append(out, n)
		}
	}
	p.giveUp(c, in, out)
	p.giveUp(c, out, in)
	return c
}

func (p *pool) giveUp(c *apart, side, lost []*node) {
	up := 0
	for _, n := range side {
		if n.up {
			up++
		}
	}
	if up == 0 {
		return
	}
	lost = slices.Clone(lost)
	p.w.dice.Shuffle(len(lost), func(i, j int) { lost[i], lost[j] = lost[j], lost[i] })
	for step, from := 1, 0; step <= cutSteps; step++ {
		if k := len(lost) * step / cutSteps; k > from {
			p.tell(span(promise.CutSeen(up, len(lost), k)), status{nodes: lost[from:k], cut: c})
			from = k
		}
	}
}

func (p *pool) healed(c *apart) {
	c.healed = true
	p.tell(micros(p.w.dice.Int64N(int64(span(promise.Heal)))), status{cut: c})
}

// members is how many the node knows when it starts, itself included.
func (p *pool) members(n *node) (known int) {
	for i, m := range p.known {
		if m.known || i == n.i {
			known++
		}
	}
	if n.i >= len(p.known) {
		known++
	}
	return known
}

func (p *pool) member(n *node) *member {
	for len(p.known) <= n.i {
		p.known = append(p.known, member{})
	}
	return &p.known[n.i]
}

// learn takes over what the failure detector knows by now, and has every node hear of it.
func (p *pool) learn(s *status) {
	for _, n := range s.nodes {
		m := p.member(n)
		switch {
		case s.left:
			m.alive = m.alive && n.up
		case s.down:
			if n.up && !n.paused || n.up && n.life != s.life {
				continue // it is back already
			}
			m.alive = false
		case s.goes:
			m.passing = n.leaving.since > 0
		case s.up:
			if n.up && !n.paused {
				m.known, m.alive, m.gen, m.dir, m.passing = true, true, n.self.Gen, n.dir, n.leaving.since > 0
				m.given |= p.bits // nobody across a cut hears of it
			}
		case !s.cut.healed:
			m.given |= s.cut.bit
		}
	}
	if s.nodes == nil {
		for i := range p.known {
			p.known[i].side &^= s.cut.bit
			p.known[i].given &^= s.cut.bit
		}
		p.bits &^= s.cut.bit
	}
	p.version++
	for _, n := range p.w.nodes {
		if n.up {
			p.w.plan(p.w.now+micros(p.w.dice.Int64N(int64(span(promise.Spread)))), evView, n, nil)
		}
	}
}

// viewOf is the membership as the node may see it by now.
func (p *pool) viewOf(n *node) *view {
	side := uint64(0)
	if n.i < len(p.known) {
		side = p.known[n.i].side
	}
	k := viewKey{side, n.zone}
	if v := p.views[k]; v != nil && v.version == p.version {
		return v
	}
	v := &view{version: p.version, on: make([]bool, len(p.known))}
	for i, m := range p.known {
		if !m.known {
			continue
		}
		o := p.w.nodes[i]
		alive := m.alive && (m.side^side)&m.given == 0
		v.peers = append(v.peers, ledger.Peer{
			Holder: ledger.Holder{Node: o.name, Gen: m.gen}, Alive: alive, Distance: p.w.links.rtt(n.zone, o.zone),
			Directory: m.dir, Zone: p.w.zoneName(o.zone), Host: o.name, Passing: m.passing,
		})
		if alive {
			v.names = append(v.names, o.name)
			v.live = append(v.live, int32(i))
			v.on[i] = true
		}
	}
	p.views[k] = v
	return v
}

func (v *view) alive(n *node) bool { return n.i < len(v.on) && v.on[n.i] }

// lives reports whether the holder is a live member in that very generation.
func (v *view) lives(h ledger.Holder) bool {
	i, ok := slices.BinarySearchFunc(v.peers, h.Node, func(p ledger.Peer, n string) int { return strings.Compare(p.Holder.Node, n) })
	return ok && v.peers[i].Alive && v.peers[i].Holder == h
}

// pick adds up to k different live nodes, none of them n or except.
func (v *view) pick(picks []int32, n *node, except int32, dice *rand.Rand, k int) []int32 {
	for tries := 0; len(picks) < k && tries < 8*k && len(v.live) > 0; tries++ {
		i := v.live[dice.IntN(len(v.live))]
		if i != int32(n.i) && i != except && !slices.Contains(picks, i) {
			picks = append(picks, i)
		}
	}
	return picks
}

// nearest is the live peer to hand everything on to.
func (v *view) nearest(n *node) ledger.Holder {
	best, at := ledger.Holder{}, ledger.Millis(0)
	for _, p := range v.peers {
		o := n.w.byName[p.Holder.Node]
		if p.Alive && o != n && o.leaving.since == 0 && (best.IsZero() || p.Distance < at) {
			best, at = p.Holder, p.Distance
		}
	}
	return best
}

// news is a version of a row, as all nodes of the process share it.
type news struct {
	row              ledger.SharedRow
	instance, holder int32
	origin           int32 // node of the holder
	size             int   // on the wire, in bytes
	born             micros
	byTime           bool // nobody did anything: it is the first of its window, or tells of decay alone
}

// ring keeps the last few versions of one row. Their numbers stand beside them: it is looked through for every row that is told.
type ring struct {
	versions [4]uint64 // of news, 0 where there is none
	news     [4]*news
}

func (p *pool) instance(id ledger.InstanceID) int32 {
	i, ok := p.instances[id]
	if !ok {
		i = int32(len(p.instances))
		p.instances[id] = i
		p.recent = append(p.recent, nil)
		p.ids = append(p.ids, id)
	}
	return i
}

func (p *pool) holder(h ledger.Holder) int32 {
	i, ok := p.holders[h]
	if !ok {
		i = int32(len(p.holders))
		p.holders[h] = i
		p.names = append(p.names, h)
		p.nodeOf = append(p.nodeOf, int32(p.w.byName[h.Node].i))
	}
	return i
}

// intern finds the shared copy of a row, making it. Rows never change.
func (p *pool) intern(row *ledger.Row) *news {
	in, h := p.instance(row.Instance), p.holder(row.Holder)
	for len(p.recent[in]) <= int(h) {
		p.recent[in] = append(p.recent[in], ring{})
	}
	r := &p.recent[in][h]
	for i, v := range r.versions {
		if v == row.Version && r.news[i] != nil {
			return r.news[i]
		}
	}
	x := &news{instance: in, holder: h, origin: p.nodeOf[h], born: p.w.now}
	x.byTime = !slices.ContainsFunc(r.news[:], func(y *news) bool { return y != nil && y.row.Window >= row.Window }) || p.w.now > p.w.end && decayed(p.latest(in, h), row)
	if last := r.news[0]; last != nil {
		x.row.After(&last.row)
		x.size = last.size // give or take a few bytes
	} else {
		x.size = len(ledger.Encode([]ledger.Row{*row}))
	}
	x.row.Row = *row
	oldest := 0
	for i, o := range r.news {
		if o == nil {
			oldest = i
			break
		}
		if r.versions[i] < r.versions[oldest] {
			oldest = i
		}
	}
	if r.news[oldest] == nil || r.versions[oldest] < row.Version {
		r.news[oldest], r.versions[oldest] = x, row.Version
	}
	return x
}

// decayed reports whether all that a row tells, since the version before, is that rights have decayed. Until none are left that never ends. It
// is looked at when the calls are over, as before nobody asks.
func decayed(before *news, row *ledger.Row) bool {
	if before == nil || row.Decayed <= before.row.Decayed || row.Decayed-before.row.Decayed != row.Lapsed-before.row.Lapsed {
		return false
	}
	old := before.row.Row
	old.Version, old.Lapsed, old.Decayed, old.Surplus = row.Version, row.Lapsed, row.Decayed, row.Surplus
	return old == *row
}

// latest is the newest version that there is of a row, nil if there is none.
func (p *pool) latest(in, h int32) *news {
	if int(h) >= len(p.recent[in]) {
		return nil
	}
	var best *news
	for _, x := range p.recent[in][h].news {
		if x != nil && (best == nil || x.row.Version > best.row.Version) {
			best = x
		}
	}
	return best
}

// seen is what a node has had of a row.
type seen struct {
	version uint32 // the newest one
	queued  uint32 // number of the item in the outbox that passes it on, if that is still there
}

// fresh reports whether a row is news to the node, and notes that it has it.
func (n *node) fresh(x *news) bool {
	for len(n.newest) <= int(x.instance) {
		n.newest = append(n.newest, nil)
	}
	vs := n.newest[x.instance]
	if int(x.holder) >= len(vs) {
		vs = append(vs, make([]seen, max(int(x.holder)+1, len(n.w.nodes))-len(vs))...)
		n.newest[x.instance] = vs
	}
	if vs[x.holder].version >= uint32(x.row.Version) {
		return false
	}
	vs[x.holder].version = uint32(x.row.Version)
	return true
}

// version is the newest version that the node has of a row.
func (n *node) version(in, h int32) uint32 {
	if int(in) >= len(n.newest) || int(h) >= len(n.newest[in]) {
		return 0
	}
	return n.newest[in][h].version
}

// digestSize is a digest's size on the wire. Encoding each would take longer than all else that a push/pull does.
func (p *pool) digestSize(d *ledger.Digest) int {
	if p.perHolder == 0 || len(d.Holders) < 8 {
		b := len(ledger.Encode(d))
		p.perHolder = max(1, b/len(d.Holders))
		return b
	}
	return 64 + p.perHolder*len(d.Holders)
}
