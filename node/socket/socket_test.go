package socket

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/frame"
)

// slow is a node that admits calls without a run at once, others when they are let go, and "panic" never.
type slow struct {
	mu       sync.Mutex
	waiting  int
	released []string
	let      chan struct{}
}

func (n *slow) Glance(*admit.Request) admit.Glance { return admit.Glance{} }

func (n *slow) TryAdmit(r *admit.Request) (admit.Answer, bool, error) {
	if r.Run == "panic" {
		panic("on purpose")
	}
	if r.Run != "" {
		return admit.Answer{}, false, nil
	}
	return admit.Answer{ID: "n-1", Verdict: admit.Admit, Reason: strings.Repeat("x", len(r.Model)*100), Code: "ok"}, true, nil
}

func (n *slow) Admit(ctx context.Context, r *admit.Request) (admit.Answer, error) {
	n.count(1)
	defer n.count(-1)
	select {
	case <-n.let:
		return admit.Answer{ID: "n-2", Verdict: admit.Admit, Code: "ok"}, nil
	case <-ctx.Done():
		if r.Run == "late" { // it was decided just before
			return admit.Answer{ID: "n-late", Verdict: admit.Admit, Code: "ok"}, nil
		}
		return admit.Answer{}, ctx.Err()
	}
}

func (n *slow) count(by int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.waiting += by
}

func (n *slow) waits() int {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.waiting
}

func (n *slow) Settle(id string, s admit.Settlement) (admit.Receipt, error) {
	return admit.Receipt{ID: id}, nil
}
func (n *slow) Release(id string) (admit.Receipt, error) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.released = append(n.released, id)
	return admit.Receipt{ID: id}, nil
}
func (n *slow) TenantOf(string) (string, error)              { return "", nil }
func (n *slow) Score(string, float64) (float64, bool, error) { return 0, false, nil }
func (n *slow) Pace(context.Context, string, int64) bool     { return false }
func (n *slow) Feedback(string, admit.Upstream) error        { return nil }
func (n *slow) Retry(string, admit.Failed) (admit.Next, bool, error) {
	return admit.Next{}, false, nil
}

// bed is a door before a slow node.
type bed struct {
	t    *testing.T
	node *slow
	s    *Server
	addr string
	stop func() error // ends the door
}

func newBed(t *testing.T, o Options) *bed {
	b := &bed{t: t, node: &slow{let: make(chan struct{})}, addr: filepath.Join(t.TempDir(), "s.sock")}
	o.Node, o.Name, o.Registerer = b.node, "n", prometheus.NewPedanticRegistry()
	var err error
	if b.s, err = New(o); err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("unix", b.addr)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- b.s.Serve(ctx, ln) }()
	b.stop = sync.OnceValue(func() error { cancel(); return <-ended })
	t.Cleanup(func() {
		if err := b.stop(); err != nil {
			t.Error(err)
		}
		if n := b.s.metrics.open.Load(); n != 0 || b.node.waits() != 0 {
			t.Errorf("%d connections and %d calls are left", n, b.node.waits())
		}
	})
	return b
}

// raw is a caller that may do anything.
type raw struct {
	net.Conn
	t  *testing.T
	in *bufio.Reader
}

func (b *bed) dial(hello bool) *raw {
	b.t.Helper()
	conn, err := net.Dial("unix", b.addr)
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = conn.Close() })
	r := &raw{conn, b.t, bufio.NewReader(conn)}
	if hello && !r.hello() {
		b.t.Fatal("he is not welcome")
	}
	return r
}

// hello reports whether he is welcome.
func (r *raw) hello() bool {
	_, err := r.Write(frame.AppendHello(nil, frame.Hello{Least: 1, Most: 1}))
	f, ok := r.next()
	return err == nil && ok && f.Kind == frame.KindWelcome
}

func (r *raw) send(b []byte) {
	r.t.Helper()
	if _, err := r.Write(b); err != nil {
		r.t.Fatal(err)
	}
}

// next reads a frame; false: the connection has ended.
func (r *raw) next() (frame.Frame, bool) {
	r.t.Helper()
	var b []byte
	for {
		f, took, err := frame.Next(b)
		if err != nil {
			r.t.Fatal(err)
		}
		if took > 0 {
			return f, true
		}
		c, err := r.in.ReadByte()
		if err != nil {
			return f, false
		}
		b = append(b, c)
	}
}

func (b *bed) eventually(what string, so func() bool) {
	b.t.Helper()
	for end := time.Now().Add(time.Minute); !so(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			b.t.Fatal(what)
		}
	}
}

// TestCut: whoever does not speak the protocol, or does not do his part in time, is cut, and counted.
func TestCut(t *testing.T) {
	call := frame.AppendCall(nil, 1, &frame.Call{Model: strings.Repeat("m", 200)})
	for _, tt := range []struct {
		name  string
		hello bool
		send  []byte
		again int // how often it is sent; answers are not read
		want  string
		told  string // a part of the error that he is told
	}{
		{"nothing", false, nil, 0, cutHello, ""},
		{"HTTP", false, []byte("GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"), 1, cutHello, ""},
		{"a call before the hello", false, call, 1, cutHello, ""},
		{"half a hello", false, frame.AppendHello(nil, frame.Hello{Least: 1, Most: 1})[:9], 1, cutHello, ""},
		{"a version of tomorrow", false, frame.AppendHello(nil, frame.Hello{Least: 2, Most: 9}), 1, cutVersion, "this node speaks version 1"},
		{"an unknown key", false, frame.AppendHello(nil, frame.Hello{Least: 1, Most: 2, Key: "sp_x"}), 1, cutKey, "no such key"},
		{"a frame too long", true, []byte{0xff, 0, 0, 0}, 1, cutFrame, "frame too long"},
		{"a frame of nothing", true, []byte{0, 0, 0, 0}, 1, cutFrame, "malformed"},
		{"half a frame", true, call[:20], 1, cutSlow, ""},
		{"answers are not read", true, call, 4000, cutAnswer, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// On a busy machine a short time may be over before its turn comes: then it gets a longer one.
			for patience := 100 * time.Millisecond; !cuts(t, patience, tt.hello, tt.send, tt.again, tt.want, tt.told); patience *= 4 {
				if patience > time.Minute {
					t.Fatalf("it is not cut for %s", tt.want)
				}
			}
		})
	}
}

// cuts reports whether a caller who sends that is cut for the reason named.
func cuts(t *testing.T, patience time.Duration, hello bool, send []byte, again int, want, told string) bool {
	b := newBed(t, Options{Time: patience})
	r := b.dial(false)
	if hello && !r.hello() {
		return false
	}
	for range again {
		if _, err := r.Write(send); err != nil {
			break
		}
	}
	count := func(reason string) int { return int(testutil.ToFloat64(b.s.metrics.cut.WithLabelValues(reason))) }
	b.eventually("he is not cut", func() bool {
		sum := 0
		for _, reason := range []string{cutHello, cutVersion, cutKey, cutFrame, cutSlow, cutAnswer, cutEnd} {
			sum += count(reason)
		}
		return sum == 1
	})
	if count(want) != 1 {
		return false
	}
	if told != "" {
		f, ok := r.next()
		if e, err := frame.ReadError(f.Body); !ok || err != nil || f.Kind != frame.KindError || f.ID != 0 || !strings.Contains(e.Message, told) {
			t.Errorf("he is told %+v, %v, want %q", e, err, told)
		}
	}
	if _, err := io.Copy(io.Discard, r.in); err != nil && !errors.Is(err, net.ErrClosed) && !strings.Contains(err.Error(), "reset") {
		t.Error(err)
	}
	return true
}

// TestWrongRequests: what is wrong with a request ends that request, and no more.
func TestWrongRequests(t *testing.T) {
	b := newBed(t, Options{})
	r := b.dial(true)
	body := func(k frame.Kind, id uint64, body ...byte) []byte {
		return frame.End(append(frame.Begin(nil, k, id), body...), 0)
	}
	for _, tt := range []struct {
		name   string
		send   []byte
		status int
	}{
		{"a call without a body", body(frame.KindAdmit, 1), 400},
		{"a list without an end", body(frame.KindSettle, 1, 1, 'a', 0xff, 0xff, 0xff, 0xff, 0x7f), 400},
		{"a settlement of nothing", frame.AppendSettlement(nil, 1, &frame.Settlement{}), 400},
		{"a kind of tomorrow", body(77, 1), 400},
		{"a panic", frame.AppendCall(nil, 1, &frame.Call{Run: "panic"}), 500},
		{"an answer", frame.AppendAnswer(nil, 1, &frame.Answer{}), 400},
	} {
		r.send(append(append(frame.Append(nil, frame.KindCancel, 99), tt.send...), frame.AppendCall(nil, 2, &frame.Call{})...))
		f, ok := r.next()
		e, err := frame.ReadError(f.Body)
		if !ok || f.Kind != frame.KindError || f.ID != 1 || err != nil || e.Status != tt.status || e.Message == "" {
			t.Errorf("%s: %+v, %v", tt.name, e, err)
		}
		if f, ok = r.next(); !ok || f.Kind != frame.KindAnswer || f.ID != 2 {
			t.Errorf("after %s: %+v", tt.name, f)
		}
	}
	if n := testutil.ToFloat64(b.s.metrics.panics); n != 1 {
		t.Errorf("%v panics are counted", n)
	}
}

// TestWindow: calls that wait are bounded for each connection, hold up nobody, and are taken back one by one and with the connection.
func TestWindow(t *testing.T) {
	b := newBed(t, Options{})
	r := b.dial(true)
	var calls []byte
	for id := uint64(1); id <= window+1; id++ {
		calls = append(calls, frame.AppendCall(nil, id, &frame.Call{Run: "wait"})...)
	}
	calls = append(calls, frame.AppendCall(nil, 5, &frame.Call{Run: "wait"})...)
	r.send(append(calls, frame.AppendCall(nil, 9999, &frame.Call{})...))
	for _, want := range []struct {
		id     uint64
		kind   frame.Kind
		status int
	}{{window + 1, frame.KindError, 503}, {5, frame.KindError, 400}, {9999, frame.KindAnswer, 0}} {
		f, ok := r.next()
		e, _ := frame.ReadError(f.Body)
		if !ok || f.ID != want.id || f.Kind != want.kind || want.status > 0 && e.Status != want.status {
			t.Fatalf("%+v %+v, want %+v", f, e, want)
		}
	}
	b.eventually("they do not wait", func() bool { return b.node.waits() == window })
	r.send(frame.Append(nil, frame.KindCancel, 7))
	if f, ok := r.next(); !ok || f.ID != 7 || f.Kind != frame.KindError {
		t.Errorf("taken back: %+v", f)
	}
	b.node.let <- struct{}{}
	if f, ok := r.next(); !ok || f.Kind != frame.KindAnswer {
		t.Errorf("let go: %+v", f)
	}
	b.eventually("two have not ended", func() bool { return b.node.waits() == window-2 })
	r.send(frame.AppendCall(nil, 10000, &frame.Call{Run: "late"}))
	b.eventually("there is no room", func() bool { return b.node.waits() == window-1 })
	_ = r.Close()
	b.eventually("they wait on", func() bool { return b.node.waits() == 0 })
	b.eventually("what was decided for nobody is not given back", func() bool {
		b.node.mu.Lock()
		defer b.node.mu.Unlock()
		return fmt.Sprint(b.node.released) == "[n-late]"
	})
}

// TestEnd: a door that ends says so, and lets what is on its way end.
func TestEnd(t *testing.T) {
	b := newBed(t, Options{Grace: time.Minute})
	r := b.dial(true)
	r.send(frame.AppendCall(nil, 1, &frame.Call{Run: "wait"}))
	b.eventually("it does not wait", func() bool { return b.node.waits() == 1 })
	ended := make(chan error, 1)
	go func() { ended <- b.stop() }()
	if f, ok := r.next(); !ok || f.Kind != frame.KindBye {
		t.Fatalf("%+v", f)
	}
	b.node.let <- struct{}{}
	r.send(frame.AppendSettlement(nil, 2, &frame.Settlement{ID: "n-2"}))
	got := map[uint64]frame.Kind{}
	for range 2 {
		f, _ := r.next()
		got[f.ID] = f.Kind
	}
	if got[1] != frame.KindAnswer || got[2] != frame.KindReceipt {
		t.Errorf("%v", got)
	}
	_ = r.Close()
	if err := <-ended; err != nil {
		t.Error(err)
	}
	if n := testutil.ToFloat64(b.s.metrics.cut.WithLabelValues(cutEnd)); n != 0 {
		t.Errorf("%v connections were cut", n)
	}
}

// TestEndCuts: who stays is cut, and his calls are taken back.
func TestEndCuts(t *testing.T) {
	b := newBed(t, Options{Grace: 10 * time.Millisecond})
	r := b.dial(true)
	r.send(frame.AppendCall(nil, 1, &frame.Call{Run: "wait"}))
	b.eventually("it does not wait", func() bool { return b.node.waits() == 1 })
	if err := b.stop(); err != nil {
		t.Error(err)
	}
	if n := testutil.ToFloat64(b.s.metrics.cut.WithLabelValues(cutEnd)); n != 1 || b.node.waits() != 0 {
		t.Errorf("%v connections were cut, %d calls wait", n, b.node.waits())
	}
}

// TestBatch: many requests that come at once are answered at once, in their order, and each once.
func TestBatch(t *testing.T) {
	b := newBed(t, Options{})
	r := b.dial(true)
	const n = 3000
	var all bytes.Buffer
	for id := uint64(1); id <= n; id++ {
		all.Write(frame.AppendCall(nil, id, &frame.Call{Tenant: "t", Model: strings.Repeat("m", int(id%50))}))
	}
	go func() { _, _ = r.Write(all.Bytes()) }()
	for id := uint64(1); id <= n; id++ {
		var a frame.Answer
		f, ok := r.next()
		if !ok || f.ID != id || f.Kind != frame.KindAnswer || frame.ReadAnswer(f.Body, &a) != nil || len(a.Reason) != 100*int(id%50) {
			t.Fatalf("%d: %+v", id, f.ID)
		}
	}
	if got := testutil.ToFloat64(b.s.metrics.requests[admits][resultOK]); got != n {
		t.Errorf("%v are counted", got)
	}
}

// TestOnlyUnix: there is no TLS and no need of a key, so no other machine may come in.
func TestOnlyUnix(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	s, err := New(Options{Node: &slow{}})
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(t.Context(), ln); err == nil {
		t.Error("it serves TCP")
	}
}
