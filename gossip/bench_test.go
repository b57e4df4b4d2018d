package gossip

import (
	"fmt"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
)

// A packet as Spread makes it: ten rows of 120 bytes.
func benchPayloads() [][]byte {
	var out [][]byte
	for range 10 {
		out = append(out, random(120))
	}
	return out
}

func BenchmarkEncode(b *testing.B) {
	payloads, buf := benchPayloads(), []byte(nil)
	b.ReportAllocs()
	for b.Loop() {
		buf = appendMessages(buf[:0], "node-17", payloads...)
	}
	b.SetBytes(int64(len(buf)))
}

func BenchmarkDecode(b *testing.B) {
	frame := appendMessages(nil, "node-17", benchPayloads()...)
	b.SetBytes(int64(len(frame)))
	b.ReportAllocs()
	for b.Loop() {
		if _, _, err := decodeMessages(frame); err != nil {
			b.Fatal(err)
		}
	}
}

// From NotifyMsg to Receive: copy, decode, limits, queue, delegate.
func BenchmarkAccept(b *testing.B) {
	done := make(chan struct{}, 1<<16)
	a := open(b, "a", func(o *Options) {
		o.PeerMessagesPerSecond, o.PeerBytesPerSecond = 1<<20, 1<<30
		o.Delegate = sink(done)
	})
	frame := appendMessages(nil, "b", random(120))
	b.ReportAllocs()
	for b.Loop() {
		a.inbox.accept(frame)
		<-done
		a.inbox.peers.Purge() // or the limit on one peer stops the benchmark
	}
}

type sink chan struct{}

func (s sink) Receive(string, []byte)  { s <- struct{}{} }
func (s sink) LocalState(bool) []byte  { return nil }
func (s sink) MergeState([]byte, bool) {}
func (s sink) MembersChanged()         {}

// From Spread to the wire: rows of 120 bytes to three peers (loopback), one operation is one row to
// all of them. Compression and encryption are as in production.
func BenchmarkSpread(b *testing.B) {
	for _, keys := range [][][]byte{nil, {testKey}} {
		b.Run(fmt.Sprintf("keys=%d", len(keys)), func(b *testing.B) {
			nodes := swarm(b, 4, func(o *Options) {
				o.Keys, o.BytesPerSecond, o.Waves = keys, 1<<30, 1
				o.PeerMessagesPerSecond, o.PeerBytesPerSecond = 1<<20, 1<<30
			})
			a := nodes[0]
			rows := make([][]byte, 1000)
			names := make([]string, len(rows))
			for i := range rows {
				rows[i], names[i] = random(120), fmt.Sprint("row", i)
			}
			before := a.Stats().Sent
			i := 0
			for b.Loop() {
				for i%100 == 0 && waiting(a) > 500 {
					time.Sleep(100 * time.Microsecond)
				}
				a.Spread(names[i%len(rows)], 1, rows[i%len(rows)])
				i++
			}
			for waiting(a) > 0 {
				time.Sleep(100 * time.Microsecond)
			}
			after := a.Stats().Sent
			b.ReportMetric(float64(after.Bytes-before.Bytes)/float64(i)/3, "wire-B/row/peer")
			b.ReportMetric(float64(after.Messages-before.Messages)/float64(after.Packets-before.Packets+1), "rows/packet")
		})
	}
}

func waiting(n *testNode) int {
	n.outbox.mu.Lock()
	defer n.outbox.mu.Unlock()
	return len(n.outbox.order)
}

// What one packet of incompressible rows costs the sender, for the choice in DESIGN.md.
func BenchmarkPacket(b *testing.B) {
	for _, compress := range []bool{true, false} {
		b.Run(fmt.Sprintf("compression=%v", compress), func(b *testing.B) {
			a := open(b, "a", encrypted)
			a.net.conf.EnableCompression = compress
			sock, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
			if err != nil {
				b.Fatal(err)
			}
			defer sock.Close()
			to := sock.LocalAddr().(*net.UDPAddr)
			node := &memberlist.Node{Name: "sink", Addr: to.IP.To4(), Port: uint16(to.Port), PMax: 5}
			frame := appendMessages(nil, "a", benchPayloads()...)
			b.ReportAllocs()
			for b.Loop() {
				if err := a.memberlist().SendBestEffort(node, frame); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

func BenchmarkMembers(b *testing.B) {
	a := open(b, "a")
	b.ReportAllocs()
	for b.Loop() {
		_ = a.Members()
	}
}

// Real pools with the timers of production in one process: how long until all have heard of one
// item, and what an idle node sends. One operation is one item to all.
func BenchmarkSwarm(b *testing.B) {
	for _, n := range []int{10, 50} {
		b.Run(fmt.Sprintf("nodes=%d", n), func(b *testing.B) {
			heard := make(chan string, 1<<16)
			var nodes []*testNode
			for i := range n {
				node := &relayer{self: i, heard: heard, seen: make(map[string]bool)}
				t := open(b, fmt.Sprint("n", i), encrypted, func(o *Options) {
					o.Delegate, o.Tuning, o.BytesPerSecond = node, &Tuning{JoinJitter: time.Millisecond, JoinAgain: time.Hour}, 1<<20
					if i > 0 {
						o.Join = []string{nodes[0].Addr()}
					}
				})
				node.pool.Store(t.Pool)
				nodes = append(nodes, t)
			}
			allAlive(b, nodes...)
			sent := func() (total uint64) {
				for _, node := range nodes {
					total += node.Stats().Sent.Bytes
				}
				return total
			}
			const idle = 5 * time.Second
			before := sent()
			time.Sleep(idle)
			resting := float64(sent()-before) / idle.Seconds() / float64(n)

			lost, before, i := 0, sent(), 0
			for b.Loop() {
				item := fmt.Sprintf("%d %d %s", i%n, i, strings.Repeat("x", 110))
				nodes[i%n].Spread(fmt.Sprint(i), 1, []byte(item))
				give := time.After(time.Second)
				for got := 1; got < n; {
					select {
					case it := <-heard:
						if it == item {
							got++
						}
					case <-give:
						lost += n - got
						got = n
					}
				}
				i++
			}
			b.ReportMetric(float64(sent()-before)/float64(i*n), "B/node/item")
			b.ReportMetric(resting, "idle-B/node/s")
			b.ReportMetric(100*float64(lost)/float64(i*n), "%lost")
		})
	}
}

// relayer passes on what it has not heard before, as a node does.
type relayer struct {
	sink
	pool  atomic.Pointer[Pool]
	self  int
	heard chan string
	seen  map[string]bool // used by the one goroutine that calls Receive
}

func (r *relayer) Receive(from string, payload []byte) {
	p, item := r.pool.Load(), string(payload)
	if p == nil || r.seen[item] || strings.HasPrefix(item, fmt.Sprint(r.self, " ")) {
		return
	}
	r.seen[item] = true
	p.Relay(from, item, 1, payload)
	r.heard <- item
}
