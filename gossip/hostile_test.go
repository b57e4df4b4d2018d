package gossip

import (
	"bytes"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"

	"github.com/hashicorp/memberlist"
	"github.com/rs/zerolog"
)

var (
	randomMu sync.Mutex
	chance   = rand.NewChaCha8([32]byte{1, 2, 3}) // the same bytes every run
)

func random(n int) []byte {
	b := make([]byte, n)
	randomMu.Lock()
	defer randomMu.Unlock()
	_, _ = chance.Read(b)
	return b
}

// Random bytes on UDP and TCP are dropped and counted, and the node stays well.
func TestRandomBytes(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		what    string
		change  func(*Options)
		reasons []string
	}{
		{"plain", func(*Options) {}, []string{"foreign_label", "garbage"}},
		{"encrypted", encrypted, []string{"foreign_label", "foreign_key"}},
	} {
		t.Run(tc.what, func(t *testing.T) {
			t.Parallel()
			nodes := swarm(t, 2, tc.change)
			victim := nodes[0]
			udp, err := net.Dial("udp", victim.Addr())
			if err != nil {
				t.Fatal(err)
			}
			defer udp.Close()
			label := []byte("\xf4\x04test")
			ours := append(bytes.Clone(label), 8, kindMessages, wireVersion)
			for i := range 300 {
				b := random(1 + i*4%1400)
				switch i % 4 {
				case 1:
					b = append(bytes.Clone(label), b...) // past the label
				case 2:
					b = append(bytes.Clone(ours), b...) // without encryption, up to our decoder
				}
				if _, err := udp.Write(b); err != nil {
					t.Fatal(err)
				}
				if i%10 == 0 {
					tcp, err := net.Dial("tcp", victim.Addr())
					if err != nil {
						t.Fatal(err)
					}
					_, _ = tcp.Write(b)
					_ = tcp.Close()
				}
			}
			for _, reason := range tc.reasons {
				eventually(t, func() error {
					return want(victim.Stats().Dropped[reason] > 10, "%s: dropped %v", reason, victim.Stats().Dropped)
				})
			}
			if tc.what == "plain" {
				eventually(t, func() error {
					return want(victim.Stats().Dropped["malformed"] > 10, "dropped %v", victim.Stats().Dropped)
				})
			}
			if err := nodes[1].Send("n0", []byte("are you well?")); err != nil {
				t.Fatal(err)
			}
			eventually(t, func() error { return want(victim.rec.has("are you well?"), "the node is deaf") })
			if len(victim.Members()) != 2 || len(victim.rec.messages()) != 1 {
				t.Errorf("members %v, messages %v", victim.Members(), victim.rec.messages())
			}
			// What arrived is not in the log a hundred times.
			if n := strings.Count(victim.log.String(), "\n"); n > 40 {
				t.Errorf("%d log lines from one flood", n)
			}
		})
	}
}

func TestLimitsOnOnePeer(t *testing.T) {
	t.Parallel()
	a := open(t, "a", func(o *Options) { o.PeerMessagesPerSecond, o.PeerBytesPerSecond = 1, 1 })
	frame := appendMessages(nil, "noisy", []byte("x"))
	for range 2 * maxBatch {
		a.inbox.accept(frame)
	}
	if n := a.Stats().Dropped["peer_message_rate"]; n == 0 {
		t.Errorf("dropped %v", a.Stats().Dropped)
	}
	big := appendMessages(nil, "big", random(MaxPayload/2))
	for range 4 {
		a.inbox.accept(big)
	}
	if n := a.Stats().Dropped["peer_byte_rate"]; n == 0 {
		t.Errorf("dropped %v", a.Stats().Dropped)
	}
	a.inbox.accept(appendMessages(nil, "calm", []byte("still heard")))
	eventually(t, func() error { return want(a.rec.has("still heard"), "one noisy peer silences the others") })
	for range 2 * limitedPeers {
		limitOf(a.inbox.peers, string(random(8)), 1, 1)
	}
	if n := a.inbox.peers.Len(); n > limitedPeers {
		t.Errorf("%d peers remembered", n)
	}
}

// An address that sends more packets than any node does is not listened to beyond that, whatever names stand in them; the node
// that is named is heard.
func TestFloodFromAnAddress(t *testing.T) {
	t.Parallel()
	nodes := swarm(t, 2, func(o *Options) { o.PeerMessagesPerSecond = 200 })
	victim := nodes[0]
	udp, err := net.Dial("udp", victim.Addr())
	if err != nil {
		t.Fatal(err)
	}
	defer udp.Close()
	packet := append([]byte("\xf4\x04test\x08"), appendMessages(nil, "n1", []byte("I am n1"))...)
	eventually(t, func() error {
		for range 100 {
			if _, err := udp.Write(packet); err != nil {
				t.Fatal(err)
			}
		}
		return want(victim.Stats().Dropped["address_rate"] > 1000, "dropped %v", victim.Stats().Dropped)
	})
	eventually(t, func() error { // the flood may still fill the socket, so that what comes is lost
		if err := nodes[1].Send("n0", []byte("I am, too")); err != nil {
			t.Fatal(err)
		}
		return want(victim.rec.has("I am, too"), "dropped %v", victim.Stats().Dropped)
	})
	if d := victim.Stats().Dropped; d["peer_message_rate"] > 0 {
		t.Errorf("dropped %v: the name's allowance was used up", d)
	}
}

func TestFramesThatAreNotForUs(t *testing.T) {
	t.Parallel()
	a := open(t, "a")
	a.inbox.accept(appendMessages(nil, "a", []byte("x")))
	a.inbox.accept([]byte{kindMax, 1})
	a.inbox.accept([]byte{kindMessages, wireVersion + 1})
	a.inbox.accept([]byte{kindMessages})
	a.inbox.accept(make([]byte, 0))
	a.net.mux.MergeRemoteState(appendState(a.net.mux.serf.LocalState(false), "a", []byte("own")), false)
	d := a.Stats().Dropped
	if d["own_name"] != 2 || d["unknown_kind"] != 1 || d["newer_version"] != 1 || d["malformed"] != 2 || len(a.rec.messages()) != 0 {
		t.Errorf("dropped %v, got %v", d, a.rec.messages())
	}
}

// A delegate that hangs costs messages, not memory, and does not stop the pool.
func TestSlowDelegate(t *testing.T) {
	t.Parallel()
	release := make(chan struct{})
	a := open(t, "a", func(o *Options) {
		o.PeerMessagesPerSecond = 1 << 20
		o.Delegate.(*recorder).onMsg = func(string, []byte) { <-release }
	})
	frame := appendMessages(nil, "b", []byte("x"))
	for range inboxFrames + 100 {
		a.inbox.accept(frame)
	}
	s := a.Stats()
	if s.Dropped["inbox_full"] < 90 || s.Inbox > inboxFrames {
		t.Errorf("dropped %v, queued %d", s.Dropped, s.Inbox)
	}
	big := appendMessages(nil, "c", random(MaxPayload))
	close(release)
	eventually(t, func() error { return want(len(a.inbox.queue) == 0, "%d queued", len(a.inbox.queue)) })
	a.inbox.accept(big)
	eventually(t, func() error { return want(a.inbox.bytes.Load() == 0, "%d bytes booked", a.inbox.bytes.Load()) })
}

// A packet that holds what PacketRoom promises is exactly as large on the wire as all paths carry.
func TestPacketRoom(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		name, cluster string
		keys          [][]byte
	}{
		{"a", "", nil},
		{"a", "production-eu", nil},
		{strings.Repeat("long", 20), "production-eu", [][]byte{testKey}},
	} {
		a := open(t, tc.name, func(o *Options) { o.Cluster, o.Keys = tc.cluster, tc.keys })
		sock, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
		if err != nil {
			t.Fatal(err)
		}
		defer sock.Close()
		to := sock.LocalAddr().(*net.UDPAddr)
		frame := appendMessages(nil, tc.name, random(a.PacketRoom()))
		node := &memberlist.Node{Name: "sink", Addr: to.IP.To4(), Port: uint16(to.Port), PMax: 5}
		if err := a.memberlist().SendBestEffort(node, frame); err != nil {
			t.Fatal(err)
		}
		buf := make([]byte, 4096)
		n, err := sock.Read(buf)
		if err != nil {
			t.Fatal(err)
		}
		// frameSize leaves 2 bytes for a longer count of payloads, PacketRoom 1 for a longer length.
		if n > wirePacket || n < wirePacket-3 {
			t.Errorf("name %d, label %d, keys %d: %d bytes on the wire, want %d", len(tc.name), len(tc.cluster), len(tc.keys), n, wirePacket)
		}
	}
}

func TestLogLines(t *testing.T) {
	for _, tc := range []struct {
		line, component, msg string
		level                zerolog.Level
	}{
		{"[DEBUG] memberlist: Stream connection from=x\n", "memberlist", "Stream connection from=x", zerolog.DebugLevel},
		{"[INFO] serf: EventMemberJoin: n1 127.0.0.1", "serf", "EventMemberJoin: n1 127.0.0.1", zerolog.InfoLevel},
		{"[WARN] memberlist: Refuting a suspect message", "memberlist", "Refuting a suspect message", zerolog.WarnLevel},
		{"[ERR] Failed to shutdown transport: x", "gossip", "Failed to shutdown transport: x", zerolog.ErrorLevel},
		{"[ERROR] memberlist: x", "memberlist", "x", zerolog.ErrorLevel},
		{"Err: Could not set the deadline: x", "gossip", "Could not set the deadline: x", zerolog.ErrorLevel},
		{"no level", "gossip", "no level", zerolog.InfoLevel},
		{"", "gossip", "", zerolog.InfoLevel},
	} {
		level, component, msg := parseLine(tc.line)
		if level != tc.level || component != tc.component || msg != tc.msg {
			t.Errorf("%q: %v %q %q", tc.line, level, component, msg)
		}
	}
	a := open(t, "a")
	l := newLines(a.Pool)
	for range 50 {
		_, _ = l.Write([]byte("[ERR] memberlist: Decrypt packet failed: x from=y"))
	}
	l.quiet[dropKey] = l.quiet[dropKey].Add(-quietFor)
	_, _ = l.Write([]byte("[ERR] memberlist: Decrypt packet failed: x from=z"))
	if n := a.Stats().Dropped["foreign_key"]; n != 51 {
		t.Errorf("counted %d", n)
	}
	text := a.log.String()
	if n := strings.Count(text, "Decrypt packet failed"); n != 2 || !strings.Contains(text, `"not_shown":49`) || strings.Contains(text, `"level":"error"`) {
		t.Errorf("%d lines in\n%s", n, text)
	}
}
