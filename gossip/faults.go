package gossip

import (
	"errors"
	"fmt"
	"net"
	"sync/atomic"
	"time"
)

// Faults is a broken network, for tests and demonstrations.
//
// Peers are named by their node's name or by host:port; "*" is everyone. Drop loses all that goes to
// and comes from them; Delay holds it back, each way, so a round trip takes twice the time.
//
// Packets, streams that we open and our own frames are matched exactly. A stream that a peer opens
// shows only its IP: it is cut if "*" is dropped or every member known at that IP is. Where several
// nodes share an IP, set the fault at both ends, as the demonstration does. Streams that peers open
// are not delayed.
type Faults struct {
	Drop  []string                 `json:"drop,omitempty"`
	Delay map[string]time.Duration `json:"delay,omitempty"`
}

const (
	maxFaults     = 4096
	maxFaultDelay = time.Minute
	maxDelayed    = 16384 // packets held back at a time
)

var errFault = errors.New("connection cut by SetFaults")

type faultSet struct {
	drop  map[string]bool
	delay map[string]time.Duration
}

// faults holds the present set; nil means a sound network, the only state in production.
type faults struct {
	set  atomic.Pointer[faultSet]
	held atomic.Int64 // packets under delay
}

// SetFaults replaces the present faults; Faults{} heals. It fails unless Options.Faults allows it.
func (p *Pool) SetFaults(f Faults) error {
	if !p.opts.Faults {
		return errors.New("gossip: faults are not enabled; start the node with --faults")
	}
	if n := len(f.Drop) + len(f.Delay); n > maxFaults {
		return fmt.Errorf("gossip: %d faults, at most %d; use \"*\" for everyone", n, maxFaults)
	}
	set := &faultSet{drop: make(map[string]bool), delay: make(map[string]time.Duration)}
	for _, peer := range f.Drop {
		if peer == "" {
			return errors.New("gossip: drop: an empty peer name; use \"*\" for everyone")
		}
		set.drop[peer] = true
	}
	for peer, d := range f.Delay {
		if peer == "" || d < 0 || d > maxFaultDelay {
			return fmt.Errorf("gossip: delay of %v for %q: wants a peer and 0 to %v", d, peer, maxFaultDelay)
		}
		set.delay[peer] = d
	}
	if len(set.drop)+len(set.delay) == 0 {
		set = nil
	}
	p.net.faults.set.Store(set)
	p.log.Warn().Int("drop", len(f.Drop)).Int("delay", len(f.Delay)).Msg("faults set: gossip with the named peers is broken on purpose")
	return nil
}

// drops reports whether any of a peer's names (node name, host:port) is cut off.
func (f *faults) drops(names ...string) bool {
	s := f.set.Load()
	if s == nil || len(s.drop) == 0 {
		return false
	}
	if s.drop["*"] {
		return true
	}
	for _, n := range names {
		if s.drop[n] {
			return true
		}
	}
	return false
}

func (f *faults) delayOf(names ...string) time.Duration {
	s := f.set.Load()
	if s == nil || len(s.delay) == 0 {
		return 0
	}
	d := s.delay["*"]
	for _, n := range names {
		d = max(d, s.delay[n])
	}
	return d
}

// cutsStream judges an incoming stream by its IP alone.
func (f *faults) cutsStream(v *view, from net.Addr) bool {
	s := f.set.Load()
	if s == nil || len(s.drop) == 0 {
		return false
	}
	if s.drop["*"] {
		return true
	}
	tcp, ok := from.(*net.TCPAddr)
	if !ok {
		return false
	}
	names := v.byIP[tcp.IP.String()]
	for _, n := range names {
		if !s.drop[n] && !s.drop[v.members[v.byName[n]].Addr] {
			return false
		}
	}
	return len(names) > 0
}

// later runs do after d, unless too many packets wait already.
func (t *transport) later(d time.Duration, do func()) {
	if t.faults.held.Add(1) > maxDelayed {
		t.faults.held.Add(-1)
		t.p.count.drop(dropDelay)
		return
	}
	time.AfterFunc(d, func() {
		defer t.faults.held.Add(-1)
		select {
		case <-t.closing:
		default:
			do()
		}
	})
}
