package chaos

import (
	"encoding/binary"
	"errors"
	"io"
	"math/rand/v2"
	"net/netip"
	"os"
	"sync"
	"time"
)

// Relay carries IPv4 packets between nodes, each of which sits behind a device: it is the whole network of a
// run. A packet goes where its destination says, so that addresses are what the nodes think they are, and
// TCP's own repetition meets real loss. What passes is decided link by link, in each direction apart.
//
// Which packets of a link are lost, and for how long each is held back, is drawn from the relay's seed: it
// depends on nothing but how many were drawn for before on that link.
type Relay struct {
	addrs   map[netip.Addr]int
	devices []io.ReadWriteCloser
	paths   [][]path // by sender, receiver
	strays  strays
	readers sync.WaitGroup
	failed  []error // of each reader; read once they have ended
}

// path is one link, and what went over it.
type path struct {
	mu   sync.Mutex
	link Link
	rand *rand.Rand
	held int // packets under delay
	n    PathCount
}

// PathCount tells of one link.
type PathCount struct {
	Packets, Bytes uint64 // that arrived
	Lost           uint64 // by Loss
	Cut            uint64 // by Cut
	Crowded        uint64 // as more were under delay than the relay holds
}

type strays struct {
	sync.Mutex
	n uint64
}

const (
	maxPacket = 1 << 16
	// maxHeld bounds the packets of a link that are under delay.
	maxHeld = 1024
)

// NewRelay makes a relay between devices, each with its address, and starts it. Each Read of a device must
// give one packet, and each Write takes one.
func NewRelay(seed uint64, addrs []netip.Addr, devices []io.ReadWriteCloser) *Relay {
	r := &Relay{addrs: map[netip.Addr]int{}, devices: devices, paths: make([][]path, len(devices)),
		failed: make([]error, len(devices))}
	for i, a := range addrs {
		r.addrs[a] = i
		r.paths[i] = make([]path, len(devices))
		for j := range r.paths[i] {
			r.paths[i][j].rand = rand.New(rand.NewPCG(seed, uint64(i)<<32|uint64(j)))
		}
	}
	for i := range devices {
		r.readers.Go(func() { r.read(i) })
	}
	return r
}

// Set changes a link. Packets that are under delay arrive nevertheless.
func (r *Relay) Set(from, to int, l Link) {
	p := &r.paths[from][to]
	p.mu.Lock()
	defer p.mu.Unlock()
	p.link = l
}

// Count tells what went over a link.
func (r *Relay) Count(from, to int) PathCount {
	p := &r.paths[from][to]
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.n
}

// Strays counts packets that are for nobody: not IPv4, or to no node's address.
func (r *Relay) Strays() uint64 {
	r.strays.Lock()
	defer r.strays.Unlock()
	return r.strays.n
}

// Close closes the devices and waits for the readers; what is under delay then is lost. It also tells of
// devices that failed before.
func (r *Relay) Close() error {
	var errs []error
	for _, d := range r.devices {
		errs = append(errs, d.Close())
	}
	r.readers.Wait()
	return errors.Join(append(errs, r.failed...)...)
}

func (r *Relay) read(from int) {
	buf := make([]byte, maxPacket)
	for {
		n, err := r.devices[from].Read(buf)
		if err != nil {
			if !errors.Is(err, os.ErrClosed) {
				r.failed[from] = err
			}
			return
		}
		to, ok := r.addrs[destination(buf[:n])]
		if !ok {
			r.strays.Lock()
			r.strays.n++
			r.strays.Unlock()
			continue
		}
		r.pass(from, to, buf[:n])
	}
}

// destination is where a packet goes; the zero address if it is not IPv4.
func destination(b []byte) netip.Addr {
	if len(b) < 20 || b[0]>>4 != 4 || int(binary.BigEndian.Uint16(b[2:])) != len(b) {
		return netip.Addr{}
	}
	return netip.AddrFrom4([4]byte(b[16:20]))
}

// pass carries a packet, which is the caller's again afterwards.
func (r *Relay) pass(from, to int, b []byte) {
	p := &r.paths[from][to]
	p.mu.Lock()
	l := p.link
	switch {
	case l.Cut:
		p.n.Cut++
		p.mu.Unlock()
		return
	case l.Loss > 0 && p.rand.Float64() < l.Loss:
		p.n.Lost++
		p.mu.Unlock()
		return
	case l.Delay == 0 && l.Jitter == 0:
		p.mu.Unlock()
		r.deliver(p, to, b)
		return
	case p.held == maxHeld:
		p.n.Crowded++
		p.mu.Unlock()
		return
	}
	p.held++
	wait := l.Delay + time.Duration(p.rand.Int64N(int64(l.Jitter)+1))
	p.mu.Unlock()
	b = append([]byte(nil), b...)
	time.AfterFunc(wait, func() {
		p.mu.Lock()
		p.held--
		p.mu.Unlock()
		r.deliver(p, to, b)
	})
}

// deliver hands a packet over. A device that does not take it (it is closed, or its queue is full) loses it,
// as a network card would.
func (r *Relay) deliver(p *path, to int, b []byte) {
	if _, err := r.devices[to].Write(b); err != nil {
		return
	}
	p.mu.Lock()
	p.n.Packets++
	p.n.Bytes += uint64(len(b))
	p.mu.Unlock()
}
