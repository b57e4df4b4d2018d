package gossip

import (
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/hashicorp/memberlist"
)

const (
	maxDial      = 3 * time.Second  // memberlist would wait 10 s for a host that is gone
	maxStreamAge = 60 * time.Second // memberlist sets no deadline when it sends a message by stream
	maxStreams   = 1024             // open at a time, both directions
	addressBytes = 256 << 10        // bytes of packets that are taken from one address in a second, at least
)

// transport is memberlist's own with four additions: it installs the mux, counts, obeys SetFaults,
// and closes every stream at shutdown so that no goroutine outlives the pool.
type transport struct {
	*memberlist.NetTransport
	p      *Pool
	conf   *memberlist.Config
	hook   sync.Once
	mux    *mux // set by the hook
	faults faults

	flood   *lru.Cache[netip.AddrPort, *peerLimit] // forwardPackets' own
	packets chan *memberlist.Packet
	streams chan net.Conn
	closing chan struct{} // nobody may wait for memberlist any more
	done    chan struct{} // the listeners are gone
	stop    context.CancelFunc
	ctx     context.Context // ends with closing: for dialers
	once    sync.Once
	wg      sync.WaitGroup

	mu    sync.Mutex
	conns map[*conn]struct{} // guarded by mu; nil once closed
}

var _ memberlist.NodeAwareTransport = (*transport)(nil)

func newTransport(p *Pool, inner *memberlist.NetTransport, conf *memberlist.Config) *transport {
	t := &transport{
		NetTransport: inner, p: p, conf: conf,
		packets: make(chan *memberlist.Packet),
		streams: make(chan net.Conn),
		closing: make(chan struct{}),
		done:    make(chan struct{}),
		conns:   make(map[*conn]struct{}),
	}
	t.flood = newLimits[netip.AddrPort]()
	t.ctx, t.stop = context.WithCancel(context.Background())
	t.wg.Add(2)
	go t.forwardPackets()
	go t.forwardStreams()
	return t
}

// FinalAdvertiseAddr is called first by memberlist when serf has set its delegate and no goroutine
// of memberlist runs yet: the one moment at which the delegate can be replaced without a race.
func (t *transport) FinalAdvertiseAddr(ip string, port int) (net.IP, int, error) {
	t.hook.Do(func() {
		if t.conf.Delegate != nil {
			t.mux = &mux{serf: t.conf.Delegate, p: t.p}
			t.conf.Delegate = t.mux
		}
	})
	return t.NetTransport.FinalAdvertiseAddr(ip, port)
}

func (t *transport) PacketCh() <-chan *memberlist.Packet { return t.packets }
func (t *transport) StreamCh() <-chan net.Conn           { return t.streams }

func (t *transport) WriteTo(b []byte, addr string) (time.Time, error) {
	return t.WriteToAddress(b, memberlist.Address{Addr: addr})
}

func (t *transport) WriteToAddress(b []byte, a memberlist.Address) (time.Time, error) {
	if t.faults.set.Load() != nil {
		name := t.nameOf(a)
		if t.faults.drops(name, a.Addr) {
			t.p.count.drop(dropFault)
			return time.Now(), nil // lost on the way, as the sender sees it
		}
		if d := t.faults.delayOf(name, a.Addr); d > 0 {
			b = append([]byte(nil), b...)
			t.later(d, func() { _, _ = t.write(b, a) })
			return time.Now().Add(d), nil
		}
	}
	return t.write(b, a)
}

func (t *transport) write(b []byte, a memberlist.Address) (time.Time, error) {
	at, err := t.NetTransport.WriteToAddress(b, a)
	if err != nil {
		t.p.count.drop(dropError)
		return at, err
	}
	t.p.count.sent.packets.Add(1)
	t.p.count.sent.bytes.Add(uint64(len(b)))
	return at, nil
}

func (t *transport) nameOf(a memberlist.Address) string {
	if a.Name != "" {
		return a.Name
	}
	return t.p.view.Load().byAddr[a.Addr]
}

func (t *transport) DialTimeout(addr string, timeout time.Duration) (net.Conn, error) {
	return t.DialAddressTimeout(memberlist.Address{Addr: addr}, timeout)
}

func (t *transport) DialAddressTimeout(a memberlist.Address, timeout time.Duration) (net.Conn, error) {
	ctx, cancel := context.WithTimeout(t.ctx, min(timeout, maxDial))
	defer cancel()
	if t.faults.set.Load() != nil {
		name := t.nameOf(a)
		if t.faults.drops(name, a.Addr) {
			t.p.count.drop(dropFault)
			return nil, errFault
		}
		if d := t.faults.delayOf(name, a.Addr); d > 0 {
			wait := time.NewTimer(2 * d) // connecting is a round trip
			defer wait.Stop()
			select {
			case <-wait.C:
			case <-ctx.Done():
				return nil, ctx.Err()
			}
		}
	}
	var d net.Dialer
	c, err := d.DialContext(ctx, "tcp", a.Addr)
	if err != nil {
		return nil, err
	}
	t.p.count.sent.streams.Add(1)
	wrapped, err := t.track(c)
	if err != nil {
		return nil, err
	}
	_ = wrapped.SetDeadline(time.Now().Add(maxStreamAge))
	return wrapped, nil
}

func (t *transport) forwardPackets() {
	defer t.wg.Done()
	for {
		select {
		case pkt := <-t.NetTransport.PacketCh():
			t.p.count.received.packets.Add(1)
			t.p.count.received.bytes.Add(uint64(len(pkt.Buf)))
			if t.floods(pkt) {
				t.p.count.drop(dropFlood)
				continue
			}
			if t.faults.set.Load() != nil {
				from := pkt.From.String()
				name := t.p.view.Load().byAddr[from]
				if t.faults.drops(name, from) {
					t.p.count.drop(dropFault)
					continue
				}
				if d := t.faults.delayOf(name, from); d > 0 {
					t.later(d, func() {
						pkt.Timestamp = pkt.Timestamp.Add(d)
						t.pass(pkt)
					})
					continue
				}
			}
			t.pass(pkt)
		case <-t.done:
			return
		}
	}
}

// floods reports whether an address sends more than any node does. It is asked before a packet is opened: whose name stands in it
// costs more to tell, and says less.
func (t *transport) floods(pkt *memberlist.Packet) bool {
	from, ok := pkt.From.(*net.UDPAddr)
	if !ok {
		return false
	}
	o := &t.p.opts
	l := limitOf(t.flood, from.AddrPort(), o.PeerMessagesPerSecond, max(addressBytes, 8*o.BytesPerSecond))
	return !l.messages.Allow() || !l.bytes.AllowN(time.Now(), len(pkt.Buf))
}

func (t *transport) pass(pkt *memberlist.Packet) {
	select {
	case t.packets <- pkt:
	case <-t.closing:
	}
}

func (t *transport) forwardStreams() {
	defer t.wg.Done()
	for {
		select {
		case c := <-t.NetTransport.StreamCh():
			t.p.count.received.streams.Add(1)
			if t.faults.cutsStream(t.p.view.Load(), c.RemoteAddr()) {
				t.p.count.drop(dropFault)
				_ = c.Close()
				continue
			}
			wrapped, err := t.track(c)
			if err != nil {
				continue
			}
			select {
			case t.streams <- wrapped:
			case <-t.closing:
				_ = wrapped.Close()
			}
		case <-t.done:
			return
		}
	}
}

// Shutdown closes the sockets and all streams, and waits for the transport's goroutines.
func (t *transport) Shutdown() error {
	var err error
	t.once.Do(func() {
		close(t.closing)
		t.stop()
		t.mu.Lock()
		conns := t.conns
		t.conns = nil
		t.mu.Unlock()
		for c := range conns {
			_ = c.Conn.Close()
		}
		err = t.NetTransport.Shutdown() // waits for its listeners, which forward* still drain
		close(t.done)
		t.wg.Wait()
	})
	return err
}

// conn counts what a stream carries.
type conn struct {
	net.Conn
	t *transport
}

func (t *transport) track(c net.Conn) (*conn, error) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.conns == nil || len(t.conns) >= maxStreams {
		_ = c.Close()
		t.p.count.drop(dropError)
		return nil, net.ErrClosed
	}
	w := &conn{c, t}
	t.conns[w] = struct{}{}
	return w, nil
}

func (c *conn) Read(b []byte) (int, error) {
	n, err := c.Conn.Read(b)
	c.t.p.count.received.bytes.Add(uint64(n))
	return n, err
}

func (c *conn) Write(b []byte) (int, error) {
	n, err := c.Conn.Write(b)
	c.t.p.count.sent.bytes.Add(uint64(n))
	return n, err
}

func (c *conn) Close() error {
	c.t.mu.Lock()
	delete(c.t.conns, c)
	c.t.mu.Unlock()
	return c.Conn.Close()
}
