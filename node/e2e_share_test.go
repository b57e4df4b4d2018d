//go:build unix

package node_test

import (
	"context"
	"fmt"
	"math"
	"sync"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/api"
)

// Tenants ask two nodes for more than there is of a budget with fairness: swarm. Each node shows between whom it shares the budget
// out, and that it does so no more once nobody asks.
func TestTenantsShareABudget(t *testing.T) {
	t.Parallel()
	s := newSwarm(t, 2, `apiVersion: swarmpurse/v1
revision: 1
tokens:
  compute: {unit: token}
budgets:
  - {name: pot, token: compute, supply: {rate: 1000/s, burst: 1000}, fairness: swarm}
rules:
  - {draw: [pot]}
`)
	ctx, stop := context.WithCancel(t.Context())
	var callers sync.WaitGroup
	call := func(p *proc, tenant string, times int, every time.Duration) {
		for range times {
			callers.Go(func() {
				tick := time.NewTicker(every)
				defer tick.Stop()
				for ctx.Err() == nil {
					a, err := p.Admit(ctx, api.AdmitRequest{Tenant: tenant, Tokens: map[string]ledger.Tokens{"compute": 100}, Wait: "500ms"})
					if err == nil && a.Admitted() {
						_, _ = p.Settle(ctx, api.SettleRequest{ID: a.ID})
					}
					<-tick.C
				}
			})
		}
	}
	for _, p := range s.nodes {
		call(p, "greedy", 8, 20*time.Millisecond)
	}
	call(s.nodes[1], "small", 1, time.Second)
	const metric = `swarmpurse_fairness_tenants{budget="pot",state=%q,token="compute"}`
	eventually(t, func() error {
		in, err := s.nodes[1].instanceOf("pot", "pot")
		if err != nil {
			return err
		}
		seen := map[string]api.TenantShare{}
		for _, x := range in.Shared {
			seen[x.Tenant] = x
		}
		g, few := seen["greedy"], seen["small"]
		if g.Asked <= g.Share || g.Share <= 0 || few.Asked <= 0 || few.Asked > g.Asked/2 || few.Share < few.Asked {
			return fmt.Errorf("shared out between %+v", in.Shared)
		}
		if n := s.nodes[1].metric(fmt.Sprintf(metric, "under")) + s.nodes[1].metric(fmt.Sprintf(metric, "over")); n != 2 {
			return fmt.Errorf("the metrics tell of %v tenants", n)
		}
		return nil
	})
	eventually(t, func() error { // a decision tells how its tenant stood
		a, err := s.nodes[1].Admit(ctx, api.AdmitRequest{Tenant: "small", Tokens: map[string]ledger.Tokens{"compute": 100}, Wait: "500ms"})
		if err != nil {
			return err
		}
		d, err := s.nodes[1].Decision(ctx, a.ID)
		if err != nil {
			return err
		}
		if len(d.Shared) != 1 || d.Shared[0].Instance != "pot" || !d.Shared[0].Small || d.Shared[0].Asked <= 0 {
			return fmt.Errorf("decided as %+v", d.Shared)
		}
		// The audit log has it, too.
		rec, err := s.nodes[1].AuditRecords(ctx, api.AuditQuery{ID: a.ID, Kind: "decision"})
		if err != nil || len(rec) != 1 || len(rec[0].Shared) != 1 {
			return fmt.Errorf("in the audit log: %+v, %v", rec, err)
		}
		want := d.Shared[0]
		got := rec[0].Shared[0]
		if math.Abs(got.Asked-want.Asked) > 0.001 || math.Abs(got.Share-want.Share) > 0.001 || got.Small != want.Small || got.Under != want.Under || got.Instance != want.Instance {
			t.Errorf("decided as %+v, in the audit log %+v", want, got)
		}
		return nil
	})
	stop()
	callers.Wait()
	eventually(t, func() error {
		for _, p := range s.nodes {
			in, err := p.instanceOf("pot", "pot")
			if err != nil || len(in.Shared) > 0 {
				return fmt.Errorf("shared out between %+v, %v", in.Shared, err)
			}
		}
		return nil
	})
}
