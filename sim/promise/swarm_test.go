package promise_test

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/swarmpurse/swarmpurse/gossip"
)

// patience is how long a test waits for what must come at all: longer than all that is promised.
const patience = 100 * time.Second

// peer is a real pool with production's timers on loopback, and what came to it.
type peer struct {
	*gossip.Pool
	name    string
	changed chan struct{} // the membership has, or something came

	mu     sync.Mutex
	rows   map[string][]time.Time // by payload: when its copies came
	syncs  []time.Time            // its parts in push/pulls but those of joining
	relays bool                   // it passes on what is new to it, as a node does
}

func (p *peer) Receive(from string, payload []byte) {
	p.mu.Lock()
	key := string(payload)
	known := len(p.rows[key]) > 0
	p.rows[key] = append(p.rows[key], time.Now())
	relay := p.relays && !known
	p.mu.Unlock()
	if relay {
		p.Relay(from, key, 1, payload)
	}
	p.MembersChanged()
}

func (p *peer) LocalState(join bool) []byte {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !join {
		p.syncs = append(p.syncs, time.Now())
		defer p.MembersChanged()
	}
	return []byte{1}
}

// came is when the copies of a row came.
func (p *peer) came(row string) []time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	return slices.Clone(p.rows[row])
}

func (p *peer) MergeState([]byte, bool) {}

func (p *peer) MembersChanged() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}

// swarm is a cluster in this process.
type swarm struct {
	t     *testing.T
	peers []*peer
	// changed hears of every change that any of them sees.
	changed chan struct{}
}

func newSwarm(t *testing.T, n int) *swarm {
	s := &swarm{t: t, changed: make(chan struct{}, 1)}
	for i := range n {
		p := &peer{name: fmt.Sprintf("node-%02d", i+10), changed: s.changed, rows: map[string][]time.Time{}}
		o := gossip.Options{
			Name: p.name, Bind: "127.0.0.1:0", Cluster: "swarm", Keys: [][]byte{slices.Repeat([]byte{7}, 32)},
			Faults: true, Delegate: p, Logger: zerolog.Nop(),
		}
		if i > 0 {
			o.Join = []string{s.peers[0].Addr()}
		}
		var err error
		if p.Pool, err = gossip.Open(context.Background(), o); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = p.Close() })
		s.peers = append(s.peers, p)
	}
	s.until("all see all", func() bool { return s.seen(s.peers, s.peers, true) })
	return s
}

// until waits for what must come, looking whenever something happens.
func (s *swarm) until(what string, ok func() bool) time.Time {
	s.t.Helper()
	limit := time.NewTimer(patience)
	defer limit.Stop()
	for !ok() {
		select {
		case <-s.changed:
		case <-limit.C:
			s.t.Fatalf("not within %v: %s", patience, what)
		}
	}
	return time.Now()
}

// sees reports whether p sees o alive.
func (p *peer) sees(o *peer) bool { _, ok := slices.BinarySearch(p.Alive(), o.name); return ok }

// seen reports whether all of ps see all of os alive, or none.
func (s *swarm) seen(ps, os []*peer, alive bool) bool {
	for _, p := range ps {
		for _, o := range os {
			if p != o && p.sees(o) != alive {
				return false
			}
		}
	}
	return true
}

// times waits until every one of ps sees all of its os alive, or none, and says how long after since each came to that.
func (s *swarm) times(since time.Time, alive bool, ps []*peer, os func(*peer) []*peer) map[*peer]time.Duration {
	s.t.Helper()
	took := map[*peer]time.Duration{}
	s.until(fmt.Sprintf("%d peers see the others alive: %v", len(ps), alive), func() bool {
		for _, p := range ps {
			if _, done := took[p]; !done && s.seen([]*peer{p}, os(p), alive) {
				took[p] = time.Since(since)
			}
		}
		return len(took) == len(ps)
	})
	return took
}

func firstAndLast(took map[*peer]time.Duration) (first, last time.Duration) {
	all := slices.Sorted(maps.Values(took))
	return all[0], all[len(all)-1]
}

// bytes is what all have sent so far.
func (s *swarm) bytes() (sum uint64) {
	for _, p := range s.peers {
		sum += p.Stats().Sent.Bytes
	}
	return sum
}

// cut has two sides lose what they send each other.
func (s *swarm) cut(a, b []*peer) {
	names := func(ps []*peer) (ns []string) {
		for _, p := range ps {
			ns = append(ns, p.name)
		}
		return ns
	}
	for _, p := range a {
		if err := p.SetFaults(gossip.Faults{Drop: names(b)}); err != nil {
			s.t.Fatal(err)
		}
	}
	for _, p := range b {
		if err := p.SetFaults(gossip.Faults{Drop: names(a)}); err != nil {
			s.t.Fatal(err)
		}
	}
}

func (s *swarm) heal() {
	for _, p := range s.peers {
		if err := p.SetFaults(gossip.Faults{}); err != nil {
			s.t.Fatal(err)
		}
	}
}
