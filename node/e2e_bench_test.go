//go:build unix

package node_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/swarmpurse/swarmpurse/node"
	"github.com/swarmpurse/swarmpurse/node/api/apitest"
)

// BenchmarkHTTPAdmitSettle is the whole path, admit and settle as one request each, through a real node that
// draws on one budget for all and one for the tenant, beside a bare handler of the same JSON. With a data directory all decisions
// and ends are audited; "unaudited" is without. "swarm" is "disk" with a peer, to which it signs its rows and all else, and whose it checks.
func BenchmarkHTTPAdmitSettle(b *testing.B) {
	const doc = `apiVersion: swarmpurse/v1
revision: 1
tokens:
  compute: {unit: token}
classes:
  - {name: standard, weight: 1, latency_budget: 2s, default: true}
budgets:
  - {name: pool, token: compute, supply: {grant: 1000000000000}}
  - {name: tenant-month, token: compute, per: [tenant], supply: {window: month, amount: 1000000000000}}
rules:
  - draw: [pool, tenant-month]
default: deny
`
	for _, c := range []struct {
		name string
		data string
		say  string
		peer bool
	}{{"memory", "", "", false}, {"unaudited", "data", "audit: {decisions: none}\n", false}, {"disk", "data", "", false}, {"swarm", "data", "", true}} {
		b.Run(c.name, func(b *testing.B) {
			dir := b.TempDir()
			file := filepath.Join(dir, "policy.yaml")
			if err := os.WriteFile(file, []byte(doc+c.say), 0o600); err != nil {
				b.Fatal(err)
			}
			s := settings{Name: "n1", Cluster: "bench", Gossip: "127.0.0.1:0", HTTP: "127.0.0.1:0", Policy: file, Expect: 1}
			if c.data != "" {
				s.Data = filepath.Join(dir, c.data)
			}
			ctx, cancel := context.WithCancel(context.Background())
			ran := make(chan error, 2)
			run := func(s settings) *node.Node {
				n, err := node.Open(b.Context(), s.options(io.Discard))
				if err != nil {
					b.Fatal(err)
				}
				go func() { ran <- n.Run(ctx) }()
				return n
			}
			nodes := 1
			if c.peer {
				nodes = 2
				s.Expect = nodes
			}
			n := run(s)
			if c.peer {
				s.Name, s.Data, s.Join = "n2", s.Data+"2", []string{n.GossipAddr()}
				run(s)
			}
			eventually(b, func() error {
				if st := n.Status(); !st.Ready {
					return fmt.Errorf("not ready: %v", st.Reasons)
				}
				return nil
			})
			apitest.BenchmarkAdmitSettle(b, n)
			cancel()
			for range nodes {
				if err := <-ran; err != nil {
					b.Error(err)
				}
			}
		})
	}
}
