package gossip

import (
	"fmt"
	"net"
	"testing"
)

func TestHostNames(t *testing.T) {
	t.Parallel()
	a := open(t, "a", func(o *Options) { o.Bind = "localhost:0" })
	_, port, err := net.SplitHostPort(a.Addr())
	if err != nil {
		t.Fatal(err)
	}
	b := open(t, "b", func(o *Options) {
		o.Join = []string{"localhost:" + port}
		o.Advertise = "localhost:0" // the port is the bound one
	})
	allAlive(t, a, b)
	if !b.livesAt("localhost:"+port) || a.isSelf(b.Addr()) || !a.isSelf("localhost:"+port) {
		t.Errorf("host names are not seen through: a at %s, b at %s", a.Addr(), b.Addr())
	}
}

func TestStateTooLarge(t *testing.T) {
	t.Parallel()
	a := open(t, "a")
	plain := len(a.net.mux.LocalState(false))
	a.rec.push(string(make([]byte, MaxState+1)))
	if n := len(a.net.mux.LocalState(false)); n > 2*plain || a.Stats().Dropped["state_too_large"] != 1 {
		t.Errorf("pushes %d bytes, dropped %v", n, a.Stats().Dropped)
	}
}

// A stream to a peer that is gone, but not yet seen to be: counted, and what else waits for it goes too.
func TestStreamToNobody(t *testing.T) {
	t.Parallel()
	nodes := swarm(t, 2)
	if err := nodes[1].Close(); err != nil {
		t.Fatal(err)
	}
	for range 5 { // may be refused already, if the failure is seen by now: counted likewise
		_ = nodes[0].Send("n1", random(10_000))
	}
	eventually(t, func() error {
		s := nodes[0].Stats()
		return want(s.Dropped["peer_unreachable"] == 5 && s.SendQueue == 0, "dropped %v, queued %d", s.Dropped, s.SendQueue)
	})
}

func TestStreamsUnderFaults(t *testing.T) {
	ip := func(s string) net.Addr { return &net.TCPAddr{IP: net.ParseIP(s), Port: 40000} }
	v := &view{byName: make(map[string]int), byIP: map[string][]string{"10.0.0.1": {"a"}, "10.0.0.2": {"b", "c"}}}
	for i, name := range []string{"a", "b", "c"} {
		v.byName[name] = i
		v.members = append(v.members, Member{Name: name, Addr: fmt.Sprintf("10.0.0.%d:7946", 1+(i+1)/2)})
	}
	for _, tc := range []struct {
		drop []string
		from string
		cut  bool
	}{
		{nil, "10.0.0.1", false},
		{[]string{"a"}, "10.0.0.1", true},
		{[]string{"10.0.0.1:7946"}, "10.0.0.1", true},
		{[]string{"b"}, "10.0.0.2", false}, // it may be c
		{[]string{"b", "c"}, "10.0.0.2", true},
		{[]string{"a"}, "10.0.0.9", false}, // nobody that we know
		{[]string{"*"}, "10.0.0.9", true},
	} {
		p := bare()
		p.opts.Faults, p.net = true, &transport{}
		if err := p.SetFaults(Faults{Drop: tc.drop}); err != nil {
			t.Fatal(err)
		}
		if got := p.net.faults.cutsStream(v, ip(tc.from)); got != tc.cut {
			t.Errorf("drop %v, stream from %s: cut %v", tc.drop, tc.from, got)
		}
	}
}
