package sim

import (
	"math"
	"math/rand/v2"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/guardian"
	"github.com/swarmpurse/swarmpurse/sim/promise"
	"github.com/swarmpurse/swarmpurse/sim/scenario"
)

const (
	streamHead  = 200 // what a stream costs beside its payload: handshake and frame
	streamAgain = 200 * milli
)

// delay draws from a lognormal distribution by a table of its quantiles.
type delay struct{ table []micros }

const quantiles = 1024

func newDelay(d scenario.Delay) delay {
	median, p99 := float64(d.Median.Microseconds()), float64(d.P99.Microseconds())
	sigma := 0.0
	if median > 0 && p99 > median {
		sigma = math.Log(p99/median) / 2.3263478740408408
	}
	t := make([]micros, quantiles)
	for i := range t {
		z := math.Sqrt2 * math.Erfinv(2*(float64(i)+0.5)/quantiles-1)
		t[i] = micros(median * math.Exp(sigma*z))
	}
	return delay{t}
}

func (d delay) draw(dice *rand.Rand) micros { return d.table[dice.IntN(quantiles)] }

// links is the network.
type links struct {
	w           *world
	near, far   delay
	sync        delay
	loss, again float64
	reorder     float64
	reorderBy   int64
	bandwidth   float64 // bytes per microsecond, 0 for no limit
	cuts        []cut
	freeAt      []micros // when a node's link is free to send, if bandwidth is limited
	lostGift    map[pair]micros
}

// pair is a node that gave and the one that it gave to.
type pair struct{ from, to int32 }

// noteLoss notes when chance last lost the word of a gift, or its acknowledgement.
func (l *links) noteLoss(from, to *node, p any) {
	switch p.(type) {
	case *ledger.Transfer:
		l.lostGift[pair{from.end.node, to.end.node}] = l.w.now
	case *ledger.Ack:
		l.lostGift[pair{to.end.node, from.end.node}] = l.w.now
	}
}

// unlucky reports whether the last time that a peer was told of a gift may have been in vain by chance alone: told so often that it should have heard
// of it, it may still have lost each of them, and does in one of some thousand runs.
func (l *links) unlucky(from, to *node) bool {
	at, ok := l.lostGift[pair{from.end.node, to.end.node}]
	return ok && at+giftAgain > l.w.now
}

// giftAgain is within what time a gift is told again, and the answer there.
const giftAgain = 20 * second

// cut is a partition that is on: what is on one side of it does not reach the other.
type cut struct {
	bit    uint64
	oneWay bool
	seen   *apart
	event  int // the fault, and when it began
	at     time.Duration
}

func (l *links) init(w *world) {
	n := &w.sc.Network
	*l = links{
		w: w, near: newDelay(n.SameZone), far: newDelay(n.OtherZone), sync: newDelay(w.sc.Disk.Sync),
		loss: n.Loss, again: n.Duplicate, reorder: n.Reorder, reorderBy: max(1, n.ReorderBy.Microseconds()),
		bandwidth: float64(n.Bandwidth) / 1e6, lostGift: map[pair]micros{},
	}
}

// end is a node's end of its links, apart from the node itself: those of all nodes lie side by side in a processor's cache,
// and nobody waits for a peer's memory to send it a packet.
type end struct {
	side     uint64 // the partitions that it is cut off by, a bit each
	node     int32
	zone     int
	linkLoss float64 // of faults
	linkMore micros
}

// cut reports whether what a sends does not reach b.
func (l *links) cut(a, b *end) bool {
	if a.side == b.side {
		return false
	}
	for _, c := range l.cuts {
		if in := a.side&c.bit != 0; in != (b.side&c.bit != 0) && (in || !c.oneWay) {
			return true
		}
	}
	return false
}

func (l *links) latency(a, b *end) micros {
	d := l.far
	if a.zone == b.zone {
		d = l.near
	}
	return max(1, d.draw(l.w.dice)+a.linkMore+b.linkMore)
}

// rtt is what the failure detector knows of the round trip between two zones.
func (l *links) rtt(a, b int) ledger.Millis {
	d := l.w.sc.Network.OtherZone
	if a == b {
		d = l.w.sc.Network.SameZone
	}
	return ledger.Millis(2 * d.Median.Milliseconds())
}

// tell sends a message of the ledger through its real wire form.
func (n *node) tell(to string, m any) {
	p := n.w.byName[to]
	if p == nil {
		n.w.fail("messages go to members", "%s tells %q", n.name, to)
		return
	}
	if rows, ok := m.([]ledger.Row); ok {
		x := &packet{news: make([]*news, len(rows))}
		size := 0
		for i := range rows {
			x.news[i] = n.w.pool.intern(&rows[i])
			size += x.news[i].size
		}
		n.w.scratch.SpareRows(rows) // pool keeps its own copies
		n.send(p, size, evMessage, x)
		return
	}
	if _, ok := m.(*ledger.Ask); ok {
		n.w.measure.asked()
	}
	b := ledger.Encode(m)
	back, err := ledger.Decode(b)
	if err != nil {
		n.w.fail("what is sent decodes", "%s tells %s %T: %v", n.name, to, m, err)
		return
	}
	before := n.out.sent
	n.send(p, len(b), evMessage, back)
	if guarding(m) {
		n.w.measure.guarded(n.out.sent - before)
	}
}

// guarding reports whether a message is between guardians, their wards and those who claim.
func guarding(m any) bool {
	switch m.(type) {
	case *guardian.Note, *guardian.NoteAck, *guardian.Refused, *guardian.Release, *guardian.Prepare, *guardian.Promise,
		*guardian.Accept, *guardian.Accepted, *guardian.Reject, *guardian.Decided, *guardian.Outcome, *guardian.Query, *guardian.Fetch, *guardian.Part:
		return true
	}
	return false
}

// send puts a message on the way: in a packet if it fits, else in a stream, which is not lost but late.
func (n *node) send(to *node, size int, kind eventKind, p any) {
	l := &n.w.links
	dice := n.w.dice
	stream := size > promise.PacketRoom
	if stream {
		size += streamHead
	} else {
		size += promise.PacketHead + promise.PayloadHead
	}
	n.out.charge(size)
	if l.cut(n.end, to.end) {
		return
	}
	at := n.w.now
	if l.bandwidth > 0 {
		n.freeAt(&at, size)
	}
	lost := 1 - (1-l.loss)*(1-n.linkLoss)*(1-to.linkLoss)
	if stream {
		for again := 0; lost > 0 && again < 8 && dice.Float64() < lost; again++ {
			at += streamAgain
		}
	} else if lost > 0 && dice.Float64() < lost {
		l.noteLoss(n, to, p)
		return
	}
	arrives := at + l.latency(n.end, to.end)
	if stream {
		arrives += 2 * l.latency(n.end, to.end) // the handshake
	}
	if !stream && l.reorder > 0 && dice.Float64() < l.reorder {
		arrives += micros(dice.Int64N(l.reorderBy))
	}
	n.w.deliver(arrives, kind, to.end, p)
	if !stream && l.again > 0 && dice.Float64() < l.again {
		n.w.deliver(at+l.latency(n.end, to.end), kind, to.end, p)
	}
}

// freeAt moves at to when the node's link is free, and takes the link for the time that size bytes need.
func (n *node) freeAt(at *micros, size int) {
	l := &n.w.links
	for len(l.freeAt) <= n.i {
		l.freeAt = append(l.freeAt, 0)
	}
	*at = max(*at, l.freeAt[n.i]) + micros(float64(size)/l.bandwidth)
	l.freeAt[n.i] = *at
}

// packet puts rows on the way to a node. The outbox has accounted for its bytes.
func (l *links) packet(from *node, to *end, size int, p *packet) {
	dice := l.w.dice
	if l.cut(from.end, to) {
		return
	}
	at := l.w.now
	if l.bandwidth > 0 {
		from.freeAt(&at, size)
	}
	if lost := 1 - (1-l.loss)*(1-from.linkLoss)*(1-to.linkLoss); lost > 0 && dice.Float64() < lost {
		return
	}
	arrives := at + l.latency(from.end, to)
	if l.reorder > 0 && dice.Float64() < l.reorder {
		arrives += micros(dice.Int64N(l.reorderBy))
	}
	l.w.deliver(arrives, evRows, to, p)
	if l.again > 0 && dice.Float64() < l.again {
		l.w.deliver(at+l.latency(from.end, to), evRows, to, p)
	}
}
