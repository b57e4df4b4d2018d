package gossip

import (
	"errors"
	"fmt"
	"sync"

	"github.com/hashicorp/memberlist"
)

const (
	maxFrameHead     = 3 + 2 + MaxName + 3
	maxFrameOverhead = maxFrameHead + 5*maxBatch // what a frame can hold besides payloads

	wirePacket    = 1400 // UDP payload that fits all common paths, as memberlist's own packets
	peerQueue     = 256  // messages of Send that wait for one peer, packets and streams apart
	peerBytes     = 4 << 20
	laneBytes     = 64 << 20 // over all peers
	streamWorkers = 8        // so many peers that hang do not stop the others
	streamBundle  = 64 << 10 // small messages that share a stream
)

// Errors of Send; match with errors.Is. The text names peer, numbers and what to do.
var (
	ErrUnknownPeer = errors.New("unknown peer")
	ErrPeerGone    = errors.New("peer gone")
	ErrTooLarge    = errors.New("too large")
	ErrQueueFull   = errors.New("queue full")
	ErrClosed      = errors.New("pool is closed")
)

// PacketRoom is the largest payload that one packet carries, with this pool's name, label and keys.
func (p *Pool) PacketRoom() int { return p.room - frameSize(p.opts.Name) - binSize(0) - 1 }

// Send queues a payload for one peer and returns at once. Small ones go by UDP, several to one peer
// together if they queue; what exceeds PacketRoom goes by TCP. Nothing is promised: a message can be
// lost, come twice or late, and packets and streams overtake each other. A peer seen as failed still
// gets packets, for it may be well behind a bad path. The payload must not be changed afterwards.
func (p *Pool) Send(to string, payload []byte) error {
	if len(payload) > MaxPayload {
		return fmt.Errorf("gossip: %w: %d bytes for %s, at most %d; send it in parts", ErrTooLarge, len(payload), to, MaxPayload)
	}
	v := p.view.Load()
	i, ok := v.byName[to]
	if !ok || v.members[i].Self {
		return fmt.Errorf("gossip: %w %q among %d members", ErrUnknownPeer, to, len(v.members))
	}
	small := len(payload) <= p.PacketRoom()
	if st := v.members[i].Status; st == Left || (st == Failed && !small) {
		p.count.drop(dropGone)
		return fmt.Errorf("gossip: %w: %s has %s; retry when it is alive again", ErrPeerGone, to, st)
	}
	lane := p.packets
	if !small {
		lane = p.streams
	}
	err := lane.put(to, payload)
	if errors.Is(err, ErrQueueFull) {
		p.count.drop(dropQueue)
	}
	return err
}

// lane holds one bounded queue per peer and hands the peers with work to its workers in turn. One
// peer is never with two workers.
type lane struct {
	most int // payload bytes, with their own overhead, that one frame takes

	mu     sync.Mutex // guards all below
	work   *sync.Cond
	queues map[string]*laneQueue
	ready  []string // peers with work that no worker has
	count  int
	bytes  int
	closed bool
}

type laneQueue struct {
	msgs  [][]byte
	bytes int
}

func newLane(most int) *lane {
	l := &lane{most: most, queues: make(map[string]*laneQueue)}
	l.work = sync.NewCond(&l.mu)
	return l
}

func (l *lane) put(to string, payload []byte) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.closed {
		return fmt.Errorf("gossip: %w", ErrClosed)
	}
	q := l.queues[to]
	if q == nil {
		q = &laneQueue{}
	}
	if len(q.msgs) >= peerQueue || (q.bytes+len(payload) > peerBytes && len(q.msgs) > 0) || l.bytes+len(payload) > laneBytes {
		return fmt.Errorf("gossip: %w: %d messages, %d bytes wait for %s; retry later", ErrQueueFull, len(q.msgs), q.bytes, to)
	}
	if _, there := l.queues[to]; !there { // a queue stands in the map from its first message to its last sending
		l.queues[to] = q
		l.ready = append(l.ready, to)
		l.work.Signal()
	}
	q.msgs = append(q.msgs, payload)
	q.bytes += len(payload)
	l.count++
	l.bytes += len(payload)
	return nil
}

// take waits for a peer with work and takes what fits in one frame; ok is false at the end.
func (l *lane) take() (to string, msgs [][]byte, size int, ok bool) {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.ready) == 0 && !l.closed {
		l.work.Wait()
	}
	if l.closed {
		return "", nil, 0, false
	}
	to = l.ready[0]
	l.ready = l.ready[1:]
	q := l.queues[to]
	room, n := l.most, 0
	for n < len(q.msgs) && n < maxBatch {
		room -= binSize(len(q.msgs[n]))
		if room < 0 && n > 0 {
			break
		}
		size += len(q.msgs[n])
		n++
	}
	msgs = q.msgs[:n:n]
	q.msgs = q.msgs[n:]
	q.bytes -= size
	l.count -= n
	l.bytes -= size
	return to, msgs, size, true
}

// done gives the peer back; all discards what else waits for it and answers how much that was.
func (l *lane) done(to string, all bool) (discarded int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	q := l.queues[to]
	if all {
		discarded = len(q.msgs)
		l.count -= discarded
		l.bytes -= q.bytes
		q.msgs = nil
	}
	if len(q.msgs) == 0 {
		delete(l.queues, to)
		return discarded
	}
	l.ready = append(l.ready, to)
	l.work.Signal()
	return discarded
}

func (l *lane) len() int {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.count
}

func (l *lane) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.closed = true
	l.work.Broadcast()
}

// sendPackets and sendStreams are the workers of the two lanes.

func (p *Pool) sendPackets() {
	for {
		to, msgs, size, ok := p.packets.take()
		if !ok {
			return
		}
		p.sendPacket(to, p.frame(msgs, size), len(msgs), size)
		p.packets.done(to, false)
	}
}

func (p *Pool) sendStreams() {
	for {
		to, msgs, size, ok := p.streams.take()
		if !ok {
			return
		}
		sent := false
		if node := p.node(to); node != nil {
			err := p.memberlist().SendReliable(node, p.frame(msgs, size))
			if sent = err == nil; !sent {
				p.log.Debug().Err(err).Str("peer", to).Int("messages", len(msgs)).Msg("stream not sent")
			}
		}
		if sent {
			p.count.countSent(len(msgs), size)
			p.streams.done(to, false)
			continue
		}
		// Whatever else waits would hold this worker for another timeout each.
		p.count.dropN(dropGone, len(msgs)+p.streams.done(to, true))
	}
}

// frame makes one frame of payloads that are size bytes together.
func (p *Pool) frame(payloads [][]byte, size int) []byte {
	return appendMessages(make([]byte, 0, size+5*len(payloads)+maxFrameHead), p.opts.Name, payloads...)
}

func (p *Pool) sendPacket(to string, frame []byte, messages, bytes int) bool {
	node := p.node(to)
	if node == nil {
		p.count.dropN(dropGone, messages)
		return false
	}
	if err := p.memberlist().SendBestEffort(node, frame); err != nil {
		p.log.Debug().Err(err).Str("peer", to).Msg("packet not sent") // counted at the transport
		return false
	}
	p.count.countSent(messages, bytes)
	return true
}

func (p *Pool) node(name string) *memberlist.Node {
	v := p.view.Load()
	i, ok := v.byName[name]
	if !ok || v.members[i].Status == Left {
		return nil
	}
	return &v.nodes[i]
}
