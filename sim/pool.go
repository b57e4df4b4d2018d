package sim

import (
	"math"
	"math/rand/v2"
	"slices"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// pool is the model of serf and memberlist by what they promise: who sees whom, and after how long. It also knows
// rows by what they are, so that all nodes of one process share them.
type pool struct {
	w    *world
	rate int64 // ceiling of bytes per second and node

	known   []member // by node
	version int      // of known
	views   map[viewKey]*view

	ids       []ledger.InstanceID
	instances map[ledger.InstanceID]int32 // into ids
	holders   map[ledger.Holder]int32
	nodeOf    []int32  // by holder
	recent    [][]ring // by instance and holder
	perHolder int      // bytes of a digest for each holder
}

// member is what the failure detector says of a node, on the whole; single nodes hear of it a little later.
type member struct {
	known, alive bool
	gen          uint64
	side         uint64
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

// What serf and memberlist take with production's timers, from package gossip's DESIGN.md; TestModelOfMembership
// holds the model to a real cluster.
const (
	probe        = 1500 * milli // until a probe of the node has failed
	suspicion    = 4 * second   // times log10(n), at least once
	detectSpread = 3 * second   // between the first and the last node that hears of it
	rejoin       = second       // and rejoinLog for each doubling of n
	rejoinLog    = 700 * milli
	rejoinSpread = 3 * second
	joinSpread   = second
	leaveSpread  = second
	// Membership alone costs a node 1.3 kB/s among 10 and 2.0 to 2.5 kB/s among 50.
	idleBytes    = 700
	idleBytesLog = 850 // for each factor of ten
)

func (p *pool) init(w *world) {
	*p = pool{
		w: w, rate: w.sc.Gossip.BytesPerSecond, views: map[viewKey]*view{},
		instances: map[ledger.InstanceID]int32{}, holders: map[ledger.Holder]int32{},
	}
	if p.rate == 0 {
		p.rate = 25_000
	}
	for _, n := range w.nodes {
		p.known = append(p.known, member{true, true, n.self.Gen, 0})
	}
}

func (p *pool) size() float64 { return float64(max(2, len(p.w.nodes))) }

func (p *pool) detect() micros {
	return probe + micros(float64(suspicion)*max(1, math.Log10(p.size())))
}

func (p *pool) rejoin() micros { return rejoin + micros(float64(rejoinLog)*math.Log2(p.size())) }

// syncPause is memberlist's: half a minute, longer from 32 members on.
func (p *pool) syncPause() micros {
	times := max(1, math.Ceil(math.Log2(p.size())-math.Log2(32))+1)
	pause := float64(syncEvery) * times
	return micros(pause * (0.9 + 0.2*p.w.dice.Float64()))
}

// idle is what membership alone costs a node, in bytes per second.
func (p *pool) idle() float64 { return idleBytes + idleBytesLog*math.Log10(p.size()) }

// status is news for the failure detector, planned for when it comes to know.
type status struct {
	nodes  []*node
	life   uint32 // down: of the process that died
	down   bool   // died, or does not answer
	up     bool
	left   bool
	bit    uint64 // a partition
	on     bool
	spread micros
}

func (p *pool) tell(after micros, s status) { p.w.plan(p.w.now+after, evStatus, nil, &s) }

func (p *pool) died(n *node) {
	p.tell(p.detect(), status{nodes: []*node{n}, life: n.life, down: true, spread: detectSpread})
}
func (p *pool) came(n *node) {
	p.tell(joinTime, status{nodes: []*node{n}, up: true, spread: joinSpread})
}
func (p *pool) left(n *node) {
	p.tell(milli, status{nodes: []*node{n}, left: true, spread: leaveSpread})
}
func (p *pool) split(ns []*node, bit uint64) {
	p.tell(p.detect(), status{nodes: ns, bit: bit, on: true, spread: detectSpread})
}
func (p *pool) healed(ns []*node, bit uint64) {
	p.tell(p.rejoin(), status{nodes: ns, bit: bit, spread: rejoinSpread})
}

// learn takes over what the failure detector knows by now, and has every node hear of it.
func (p *pool) learn(s *status) {
	for _, n := range s.nodes {
		for len(p.known) <= n.i {
			p.known = append(p.known, member{})
		}
		m := &p.known[n.i]
		switch {
		case s.left:
			m.alive = m.alive && n.up
		case s.down:
			if n.up && !n.paused || n.up && n.life != s.life {
				continue // it is back already
			}
			m.alive = false
		case s.up:
			if n.up && !n.paused {
				m.known, m.alive, m.gen = true, true, n.self.Gen
			}
		case s.on:
			if n.side&s.bit == 0 {
				continue // healed before anybody noticed
			}
			m.side |= s.bit
		default:
			m.side &^= s.bit
		}
	}
	p.version++
	for _, n := range p.w.nodes {
		if n.up {
			p.w.plan(p.w.now+micros(p.w.dice.Int64N(int64(s.spread))), evView, n, nil)
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
		alive := m.alive && m.side == side
		v.peers = append(v.peers, ledger.Peer{
			Holder: ledger.Holder{Node: o.name, Gen: m.gen}, Alive: alive, Distance: p.w.links.rtt(n.zone, o.zone),
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

// pick draws up to k different live nodes, none of them n or except.
func (v *view) pick(n *node, except []int32, dice *rand.Rand, k int) []int32 {
	var picks []int32
	for tries := 0; len(picks) < k && tries < 8*k && len(v.live) > 0; tries++ {
		i := v.live[dice.IntN(len(v.live))]
		if i != int32(n.i) && !slices.Contains(picks, i) && !slices.Contains(except, i) {
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
	row              ledger.Row
	instance, holder int32
	origin           int32 // node of the holder
	size             int   // on the wire, in bytes
	born             micros
}

// ring keeps the last few versions of one row.
type ring [4]*news

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
	for _, x := range r {
		if x != nil && x.row.Version == row.Version {
			return x
		}
	}
	x := &news{row: *row, instance: in, holder: h, origin: p.nodeOf[h], born: p.w.now}
	if last := r[0]; last != nil {
		x.size = last.size // give or take a few bytes
	} else {
		x.size = len(ledger.Encode([]ledger.Row{*row}))
	}
	oldest := 0
	for i, o := range r {
		if o == nil {
			oldest = i
			break
		}
		if o.row.Version < r[oldest].row.Version {
			oldest = i
		}
	}
	if o := r[oldest]; o == nil || o.row.Version < row.Version {
		r[oldest] = x
	}
	return x
}

// latest is the newest version that there is of a row, nil if there is none.
func (p *pool) latest(in, h int32) *news {
	if int(h) >= len(p.recent[in]) {
		return nil
	}
	var best *news
	for _, x := range p.recent[in][h] {
		if x != nil && (best == nil || x.row.Version > best.row.Version) {
			best = x
		}
	}
	return best
}

// fresh reports whether a row is news to the node, and notes that it has it.
func (n *node) fresh(x *news) bool {
	for len(n.newest) <= int(x.instance) {
		n.newest = append(n.newest, nil)
	}
	vs := n.newest[x.instance]
	if int(x.holder) >= len(vs) {
		vs = append(vs, make([]uint32, max(int(x.holder)+1, len(n.w.pool.holders))-len(vs))...)
		n.newest[x.instance] = vs
	}
	if vs[x.holder] >= uint32(x.row.Version) {
		return false
	}
	vs[x.holder] = uint32(x.row.Version)
	return true
}

// version is the newest version that the node has of a row.
func (n *node) version(in, h int32) uint32 {
	if int(in) >= len(n.newest) || int(h) >= len(n.newest[in]) {
		return 0
	}
	return n.newest[in][h]
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
