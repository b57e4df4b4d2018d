//go:build unix

package node_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/api"
)

// A swarm is cut in two, and mended at production's pace. Each side goes on with what it holds; nothing is
// overspent; after the heal all agree. One cut lasts until each side takes the other for dead, the other is so
// short that the membership never notices and only we know that rows were lost.
func TestCutOffNodesGoOnAndAgreeAfterwards(t *testing.T) {
	t.Parallel()
	limit := scale(1_000_000)
	for _, c := range []struct {
		name     string
		nodes, k int
		long     bool
	}{
		{"one of three, unnoticed", 3, 1, false},
		{"two of five, taken for dead", 5, 2, true},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newSwarm(t, c.nodes, computePolicy(1, fmt.Sprintf("{grant: %d}", limit)), func(set *settings) { set.Mend = true })
			var b bank
			h := hammer{budget: "pot", token: "compute", workers: 2, wait: "1s", sizes: mixed, used: twoThirds}
			h.offer = limit / 10
			h.run(s, &b)
			s.totals("pot", "pot")

			s.cut(c.k)
			// What a cut-off node holds it gives at once.
			waited := 0
			for i := range c.k {
				for range 50 {
					a, err := s.nodes[i].Admit(t.Context(), api.AdmitRequest{Tokens: map[string]ledger.Tokens{"compute": 100}})
					if err != nil || !a.Admitted() {
						t.Fatalf("%s is cut off and holds rights, but: %+v, %v", s.nodes[i].set.Name, a, err)
					}
					b.admitted.Add(100)
					if a.WaitedMS > 0 {
						waited++
					}
					if _, err := s.nodes[i].Settle(t.Context(), api.SettleRequest{ID: a.ID}); err != nil {
						t.Fatal(err)
					}
				}
			}
			t.Logf("cut off: %d of %d calls waited", waited, 50*c.k)
			if waited > 5*c.k { // for the node's own disk, a few may
				t.Errorf("%d of %d calls at cut-off nodes waited, though they hold rights", waited, 50*c.k)
			}
			if c.long {
				eventually(t, func() error {
					for i, p := range s.nodes {
						ms, err := p.Members(t.Context())
						if err != nil {
							return err
						}
						for j, o := range s.nodes {
							for _, m := range ms {
								if m.Name == o.set.Name && (i < c.k) != (j < c.k) && m.Status != "failed" {
									return fmt.Errorf("%s sees %s %s", p.set.Name, m.Name, m.Status)
								}
							}
						}
					}
					return nil
				})
			}
			h.offer = b.offered.Load() + limit/2
			h.wait = "100ms"
			h.run(s, &b)
			if got := b.admitted.Load(); got > limit {
				t.Errorf("OVERSPENT: callers got %d tokens of a limit of %d", got, limit)
			}

			before := make([]int64, c.nodes)
			for i, p := range s.nodes {
				st, err := p.Status(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				before[i] = st.GossipSent
			}
			s.heal()
			in, took := s.totals("pot", "pot")
			var sent int64
			for i, p := range s.nodes {
				st, err := p.Status(t.Context())
				if err != nil {
					t.Fatal(err)
				}
				sent += st.GossipSent - before[i]
			}
			t.Logf("all nodes agree %v after the heal; %d bytes of gossip for each node", took.Round(time.Millisecond), sent/int64(c.nodes))
			if int64(in.Swarm.Spent) != b.admitted.Load() {
				t.Errorf("the swarm reports %d tokens spent, callers were charged %d", in.Swarm.Spent, b.admitted.Load())
			}
			h.offer, h.wait = b.offered.Load()+limit*2, "1s"
			h.workers = 6
			h.run(s, &b)
			within(t, &b, limit, 0)
			s.totals("pot", "pot")
		})
	}
}

// A row that was lost in a cut which nobody noticed, of an instance that nobody uses any more: nothing would
// tell it again, so nodes compare what they know.
func TestLostRowsOfQuietInstancesAreFound(t *testing.T) {
	t.Parallel()
	s := newSwarm(t, 3, computePolicy(1, "{grant: 1000000}"), func(set *settings) { set.Mend = true })
	spend := func(p *proc) {
		a, err := p.Admit(t.Context(), api.AdmitRequest{Tokens: map[string]ledger.Tokens{"compute": 1}})
		if err == nil {
			_, err = p.Settle(t.Context(), api.SettleRequest{ID: a.ID})
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	for _, p := range s.nodes {
		spend(p)
	}
	s.totals("pot", "pot")
	s.cut(1)
	spend(s.nodes[0])
	// Until its rows have gone out, to nobody: the last goes within a second of the change.
	var version uint64
	since := time.Now()
	eventually(t, func() error {
		in, err := s.nodes[0].instanceOf("pot", "pot")
		if err != nil {
			return err
		}
		for _, h := range in.Holders {
			if h.Node == "n1" && h.Version != version {
				version, since = h.Version, time.Now()
			}
		}
		if age := time.Since(since); age < 2*time.Second {
			return fmt.Errorf("the last row went out %v ago", age)
		}
		return nil
	})
	if in, err := s.nodes[1].instanceOf("pot", "pot"); err != nil || in.Swarm.Spent != 3 {
		t.Fatalf("n2 knows of %d tokens spent behind the cut (%v)", in.Swarm.Spent, err)
	}
	s.heal()
	in, took := s.totals("pot", "pot")
	t.Logf("all nodes agree %v after the heal", took.Round(time.Millisecond))
	if in.Swarm.Spent != 4 {
		t.Errorf("%d tokens spent, want 4", in.Swarm.Spent)
	}
}
