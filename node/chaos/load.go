package chaos

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/api"
)

const (
	callWithin   = 4 * time.Second  // one request; a node that is stopped takes longer
	settleWithin = 20 * time.Second // until a caller gives a settlement up
	ttl          = 15 * time.Second // of reservations: what callers gave up ends then
	restAfter    = 60 * time.Millisecond
)

// Door is one node as its callers see it.
type Door struct {
	Index  int
	Client *api.Client
	// Life tells which life the node is in, and which process of it runs.
	Life func() (l Life, process int)
}

// Load calls all nodes at once and books what it is told.
type Load struct {
	Book   *Book
	Limits *limits
	Seed   uint64
	Start  time.Time
}

// Run calls until ctx ends, then ends what it has begun.
func (l *Load) Run(ctx context.Context, doors []*Door) {
	var wg sync.WaitGroup
	for _, d := range doors {
		stream := uint64(d.Index) << 32
		for _, budget := range []string{Jobs, Turns, Pool, Gates, Pace} { // in one order, for the seed's sake
			for range callers[budget] {
				c := &caller{l, d, budget, rand.New(rand.NewPCG(l.Seed, stream)), 0, stream}
				stream++
				wg.Go(func() {
					for ctx.Err() == nil {
						c.call(ctx)
						c.rest(restAfter/2 + time.Duration(c.rand.Int64N(int64(restAfter))))
					}
				})
			}
		}
	}
	wg.Wait()
}

// caller makes one call after the other at one node.
type caller struct {
	*Load
	door   *Door
	budget string
	rand   *rand.Rand
	number uint64
	stream uint64
}

func (c *caller) rest(d time.Duration) { time.Sleep(d) }

// tenant is whose job a call is for: mostly the newest, at times an older one, whose last tokens are to be used too.
func (c *caller) tenant() string {
	newest := int(time.Since(c.Start) / c.Limits.JobEvery)
	if newest > 0 && c.rand.IntN(3) == 0 {
		newest = c.rand.IntN(newest)
	}
	return tenantOf(newest)
}

// mixedSize are calls of three kinds, as agents make them: meanCall tokens on average.
func mixedSize(r *rand.Rand) int64 {
	switch k := r.IntN(10); {
	case k == 0:
		return 600 + r.Int64N(800)
	case k < 4:
		return 200 + r.Int64N(200)
	}
	return 20 + r.Int64N(320)
}

// call makes one call: it asks, works for a moment and settles.
func (c *caller) call(ctx context.Context) {
	size, token := mixedSize(c.rand), "compute"
	if c.budget == Gates {
		size, token = 1, "open"
	}
	tenant := c.tenant()
	c.number++
	req := api.AdmitRequest{
		Tenant: tenant, Model: c.budget, Tokens: map[string]ledger.Tokens{token: ledger.Tokens(size)}, Wait: "200ms", TTL: ttl.String(),
		IdempotencyKey: fmt.Sprintf("%x-%x", c.stream, c.number),
	}
	instance := instanceOf(c.budget, tenant)
	sent := time.Now()
	life, process := c.door.Life()
	a, err := c.admit(req)
	if err != nil && !neverSent(err) {
		// The answer was lost. The same process gives the same again; another one does not know of it.
		c.rest(time.Duration(c.rand.Int64N(int64(time.Second))))
		_, asked := c.door.Life()
		a, err = c.admit(req)
		if _, now := c.door.Life(); asked != process || now != process || err != nil {
			c.Book.Unknown(c.budget, instance, size)
		}
		if l, now := c.door.Life(); asked == now {
			life = l
		}
	}
	switch {
	case err != nil:
		c.excuse("admit", err)
		c.rest(100 * time.Millisecond)
		return
	case !a.Admitted():
		c.Book.Refused(c.budget, instance, size)
		return
	}
	call := c.Book.Admitted(c.budget, instance, life, size, sent, time.Now())
	if c.budget == Turns {
		if d, err := c.door.Client.Decision(ctx, a.ID); err == nil {
			call.Stamped(d.At)
		}
	}
	work := restAfter
	if c.budget == Gates {
		work *= 10 // so that slots are held when something happens
	}
	c.rest(time.Duration(c.rand.Int64N(int64(work))))
	c.settle(call, a.ID, token, c.use(size))
}

// use is what a call really costs.
func (c *caller) use(size int64) int64 {
	switch c.budget {
	case Gates:
		return 0
	case Pool:
		return size // or else refunds would come on top of the rate
	}
	return size/2 + c.rand.Int64N(size/2+1)
}

func (c *caller) admit(req api.AdmitRequest) (api.AdmitAnswer, error) {
	ctx, cancel := context.WithTimeout(context.Background(), callWithin)
	defer cancel()
	return c.door.Client.Admit(ctx, req)
}

// settle tells the node what a call used, again and again until it has heard.
func (c *caller) settle(call *Call, id, token string, used int64) {
	call.Ending(used)
	req := api.SettleRequest{ID: id, Used: map[string]ledger.Tokens{token: ledger.Tokens(used)}, Outcome: "ok"}
	if c.budget == Gates {
		req.Used = nil
	}
	for began := time.Now(); time.Since(began) < settleWithin; c.rest(300 * time.Millisecond) {
		ctx, cancel := context.WithTimeout(context.Background(), callWithin)
		rc, err := c.door.Client.Settle(ctx, req)
		cancel()
		switch {
		case err == nil:
			charged := int64(rc.Charged[c.budget])
			if charged < used || charged > call.Size {
				c.Book.Wrong(fmt.Sprintf("settlement of %d tokens at %s, of %d reserved: %d were charged", used, c.budget, call.Size, charged))
			}
			call.Settled(charged)
			return
		case unknownID(err):
			call.Forgotten()
			return
		}
		c.excuse("settle", err)
	}
}

// excuse books an error that is nobody's fault but the node's. A node that does not answer, or says that it
// cannot, is excused: the faults see to that.
func (c *caller) excuse(what string, err error) {
	var u *api.UnreachableError
	var e *api.Error
	if errors.As(err, &u) || errors.As(err, &e) && e.Status >= 500 {
		return
	}
	c.Book.Wrong(fmt.Sprintf("%s at %s: %v", what, nodeName(c.door.Index), err))
}

// neverSent reports that a call did not reach any node, or one that took nothing.
func neverSent(err error) bool {
	var op *net.OpError
	var e *api.Error
	return errors.As(err, &op) && op.Op == "dial" || errors.As(err, &e) && e.Status < 500
}

func unknownID(err error) bool {
	var e *api.Error
	return errors.As(err, &e) && e.Status == 404
}
