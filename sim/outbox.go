package sim

import (
	"cmp"
	"container/heap"
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
	items  map[uint64]*item
	order  itemHeap
	bytes  int
	seq    uint64
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
	except int32 // who needs no copy
	since  micros
	seq    uint64
	at     int
}

type packet struct {
	news []*news
}

type wave struct {
	packet  *packet
	peers   []int32 // not yet told
	size    int
	due     micros
	checked bool // for what is still fresh
}

func (o *outbox) init(n *node) {
	*o = outbox{n: n, items: map[uint64]*item{}, filled: n.w.now, sent: o.sent}
	o.tokens = o.burst()
}

func (o *outbox) burst() float64 {
	return max(float64(o.n.w.pool.rate)/2, promise.Fanout*(promise.PacketRoom+promise.PacketHead+promise.PayloadHead))
}

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
	gain := float64(w.pool.rate) * sec
	o.other += w.pool.idle() * sec
	taken := min(o.other, gain*(1-promise.RowsPart))
	o.other -= taken
	o.tokens = min(o.burst(), o.tokens+gain-taken)
}

// take spends n bytes of the bucket, or says how long until they are there.
func (o *outbox) take(n int) (wait micros) {
	o.fill()
	if lack := float64(n) - o.tokens; lack > 0 {
		return max(milli, micros(lack/float64(o.n.w.pool.rate)*float64(second)))
	}
	o.tokens -= float64(n)
	o.sent += uint64(n)
	return 0
}

// put queues a row for everybody. A newer version takes the place of one that waits.
func (o *outbox) put(x *news, weight float64, except int32) {
	key := uint64(x.instance)<<32 | uint64(uint32(x.holder))
	if it := o.items[key]; it != nil {
		if it.x.row.Version > x.row.Version {
			return
		}
		o.bytes += x.size - it.x.size
		it.x, it.weight, it.except = x, weight, except
		heap.Fix(&o.order, it.at)
	} else {
		o.seq++
		it = &item{x: x, weight: weight, except: except, since: o.n.w.now, seq: o.seq}
		o.items[key] = it
		heap.Push(&o.order, it)
		o.bytes += x.size
	}
	if len(o.order) > maxItems {
		o.drop(o.order[len(o.order)-1]) // a leaf: one of the light ones
	}
	if o.due == 0 { // else it is planned for when company or the bucket lets it
		o.wake(o.n.w.now)
	}
}

func (o *outbox) drop(it *item) {
	heap.Remove(&o.order, it.at)
	delete(o.items, uint64(it.x.instance)<<32|uint64(uint32(it.x.holder)))
	o.bytes -= it.x.size
}

func (o *outbox) wake(at micros) {
	if o.due == 0 || at < o.due {
		o.due = max(at, 1)
		o.n.w.plan(at, evSpread, o.n, nil)
	}
}

// run sends what may be sent now: first waves before later ones.
func (o *outbox) run() {
	w := o.n.w
	if o.due == 0 || w.now < o.due {
		return // planned anew since
	}
	o.due = 0
	if o.n.paused {
		o.wake(w.now + 50*milli)
		return
	}
	for {
		company := micros(0) // until when the first waits for company
		if len(o.order) > 0 {
			if at := o.order[0].since + linger; o.bytes+promise.PayloadHead*len(o.order) < rowsRoom && at > w.now {
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
		}
	}
}

// first packs the heaviest items and sends them to their first peers. wait: the bucket does not let it yet.
func (o *outbox) first() (wait micros, sent bool) {
	w := o.n.w
	peers := o.n.view.pick(o.n, []int32{o.order[0].x.origin, o.order[0].except}, w.dice, promise.Fanout*promise.Waves)
	if len(peers) == 0 {
		for len(o.order) > 0 { // nobody to tell; whoever joins gets the state by push/pull
			o.drop(o.order[0])
		}
		return 0, false
	}
	size := promise.PacketHead
	for _, it := range o.order { // about: the heap's front is not sorted
		if size+it.x.size+promise.PayloadHead > promise.PacketHead+rowsRoom {
			break
		}
		size += it.x.size + promise.PayloadHead
	}
	if wait := o.take(size * min(len(peers), promise.Fanout)); wait > 0 {
		return wait, false
	}
	p := &packet{}
	for left := size - promise.PacketHead; len(o.order) > 0; {
		it := o.order[0]
		if left -= it.x.size + promise.PayloadHead; left < 0 && len(p.news) > 0 {
			break
		}
		o.drop(it)
		p.news = append(p.news, it.x)
	}
	o.push(&wave{packet: p, peers: peers, size: size})
	return 0, true
}

// push sends a packet to the next peers of its wave.
func (o *outbox) push(x *wave) {
	k := min(len(x.peers), promise.Fanout)
	for _, to := range x.peers[:k] {
		o.n.w.links.packet(o.n, o.n.w.nodes[to], x.size, x.packet)
	}
	if x.peers = x.peers[k:]; len(x.peers) == 0 {
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
	p := &packet{}
	x.size = promise.PacketHead
	for _, y := range x.packet.news {
		if o.n.version(y.instance, y.holder) == uint32(y.row.Version) {
			p.news = append(p.news, y)
			x.size += y.size + promise.PayloadHead
		}
	}
	x.packet = p
}

// itemHeap has the heaviest item first, of equals the oldest.
type itemHeap []*item

func (h itemHeap) Len() int { return len(h) }
func (h itemHeap) Less(i, j int) bool {
	if c := cmp.Compare(h[i].weight, h[j].weight); c != 0 {
		return c > 0
	}
	return h[i].seq < h[j].seq
}
func (h itemHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].at, h[j].at = i, j
}
func (h *itemHeap) Push(x any) {
	it := x.(*item)
	it.at = len(*h)
	*h = append(*h, it)
}
func (h *itemHeap) Pop() any {
	old := *h
	it := old[len(old)-1]
	old[len(old)-1] = nil
	*h = old[:len(old)-1]
	return it
}
