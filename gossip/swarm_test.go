package gossip

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/hashicorp/memberlist"
	"github.com/hashicorp/serf/serf"
)

var testKey = bytes.Repeat([]byte{7}, 32)

func encrypted(o *Options) { o.Keys = [][]byte{testKey} }

func TestSpreadReachesAll(t *testing.T) {
	t.Parallel()
	nodes := swarm(t, 7, encrypted, func(o *Options) { o.BytesPerSecond = 10 << 20 })
	for i, n := range nodes {
		n.Spread("key", 1, []byte(fmt.Sprintf("news of n%d", i)))
	}
	large := string(random(100_000))
	nodes[3].Spread("large", 1, []byte(large))
	for i, n := range nodes {
		for j := range nodes {
			if i != j {
				news := fmt.Sprintf("news of n%d", j)
				eventually(t, func() error { return want(n.rec.has(news), "n%d has not heard %q", i, news) })
			}
		}
		if i != 3 {
			eventually(t, func() error { return want(n.rec.has(large), "n%d has not got the large item", i) })
		}
	}
}

// With one copy from the origin, the third node hears only if the second relays.
func TestRelayCarriesOn(t *testing.T) {
	t.Parallel()
	nodes := swarm(t, 3, func(o *Options) { o.Fanout, o.Waves = 1, 1 })
	for _, n := range nodes[1:] {
		n.rec.mu.Lock()
		n.rec.onMsg = func(from string, payload []byte) { n.Relay(from, "key", 1, payload) }
		n.rec.mu.Unlock()
	}
	nodes[0].Spread("key", 1, []byte("news"))
	for _, n := range nodes[1:] {
		eventually(t, func() error { return want(n.rec.has("news"), "%s has not heard", n.opts.Name) })
	}
}

func TestStateAtJoin(t *testing.T) {
	t.Parallel()
	a := open(t, "a")
	a.rec.push("state of a")
	b := open(t, "b", func(o *Options) {
		o.Delegate.(*recorder).state = "state of b"
	}, joining(a))
	eventually(t, func() error { return want(b.rec.merged("state of a"), "b merged nothing of a") })
	eventually(t, func() error { return want(a.rec.merged("state of b"), "a merged nothing of b") })
	b.rec.mu.Lock()
	defer b.rec.mu.Unlock()
	if b.rec.states[0] != "true: state of a" {
		t.Errorf("first contact was not marked as join: %q", b.rec.states)
	}
}

func TestSync(t *testing.T) {
	t.Parallel()
	nodes := swarm(t, 2, func(o *Options) {
		still := *quick
		still.PushPullInterval, still.JoinAgain, still.RejoinInterval = time.Hour, time.Hour, time.Hour
		o.Tuning = &still
	})
	nodes[0].rec.push("new in n0")
	nodes[1].rec.push("new in n1")
	if err := nodes[0].Sync("n1"); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { return want(nodes[0].rec.merged("new in n1"), "n0 is not synced") })
	eventually(t, func() error { return want(nodes[1].rec.merged("new in n0"), "n1 is not synced") })
	for _, name := range []string{"nobody", "n0"} {
		if err := nodes[0].Sync(name); !errors.Is(err, ErrUnknownPeer) {
			t.Errorf("Sync(%s): %v", name, err)
		}
	}
}

// A node whose seeds are not there runs alone, says so, and joins when one comes up. Its own address
// among the seeds is no seed.
func TestSeedComesLater(t *testing.T) {
	t.Parallel()
	place := open(t, "place")
	addr := place.Addr()
	if err := place.Close(); err != nil {
		t.Fatal(err)
	}
	self := open(t, "self")
	own := self.Addr()
	if err := self.Close(); err != nil {
		t.Fatal(err)
	}
	b := open(t, "b", func(o *Options) { o.Bind, o.Join = own, []string{own, addr} })
	eventually(t, func() error {
		return want(strings.Contains(b.log.String(), "no seed could be joined"), "b does not say that it is alone")
	})
	a := open(t, "a", func(o *Options) { o.Bind = addr })
	allAlive(t, a, b)
}

func TestNewcomers(t *testing.T) {
	t.Parallel()
	p := bare()
	full := &view{members: make([]Member, maxMembers), byName: map[string]int{"old": 0}}
	for _, tc := range []struct {
		name string
		view *view
		ok   bool
	}{
		{"n1", &view{}, true},
		{"", &view{}, false},
		{strings.Repeat("n", MaxName+1), &view{}, false},
		{"old", full, true},
		{"new", full, false},
	} {
		p.view.Store(tc.view)
		if err := (newcomers{p}).NotifyAlive(&memberlist.Node{Name: tc.name}); (err == nil) != tc.ok {
			t.Errorf("%.20q among %d: %v", tc.name, len(tc.view.members), err)
		}
	}
}

func TestStrangersNeverMerge(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		what   string
		change func(*Options)
		reason string
	}{
		{"another label", func(o *Options) { o.Cluster = "other" }, "foreign_label"},
		{"no label", func(o *Options) { o.Cluster = "" }, "foreign_label"},
		{"another key", func(o *Options) { o.Keys = [][]byte{bytes.Repeat([]byte{8}, 32)} }, "foreign_key"},
		{"no key", func(o *Options) { o.Keys = nil }, "foreign_key"},
	} {
		t.Run(tc.what, func(t *testing.T) {
			t.Parallel()
			a := open(t, "a", encrypted)
			b := open(t, "b", encrypted, tc.change, joining(a))
			a.rec.push("a")
			b.rec.push("b")
			eventually(t, func() error { return want(a.Stats().Dropped[tc.reason] > 0, "a dropped %v", a.Stats().Dropped) })
			eventually(t, func() error {
				return want(strings.Contains(b.log.String(), "no seed could be joined"), "b does not say that it is alone")
			})
			if len(a.Alive())+len(b.Alive()) != 0 || a.rec.merged("b") || b.rec.merged("a") {
				t.Errorf("merged: a sees %v, b sees %v", a.Alive(), b.Alive())
			}
		})
	}
}

func TestRejoinFromSnapshot(t *testing.T) {
	t.Parallel()
	for _, tc := range []struct {
		what string
		stop func(*testNode) error
		bind func(old string) string
	}{
		{"after a crash", func(n *testNode) error { return n.Close() }, func(old string) string { return old }},
		{"after a crash, at another address", func(n *testNode) error { return n.Close() }, func(string) string { return "127.0.0.1:0" }},
		{"after leaving", func(n *testNode) error { return n.Leave(context.Background()) }, func(old string) string { return old }},
	} {
		t.Run(tc.what, func(t *testing.T) {
			t.Parallel()
			snap := filepath.Join(t.TempDir(), "peers")
			a := open(t, "a")
			b := open(t, "b", joining(a), func(o *Options) { o.SnapshotPath = snap })
			allAlive(t, a, b)
			eventually(t, func() error {
				got, err := knownPeers(snap, "b")
				return want(err == nil && slices.Equal(got, []string{a.Addr()}), "snapshot holds %v, %v", got, err)
			})
			addr := b.Addr()
			if err := tc.stop(b); err != nil {
				t.Fatal(err)
			}
			eventually(t, func() error { return want(len(a.Alive()) == 0, "a sees %v", a.Alive()) })
			again := open(t, "b", func(o *Options) { o.SnapshotPath, o.Bind = snap, tc.bind(addr) })
			allAlive(t, a, again)
		})
	}
}

func TestPartitionAndHeal(t *testing.T) {
	t.Parallel()
	nodes := swarm(t, 5, func(o *Options) { o.Faults = true })
	left, right := nodes[:2], nodes[2:]
	names := func(ns []*testNode) (out []string) {
		for _, n := range ns {
			out = append(out, n.opts.Name)
		}
		return out
	}
	cut := func(ns, others []*testNode) {
		for _, n := range ns {
			if err := n.SetFaults(Faults{Drop: names(others)}); err != nil {
				t.Fatal(err)
			}
		}
	}
	cut(left, right)
	cut(right, left)
	for _, side := range [][2][]*testNode{{left, right}, {right, left}} {
		for _, n := range side[0] {
			for _, gone := range side[1] {
				eventually(t, func() error { return sees(n, gone.opts.Name, Failed) })
			}
			for _, there := range side[0] {
				if err := sees(n, there.opts.Name, Alive); err != nil {
					t.Error(err)
				}
			}
		}
	}
	if err := left[0].Send("n3", []byte("across")); err != nil {
		t.Errorf("a packet to a failed peer should be tried: %v", err)
	}
	left[0].Spread("k", 1, []byte("on the left"))
	eventually(t, func() error { return want(left[1].rec.has("on the left"), "the left side does not talk") })
	if s := left[0].Stats(); s.Dropped["fault"] == 0 {
		t.Errorf("dropped %v", s.Dropped)
	}
	for _, n := range nodes {
		if err := n.SetFaults(Faults{}); err != nil {
			t.Fatal(err)
		}
	}
	allAlive(t, nodes...)
	if right[1].rec.has("across") || right[1].rec.has("on the left") {
		t.Error("something crossed the partition")
	}
	if err := left[0].Send("n3", []byte("healed")); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { return want(right[1].rec.has("healed"), "nothing gets through") })
}

func TestDelay(t *testing.T) {
	t.Parallel()
	nodes := swarm(t, 2, func(o *Options) { o.Faults = true })
	const d = 40 * time.Millisecond // below the probe timeout
	if err := nodes[0].SetFaults(Faults{Delay: map[string]time.Duration{"n1": d}}); err != nil {
		t.Fatal(err)
	}
	for _, size := range []int{10, 5000} {
		payload := string(random(size))
		start := time.Now()
		if err := nodes[0].Send("n1", []byte(payload)); err != nil {
			t.Fatal(err)
		}
		eventually(t, func() error { return want(nodes[1].rec.has(payload), "lost") })
		if took := time.Since(start); took < d { // a lower bound holds on any machine
			t.Errorf("%d bytes took %v, held back for %v", size, took, d)
		}
	}
}

func TestFaultsNeedLeave(t *testing.T) {
	t.Parallel()
	a := open(t, "a")
	if err := a.SetFaults(Faults{Drop: []string{"*"}}); err == nil || !strings.Contains(err.Error(), "--faults") {
		t.Errorf("SetFaults without Options.Faults: %v", err)
	}
	b := open(t, "b", func(o *Options) { o.Faults = true })
	for _, f := range []Faults{
		{Drop: []string{""}},
		{Delay: map[string]time.Duration{"a": -1}},
		{Delay: map[string]time.Duration{"a": time.Hour}},
		{Drop: make([]string, maxFaults+1)},
	} {
		if err := b.SetFaults(f); err == nil {
			t.Errorf("took %.60v", f)
		}
	}
}

// A node of plain serf joins us, hears our push/pull state and our messages, and stays well: what
// an upgrade of either library could break.
func TestPlainSerfNode(t *testing.T) {
	t.Parallel()
	nodes := swarm(t, 2)
	nodes[0].rec.push(strings.Repeat("our state ", 1000))

	log := &syncBuffer{}
	conf := serf.DefaultConfig()
	conf.NodeName, conf.LogOutput = "plain", log
	conf.MemberlistConfig = memberlist.DefaultLocalConfig()
	conf.MemberlistConfig.BindAddr, conf.MemberlistConfig.BindPort = "127.0.0.1", 0
	conf.MemberlistConfig.Label, conf.MemberlistConfig.LogOutput = "test", log
	conf.MemberlistConfig.PushPullInterval = 100 * time.Millisecond
	events := make(chan serf.Event, 4096)
	conf.EventCh = events
	plain, err := serf.Create(conf)
	if err != nil {
		t.Fatal(err)
	}
	defer plain.Shutdown()
	if _, err := plain.Join([]string{nodes[0].Addr()}, false); err != nil {
		t.Fatal(err)
	}
	for _, n := range nodes {
		eventually(t, func() error { return sees(n, "plain", Alive) })
	}
	if err := nodes[0].Send("plain", []byte("you will not understand this")); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error {
		return want(strings.Contains(log.String(), "unknown type"), "our message did not arrive as one that serf does not know")
	})
	before := nodes[0].Stats().Received.Streams
	eventually(t, func() error {
		return want(nodes[0].Stats().Received.Streams >= before+5, "no push/pull")
	})
	if err := plain.UserEvent("deploy", []byte("x"), false); err != nil { // serf's own messages pass the mux
		t.Fatal(err)
	}
	for _, n := range nodes {
		eventually(t, func() error {
			return want(n.serf.Stats()["event_time"] != "1", "%s: event clock %s", n.opts.Name, n.serf.Stats()["event_time"])
		})
		if err := sees(n, "plain", Alive); err != nil {
			t.Error(err)
		}
		if s := n.Stats(); s.Dropped["malformed"]+s.Dropped["garbage"] != 0 {
			t.Errorf("%s dropped %v", n.opts.Name, s.Dropped)
		}
	}
	if text := log.String(); strings.Contains(text, "[ERR]") {
		t.Errorf("plain serf complains:\n%s", text)
	}
	if got := plain.NumNodes(); got != 3 {
		t.Errorf("plain serf sees %d nodes", got)
	}
}

func TestTags(t *testing.T) {
	t.Parallel()
	nodes := swarm(t, 2, func(o *Options) { o.Zone, o.Tags = "eu", map[string]string{"http": "127.0.0.1:7070"} })
	tag := func(key, val string) func() error {
		return func() error {
			m := nodes[1].Members()[0]
			return want(m.Zone == "eu" && m.Tags["zone"] == "eu" && m.Tags[key] == val, "n1 sees %+v", m)
		}
	}
	eventually(t, tag("http", "127.0.0.1:7070"))
	if err := nodes[0].SetTags(map[string]string{"generation": "2"}); err != nil {
		t.Fatal(err)
	}
	eventually(t, tag("generation", "2"))
	if err := nodes[0].SetTags(map[string]string{"long": strings.Repeat("x", MaxTags)}); err == nil || !strings.Contains(err.Error(), "at most 480") {
		t.Errorf("too long tags: %v", err)
	}
	eventually(t, tag("generation", "2")) // a refused change changes nothing
}

func TestKeyRotation(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	nodes := swarm(t, 2, encrypted, func(o *Options) { o.KeyringFile = filepath.Join(dir, o.Name) })
	fresh := bytes.Repeat([]byte{9}, 16)
	for _, step := range []struct {
		change KeyChange
		key    []byte
	}{{InstallKey, fresh}, {UseKey, fresh}, {RemoveKey, testKey}} {
		eventually(t, func() error { // a loaded machine may answer too late for serf
			_, err := nodes[0].ChangeKeys(step.change, step.key)
			return err
		})
	}
	for _, name := range []string{"n0", "n1"} {
		keys, err := LoadKeyring(filepath.Join(dir, name))
		if err != nil || len(keys) != 1 || !bytes.Equal(keys[0], fresh) {
			t.Errorf("%s keeps %v, %v", name, keys, err)
		}
	}
	if err := nodes[0].Send("n1", []byte("still here")); err != nil {
		t.Fatal(err)
	}
	eventually(t, func() error { return want(nodes[1].rec.has("still here"), "lost") })

	plain := open(t, "plain")
	if _, err := plain.ChangeKeys(ListKeys, nil); err == nil || !strings.Contains(err.Error(), "--keyring") {
		t.Errorf("keys without encryption: %v", err)
	}
}

func TestDistance(t *testing.T) {
	t.Parallel()
	nodes := swarm(t, 2)
	eventually(t, func() error { return want(nodes[0].Distance("n1") > 0, "no coordinate yet") })
	eventually(t, func() error { return want(nodes[0].Members()[1].RTT > 0, "no round trip in Members") })
	if d := nodes[0].Distance("nobody"); d != 0 {
		t.Errorf("distance to nobody: %v", d)
	}
	if m := nodes[0].Members()[0]; !m.Self || m.RTT != 0 || nodes[0].Distance("n0") != 0 {
		t.Errorf("self: %+v", m)
	}
}

// A member of our own name at another address is told by peers: our last life, which they have not missed yet, or somebody who has our name.
func TestNamesake(t *testing.T) {
	t.Parallel()
	p := bare()
	p.view.Store(&view{members: []Member{{Name: "n1", Addr: "127.0.0.1:7", Self: true}, {Name: "n2", Addr: "127.0.0.1:8"}}, byName: map[string]int{"n1": 0, "n2": 1}})
	for _, tc := range []struct {
		name string
		port uint16
		is   bool
	}{
		{"n1", 7, false},
		{"n2", 9, false},
		{"n3", 9, false},
		{"n1", 9, true},
	} {
		if err := (newcomers{p}).NotifyAlive(&memberlist.Node{Name: tc.name, Addr: net.IPv4(127, 0, 0, 1), Port: tc.port}); err != nil {
			t.Fatal(err)
		}
		if got := !p.Namesake().IsZero(); got != tc.is {
			t.Errorf("after %s at port %d: %v", tc.name, tc.port, got)
		}
	}
}
