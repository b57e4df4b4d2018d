package gossip

import (
	"fmt"
	"net"
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
