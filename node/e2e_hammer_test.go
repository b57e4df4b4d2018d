//go:build unix

package node_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/api"
)

// bank is the tests' own book: what callers were told, whatever the nodes say of themselves.
type bank struct {
	offered  atomic.Int64 // tokens asked for
	admitted atomic.Int64 // tokens admitted and not refunded
	unknown  atomic.Int64 // tokens of calls whose answer was lost with a node: perhaps admitted, nobody runs them
	calls    atomic.Int64 // admitted
	refused  atomic.Int64
	lost     atomic.Int64 // settlements that no node took, since the one that admitted was killed

	mu   sync.Mutex
	list []paid // guarded by mu; only if the hammer keeps it
}

// paid is one admitted call.
type paid struct {
	sent, got time.Time
	node      int
	id        string
	net       int64
}

// hammer calls all nodes at once.
type hammer struct {
	budget  string // what receipts are looked at for
	token   string
	tenant  string
	workers int           // for each node
	offer   int64         // tokens; the hammer stops when they were asked for
	span    time.Duration // or after that time, if it is set
	wait    string
	sizes   func(r *rand.Rand) int64
	used    func(r *rand.Rand, size int64) int64 // nil: all of it
	pause   time.Duration                        // between a worker's calls
	keep    bool                                 // remember every call
	nodes   []int                                // which nodes; nil: all
	// broken says that nodes may be killed or paused meanwhile: calls that fail for that are booked as unknown.
	broken bool
}

// mixed are calls of three kinds, as agents make them.
func mixed(r *rand.Rand) int64 {
	switch k := r.IntN(10); {
	case k == 0:
		return 3000 + r.Int64N(1000)
	case k < 4:
		return 800 + r.Int64N(400)
	}
	return 20 + r.Int64N(400)
}

// large are mixed calls of five times the size.
func large(r *rand.Rand) int64 { return 5 * mixed(r) }

// twoThirds is real usage below what was reserved.
func twoThirds(r *rand.Rand, size int64) int64 { return size/3 + r.Int64N(size/3+1) }

func (h hammer) run(s *swarm, b *bank) {
	s.t.Helper()
	which := h.nodes
	if which == nil {
		for i := range s.nodes {
			which = append(which, i)
		}
	}
	ctx, cancel := context.WithCancel(s.t.Context())
	defer cancel()
	var wg sync.WaitGroup
	start := time.Now()
	for _, i := range which {
		for w := range h.workers {
			r := rand.New(rand.NewPCG(uint64(i), uint64(w)))
			wg.Go(func() {
				for h.more(b, start) && ctx.Err() == nil {
					if err := h.call(ctx, s, i, b, r); err != nil {
						if ctx.Err() == nil {
							s.t.Errorf("%s: %v", s.nodes[i].set.Name, err)
						}
						cancel()
					}
					if h.pause > 0 {
						time.Sleep(h.pause)
					}
				}
			})
		}
	}
	wg.Wait()
	s.t.Logf("offered %d tokens, admitted %d (%d calls), refused %d calls, %d settlements lost, %d tokens unknown",
		b.offered.Load(), b.admitted.Load(), b.calls.Load(), b.refused.Load(), b.lost.Load(), b.unknown.Load())
}

func (h *hammer) more(b *bank, start time.Time) bool {
	if h.span > 0 {
		return time.Since(start) < h.span
	}
	return b.offered.Load() < h.offer
}

// call makes one call and settles it.
func (h hammer) call(ctx context.Context, s *swarm, i int, b *bank, r *rand.Rand) error {
	p, size := s.nodes[i], h.sizes(r)
	b.offered.Add(size)
	ctx, cancel := context.WithTimeout(ctx, patience)
	defer cancel()
	sent := time.Now()
	a, err := p.Admit(ctx, api.AdmitRequest{
		Tenant: h.tenant, Tokens: map[string]ledger.Tokens{h.token: ledger.Tokens(size)}, Wait: h.wait, TTL: "10m",
	})
	switch {
	case err != nil && h.broken && away(err):
		if !neverSent(err) {
			b.unknown.Add(size)
		}
		b.offered.Add(-size)
		time.Sleep(20 * time.Millisecond)
		return nil
	case err != nil:
		return fmt.Errorf("admit: %w", err)
	case !a.Admitted():
		b.refused.Add(1)
		return nil
	}
	got := time.Now()
	b.calls.Add(1)
	b.admitted.Add(size)
	use := size
	if h.used != nil {
		use = h.used(r, size)
	}
	rc, err := p.Settle(ctx, api.SettleRequest{ID: a.ID, Used: map[string]ledger.Tokens{h.token: ledger.Tokens(use)}, Outcome: "ok"})
	switch {
	case err != nil && h.broken && (away(err) || unknownID(err)):
		b.lost.Add(1) // the node counts all that it had reserved, and so do we
		use = size
	case err != nil:
		return fmt.Errorf("settle %s: %w", a.ID, err)
	case int64(rc.Charged[h.budget]) < use || int64(rc.Charged[h.budget]) > size:
		return fmt.Errorf("settle %s of %d tokens charged %v for %d", a.ID, size, rc.Charged, use)
	default:
		use = int64(rc.Charged[h.budget]) // a refund after the end of a window is dropped
		b.admitted.Add(use - size)
	}
	if h.keep {
		b.mu.Lock()
		b.list = append(b.list, paid{sent, got, i, a.ID, use})
		b.mu.Unlock()
	}
	return nil
}

// away reports that no node answered, or one that is just starting.
func away(err error) bool {
	var u *api.UnreachableError
	var e *api.Error
	return errors.As(err, &u) || errors.As(err, &e) && e.Status == 503
}

func unknownID(err error) bool {
	var e *api.Error
	return errors.As(err, &e) && e.Status == 404
}

// neverSent reports that a call did not reach any node.
func neverSent(err error) bool {
	var op *net.OpError
	var e *api.Error
	return errors.As(err, &op) && op.Op == "dial" || errors.As(err, &e)
}

// scale shrinks a test's load.
func scale(n int64) int64 {
	if testing.Short() {
		return n / 4
	}
	return n
}

// within checks the promise of a hard budget: what callers got is at most the limit, and at least 99.5 % of
// it less what was lost.
func within(t testing.TB, b *bank, limit, lost int64) {
	t.Helper()
	got := b.admitted.Load()
	share := 100 * float64(got) / float64(limit-lost)
	t.Logf("admitted %d of %d tokens (%d lost in crashes): %.3f %%", got, limit, lost, share)
	if got > limit {
		t.Errorf("OVERSPENT: callers got %d tokens of a limit of %d", got, limit)
	}
	if share < 99.5 {
		t.Errorf("callers got %d tokens, %.3f %% of the %d that were to be had; want 99.5 %%", got, share, limit-lost)
	}
}
