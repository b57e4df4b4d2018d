package gossip

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

// patience is how long a test waits for what must come; it asserts no time, only that it comes.
const patience = 30 * time.Second

// quick makes failure and repair take about a second.
var quick = &Tuning{
	ProbeInterval: 200 * time.Millisecond, ProbeTimeout: 100 * time.Millisecond, GossipInterval: 50 * time.Millisecond,
	PushPullInterval: 2 * time.Second, ReconnectInterval: 300 * time.Millisecond, SuspicionMult: 3,
	LeaveDelay: 100 * time.Millisecond, JoinJitter: time.Millisecond, JoinAgain: 100 * time.Millisecond, RejoinInterval: time.Second,
	LeaveTakes: time.Second,
}

// recorder is a delegate that remembers. With relay set it passes on what is new to it, as a node does.
type recorder struct {
	mu      sync.Mutex
	got     []string // "from: payload", in order of arrival
	seen    map[string]bool
	states  []string // merged, "join: state"
	state   string
	changes int
	onMsg   func(from string, payload []byte)
}

func (r *recorder) Receive(from string, payload []byte) {
	r.mu.Lock()
	s := string(payload)
	r.got = append(r.got, from+": "+s)
	if r.seen == nil {
		r.seen = make(map[string]bool)
	}
	r.seen[s] = true
	on := r.onMsg
	r.mu.Unlock()
	if on != nil {
		on(from, payload)
	}
}

func (r *recorder) LocalState(join bool) []byte {
	r.mu.Lock()
	defer r.mu.Unlock()
	return []byte(r.state)
}

func (r *recorder) MergeState(state []byte, join bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.states = append(r.states, fmt.Sprintf("%v: %s", join, state))
}

func (r *recorder) MembersChanged() {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changes++
}

func (r *recorder) push(state string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.state = state
}

func (r *recorder) has(payload string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.seen[payload]
}

func (r *recorder) messages() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Clone(r.got)
}

func (r *recorder) merged(state string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.ContainsFunc(r.states, func(s string) bool { return strings.HasSuffix(s, ": "+state) })
}

// testNode is a pool with its recorder and its log.
type testNode struct {
	*Pool
	rec *recorder
	log *syncBuffer
}

type syncBuffer struct {
	mu sync.Mutex
	b  bytes.Buffer
}

func (s *syncBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.b.Len() < 1<<20 {
		s.b.Write(p)
	}
	return len(p), nil
}

func (s *syncBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}

func baseOptions(name string, d Delegate, w io.Writer) Options {
	return Options{
		Name: name, Bind: "127.0.0.1:0", Cluster: "test", Tuning: quick, Delegate: d,
		Logger: zerolog.New(w).Level(zerolog.InfoLevel),
	}
}

// open starts a pool and closes it with the test.
func open(t testing.TB, name string, change ...func(*Options)) *testNode {
	t.Helper()
	n := &testNode{rec: &recorder{}, log: &syncBuffer{}}
	o := baseOptions(name, n.rec, n.log)
	for _, c := range change {
		c(&o)
	}
	p, err := Open(context.Background(), o)
	if err != nil {
		t.Fatalf("open %s: %v", name, err)
	}
	n.Pool = p
	t.Cleanup(func() {
		if err := p.Close(); err != nil {
			t.Errorf("close %s: %v", name, err)
		}
		if t.Failed() {
			t.Logf("log of %s:\n%s", name, n.log)
		}
	})
	return n
}

func joining(seeds ...*testNode) func(*Options) {
	return func(o *Options) {
		for _, s := range seeds {
			o.Join = append(o.Join, s.Addr())
		}
	}
}

// swarm opens n nodes, n0 to n(n-1), and waits until all see all.
func swarm(t testing.TB, n int, change ...func(*Options)) []*testNode {
	t.Helper()
	nodes := []*testNode{open(t, "n0", change...)}
	for i := 1; i < n; i++ {
		nodes = append(nodes, open(t, fmt.Sprintf("n%d", i), append(slices.Clone(change), joining(nodes[0]))...))
	}
	allAlive(t, nodes...)
	return nodes
}

func allAlive(t testing.TB, nodes ...*testNode) {
	t.Helper()
	for _, n := range nodes {
		eventually(t, func() error {
			if got := len(n.Alive()); got != len(nodes)-1 {
				return fmt.Errorf("%s sees %d others alive, want %d: %v", n.opts.Name, got, len(nodes)-1, n.Members())
			}
			return nil
		})
	}
}

func eventually(t testing.TB, check func() error) {
	t.Helper()
	deadline := time.Now().Add(patience)
	for {
		err := check()
		if err == nil {
			return
		}
		if time.Now().After(deadline) {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func sees(n *testNode, name string, want Status) error {
	for _, m := range n.Members() {
		if m.Name == name {
			if m.Status == want {
				return nil
			}
			return fmt.Errorf("%s sees %s %v, want %v", n.opts.Name, name, m.Status, want)
		}
	}
	return fmt.Errorf("%s does not know %s", n.opts.Name, name)
}

func want(ok bool, format string, args ...any) error {
	if ok {
		return nil
	}
	return fmt.Errorf(format, args...)
}
