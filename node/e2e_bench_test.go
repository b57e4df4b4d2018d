//go:build unix

package node_test

import (
	"context"
	"fmt"
	"io"
	"math"
	"os"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/node"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/api/apitest"
)

// benchDoc has one budget for all and one for each tenant.
const benchDoc = `apiVersion: swarmpurse/v1
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

const unaudited = "audit: {decisions: none}\n"

// benchNode is a node with the policy benchDoc and say, beside a peer if it is to have one. It ends with the benchmark.
func benchNode(b *testing.B, say string, disk, peer bool) *node.Node {
	dir := b.TempDir()
	file := filepath.Join(dir, "policy.yaml")
	if err := os.WriteFile(file, []byte(benchDoc+say), 0o600); err != nil {
		b.Fatal(err)
	}
	s := settings{Name: "n1", Cluster: "bench", Gossip: "127.0.0.1:0", HTTP: "127.0.0.1:0", Policy: file, Expect: 1}
	if disk {
		s.Data = filepath.Join(dir, "data")
	}
	ctx, cancel := context.WithCancel(context.Background())
	ran := make(chan error, 2)
	running := 0
	run := func(s settings) *node.Node {
		n, err := node.Open(b.Context(), s.options(io.Discard))
		if err != nil {
			b.Fatal(err)
		}
		running++
		go func() { ran <- n.Run(ctx) }()
		return n
	}
	b.Cleanup(func() {
		cancel()
		for range running {
			if err := <-ran; err != nil {
				b.Error(err)
			}
		}
	})
	if peer {
		s.Expect = 2
	}
	n := run(s)
	if peer {
		s.Name, s.Data, s.Join = "n2", s.Data+"2", []string{n.GossipAddr()}
		run(s)
	}
	eventually(b, func() error {
		if st := n.Status(); !st.Ready {
			return fmt.Errorf("not ready: %v", st.Reasons)
		}
		return nil
	})
	return n
}

// BenchmarkHTTPAdmitSettle is the whole path, admit and settle as one request each, through a real node that
// draws on one budget for all and one for the tenant, beside a bare handler of the same JSON. With a data directory all decisions
// and ends are audited.
func BenchmarkHTTPAdmitSettle(b *testing.B) {
	for _, c := range []struct {
		name string
		disk bool
	}{{"memory", false}, {"disk", true}} {
		b.Run(c.name, func(b *testing.B) { apitest.BenchmarkAdmitSettle(b, benchNode(b, "", c.disk, false)) })
	}
}

// BenchmarkAuditedAndSigned is the throughput of HTTP with every decision and end in the audit log and with rows and all else signed, beside one
// without, in turns. "audited" has no peer, so it signs only its log. "swarm" has a peer in this process, which checks what it signs, and
// signs too; the node without has none, so what gossip and a peer take is counted against it, more than was asked.
func BenchmarkAuditedAndSigned(b *testing.B) {
	for _, c := range []struct {
		name string
		peer bool
	}{{"audited", false}, {"swarm", true}} {
		b.Run(c.name, func(b *testing.B) {
			written := func(n api.Node) {
				if _, err := n.(*node.Node).AuditRecords(api.AuditQuery{From: math.MaxInt64, Limit: 1}); err != nil { // waits for what is noted to be written
					b.Error(err)
				}
			}
			with, without := benchNode(b, "", true, c.peer), benchNode(b, unaudited, true, false)
			apitest.BenchmarkBeside(b, with, without, 85, written, processCPU)
			if s := with.AuditStatus(); s.Dropped > 0 || s.Decisions != "all" || s.Failing != "" {
				b.Errorf("not all is audited: %+v", s)
			}
			if s := without.AuditStatus(); s.Decisions != "none" || s.Size > 1000 {
				b.Errorf("calls are audited: %+v", s)
			}
		})
	}
}

// processCPU is what this process has used of all cores.
func processCPU() time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
		panic(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}
