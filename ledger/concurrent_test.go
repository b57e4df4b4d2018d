package ledger_test

import (
	"math/rand/v2"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"

	. "github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/placement"
)

// single returns a replica that founded a cluster alone, with an account of each spec, ready to use.
func single(t testing.TB, now Instant, specs ...Spec) (*Replica, []*Account) {
	t.Helper()
	self := Holder{Node: "n1", Gen: 1}
	byID := map[InstanceID]Spec{}
	r := NewReplica(Config{
		Self: self, Strategy: placement.Strategy{}, Rand: rand.New(rand.NewPCG(1, 2)),
		Resolve: func(id InstanceID) (Spec, bool) { s, ok := byID[id]; return s, ok },
	})
	c, err := NewCharter("test", []Holder{self}, [16]byte{1})
	if err != nil {
		t.Fatal(err)
	}
	if err := r.Found(c); err != nil {
		t.Fatal(err)
	}
	var as []*Account
	for i, s := range specs {
		id, err := NewInstanceID(c.ID, "b", "compute", s.Kind, []string{"i"}, []string{string(rune('a' + i))})
		if err != nil {
			t.Fatal(err)
		}
		byID[id] = s
		a, err := r.Open(now, id)
		if err != nil {
			t.Fatal(err)
		}
		as = append(as, a)
	}
	r.Writes(now)
	r.Commit(now)
	return r, as
}

// Many callers reserve and settle while the owner ticks, mints and writes. What they were given never passes
// the limit, and the books close at every look.
func TestConcurrentCallers(t *testing.T) {
	const limit, callers, calls = 1_000_000, 8, 3000
	now := Instant(1_700_000_000_000)
	r, as := single(t, now, Spec{Kind: Grant, Amount: limit}, Spec{Kind: Grant, Amount: limit}, Spec{Kind: Slots, Amount: 50})
	var clock atomic.Int64
	clock.Store(int64(now))
	var spent, top, minted atomic.Int64
	// The first calls wait for their marks; on a busy machine they would be all that there are.
	for first, why := []Take{{Account: as[0], Amount: 200}, {Account: as[1], Amount: 200}, {Account: as[2], Amount: 1}}, NoMark; why != Enough; {
		if why, _ = Reserve(now, now+1000, first, false); why == Enough {
			for _, x := range first {
				x.Account.Settle(now, x.Amount, 0, x.Window)
			}
			break
		}
		r.Tick(now)
		r.Writes(now)
		r.Commit(now)
	}
	var wg sync.WaitGroup
	for c := range callers {
		wg.Go(func() {
			rng := rand.New(rand.NewPCG(uint64(c), 3))
			takes := make([]Take, 3)
			for i := 0; i < calls || spent.Load() == 0 && i < 1000*calls; i++ { // the owner may be late to raise marks
				now := Instant(clock.Load())
				n := Tokens(1 + rng.IntN(200))
				takes[0], takes[1], takes[2] = Take{Account: as[0], Amount: n}, Take{Account: as[1], Amount: n}, Take{Account: as[2], Amount: 1}
				Sort(takes)
				if why, _ := Reserve(now, now+1000, takes, false); why != Enough {
					as[0].Missed(n)
					runtime.Gosched()
					continue
				}
				used := Tokens(rng.Int64N(int64(n) + 1))
				for i := range takes {
					u := used
					if takes[i].Account == as[2] {
						u = 1
					}
					takes[i].Account.Settle(now, takes[i].Amount, u, takes[i].Window)
				}
				top.Store(max(top.Load(), int64(spent.Add(int64(used)))))
			}
		})
	}
	done := make(chan struct{})
	go func() { wg.Wait(); close(done) }()
	for i := 0; ; i++ {
		now := Instant(clock.Add(50))
		r.Tick(now)
		if i%10 == 0 && minted.Load() < 100 {
			if _, err := r.Mint(now, as[0].ID(), 1, ""); err != nil {
				t.Fatal(err)
			}
			minted.Add(1)
		}
		r.Writes(now)
		r.Commit(now)
		for _, a := range as {
			if off := a.Audit(); off != 0 {
				t.Fatalf("the books of %s are off by %d: %+v", a.ID(), off, a.State(now))
			}
		}
		select {
		case <-done:
			for _, a := range as[:2] {
				s := a.State(now)
				if s.Spent != Tokens(spent.Load()) || s.Reserved != 0 || s.Spent > s.Mark {
					t.Errorf("%s: %d spent (mark %d, reserved %d), callers used %d", a.ID(), s.Spent, s.Mark, s.Reserved, spent.Load())
				}
			}
			if s := as[2].State(now); s.Reserved != 0 || s.Balance() != 50 {
				t.Errorf("%d slots are still taken", s.Reserved)
			}
			if top.Load() > limit+minted.Load() {
				t.Errorf("%d spent of %d", top.Load(), limit)
			}
			if spent.Load() == 0 {
				t.Error("nobody got anything")
			}
			return
		default:
		}
	}
}
