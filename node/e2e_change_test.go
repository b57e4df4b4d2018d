//go:build unix

package node_test

import (
	"context"
	"fmt"
	"os"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/api"
)

// policies waits until all nodes run one policy, and returns it.
func (s *swarm) policies(revision int64) api.Policy {
	s.t.Helper()
	var first api.Policy
	eventually(s.t, func() error {
		for i, p := range s.nodes {
			pol, err := p.Policy(s.t.Context())
			if err != nil {
				return err
			}
			if i == 0 {
				first = pol
			}
			if pol.Revision != revision || pol.Hash != first.Hash {
				return fmt.Errorf("%s runs revision %d, hash %s; n1 has %s; want revision %d", p.set.Name, pol.Revision, pol.Hash, first.Hash, revision)
			}
		}
		return nil
	})
	return first
}

// A joiner that was given nothing but an address gets policy and charter; a document put at one node reaches
// all; limits go up and down while calls run; of two documents with one revision, put on two sides of a cut,
// the one with the higher hash is in force everywhere; SIGHUP reads the file again.
func TestPolicyReachesAll(t *testing.T) {
	t.Parallel()
	limit := scale(400_000)
	grant := func(n int64) string { return fmt.Sprintf("{grant: %d}", n) }
	s := newSwarm(t, 3, computePolicy(1, grant(limit)))
	s.add(s.settings("n4"))
	s.ready()
	if pol := s.policies(1); !strings.Contains(pol.Source, grant(limit)) {
		t.Errorf("the joiner's policy is %q", pol.Source)
	}
	charters := map[string]bool{}
	for _, p := range s.nodes {
		st, err := p.Status(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		charters[st.Charter] = true
	}
	if len(charters) != 1 || charters[""] {
		t.Errorf("charters: %v", charters)
	}

	// A joiner without shares spends like the others.
	var b bank
	h := hammer{budget: "pot", token: "compute", workers: 4, offer: limit / 2, wait: "1s", sizes: mixed, nodes: []int{3}}
	h.run(s, &b)
	if b.refused.Load() > 0 {
		t.Errorf("the joiner refused %d calls while the swarm had rights", b.refused.Load())
	}

	// Raised while calls run, and spent to the end.
	raised := limit * 3 / 2
	h.nodes, h.offer = nil, limit*3
	disturb(s, h, &b, []float64{0.3}, func(int) {
		if _, err := s.nodes[1].PutPolicy(t.Context(), []byte(computePolicy(2, grant(raised)))); err != nil {
			t.Fatal(err)
		}
	})
	s.policies(2)
	h.offer = b.offered.Load() + limit
	h.run(s, &b)
	within(t, &b, raised, 0)
	s.totals("pot", "pot")

	// Lowered below what is spent: nothing more is admitted, and nothing is lost when it is raised again.
	if _, err := s.nodes[2].PutPolicy(t.Context(), []byte(computePolicy(3, grant(limit/2)))); err != nil {
		t.Fatal(err)
	}
	s.policies(3)
	got := b.admitted.Load()
	h.offer = b.offered.Load() + limit/4
	h.run(s, &b)
	if n := b.admitted.Load() - got; n > raised-got {
		t.Errorf("%d tokens were admitted above the lowered limit", n)
	}

	// Two documents with one revision.
	s.cut(2)
	for i, p := range []*proc{s.nodes[0], s.nodes[3]} {
		if _, err := p.PutPolicy(t.Context(), []byte(computePolicy(4, grant(limit*2+int64(i))))); err != nil {
			t.Fatal(err)
		}
	}
	a, _ := s.nodes[0].Policy(t.Context())
	z, _ := s.nodes[3].Policy(t.Context())
	s.heal()
	healed := time.Now()
	if pol := s.policies(4); a.Hash == z.Hash || pol.Hash != max(a.Hash, z.Hash) {
		t.Errorf("the swarm runs %s, want the higher of %s and %s", pol.Hash, a.Hash, z.Hash)
	}
	t.Logf("one policy was in force %v after the heal", time.Since(healed).Round(time.Millisecond))

	// The file again.
	if err := os.WriteFile(s.nodes[0].set.Policy, []byte(computePolicy(5, grant(limit*2))), 0o600); err != nil {
		t.Fatal(err)
	}
	s.nodes[0].signal(syscall.SIGHUP)
	s.policies(5)
	h.offer = b.offered.Load() + limit*2
	h.run(s, &b)
	within(t, &b, limit*2, 0)
	if in, _ := s.totals("pot", "pot"); int64(in.Swarm.Spent) != b.admitted.Load() {
		t.Errorf("the swarm reports %d tokens spent, callers were charged %d", in.Swarm.Spent, b.admitted.Load())
	}
}

// tenantPolicy has one instance for each tenant.
func tenantPolicy(limit int64) string {
	return strings.Replace(computePolicy(1, fmt.Sprintf("{grant: %d}", limit)), "token: compute, ", "token: compute, per: [tenant], ", 1)
}

// Nodes leave one by one and hand on what they hold, seats included, so that a swarm whose founders are long
// gone still has everything, for tenants old and new. Then all start again from their disks.
func TestLeaversHandEverythingOn(t *testing.T) {
	t.Parallel()
	limit := scale(200_000)
	s := newSwarm(t, 3, tenantPolicy(limit))
	all := s.nodes
	spend := func(tenant string, part float64) *bank {
		var b bank
		hammer{budget: "pot", token: "compute", tenant: tenant, workers: 4, offer: int64(part * float64(limit)), wait: "1s", sizes: mixed, used: twoThirds}.run(s, &b)
		return &b
	}
	agree := func(tenant string, b *bank) {
		t.Helper()
		if in, _ := s.totals("pot", "pot/"+tenant); int64(in.Swarm.Spent) != b.admitted.Load() || int64(in.Swarm.Issued) < limit-10 {
			t.Errorf("%s: the swarm reports %d tokens spent of %d issued, callers were charged %d of %d", tenant, in.Swarm.Spent, in.Swarm.Issued, b.admitted.Load(), limit)
		}
	}
	old := spend("old", 0.6)
	agree("old", old)

	// The founders go; one node that came later stays.
	s.add(s.settings("n4"))
	s.ready()
	// It must know the accounts to be asked about them.
	for len(s.nodes) > 1 {
		leaver := s.nodes[0]
		leaver.terminate()
		if !strings.Contains(leaver.log.String(), "rights handed on") {
			t.Errorf("%s did not hand its rights on:\n%s", leaver.set.Name, leaver.log.last(20))
		}
		s.nodes = s.nodes[1:]
	}
	t.Log("the founders have left")
	more := spend("old", 4)
	old.admitted.Add(more.admitted.Load())
	within(t, old, limit, 0)

	// A tenant that no founder ever saw, at a node that no founder ever met.
	s.add(s.settings("n5"))
	eventually(t, func() error {
		st, err := s.nodes[1].Status(t.Context())
		if err == nil && !st.Ready {
			err = fmt.Errorf("%v", st.Reasons)
		}
		return err
	})
	young := spend("young", 4)
	within(t, young, limit, 0)

	// All stop, none has anybody to hand on to in the end, and all start again.
	for _, p := range s.nodes {
		p.terminate()
	}
	for _, p := range s.nodes {
		p.restart()
	}
	for _, p := range all {
		p.restart()
	}
	s.nodes = append(s.nodes, all...)
	s.ready()
	agree("young", young)
	agree("old", old)
	again := spend("old", 0.5)
	if n := again.admitted.Load(); old.admitted.Load()+n > limit {
		t.Errorf("OVERSPENT: after all were started again callers got %d tokens more", n)
	}
}

// A retried call gets the first answer, also when both run at once.
func TestIdempotencyKeyReservesOnce(t *testing.T) {
	t.Parallel()
	s := newSwarm(t, 1, computePolicy(1, "{grant: 100000}"))
	p := s.nodes[0]
	for round := range 20 {
		var mu sync.Mutex
		ids := map[string]int{}
		var wg sync.WaitGroup
		for range 12 {
			wg.Go(func() {
				ctx, cancel := context.WithTimeout(t.Context(), patience)
				defer cancel()
				a, err := p.Admit(ctx, api.AdmitRequest{Tenant: "t", Tokens: map[string]ledger.Tokens{"compute": 100}, IdempotencyKey: fmt.Sprint("key", round)})
				if err != nil || !a.Admitted() {
					t.Errorf("admit: %+v, %v", a, err)
				}
				mu.Lock()
				ids[a.ID]++
				mu.Unlock()
			})
		}
		wg.Wait()
		if len(ids) != 1 {
			t.Fatalf("one key got %d answers: %v", len(ids), ids)
		}
	}
	if in, err := p.instanceOf("pot", "pot"); err != nil || in.Local.Reserved != 2000 {
		t.Errorf("%d tokens are reserved for 20 calls of 100 (%v)", in.Local.Reserved, err)
	}
}
