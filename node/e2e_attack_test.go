//go:build unix

package node_test

import (
	"crypto/ed25519"
	"encoding/binary"
	"fmt"
	"math"
	"net"
	"os"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/rs/zerolog"

	"github.com/swarmpurse/swarmpurse/gossip"
	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/seal"
)

// Kinds of messages, as node/sealed.go has them: they are on the wire, so they do not change.
const (
	kindLetter = 64
	kindRows   = 65
)

// mallory is a member of the pool with a key of its own, that says what it likes.
type mallory struct {
	t      *testing.T
	pool   *gossip.Pool
	signer *seal.Signer
	dir    uint64
}

type deaf struct{}

func (deaf) Receive(string, []byte)  {}
func (deaf) LocalState(bool) []byte  { return nil }
func (deaf) MergeState([]byte, bool) {}
func (deaf) MembersChanged()         {}
func key(seed string) ed25519.PrivateKey {
	b := make([]byte, ed25519.SeedSize)
	copy(b, seed)
	return ed25519.NewKeyFromSeed(b)
}

func (s *swarm) mallory(t *testing.T) *mallory {
	t.Helper()
	m := &mallory{t: t, dir: 77}
	m.signer = seal.NewSigner("mallory", m.dir, key("mallory"), 1)
	var err error
	m.pool, err = gossip.Open(t.Context(), gossip.Options{
		Name: "mallory", Bind: "127.0.0.1:0", Cluster: "e2e", Join: []string{s.nodes[0].set.Gossip}, Delegate: deaf{}, Tuning: &quick, Logger: zerolog.Nop(),
		Tags: map[string]string{"gen": "4d", "dir": "4d", "key": seal.Tag(m.signer.Pin().Key)},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = m.pool.Close() })
	for _, p := range s.nodes {
		p.attacked = true
		eventually(t, func() error {
			ms, err := p.Members(t.Context())
			for _, x := range ms {
				if x.Name == "mallory" && x.Status == "alive" {
					return nil
				}
			}
			return fmt.Errorf("%s does not see mallory: %v", p.set.Name, err)
		})
		eventually(t, func() error {
			if len(m.pool.Alive()) < len(s.nodes) {
				return fmt.Errorf("mallory sees %v", m.pool.Alive())
			}
			return nil
		})
	}
	return m
}

func (m *mallory) send(to *proc, payload []byte) {
	m.t.Helper()
	if err := m.pool.Send(to.set.Name, payload); err != nil {
		m.t.Fatal(err)
	}
}

func (m *mallory) letter(to *proc, payloads ...[]byte) []byte {
	return append([]byte{kindLetter}, m.signer.Letter(to.set.Name, false, payloads...)...)
}

// spoof sends a packet in another node's name, from a socket of its own.
func spoof(t *testing.T, to *proc, name string, payloads ...[]byte) {
	t.Helper()
	c, err := net.Dial("udp", to.set.Gossip)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	if _, err := c.Write(frame(name, payloads...)); err != nil {
		t.Fatal(err)
	}
}

// frame is a packet of payloads as package gossip makes it, with the label of these tests and no encryption.
func frame(name string, payloads ...[]byte) []byte {
	b := append([]byte("\xf4\x03e2e\x08\xd1\x01\x92"), 0xa0|byte(len(name)))
	b = append(append(b, name...), 0x90|byte(len(payloads)))
	for _, p := range payloads {
		b = append(binary.BigEndian.AppendUint16(append(b, 0xc5), uint16(len(p))), p...)
	}
	return b
}

func (p *proc) refused(reason string) float64 {
	return p.metric(`swarmpurse_peer_refused_total{reason="` + reason + `"}`)
}

// refuses does something until the node has counted one more of the reason.
func (p *proc) refuses(reason string, attack func()) {
	p.t.Helper()
	before := p.refused(reason)
	eventually(p.t, func() error {
		attack()
		time.Sleep(20 * time.Millisecond)
		if p.refused(reason) <= before {
			return fmt.Errorf("%s has refused nothing as %s:\n%s", p.set.Name, reason, p.log.last(5))
		}
		return nil
	})
}

func generation(t *testing.T, p *proc) uint64 {
	t.Helper()
	ms, err := p.Members(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range ms {
		if m.Self {
			g, err := strconv.ParseUint(m.Generation, 16, 64)
			if err != nil {
				t.Fatal(err)
			}
			return g
		}
	}
	t.Fatal("a node does not list itself")
	return 0
}

// A member of the pool says what it likes, in its own name and in others'. Each lie is refused and counted under its reason, the
// member is named, no token moves, and the swarm goes on.
func TestMemberThatLies(t *testing.T) {
	t.Parallel()
	s := newSwarm(t, 2, computePolicy(1, "{grant: 1000000}"))
	n1, n2 := s.nodes[0], s.nodes[1]
	for _, p := range s.nodes {
		p.settle(p.admit(1000).ID)
	}
	var before api.Instance
	eventually(t, func() error { // both have spent as much: they agree also where neither has heard of the other's
		if before, _ = s.totals("pot", "pot"); before.Swarm.Spent != 2000 {
			return fmt.Errorf("%+v", before.Swarm)
		}
		return nil
	})
	m := s.mallory(t)
	gen1 := generation(t, n1)
	h1 := ledger.Holder{Node: "n1", Gen: gen1}
	theirs := ledger.Holder{Node: "mallory", Gen: m.dir}
	const pot = "pot@0123456789ab"
	rich := ledger.Row{Holder: h1, Instance: pot, Version: 1 << 40, Shares: 1e9, Issued: 1e6, Surplus: 1e6}

	forged := append([]byte{kindRows}, m.signer.Rows(&rich).Append(nil, nil)...)
	n2.refuses("forged", func() { m.send(n2, forged) })
	n2.refuses("unsigned", func() { m.send(n2, m.letter(n2, ledger.Encode([]ledger.Row{rich}))) })
	n2.refuses("unsigned", func() { spoof(t, n2, "n1", ledger.Encode(&ledger.Ack{From: h1, To: h1, Instance: pot})) })
	liar := seal.NewSigner("n1", gen1, key("mallory"), math.MaxInt64)
	n2.refuses("wrong_key", func() {
		spoof(t, n2, "n1", append([]byte{kindLetter}, liar.Letter("n2", true, ledger.Encode(&ledger.Ack{From: h1, To: h1, Instance: pot}))...))
	})
	n2.refuses("wrong_key", func() { spoof(t, n2, "n1", append([]byte{kindLetter}, liar.Letter("n2", false, []byte{1})...)) })
	gift := &ledger.Transfer{From: h1, To: ledger.Holder{Node: "n2", Gen: generation(t, n2)}, Instance: pot, SharesOut: 5e8, Out: 1e6}
	n2.refuses("not_theirs", func() { m.send(n2, m.letter(n2, ledger.Encode(gift))) })
	gift.From = ledger.Holder{Node: "mallory", Gen: 1} // of a generation that its directory does not cover
	n2.refuses("not_theirs", func() { m.send(n2, m.letter(n2, ledger.Encode(gift))) })
	gift.From, gift.Out, gift.SharesOut = theirs, 0, 0
	transfer := m.letter(n2, ledger.Encode(gift))
	n2.refuses("replayed", func() { m.send(n2, transfer) })
	n2.refuses("forged", func() { // one that another node was sent
		m.send(n2, m.letter(n1, ledger.Encode(gift)))
	})
	// A peer that says it knows later rows of a node than that has written does not fence it.
	n1.refuses("unproved", func() {
		m.send(n1, m.letter(n1, ledger.Encode(&ledger.Digest{From: theirs, Holders: []ledger.HolderDigest{{Holder: h1, Rows: 1, Highest: 1 << 60}}})))
	})
	n2.refuses("malformed", func() { m.send(n2, m.letter(n2, m.letter(n2))) })

	// Two rows of one version: both nodes hear of it, whoever saw them.
	for i, p := range s.nodes {
		row := ledger.Row{Holder: theirs, Instance: pot, Version: 9, Spent: ledger.Tokens(i)}
		for _, q := range []*proc{p, n1} {
			m.send(q, append([]byte{kindRows}, m.signer.Rows(&row).Append(nil, nil)...))
		}
	}
	for _, p := range s.nodes {
		eventually(t, func() error {
			ms, err := p.Members(t.Context())
			for _, x := range ms {
				if x.Name == "mallory" && x.TwoRows && p.metric("swarmpurse_peer_keys_fenced") == 1 {
					return nil
				}
			}
			return fmt.Errorf("%s has not heard that mallory wrote two rows of one version: %v", p.set.Name, err)
		})
		p.refuses("convicted", func() { m.send(p, m.letter(p, []byte{1})) })
	}
	if ms, err := n2.Members(t.Context()); err != nil || !strings.Contains(fmt.Sprint(ms), "mallory") {
		t.Errorf("%v %v", ms, err)
	} else {
		for _, x := range ms {
			if x.Name == "mallory" && (x.Refused < 5 || x.RefusedWhy == "") {
				t.Errorf("members says of mallory that %d messages were refused, %q", x.Refused, x.RefusedWhy)
			}
		}
	}

	// All is as it was, and goes on.
	after, _ := s.totals("pot", "pot")
	if total(before) != total(after) {
		t.Errorf("before the lies %+v, after them %+v", total(before), total(after))
	}
	n2.settle(n2.admit(1000).ID)
	eventually(t, func() error {
		if in, err := n1.instanceOf("pot", "pot"); err != nil || in.Swarm.Spent != before.Swarm.Spent+1000 {
			return fmt.Errorf("n1 knows of %d tokens spent, before it were %d (%v)", in.Swarm.Spent, before.Swarm.Spent, err)
		}
		return nil
	})
	if log := n2.log.String(); !strings.Contains(log, `"reason":"forged"`) || !strings.Contains(log, "somebody speaks in its name") {
		t.Errorf("the log does not say it:\n%s", n2.log.last(20))
	}
}

// A peer that sends as much as it can, in its own name and in another's, is heard up to a bound; who is named is heard all the time.
func TestFloodOfAPeer(t *testing.T) {
	t.Parallel()
	s := newSwarm(t, 2, computePolicy(1, "{grant: 1000000}"))
	n1, n2 := s.nodes[0], s.nodes[1]
	m := s.mallory(t)
	stop, done := make(chan struct{}), make(chan struct{})
	go func() {
		defer close(done)
		c, err := net.Dial("udp", n2.set.Gossip)
		if err != nil {
			t.Error(err)
			return
		}
		defer c.Close()
		bad := append([]byte{kindLetter}, seal.NewSigner("n1", 1, key("mallory"), 1).Letter("n2", false, []byte{1})...)
		own := m.letter(n2, []byte{1})
		for i := 0; ; i++ {
			select {
			case <-stop:
				return
			default:
			}
			_, _ = c.Write(frame("n1", bad, bad, bad))
			_, _ = c.Write(frame("mallory", own))
			if i%8 == 0 {
				time.Sleep(time.Millisecond) // some 10,000 packets a second: five times what is taken, and the machine is not all ours
			}
		}
	}()
	// A busy machine takes less than the bound: then each packet is refused by itself. The bound alone is gossip's to test, with a lower one.
	away := func() (unheard, refused float64) {
		return n2.metric(`swarmpurse_gossip_dropped_total{reason="address_rate"}`), n2.refused("wrong_key")
	}
	eventually(t, func() error {
		if unheard, refused := away(); unheard+refused < 4000 || refused == 0 {
			return fmt.Errorf("%v packets of the flood were not taken, and %v letters refused", unheard, refused)
		}
		return nil
	})
	for range 3 { // both ways, while it goes on
		n1.settle(n1.admit(1000).ID)
		n2.settle(n2.admit(1000).ID)
	}
	took := eventually(t, func() error {
		for _, p := range s.nodes {
			if in, err := p.instanceOf("pot", "pot"); err != nil || in.Swarm.Spent != 6000 {
				return fmt.Errorf("%s knows of %d tokens spent, not 6000 (%v)", p.set.Name, in.Swarm.Spent, err)
			}
		}
		return nil
	})
	unheard, refused := away()
	t.Logf("both know what was spent %v after the last call, in a flood of which %.0f packets were not taken and %.0f letters refused", took.Round(time.Millisecond), unheard, refused)
	s.totals("pot", "pot")
	close(stop)
	<-done
}

// Two processes on copies of one directory: it is noticed, said, and both are fenced.
func TestClonedDirectory(t *testing.T) {
	for name, running := range map[string]bool{"of one at rest, started twice": false, "of one that runs": true} {
		t.Run(name, func(t *testing.T) { t.Parallel(); clonedDirectory(t, running) })
	}
}

func clonedDirectory(t *testing.T, running bool) {
	s := newSwarm(t, 3, computePolicy(1, "{grant: 900000}"))
	n1, n3 := s.nodes[0], s.nodes[2]
	for _, p := range s.nodes {
		p.settle(p.admit(1000).ID)
		p.attacked = true // it is accused, and rightly so
	}
	s.totals("pot", "pot")
	if running {
		n3.signal(syscall.SIGSTOP)
	} else {
		n3.kill()
	}
	twin := n3.set
	twin.Data = t.TempDir()
	if err := os.CopyFS(twin.Data, os.DirFS(n3.set.Data)); err != nil {
		t.Fatal(err)
	}
	if running {
		n3.signal(syscall.SIGCONT)
	} else {
		n3.restart()
	}
	s.ready()
	twin.Gossip, twin.HTTP = "127.0.0.1:0", "127.0.0.1:0"
	began := time.Now()
	clone, err := launch(t, twin)
	if err != nil {
		t.Fatal(err)
	}
	clone.attacked = true
	fenced := func(p *proc) bool {
		_, body := p.raw("GET", "/readyz", "")
		return strings.Contains(body, "fenced: two processes ran on copies of this node's data directory") && strings.Contains(body, "start one with an empty data directory")
	}
	eventually(t, func() error {
		// What the copy is asked for it must never admit: whatever it holds is the other's.
		a, err := clone.Admit(t.Context(), api.AdmitRequest{Tokens: map[string]ledger.Tokens{"compute": 100}, Wait: "0s"})
		if err == nil && a.Admitted() {
			t.Fatalf("the copy admits a call: %+v\n%s", a, clone.log.last(10))
		}
		if !fenced(n3) || !fenced(clone) {
			return fmt.Errorf("fenced: %v and %v", fenced(n3), fenced(clone))
		}
		return nil
	})
	t.Logf("both were fenced %v after the copy began", time.Since(began).Round(time.Millisecond))
	for _, p := range []*proc{n3, clone} {
		if a, err := p.Admit(t.Context(), api.AdmitRequest{Tokens: map[string]ledger.Tokens{"compute": 100}, Wait: "0s"}); err != nil || a.Admitted() {
			t.Errorf("a call at a fenced node: %+v, %v", a, err)
		}
	}
	if n := n1.metric("swarmpurse_peer_keys_fenced"); n != 1 {
		t.Errorf("%v keys are fenced at n1:\n%s", n, n1.log.last(10))
	}
	if !strings.Contains(n1.log.String(), "two run on copies of it") {
		t.Errorf("n1 does not say it:\n%s", n1.log.last(10))
	}
	// The way out: one process, with an empty directory.
	clone.kill()
	n3.kill()
	if err := os.RemoveAll(n3.set.Data); err != nil {
		t.Fatal(err)
	}
	n3.restart()
	s.ready()
	if a, err := n3.Admit(t.Context(), api.AdmitRequest{Tokens: map[string]ledger.Tokens{"compute": 1000}, Wait: "5s"}); err != nil || !a.Admitted() {
		t.Errorf("a new generation gets rights from its peers: %+v %v", a, err)
	}
}
