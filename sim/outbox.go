package sim

import (
	"math"
	"slices"
	"time"

	"github.com/swarmpurse/swarmpurse/sim/promise"
)

// The model of gossip's outbox: what it promises is in package promise.
const (
	waveGap   = micros(promise.WaveGap / time.Microsecond)
	linger    = micros(promise.Linger / time.Microsecond)
	maxItems  = 8192
	maxWaving = 256
	rowsRoom  = promise.PacketRoom + promise.PayloadHead // of a packet, for rows and what each takes beside
)

type outbox struct {
	n      *node
	own    []item  // the node's own rows, heaviest first, of equals the oldest
	relays []*news // rows that are passed on, which all weigh the same, oldest first: a ring
	weight float64 // of those
	head   uint32  // number of the first of them; the first ever is 1
	queued uint32  // how many there are
	bytes  int
	since  micros // since when the first waits for company
	tokens float64
	filled micros
	other  float64 // bytes of others that are still to be taken out of the bucket
	due    micros  // when run is planned, 0 if it is not
	later  []*wave // packets that wait for their later peers
	sent   uint64  // bytes on the wire ever, membership's own left out
}

type item struct {
	x      *news
	weight float64
}

type packet struct {
	news []*news
	few  [8]*news // as a rule it is these
}

// room empties the packet, for so many rows.
func (p *packet) room(n int) *packet {
	if p.news = p.few[:0]; n > len(p.few) {
		p.news = make([]*news, 0, n)
	}
	return p
}

// wave is a packet that is on its way to some peers after each other.
type wave struct {
	packet  *packet
	peers   []int32 // not yet told
	size    int
	due     micros
	checked bool // for what is still fresh
	all     [promise.Fanout * promise.Waves]int32
}

// wave is one to be filled.
func (w *world) wave() *wave {
	if n := len(w.waves); n > 0 {
		x := w.waves[n-1]
		w.waves = w.waves[:n-1]
		return x
	}
	return &wave{}
}

// spent takes a wave back that has told all.
func (w *world) spent(x *wave) {
	x.packet = nil
	w.waves = append(w.waves, x)
}

func (o *outbox) init(n *node) {
	*o = outbox{n: n, head: 1, filled: n.w.now, sent: o.sent}
	o.tokens = o.burst()
}

func (o *outbox) burst() float64 {
	return max(float64(o.n.w.pool.rate)/promise.BurstPart, promise.Fanout*(promise.PacketRoom+promise.PacketHead+promise.PayloadHead))
}

// rate is what the bucket is filled with in a second.
func (o *outbox) rate() float64 { return float64(o.n.w.pool.rate) * (1 - promise.KeptBack) }

// charge takes what other messages put on the wire out of the bucket.
func (o *outbox) charge(size int) {
	o.sent += uint64(size)
	o.other += float64(size)
}

// fill brings the bucket up to now. What others sent is taken out of it, but a fifth of the ceiling is rows'.
func (o *outbox) fill() {
	w := o.n.w
	sec := float64(w.now-o.filled) / float64(second)
	o.filled = w.now
	gain := o.rate() * sec
	o.other = min(o.other+w.pool.idle()*sec, promise.MostOwed*o.rate())
	taken := min(o.other, gain*(1-promise.RowsPart))
	o.other -= taken
	o.tokens = min(o.burst(), o.tokens+gain-taken)
}

// take spends n bytes of the bucket, or says how long until they are there.
func (o *outbox) take(n int) (wait micros) {
	o.fill()
	if lack := float64(n) - o.tokens; lack > 0 {
		// Until then others take what they may, or all that they have sent.
		sec := min(lack/(o.rate()*promise.RowsPart), (lack+o.other)/max(1, o.rate()-o.n.w.pool.idle()))
		return max(milli, micros(math.Ceil(sec*float64(second))))
	}
	o.tokens -= float64(n)
	o.sent += uint64(n)
	return 0
}

// put queues a row of the node's own for everybody. A newer version takes the place of one that waits. After it, and
// after relay, comes added.
func (o *outbox) put(x *news, weight float64) {
	o.comes(o.n.w.now, x)
	if i := slices.IndexFunc(o.own, func(it item) bool { return it.x.instance == x.instance }); i >= 0 {
		o.bytes -= o.own[i].x.size
		o.own = slices.Delete(o.own, i, i+1)
	}
	i, _ := slices.BinarySearchFunc(o.own, weight, func(it item, weight float64) int {
		if it.weight >= weight {
			return -1
		}
		return 1
	})
	o.own = slices.Insert(o.own, i, item{x, weight})
}

// relay queues a row that came from another node for everybody.
func (o *outbox) relay(now micros, x *news, weight float64) {
	o.comes(now, x)
	o.weight = weight
	if at := &o.n.newest[x.instance][x.holder].queued; *at-o.head < o.queued {
		was := o.relayed(*at - o.head)
		o.bytes -= (*was).size
		*was = x
	} else {
		if int(o.queued) == len(o.relays) {
			o.widen()
		}
		*at = o.head + o.queued
		o.queued++
		*o.relayed(o.queued - 1) = x
	}
}

func (o *outbox) comes(now micros, x *news) {
	if o.bytes == 0 {
		o.since = now
	}
	o.bytes += x.size
}

// relayed is the i-th row that waits to be passed on.
func (o *outbox) relayed(i uint32) **news { return &o.relays[(o.head+i)&uint32(len(o.relays)-1)] }

// widen doubles the ring.
func (o *outbox) widen() {
	wider := make([]*news, max(16, 2*len(o.relays)))
	for i := range o.queued {
		wider[(o.head+i)&uint32(len(wider)-1)] = *o.relayed(i)
	}
	o.relays = wider
}

// added drops what is too much, and plans to send what has been queued.
func (o *outbox) added() {
	for o.queued > 0 && len(o.own)+int(o.queued) > maxItems {
		o.queued--
		last := o.relayed(o.queued)
		o.n.newest[(*last).instance][(*last).holder].queued = 0
		o.bytes -= (*last).size
		*last = nil
	}
	if o.due == 0 && o.bytes > 0 { // else it is planned for when company or the bucket lets it
		o.wake(o.companyUntil())
	}
}

// companyUntil is until when what waits stays for company: not at all if it fills a packet.
func (o *outbox) companyUntil() micros {
	if o.bytes+promise.PayloadHead*(len(o.own)+int(o.queued)) < rowsRoom {
		return o.since + linger
	}
	return o.n.w.now
}

// cursor goes through what waits in the order in which it leaves.
type cursor struct{ own, relays int }

// next is the row that leaves after those that the cursor has passed, nil if there is none.
func (o *outbox) next(c *cursor) *news {
	switch relays := c.relays < int(o.queued); {
	case c.own < len(o.own) && (!relays || o.own[c.own].weight >= o.weight):
		c.own++
		return o.own[c.own-1].x
	case relays:
		c.relays++
		return *o.relayed(uint32(c.relays) - 1)
	}
	return nil
}

// drop takes out what the cursor has passed.
func (o *outbox) drop(c cursor) {
	for i := range o.own[:c.own] {
		o.bytes -= o.own[i].x.size
	}
	o.own = slices.Delete(o.own, 0, c.own)
	for range c.relays {
		x := o.relayed(0)
		o.bytes -= (*x).size
		*x = nil
		o.head++
		o.queued--
	}
}

func (o *outbox) wake(at micros) {
	if o.due == 0 || at < o.due {
		o.due, o.n.w.idle[o.n.i].sends = max(at, 1), true
		o.n.w.plan(at, evSpread, o.n, nil)
	}
}

// run sends what may be sent now: first waves before later ones.
func (o *outbox) run() {
	w := o.n.w
	o.n.listen()
	if o.due == 0 || w.now < o.due {
		return // planned anew since
	}
	o.due, w.idle[o.n.i].sends = 0, false
	if o.n.paused {
		o.wake(w.now + 50*milli)
		return
	}
	for {
		company := micros(0) // until when the first waits for company
		if o.bytes > 0 {
			if at := o.companyUntil(); at > w.now {
				company = at
			} else {
				wait, sent := o.first()
				if wait > 0 {
					o.wake(w.now + wait)
					return
				}
				if sent {
					continue
				}
			}
		}
		if len(o.later) == 0 {
			if company > 0 {
				o.wake(company)
			}
			return
		}
		x := o.later[0]
		if x.due > w.now {
			if company > 0 {
				o.wake(min(company, x.due))
			} else {
				o.wake(x.due)
			}
			return
		}
		if !x.checked {
			x.checked = true
			o.fresh(x)
		}
		if len(x.packet.news) > 0 {
			if wait := o.take(x.size * min(len(x.peers), promise.Fanout)); wait > 0 {
				o.wake(w.now + wait)
				return
			}
		}
		o.later = o.later[1:]
		if len(x.packet.news) > 0 {
			o.push(x)
		} else {
			w.spent(x)
		}
	}
}

// first packs the heaviest items and sends them to their first peers. wait: the bucket does not let it yet.
func (o *outbox) first() (wait micros, sent bool) {
	w := o.n.w
	var picked [promise.Fanout * promise.Waves]int32
	peers := o.n.view.pick(picked[:0], o.n, o.next(&cursor{}).origin, w.dice, len(picked))
	if len(peers) == 0 { // nobody to tell; whoever joins gets the state by push/pull
		o.drop(cursor{len(o.own), int(o.queued)})
		return 0, false
	}
	size := promise.PacketHead
	var packed cursor
	for c := packed; ; packed = c {
		x := o.next(&c)
		if x == nil || size+x.size+promise.PayloadHead > promise.PacketHead+rowsRoom && packed != (cursor{}) {
			break
		}
		size += x.size + promise.PayloadHead
	}
	if wait := o.take(size * min(len(peers), promise.Fanout)); wait > 0 {
		return wait, false
	}
	p := (&packet{}).room(packed.own + packed.relays)
	for c := (cursor{}); c != packed; {
		p.news = append(p.news, o.next(&c))
	}
	o.drop(packed)
	o.since = w.now
	x := w.wave()
	x.packet, x.size = p, size
	x.peers = append(x.all[:0], peers...)
	o.push(x)
	return 0, true
}

// push sends a packet to the next peers of its wave.
func (o *outbox) push(x *wave) {
	k := min(len(x.peers), promise.Fanout)
	for _, to := range x.peers[:k] {
		o.n.w.links.packet(o.n, o.n.w.linkEnds[to], x.size, x.packet)
	}
	if x.peers = x.peers[k:]; len(x.peers) == 0 {
		o.n.w.spent(x)
		return
	}
	if len(o.later) >= maxWaving { // no time for later waves
		o.later = o.later[1:]
	}
	x.due, x.checked = o.n.w.now+waveGap, false
	o.later = append(o.later, x)
}

// fresh leaves out what is no longer the newest that this node knows.
func (o *outbox) fresh(x *wave) {
	is := func(y *news) bool { return o.n.version(y.instance, y.holder) == uint32(y.row.Version) }
	i := slices.IndexFunc(x.packet.news, func(y *news) bool { return !is(y) })
	if i < 0 {
		return
	}
	p := (&packet{}).room(len(x.packet.news) - 1)
	p.news = append(p.news, x.packet.news[:i]...)
	for _, y := range x.packet.news[i:] {
		if is(y) {
			p.news = append(p.news, y)
		}
	}
	x.packet, x.size = p, promise.PacketHead
	for _, y := range p.news {
		x.size += y.size + promise.PayloadHead
	}
}
