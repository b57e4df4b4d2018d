package ui_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/swarmpurse/swarmpurse/gossip"
	"github.com/swarmpurse/swarmpurse/node"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/policy"
)

const patience = time.Minute

const document = `
apiVersion: swarmpurse/v1
revision: %d
tokens: {compute: {unit: token}, money: {unit: token}}
classes:
  - {name: interactive, weight: 8, latency_budget: 100ms, objective: 99%%, default: true}
  - {name: batch, weight: 1, latency_budget: 2s}
budgets:
  - {name: pool, token: compute, supply: {window: 10s, amount: %d}, ceiling: hard}
  - {name: provider, token: compute, supply: {rate: 4000/s, burst: 16000, lend: 2s}, ceiling: hard}
  - {name: tenant-day, token: compute, per: [tenant], supply: {window: 24h, amount: 400000}, ceiling: {soft: 25%%}}
flags: {fast: {on: 25%%, by: tenant, targets: [ads]}}
experiments: [{name: cooler, by: agent, arms: [{name: as-it-is}, {name: cool, temperature: 0.3}]}]
rules: [{name: all, draw: [pool, provider, tenant-day]}]
default: deny
`

// hostile is a tenant whose name would be markup, if anything made markup of names.
const hostile = `<img src=x onerror="document.title='owned'">`

// swarm is four nodes in two zones, in this process, under load.
type swarm struct {
	t     *testing.T
	nodes []*node.Node
	stop  []context.CancelFunc
	ended []chan error
}

// quick makes failure and repair of the membership take a second or two.
var quick = gossip.Tuning{
	ProbeInterval: 500 * time.Millisecond, ProbeTimeout: 250 * time.Millisecond, SuspicionMult: 2, ReconnectInterval: time.Second,
	LeaveDelay: 100 * time.Millisecond, JoinJitter: 10 * time.Millisecond, JoinAgain: 300 * time.Millisecond, RejoinInterval: 2 * time.Second,
}

func source(revision, pool int) []byte { return fmt.Appendf(nil, document, revision, pool) }

func startSwarm(t *testing.T) *swarm {
	t.Helper()
	file := filepath.Join(t.TempDir(), "policy.yaml")
	if err := os.WriteFile(file, source(1, 30_000), 0o600); err != nil {
		t.Fatal(err)
	}
	s := &swarm{t: t}
	for i := range 4 {
		o := node.Options{
			Name: fmt.Sprintf("n%d", i+1), Cluster: "ui", Gossip: "127.0.0.1:0", HTTP: "127.0.0.1:0", Zone: string(rune('a' + i/2)), Data: t.TempDir(),
			PolicyFile: file, BootstrapExpect: 4, Faults: true, GossipTuning: &quick, Drain: time.Second, Logger: zerolog.Nop(),
		}
		if i > 0 {
			o.Join = []string{s.nodes[0].GossipAddr()}
		}
		n, err := node.Open(t.Context(), o)
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := context.WithCancel(context.WithoutCancel(t.Context()))
		ended := make(chan error, 1)
		go func() { ended <- n.Run(ctx) }()
		s.nodes, s.stop, s.ended = append(s.nodes, n), append(s.stop, cancel), append(s.ended, ended)
	}
	t.Cleanup(func() {
		for i, n := range s.nodes {
			s.stop[i]()
			n.Close() // at once: what it would hand on nobody needs
		}
		for i := range s.nodes {
			<-s.ended[i]
		}
	})
	until(t, "all nodes are ready", func() bool {
		for _, n := range s.nodes {
			if st := n.Status(); !st.Ready || len(n.Members()) != len(s.nodes) {
				return false
			}
		}
		return true
	})
	return s
}

func until(t *testing.T, what string, done func() bool) {
	t.Helper()
	for end := time.Now().Add(patience); !done(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(end) {
			t.Fatalf("it does not come to this: %s", what)
		}
	}
}

// load has agents call at the nodes until the test ends: mostly at the first, so that rights go there. Each calls in both classes: a class is
// refused more than the other, and each agent is in one arm wholly, so arms of agents that keep to one differ though the revisions do not.
func (s *swarm) load() {
	ctx, cancel := context.WithCancel(s.t.Context())
	done := make(chan struct{})
	s.t.Cleanup(func() { cancel(); <-done })
	go func() {
		defer close(done)
		tick := time.NewTicker(20 * time.Millisecond)
		defer tick.Stop()
		for i := 0; ; i++ {
			select {
			case <-tick.C:
			case <-ctx.Done():
				return
			}
			n := s.nodes[0]
			if i%5 == 0 {
				n = s.nodes[i/5%len(s.nodes)]
			}
			call := policy.Call{
				Tenant: []string{"search", "research", hostile}[i%3], Agent: fmt.Sprintf("agent-%d</b>", i%4), Class: []string{"interactive", "batch"}[i/4%2],
				Model: "gpt-4o", Tokens: []policy.Amount{{Token: "compute", Amount: 120}},
			}
			go func() {
				a, err := n.Admit(ctx, &admit.Request{Call: call, Wait: admit.UseClassDefault})
				if err != nil || !a.Verdict.Admitted() {
					return
				}
				_, _ = n.Settle(a.ID, admit.Settlement{Used: []policy.Amount{{Token: "compute", Amount: 100}}, Outcome: "ok"})
			}()
		}
	}()
}

// cut lets nothing through between the zones; with false all again.
func (s *swarm) cut(on bool) {
	s.t.Helper()
	for i, n := range s.nodes {
		f := api.Faults{}
		if on {
			f.Drop = []string{"n3", "n4"}
			if i >= 2 {
				f.Drop = []string{"n1", "n2"}
			}
		}
		if err := n.SetFaults(f); err != nil {
			s.t.Fatal(err)
		}
	}
}

// drain ends a node in good order.
func (s *swarm) drain(i int) error {
	s.stop[i]()
	select {
	case err := <-s.ended[i]:
		s.ended[i] <- err
		return err
	case <-time.After(patience):
		return errors.New("it does not end")
	}
}
