package gossip

import (
	"container/heap"
	"sync"
	"time"
)

const (
	outboxKeys  = 8192
	outboxBytes = 8 << 20
	maxWaving   = 256 // packets that wait for their later waves
	waveGap     = 100 * time.Millisecond
)

// outbox spreads items: each goes to Fanout random peers at once, and to as many others a moment
// later, until Waves are done. What waits is ordered by weight; a newer payload for a key takes the
// place of the older, and its age, for that is how long this key has had news to tell.
//
// Receivers that had not known the news call Relay, so an item reaches all but a fraction f of n
// nodes with f = exp(-Fanout × Waves × (1-f)): 0.25 % at 3 × 2. The rest is for push/pull and for
// the next change.
type outbox struct {
	p    *Pool
	wake chan struct{}

	mu     sync.Mutex // guards all below
	items  map[string]*item
	order  itemHeap
	bytes  int
	waving map[string]*item // sent once, in a packet that waits for its next wave
	seq    uint64
	closed bool
}

type item struct {
	key     string
	weight  float64
	payload []byte
	from    string // who needs no copy; "" nobody
	since   time.Time
	seq     uint64
	at      int  // in the heap
	stale   bool // a newer payload for its key came after it was sent
}

// wave is a packet's worth of items on the way to its next peers.
type wave struct {
	items []*item
	peers []string // not yet told
	due   time.Time
}

func newOutbox(p *Pool) *outbox {
	return &outbox{p: p, wake: make(chan struct{}, 1), items: make(map[string]*item), waving: make(map[string]*item)}
}

// Spread tells everybody: it pushes the payload to a few random peers, which call Relay when it is
// news to them. A newer payload for the key replaces one that still waits. Heavier items go first;
// within Options.BytesPerSecond there may be no turn for the light ones, which then only get older.
// The payload must not be changed afterwards. Nothing is promised about delivery.
func (p *Pool) Spread(key string, weight float64, payload []byte) {
	p.outbox.put("", key, weight, payload)
}

// Relay passes on what came from a peer by Spread. It does nothing where the origin reaches all
// members itself: among at most Fanout × Waves + 1.
func (p *Pool) Relay(from, key string, weight float64, payload []byte) {
	if len(p.Alive()) <= p.opts.Fanout*p.opts.Waves {
		return
	}
	p.outbox.put(from, key, weight, payload)
}

func (o *outbox) put(from, key string, weight float64, payload []byte) {
	if len(payload) > MaxPayload {
		o.p.count.drop(dropTooLarge)
		return
	}
	now := time.Now()
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.closed {
		return
	}
	if old := o.waving[key]; old != nil {
		old.stale = true
		delete(o.waving, key)
	}
	if it := o.items[key]; it != nil {
		o.bytes += len(payload) - len(it.payload)
		it.payload, it.weight, it.from = payload, weight, from
		heap.Fix(&o.order, it.at)
	} else {
		o.seq++
		it = &item{key: key, weight: weight, payload: payload, from: from, since: now, seq: o.seq}
		o.items[key] = it
		heap.Push(&o.order, it)
		o.bytes += len(payload)
	}
	for len(o.order) > outboxKeys || o.bytes > outboxBytes {
		o.remove(o.order.lightest())
		o.p.count.drop(dropOutbox)
	}
	signal(o.wake)
}

func (o *outbox) remove(it *item) {
	heap.Remove(&o.order, it.at)
	delete(o.items, it.key)
	o.bytes -= len(it.payload)
}

func (o *outbox) size() (items, bytes int, age time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, it := range o.order {
		age = max(age, time.Since(it.since))
	}
	return len(o.order), o.bytes, age
}

func (o *outbox) close() {
	o.mu.Lock()
	defer o.mu.Unlock()
	o.closed = true
}

// run is the one goroutine that spreads.
func (o *outbox) run() {
	var (
		bucket = newBucket(o.p.opts.BytesPerSecond, o.p.opts.Fanout*wirePacket, time.Now())
		later  []wave
		timer  = time.NewTimer(time.Hour)
		until  time.Time // nothing to do before, whatever wakes us
	)
	defer timer.Stop()
	for {
		now := time.Now()
		var wait time.Duration
		bucket.charge(o.p.count.sent.bytes.Load(), now)
		if wait = until.Sub(now); wait <= 0 {
			wait, later = o.step(now, bucket, later)
			until = time.Time{}
			if wait > 0 && wait < time.Hour && bucket.blocked {
				until = now.Add(wait)
			}
		}
		if wait <= 0 {
			continue
		}
		timer.Reset(wait)
		select {
		case <-o.wake:
		case <-timer.C:
		case <-o.p.done:
			return
		}
	}
}

// step sends at most one packet to its peers and says how long to wait for the next.
func (o *outbox) step(now time.Time, b *bucket, later []wave) (time.Duration, []wave) {
	b.blocked = false
	first, wait := o.pack(now)
	if first != nil {
		peers := o.p.pick(first.items, o.p.opts.Fanout*o.p.opts.Waves)
		if len(peers) == 0 { // nobody to tell; whoever joins gets the state by push/pull
			return 0, later
		}
		if d := b.take(o.cost(first.items, min(len(peers), o.p.opts.Fanout)), now); d > 0 {
			o.unpack(first.items)
			b.blocked = true
			return d, later
		}
		first.peers = peers
		return 0, o.push(first, now, later)
	}
	for len(later) > 0 {
		w := later[0]
		if d := w.due.Sub(now); d > 0 {
			return min(wait, d), later
		}
		w.items = o.fresh(w.items)
		if len(w.items) == 0 {
			later = later[1:]
			continue
		}
		if d := b.take(o.cost(w.items, min(len(w.peers), o.p.opts.Fanout)), now); d > 0 {
			return min(wait, d), later
		}
		return 0, o.push(&w, now, later[1:])
	}
	return wait, later
}

// pack takes the heaviest items that share a packet; nil, and how long to wait, if none are due.
func (o *outbox) pack(now time.Time) (*wave, time.Duration) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if len(o.order) == 0 {
		return nil, time.Hour
	}
	room := o.p.room - frameSize(o.p.opts.Name)
	if o.bytes+3*len(o.order) < room {
		if d := o.p.opts.Linger - now.Sub(o.order[0].since); d > 0 { // wait for company
			return nil, d
		}
	}
	var w wave
	for len(o.order) > 0 && len(w.items) < maxBatch {
		it := o.order[0]
		room -= binSize(len(it.payload))
		if room < 0 && len(w.items) > 0 {
			break
		}
		o.remove(it)
		w.items = append(w.items, it)
		if room < 0 {
			break // larger than a packet: it travels alone, by stream
		}
	}
	return &w, 0
}

// unpack puts items back that found no room in the bucket, unless newer ones came meanwhile.
func (o *outbox) unpack(items []*item) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, it := range items {
		if newer := o.items[it.key]; newer != nil {
			newer.since = it.since
			continue
		}
		o.items[it.key] = it
		heap.Push(&o.order, it)
		o.bytes += len(it.payload)
	}
}

// push sends a packet to the next peers of its wave, and keeps it if there are more to come.
func (o *outbox) push(w *wave, now time.Time, later []wave) []wave {
	n := min(len(w.peers), o.p.opts.Fanout)
	payloads := make([][]byte, len(w.items))
	size := 0
	for i, it := range w.items {
		payloads[i] = it.payload
		size += len(it.payload)
	}
	if o.byStream(w.items) {
		for _, to := range w.peers[:n] {
			if o.p.streams.put(to, payloads[0]) != nil {
				o.p.count.drop(dropQueue)
			}
		}
	} else {
		frame := o.p.frame(payloads, size)
		for _, to := range w.peers[:n] {
			o.p.sendPacket(to, frame, len(payloads), size)
		}
	}
	w.peers = w.peers[n:]
	if len(w.peers) == 0 {
		o.forget(w.items)
		return later
	}
	if len(later) >= maxWaving { // no time for later waves: first waves go before them
		o.p.count.dropN(dropWave, len(later[0].items))
		o.forget(later[0].items)
		later = later[1:]
	}
	o.remember(w.items)
	w.due = now.Add(waveGap)
	return append(later, *w)
}

func (o *outbox) remember(items []*item) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, it := range items {
		switch _, queued := o.items[it.key]; {
		case queued:
			it.stale = true
		case !it.stale:
			o.waving[it.key] = it
		}
	}
}

func (o *outbox) forget(items []*item) {
	o.mu.Lock()
	defer o.mu.Unlock()
	for _, it := range items {
		if o.waving[it.key] == it {
			delete(o.waving, it.key)
		}
	}
}

func (o *outbox) fresh(items []*item) []*item {
	o.mu.Lock()
	defer o.mu.Unlock()
	out := items[:0]
	for _, it := range items {
		if !it.stale {
			out = append(out, it)
		}
	}
	return out
}

func (o *outbox) byStream(items []*item) bool {
	return len(items) == 1 && binSize(len(items[0].payload)) > o.p.room-frameSize(o.p.opts.Name)
}

// cost is what the items take on the wire to n peers, before compression.
func (o *outbox) cost(items []*item, n int) int {
	size := wirePacket - o.p.room + frameSize(o.p.opts.Name)
	for _, it := range items {
		size += binSize(len(it.payload))
	}
	return size * n
}

// pick draws up to n other living peers by chance, without the one that all items came from.
func (p *Pool) pick(items []*item, n int) []string {
	skip := items[0].from
	for _, it := range items[1:] {
		if it.from != skip {
			skip = ""
			break
		}
	}
	alive := p.Alive()
	chosen := make([]string, 0, min(n, len(alive)))
	p.randMu.Lock()
	defer p.randMu.Unlock()
	if 2*n >= len(alive) { // few: shuffle them all
		for _, i := range p.opts.Rand.Perm(len(alive)) {
			if alive[i] != skip && len(chosen) < n {
				chosen = append(chosen, alive[i])
			}
		}
		return chosen
	}
	seen := make(map[int]bool, n)
	for len(chosen) < n {
		i := p.opts.Rand.IntN(len(alive))
		if !seen[i] && alive[i] != skip {
			chosen = append(chosen, alive[i])
		}
		seen[i] = true
	}
	return chosen
}

// bucket lets items through as far as a ceiling of bytes per second allows. A single item larger than the burst may go
// when the bucket is full, and leaves a debt.
//
// The ceiling is that of all that the pool sends: what membership and Send put on the wire is taken from it (charge),
// and items get the rest, but never less than ownPart of it. So the ceiling holds as long as the others leave that much.
// A part of it (keptBack) is never used up, so that the mean of some seconds stays below it in spite of bursts.
type bucket struct {
	rate, burst, tokens float64
	last                time.Time
	blocked             bool // the last step found too few tokens for what is first

	total   uint64    // bytes on the wire at the last charge, all of the pool's
	own     float64   // taken for items, and not yet seen on the wire
	owed    float64   // sent by others, and not yet taken out
	charged time.Time // the last charge
}

const (
	ownPart   = 0.2      // of the rate is for items, whatever else is sent
	keptBack  = 1.0 / 32 // of the ceiling
	burstPart = 8        // the bucket holds what comes in one second, divided by this
	mostOwed  = 10       // seconds of the rate: others that owe more are forgiven the rest
)

// charge takes what others sent since the last charge out of the bucket. total is all that the pool ever sent.
func (b *bucket) charge(total uint64, now time.Time) {
	others := float64(total-b.total) - b.own
	dt := max(0, now.Sub(b.charged).Seconds())
	first := b.charged.IsZero()
	b.total, b.charged, b.own = total, now, max(0, -others)
	if first {
		return
	}
	b.owed = min(b.owed+max(0, others), mostOwed*b.rate)
	pay := min(b.owed, (1-ownPart)*b.rate*dt)
	b.owed -= pay
	b.tokens = max(b.tokens-pay, -b.burst)
}

// newBucket is for a ceiling in bytes per second. Its burst is at least so many bytes.
func newBucket(ceiling, atLeast int, now time.Time) *bucket {
	burst := float64(max(ceiling/burstPart, atLeast))
	return &bucket{rate: float64(ceiling) * (1 - keptBack), burst: burst, tokens: burst, last: now}
}

// take answers 0 and takes n, or how long until it could.
func (b *bucket) take(n int, now time.Time) time.Duration {
	b.tokens = min(b.burst, b.tokens+b.rate*max(0, now.Sub(b.last).Seconds()))
	b.last = now
	need := min(float64(n), b.burst)
	if b.tokens >= need {
		b.tokens -= float64(n)
		b.own += float64(n)
		return 0
	}
	return time.Duration((need-b.tokens)/b.rate*float64(time.Second)) + time.Microsecond
}

// itemHeap is a container/heap with the heaviest first, of equals the oldest.
type itemHeap []*item

func (h itemHeap) Len() int { return len(h) }
func (h itemHeap) Less(i, j int) bool {
	if h[i].weight != h[j].weight {
		return h[i].weight > h[j].weight
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

// lightest is among the leaves; of equals the newest.
func (h itemHeap) lightest() *item {
	worst := len(h) / 2
	for i := worst + 1; i < len(h); i++ {
		if h.Less(worst, i) {
			worst = i
		}
	}
	return h[worst]
}
