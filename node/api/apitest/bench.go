package apitest

import (
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/api/bare"
)

// chunk is how many requests the two servers answer in turn: few enough that the machine does the same meanwhile.
const chunk = 2000

// BenchmarkAdmitSettle runs admit and settle, each one request, over keep-alive connections against
// the API in front of node, and the same JSON against a bare net/http handler, at one and at 64
// connections. The two take turns, a few thousand requests each, so that what else the machine does meets both alike.
// The client is a loop over raw sockets, so that it is the servers that are compared. node must admit every call.
//
// It reports the requests per second of both (the median over the turns, and the best), and what part of the bare
// handler's ours are, beside the target for that.
func BenchmarkAdmitSettle(b *testing.B, node api.Node) {
	server, err := api.New(api.Options{Node: node})
	if err != nil {
		b.Fatal(err)
	}
	for _, conns := range []int{1, 64} {
		b.Run(fmt.Sprintf("connections=%d", conns), func(b *testing.B) {
			ours, other := listen(b, server.Handler(), conns), listen(b, bare.Handler(), conns)
			var rates, bareRates, parts []float64 // of each turn
			b.ResetTimer()
			for left := b.N; left > 0; left -= chunk {
				n := min(left, chunk)
				x, y := ours.run(b, n), other.run(b, n)
				rates, bareRates, parts = append(rates, x), append(bareRates, y), append(parts, 100*x/y)
			}
			b.StopTimer()
			b.ReportMetric(median(rates), "req/s")
			b.ReportMetric(slices.Max(rates), "best-req/s")
			b.ReportMetric(median(bareRates), "bare-req/s")
			b.ReportMetric(slices.Max(bareRates), "bare-best-req/s")
			b.ReportMetric(median(parts), "%-of-bare")
			b.ReportMetric(60, "target-%")
			b.ReportMetric(0, "ns/op") // of two servers in turn it says nothing
		})
	}
}

// besideChunk is how many requests each of two nodes answers in turn in BenchmarkBeside: some two seconds, so that what a node does a few
// times a second falls into its own turns, and the wait for the disk at their end counts for little.
const besideChunk = 60_000

// BenchmarkBeside runs what BenchmarkAdmitSettle runs against two nodes in turn, and reports what part of the throughput of the second the first
// has: the median over pairs of turns, each node being first in every other pair. After each turn, and in its time, rest is
// called with its node, to end what that has put off; cpu is what the process has used so far, nil where that is not known.
func BenchmarkBeside(b *testing.B, with, without api.Node, target float64, rest func(api.Node), cpu func() time.Duration) {
	nodes := [2]api.Node{with, without}
	for _, conns := range []int{1, 64} {
		b.Run(fmt.Sprintf("connections=%d", conns), func(b *testing.B) {
			var doors [2]benched
			for k, n := range nodes {
				server, err := api.New(api.Options{Node: n})
				if err != nil {
					b.Fatal(err)
				}
				doors[k] = listen(b, server.Handler(), conns)
			}
			var rates [2][]float64
			var parts, cpuParts []float64
			turn := func(k, n int) (took, used time.Duration) {
				begin, before := time.Now(), cpu()
				doors[k].run(b, n)
				rest(nodes[k])
				took, used = time.Since(begin), cpu()-before
				rates[k] = append(rates[k], float64(n)/took.Seconds())
				return took, used
			}
			for k := range nodes { // the first turn grows heaps and opens instances
				doors[k].run(b, besideChunk)
				rest(nodes[k])
			}
			b.ResetTimer()
			for left, first := b.N, 0; left > 0; left, first = left-besideChunk, 1-first {
				n := min(left, besideChunk)
				var took, used [2]time.Duration
				took[first], used[first] = turn(first, n)
				took[1-first], used[1-first] = turn(1-first, n)
				parts = append(parts, 100*took[1].Seconds()/took[0].Seconds())
				cpuParts = append(cpuParts, 100*used[0].Seconds()/used[1].Seconds())
			}
			b.StopTimer()
			b.ReportMetric(median(rates[0]), "req/s")
			b.ReportMetric(median(rates[1]), "without-req/s")
			b.ReportMetric(median(parts), "%-of-without")
			b.ReportMetric(median(cpuParts), "cpu-%-of-without")
			b.ReportMetric(target, "target-%")
			b.ReportMetric(0, "ns/op")
		})
	}
}

func median(list []float64) float64 {
	list = slices.Sorted(slices.Values(list))
	return list[len(list)/2]
}

// benched is a server with its connections.
type benched []*bare.Client

func listen(b *testing.B, h http.Handler, conns int) benched {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		b.Fatal(err)
	}
	srv := &http.Server{Handler: h, ReadHeaderTimeout: time.Minute}
	go func() { _ = srv.Serve(ln) }()
	b.Cleanup(func() { _ = srv.Close() })
	clients := make(benched, conns)
	for i := range clients {
		if clients[i], err = bare.Dial(ln.Addr().String()); err != nil {
			b.Fatal(err)
		}
		b.Cleanup(clients[i].Close)
	}
	return clients
}

// run makes n requests and returns how many a second that were.
func (s benched) run(b *testing.B, n int) float64 {
	var left atomic.Int64
	left.Store(int64(n))
	begin := time.Now()
	var wg sync.WaitGroup
	for _, c := range s {
		wg.Go(func() {
			for left.Add(-2) >= -1 { // an admit and a settle count as two
				if err := c.Ask(); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	return float64(n) / time.Since(begin).Seconds()
}
