package admit

import (
	"errors"
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
)

const busy = preamble + `
budgets:
  - {name: pot, token: compute, supply: {grant: 200000}}
  - {name: calls, token: concurrency, supply: {slots: 40}}
  - {name: tenant, token: compute, per: [tenant], supply: {grant: 60000}}
rules:
  - {draw: [pot, calls, tenant]}
`

// Callers from many goroutines, one owner: nothing is lost, nothing is spent twice.
func TestConcurrentCallers(t *testing.T) {
	n := newSwarm(t, 1, busy, Config{}).nodes[0]
	var now atomic.Int64
	now.Store(int64(begin))
	clock := func() ledger.Instant { return ledger.Instant(now.Load()) }

	type offer struct {
		r    *Request
		done chan ID
	}
	inbox := make(chan offer)
	stop := make(chan struct{})
	var owner, callers sync.WaitGroup
	owner.Add(1)
	go func() { // the owner
		defer owner.Done()
		for turn := 0; ; turn++ {
			select {
			case <-stop:
				return
			case o := <-inbox:
				id, w, err := n.e.Offer(clock(), n.r, o.r)
				switch {
				case err != nil:
					t.Error(err)
					close(o.done)
				case w == nil:
					o.done <- id
				default:
					w.Notify = o.done
				}
			default:
				runtime.Gosched()
			}
			if turn%16 == 0 {
				now.Add(20)
				n.r.Tick(clock())
			}
			if turn%256 == 0 {
				n.e.Rebind()
				n.check()
			}
			for range 4 {
				for _, w := range n.e.Pump(clock(), n.r) {
					w.Notify.(chan ID) <- w.ID
				}
				if n.e.queue.n > 0 {
					n.r.Tick(clock())
				}
				if !n.r.Pending() {
					break
				}
				n.r.Writes(clock())
				n.r.Commit(clock())
			}
		}
	}()

	const release, abandon = 0, 1
	var spent, expired atomic.Int64 // expired: what ended without its caller
	for c := range 8 {
		callers.Add(1)
		go func() {
			defer callers.Done()
			dice := rand.New(rand.NewPCG(uint64(c), 1))
			for range 400 {
				r := call("t"+string(rune('0'+dice.IntN(4))), dice.Int64N(60)).wait(100 * time.Millisecond)
				how := dice.IntN(10)
				if how == abandon {
					r.TTL = 1
				}
				id, ok := n.e.Try(clock(), r)
				if !ok {
					o := offer{r, make(chan ID, 1)}
					inbox <- o
					if id, ok = <-o.done; !ok {
						return
					}
				}
				d, err := n.e.Lookup(id)
				if err != nil || !d.Verdict.Admitted() {
					if err != nil && !errors.Is(err, ErrUnknownID) {
						t.Error(err)
					}
					continue
				}
				switch how {
				case release:
					if _, err := n.e.Release(clock(), id); err != nil {
						t.Error(err)
					}
				case abandon: // it expires
					expired.Add(1)
				default:
					used := ledger.Tokens(dice.Int64N(r.PromptTokens + 1))
					var first sync.WaitGroup
					for range 2 { // twice at once
						first.Go(func() {
							rc, err := n.e.Settle(clock(), id, forTokens(used))
							if err != nil {
								t.Error(err)
							} else if !rc.Repeated {
								for _, c := range rc.Charged {
									if c.Budget == "pot" {
										spent.Add(int64(c.Amount))
									}
								}
							}
						})
					}
					first.Wait()
				}
				n.e.Counts()
			}
		}()
	}
	callers.Add(1)
	quit := make(chan struct{})
	go func() {
		defer callers.Done()
		for {
			select {
			case <-quit:
				return
			default:
				n.e.Expire(clock())
				runtime.Gosched()
			}
		}
	}()
	done := make(chan struct{})
	go func() { callers.Wait(); close(done) }()
	go func() { // until all callers are through
		for {
			counts, _ := n.e.Counts()
			if counts[Admit]+counts[Defer]+counts[Deny] >= 8*400 || t.Failed() {
				close(quit)
				return
			}
			time.Sleep(time.Millisecond)
		}
	}()
	select {
	case <-done:
	case <-time.After(50 * time.Second):
		t.Fatal("stuck")
	}
	close(stop)
	owner.Wait()
	n.checkShards()
	if off := n.r.Conservation(); off != 0 {
		t.Errorf("conservation is off by %d", off)
	}
	// What never ended expires; then all that is not spent is there.
	n.w.now = clock()
	n.w.pass(time.Second)
	for range 2 {
		n.w.now += ledger.Instant((Grace + 5*time.Minute).Milliseconds())
		n.w.tick()
	}
	st := n.account("pot").State(n.w.now)
	if _, active := n.e.Counts(); active != 0 || st.Reserved != 0 || n.account("calls").Rights(n.w.now) != 40 {
		t.Errorf("%d open, %d reserved", active, st.Reserved)
	}
	if expired.Load() == 0 || int64(st.Spent) < spent.Load() {
		t.Errorf("spent %d, settled %d", st.Spent, spent.Load())
	}
	tenants := ledger.Tokens(0)
	for _, who := range []string{"t0", "t1", "t2", "t3"} {
		tenants += n.account("tenant", who).State(n.w.now).Spent
	}
	if tenants != st.Spent {
		t.Errorf("the tenants spent %d, the pot %d", tenants, st.Spent)
	}
}
