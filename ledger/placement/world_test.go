package placement

import (
	"fmt"
	"testing"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// pool is the example of the design: 50,000 tokens a second, a burst of 100,000.
var pool = ledger.Spec{Kind: ledger.Rate, Amount: 100_000, Per: 50_000, PerMillis: 1000, Lend: ledger.DefaultLend}

// A grant that three nodes hammer with more than five times what it has is used up, and never exceeded. The asks
// do not go round in circles when everybody is nearly out.
func TestGrantIsUsedUp(t *testing.T) {
	const limit = 3_000_000
	for seed := range uint64(4) {
		s := newSwarm(t, 3, seed, ledger.Spec{Kind: ledger.Grant, Amount: limit})
		for _, n := range s.nodes {
			n.poisson(steady(200), func() ledger.Tokens { return ledger.Tokens(100 + s.dice.IntN(5000)) })
		}
		// Until a twentieth is left, and then the end of it.
		for s.admitted < limit*95/100 && s.now < start+60_000 {
			s.run(10)
		}
		asks, served := s.asks, s.served
		s.run(10_000)
		s.report()
		if s.admitted > limit {
			t.Fatalf("seed %d: admitted %d of %d", seed, s.admitted, limit)
		}
		if s.admitted < limit*995/1000 {
			t.Errorf("seed %d: admitted only %d of %d", seed, s.admitted, limit)
		}
		if a, c := s.asks-asks, s.served-served; a > 2*c {
			t.Errorf("seed %d: %d asks for the last %d calls", seed, a, c)
		}
	}
}

// Rights that a node borrowed beyond its need and no longer uses are given on.
func TestBorrowedRightsAreGivenOn(t *testing.T) {
	s := newSwarm(t, 3, 1, ledger.Spec{Kind: ledger.Grant, Amount: 300_000})
	borrower, other := s.nodes[0], s.nodes[2]
	// Some 110,000 tokens in two seconds: more than its own 100,000, and more is fetched than the last call lacks.
	for i := range ledger.Millis(110) {
		s.after(20*i, func() { borrower.call(1_000) })
	}
	s.run(3_000)
	st := borrower.a.State(s.now)
	if st.Spent != 110_000 || st.Spent < st.Base || st.Balance() <= 0 || st.In == 0 {
		t.Fatalf("the borrower should have spent its own %d and have borrowed ones left: %+v", st.Base, st)
	}
	s.run(20_000)
	for range 19 {
		other.call(10_000)
		s.run(500)
	}
	st = borrower.a.State(s.now)
	if s.admitted != 300_000 || st.Balance() != 0 || st.Out == 0 {
		t.Errorf("admitted %d of 300000; the borrower gave %d on and keeps %d", s.admitted, st.Out, st.Balance())
	}
}

// When all demand is at one node the shares go there within a minute, and then stay.
func TestSharesFollowDemand(t *testing.T) {
	s := newSwarm(t, 10, 7, pool)
	hot := s.nodes[3]
	hot.poisson(steady(25), fixed(1_000))
	s.run(60_000)
	if got := hot.shares(); got < ledger.TotalShares*3/4 {
		t.Errorf("after a minute the only node with demand has %d shares", got)
	}
	moves := s.shareMoves
	s.run(30_000)
	s.report()
	if s.shareMoves > moves+3 {
		t.Errorf("%d share transfers after they settled", s.shareMoves-moves)
	}
	if s.admitted != s.offered {
		t.Errorf("admitted %d of %d at half the rate", s.admitted, s.offered)
	}
}

// When the demand moves, so do the shares.
func TestSharesFollowAMovingHotSpot(t *testing.T) {
	s := newSwarm(t, 5, 3, pool)
	at := 0
	for i, n := range s.nodes {
		n.poisson(func() float64 {
			if i == at {
				return 30
			}
			return 0
		}, fixed(1_000))
	}
	s.run(40_000)
	at = 4
	s.run(60_000)
	s.report()
	if a, b := s.nodes[0].shares(), s.nodes[4].shares(); b < ledger.TotalShares/2 || a > ledger.TotalShares/4 {
		t.Errorf("a minute after the hot spot moved the old one has %d shares, the new one %d", a, b)
	}
}

// Where demand is the same everywhere nothing moves, even if chance makes it look unequal for a while.
func TestSharesStayWhenDemandIsEqual(t *testing.T) {
	for _, perSecond := range []float64{1, 20} {
		s := newSwarm(t, 10, 7, pool)
		for _, n := range s.nodes {
			n.poisson(steady(perSecond), fixed(ledger.Tokens(4_000/perSecond)))
		}
		s.run(60_000)
		s.report()
		if s.shareMoves > 6 {
			t.Errorf("%v calls/s at each of 10 nodes: %d share transfers in a minute", perSecond, s.shareMoves)
		}
	}
}

// Fragmentation in small: each of 50 nodes can hold exactly one call by its shares, and gets one every two
// seconds. Goodput is beside one bucket that all share with no delay.
func TestFragmentation(t *testing.T) {
	for _, c := range []struct {
		load  float64
		lasts ledger.Millis
		floor float64 // of the bucket's goodput
		asks  float64 // for each call admitted, at most
	}{
		{load: 0.5, lasts: 10_000, floor: 0.98, asks: 2},
		{load: 0.9, lasts: 10_000, floor: 0.97, asks: 4},
		{load: 1.2, lasts: 6_000, floor: 0.80, asks: 80},
	} {
		s := newSwarm(t, 50, 7, pool)
		s.bucket = &omniscient{level: float64(pool.Amount), at: s.now}
		for _, n := range s.nodes {
			n.poisson(steady(c.load*25/50), fixed(2_000))
		}
		s.run(c.lasts)
		s.bucket.serve(s)
		s.report()
		good := float64(s.admitted) / float64(s.bucket.admitted)
		t.Logf("load %.1f: goodput %.3f of the bucket's %d", c.load, good, s.bucket.admitted)
		if good < c.floor {
			t.Errorf("load %.1f: goodput %.3f of the bucket's, want %.2f", c.load, good, c.floor)
		}
		if most := ledger.Tokens(50*(int64(c.lasts)+int64(pool.Lend))) + pool.Amount; s.admitted > most {
			t.Errorf("load %.1f: admitted %d, at most %d may be", c.load, s.admitted, most)
		}
		if a := float64(s.asks) / float64(max(1, s.served)); a > c.asks {
			t.Errorf("load %.1f: %.1f asks for each call", c.load, a)
		}
	}
}

// A limit smaller than the number of its holders is admitted whole: in the first window, in which nobody but the
// caller's node has seen the instance when the first call comes, and in each later one. No call waits long for it.
func TestSmallWindowsAreAdmittedWhole(t *testing.T) {
	for _, limit := range []ledger.Tokens{1, 3, 7, 61, 400, 1000} {
		for _, founders := range []int{3, 5, 9} {
			for _, joined := range []int{0, 2} {
				n := founders + joined
				s := setup{
					n: n, founders: founders, disk: 3, lazy: true,
					spec: ledger.Spec{Kind: ledger.Windowed, Amount: limit, Calendar: ledger.Calendar{Length: 60_000}},
				}.swarm(t, uint64(limit)+uint64(n))
				var got []ledger.Tokens
				for window := range 4 {
					before := s.admitted
					caller := s.nodes[(window*3+n-1)%n] // the last one at first, a joined one if there are
					for last := before - 1; last < s.admitted; {
						last = s.admitted
						caller.call(1)
						for len(caller.line)+len(caller.inbox) > 0 {
							s.run(5)
						}
					}
					got = append(got, s.admitted-before)
					_, _, end := s.spec.Calendar.At(s.now)
					s.run(ledger.Millis(end - s.now + 20))
				}
				name := fmt.Sprintf("limit %d, %d founders, %d joined", limit, founders, joined)
				t.Logf("%s: %v, a call waited %d ms at most; %d asks, %d share moves", name, got, s.longest, s.asks, s.shareMoves)
				least := limit
				if limit > 400 {
					least--
				}
				for _, g := range got {
					if g > limit || g < least {
						t.Errorf("%s: admitted %v", name, got)
						break
					}
				}
				if s.longest > 1000 {
					t.Errorf("%s: a call waited %d ms", name, s.longest)
				}
			}
		}
	}
}
