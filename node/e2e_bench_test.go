//go:build unix

package node_test

import (
	"context"
	"io"
	"os"
	"path/filepath"
	"testing"

	"github.com/swarmpurse/swarmpurse/node"
	"github.com/swarmpurse/swarmpurse/node/api/apitest"
)

// BenchmarkHTTPAdmitSettle is the whole path, admit and settle as one request each, through a real node that
// draws on one budget for all and one for the tenant, beside a bare handler of the same JSON. With a data directory all decisions
// and ends are audited; "unaudited" is without.
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
	}{{"memory", "", ""}, {"unaudited", "data", "audit: {decisions: none}\n"}, {"disk", "data", ""}} {
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
			n, err := node.Open(b.Context(), s.options(io.Discard))
			if err != nil {
				b.Fatal(err)
			}
			ctx, cancel := context.WithCancel(context.Background())
			ran := make(chan error, 1)
			go func() { ran <- n.Run(ctx) }()
			apitest.BenchmarkAdmitSettle(b, n)
			cancel()
			if err := <-ran; err != nil {
				b.Error(err)
			}
		})
	}
}
