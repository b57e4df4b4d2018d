package gossip

import (
	"sync/atomic"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"golang.org/x/time/rate"
)

const (
	inboxFrames  = 4096
	inboxBytes   = 32 << 20
	limitedPeers = 4096 // senders that are remembered; the one longest silent is forgotten
	nameFactor   = 4    // how much more is taken in one name than from one address
)

// inbox checks, limits and queues what peers send to the delegate.
type inbox struct {
	p     *Pool
	queue chan received
	bytes atomic.Int64 // in queue
	peers *lru.Cache[string, *peerLimit]
}

type received struct {
	from     string
	payloads [][]byte
	size     int
}

type peerLimit struct{ messages, bytes *rate.Limiter }

func newInbox(p *Pool) *inbox {
	return &inbox{p: p, queue: make(chan received, inboxFrames), peers: newLimits[string]()}
}

func newLimits[K comparable]() *lru.Cache[K, *peerLimit] {
	c, err := lru.New[K, *peerLimit](limitedPeers)
	if err != nil {
		panic("BUG: " + err.Error()) // only for a size below one
	}
	return c
}

// accept takes a frame that memberlist will overwrite. Called from several goroutines; never blocks.
func (in *inbox) accept(msg []byte) {
	c := &in.p.count
	if _, err := header(msg, kindMessages); err != nil {
		c.drop(reasonOf(err)) // before the copy: a flood of what we cannot read stays cheap
		return
	}
	if len(msg) > MaxPayload+maxFrameOverhead {
		c.drop(dropMalformed)
		return
	}
	frame := append([]byte(nil), msg...)
	from, payloads, err := decodeMessages(frame)
	switch {
	case err != nil:
		c.drop(reasonOf(err))
		return
	case from == in.p.opts.Name:
		c.drop(dropOwnName)
		return
	case in.p.net.faults.drops(from):
		c.drop(dropFault)
		return
	}
	// In one name several times as much is taken as from one address, so that who speaks in another's name does not shut that other up.
	o := &in.p.opts
	lim, now := limitOf(in.peers, from, nameFactor*o.PeerMessagesPerSecond, nameFactor*o.PeerBytesPerSecond), time.Now()
	if !lim.messages.Allow() {
		c.dropN(dropRateCount, len(payloads))
		return
	}
	if !lim.bytes.AllowN(now, len(frame)) {
		c.dropN(dropRateBytes, len(payloads))
		return
	}
	if in.bytes.Add(int64(len(frame))) > inboxBytes {
		in.bytes.Add(-int64(len(frame)))
		c.dropN(dropInbox, len(payloads))
		return
	}
	select {
	case in.queue <- received{from, payloads, len(frame)}:
	default:
		in.bytes.Add(-int64(len(frame)))
		c.dropN(dropInbox, len(payloads))
	}
}

// limitOf is the limit of one of them, with bursts of twice the messages and four times the bytes.
func limitOf[K comparable](of *lru.Cache[K, *peerLimit], from K, messages, bytes int) *peerLimit {
	if l, ok := of.Get(from); ok {
		return l
	}
	l := &peerLimit{
		messages: rate.NewLimiter(rate.Limit(messages), 2*messages),
		bytes:    rate.NewLimiter(rate.Limit(bytes), max(4*bytes, MaxPayload+maxFrameOverhead)),
	}
	if old, found, _ := of.PeekOrAdd(from, l); found {
		return old
	}
	return l
}

// deliver is the one goroutine that calls Receive.
func (in *inbox) deliver() {
	for {
		select {
		case r := <-in.queue:
			in.bytes.Add(-int64(r.size))
			for _, payload := range r.payloads {
				in.p.count.received.messages.Add(1)
				in.p.count.received.messageBytes.Add(uint64(len(payload)))
				in.p.opts.Delegate.Receive(r.from, payload)
			}
		case <-in.p.done:
			return
		}
	}
}
