package client

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/swarmpurse/swarmpurse/node/frame"
)

// peer is a node that says what a test has it say.
type peer struct {
	t    *testing.T
	ln   net.Listener
	addr string
}

func newPeer(t *testing.T) *peer {
	path := filepath.Join(t.TempDir(), "s.sock")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = ln.Close() })
	return &peer{t, ln, "unix:" + path}
}

// accept takes a connection and its hello, and answers that.
func (p *peer) accept(answer []byte) *inbox {
	conn, err := p.ln.Accept()
	if err != nil {
		return nil
	}
	p.t.Cleanup(func() { _ = conn.Close() })
	in := &inbox{conn: conn}
	if f, err := in.next(); err != nil || f.Kind != frame.KindHello {
		p.t.Errorf("%+v, %v", f, err)
	}
	_, _ = conn.Write(answer)
	return in
}

func (in *inbox) want(t *testing.T, k frame.Kind) frame.Frame {
	t.Helper()
	f, err := in.next()
	if err != nil || f.Kind != k {
		t.Errorf("kind %d, %v; want %d", f.Kind, err, k)
	}
	return f
}

var welcome = frame.AppendWelcome(nil, frame.Welcome{Version: frame.Version, Node: "n", Window: 10})

func (p *peer) client(o Options) *Client {
	c, err := New(p.addr, o)
	if err != nil {
		p.t.Fatal(err)
	}
	p.t.Cleanup(c.Close)
	return c
}

// TestLateAnswer: a call that is admitted although nobody waits for it any more is given back; one with a key is not, since who asks again gets it.
func TestLateAnswer(t *testing.T) {
	p := newPeer(t)
	c := p.client(Options{Retries: -1})
	var in *inbox
	for _, key := range []string{"k", ""} {
		ctx, cancel := context.WithCancel(t.Context())
		gone := make(chan error, 1)
		go func() {
			_, err := c.Admit(ctx, Call{Tenant: "a", IdempotencyKey: key})
			gone <- err
		}()
		if in == nil {
			in = p.accept(welcome)
		}
		f := in.want(t, frame.KindAdmit)
		id := f.ID
		cancel()
		if err := <-gone; !errors.Is(err, context.Canceled) {
			t.Errorf("%v", err)
		}
		if f := in.want(t, frame.KindCancel); f.ID != id {
			t.Errorf("%d is taken back, not %d", f.ID, id)
		}
		_, _ = in.conn.Write(frame.AppendAnswer(nil, id, &frame.Answer{ID: "n-1", Decision: Admit}))
		if key == "" {
			f := in.want(t, frame.KindRelease)
			if l, err := frame.ReadRelease(f.Body); err != nil || l.ID != "n-1" {
				t.Errorf("%+v, %v", l, err)
			}
			_, _ = in.conn.Write(frame.AppendReceipt(nil, f.ID, &frame.Receipt{ID: "n-1"}))
		}
	}
	// Its connection serves on.
	go func() {
		f := in.want(t, frame.KindSettle)
		_, _ = in.conn.Write(frame.AppendReceipt(nil, f.ID, &frame.Receipt{ID: "n-2"}))
	}()
	if r, err := c.Settle(t.Context(), Settlement{ID: "n-2"}); err != nil || r.ID != "n-2" {
		t.Errorf("%+v, %v", r, err)
	}
}

// TestRetries: what is asked again, and what is not.
func TestRetries(t *testing.T) {
	settle := func(c *Client, ctx context.Context) error {
		_, err := c.Settle(ctx, Settlement{ID: "n-1"})
		return err
	}
	admit := func(key string) func(*Client, context.Context) error {
		return func(c *Client, ctx context.Context) error {
			_, err := c.Admit(ctx, Call{Tenant: "a", IdempotencyKey: key})
			return err
		}
	}
	busy := func(id uint64) []byte {
		return frame.AppendError(nil, id, &Error{Status: 503, Code: "not_ready", Message: "busy", RetryAfter: time.Millisecond})
	}
	wrong := func(id uint64) []byte { return frame.AppendError(nil, id, &Error{Status: 400, Message: "wrong"}) }
	breaks := func(uint64) []byte { return nil }
	for _, tt := range []struct {
		name   string
		ask    func(*Client, context.Context) error
		answer func(id uint64) []byte // nil: the connection breaks
		tries  int
	}{
		{"a settlement when the connection breaks", settle, breaks, 3},
		{"a call when the connection breaks", admit(""), breaks, 1},
		{"a call with a key when the connection breaks", admit("k"), breaks, 3},
		{"a call when the node is busy", admit(""), busy, 3},
		{"a call that is wrong", admit(""), wrong, 1},
	} {
		t.Run(tt.name, func(t *testing.T) {
			p := newPeer(t)
			tried := make(chan struct{}, 10)
			go func() {
				for {
					in := p.accept(welcome)
					if in == nil {
						return
					}
					for {
						f, err := in.next()
						if err != nil {
							break
						}
						tried <- struct{}{}
						b := tt.answer(f.ID)
						if b == nil {
							_ = in.conn.Close()
							break
						}
						_, _ = in.conn.Write(b)
					}
				}
			}()
			if err := tt.ask(p.client(Options{}), t.Context()); err == nil || len(tried) != tt.tries {
				t.Errorf("%d tries, %v", len(tried), err)
			}
		})
	}
	t.Run("no time is left", func(t *testing.T) {
		p := newPeer(t)
		go func() {
			in := p.accept(welcome)
			f := in.want(t, frame.KindSettle)
			_, _ = in.conn.Write(frame.AppendError(nil, f.ID, &Error{Status: 503, Code: "not_ready", Message: "busy", RetryAfter: time.Hour}))
		}()
		ctx, cancel := context.WithTimeout(t.Context(), maxPause-time.Millisecond) // less than it would pause
		defer cancel()
		begin := time.Now()
		if _, err := p.client(Options{}).Settle(ctx, Settlement{ID: "x"}); !errors.Is(err, ErrNotReady) {
			t.Errorf("%v, after %v", err, time.Since(begin))
		}
	})
}

// TestDial: what a client says of a place where no node of its kind is.
func TestDial(t *testing.T) {
	for _, tt := range []struct {
		name   string
		answer []byte
		want   string
	}{
		{"nothing is said", nil, "EOF"},
		{"HTTP", []byte("HTTP/1.1 400 Bad Request\r\n\r\n"), "http+unix:"},
		{"a refusal", frame.AppendError(nil, 0, &Error{Status: 401, Message: "no such key"}), "no such key"},
		{"another version", frame.AppendWelcome(nil, frame.Welcome{Version: 9, Node: "n", Window: 1}), "no swarmpurse node"},
		{"something else", frame.Append(nil, frame.KindBye, 0), "no swarmpurse node"},
	} {
		p := newPeer(t)
		go func() {
			if in := p.accept(tt.answer); in != nil {
				_ = in.conn.Close()
			}
		}()
		if _, err := p.client(Options{Retries: -1}).Admit(t.Context(), Call{}); err == nil || !strings.Contains(err.Error(), tt.want) {
			t.Errorf("%s: %v", tt.name, err)
		}
	}
	silent := newPeer(t) // it never answers
	ctx, cancel := context.WithTimeout(t.Context(), 20*time.Millisecond)
	defer cancel()
	if _, err := silent.client(Options{}).Admit(ctx, Call{}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("silence: %v", err)
	}
	c := silent.client(Options{})
	c.Close()
	c.Close()
	if _, err := c.Admit(t.Context(), Call{}); !errors.Is(err, errClosed) {
		t.Errorf("after Close: %v", err)
	}
	for _, addr := range []string{"unix:", "ftp://x", "http://", "localhost:7070", "http://a/?b=c"} {
		if _, err := New(addr, Options{}); err == nil {
			t.Errorf("%q is an address", addr)
		}
	}
	if _, err := New("http://10.0.0.1:7070", Options{Key: "sp_a"}); err == nil {
		t.Error("a key goes out in clear")
	}
}

// TestHTTPErrors: over HTTP a key's limit is an error and a refusal an answer, though they have one status; and what is no node is told so.
func TestHTTPErrors(t *testing.T) {
	status, body := 0, ""
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Authorization") != "Bearer sp_a" || r.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%v", r.Header)
		}
		w.Header().Set("Retry-After-Ms", "1500")
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}))
	defer s.Close()
	c, err := New(s.URL, Options{Key: "sp_a", Retries: -1})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	ask := func(st int, b string) (Answer, error) {
		status, body = st, b
		return c.Admit(t.Context(), Call{})
	}
	if a, err := ask(429, `{"decision":"defer","reserved":{},"retry_after_ms":20}`); err != nil || a.Decision != Defer || a.RetryAfter != 20*time.Millisecond {
		t.Errorf("%+v, %v", a, err)
	}
	var e *Error
	if _, err := ask(429, `{"error":{"message":"m","code":"rate_limit_exceeded","param":null}}`); !errors.Is(err, ErrLimit) || !errors.As(err, &e) || e.RetryAfter != 1500*time.Millisecond {
		t.Errorf("%v", err)
	}
	for _, b := range []string{"", "{}", "<html>"} {
		if _, err := ask(200, b); !errors.Is(err, errNotOurs) {
			t.Errorf("%q: %v", b, err)
		}
	}
	if _, err := ask(502, "<html>"); !errors.Is(err, errNotOurs) {
		t.Errorf("%v", err)
	}
}

// TestSeats: no more requests are on their way than the node takes, whoever waits for room gets it or leaves, and everybody gets his own answer, in
// whatever order they come.
func TestSeats(t *testing.T) {
	const window, callers, each = 10, 40, 50
	p := newPeer(t)
	c := p.client(Options{Retries: -1})
	done := make(chan struct{})
	go func() {
		defer close(done)
		in := p.accept(welcome)
		if in == nil {
			return
		}
		chance := rand.New(rand.NewPCG(1, 2))
		held := map[uint64]string{} // requests that are not answered yet
		for {
			f, err := in.next()
			if err != nil {
				return
			}
			if f.Kind == frame.KindSettle {
				s, _, err := frame.ReadSettlement(f.Body, nil)
				if _, twice := held[f.ID]; twice || err != nil {
					t.Errorf("id %d twice: %v, %v", f.ID, twice, err)
				}
				held[f.ID] = s.ID
			}
			if len(held) > window {
				t.Errorf("%d are on their way", len(held))
			}
			for id, name := range held { // in no order
				if len(held) == window || chance.IntN(3) == 0 {
					_, _ = in.conn.Write(frame.AppendReceipt(nil, id, &frame.Receipt{ID: name}))
					delete(held, id)
				}
			}
			if len(held) == 0 {
				continue
			}
			// Others may all wait for these: what is held is answered when nothing more comes at once.
			if len(in.buf) == in.at {
				for id, name := range held {
					_, _ = in.conn.Write(frame.AppendReceipt(nil, id, &frame.Receipt{ID: name}))
					delete(held, id)
				}
			}
		}
	}()
	if _, err := c.Settle(t.Context(), Settlement{ID: "n-0"}); err != nil { // whoever leaves while he connects takes the connection with him
		t.Fatal(err)
	}
	var all sync.WaitGroup
	var left, answered atomic.Int64
	for i := range callers {
		all.Go(func() {
			for n := range each {
				ctx, cancel := context.WithCancel(t.Context())
				if (i+n)%3 == 0 {
					go cancel()
				}
				id := fmt.Sprintf("n-%d-%d", i, n)
				switch r, err := c.Settle(ctx, Settlement{ID: id}); {
				case errors.Is(err, context.Canceled):
					left.Add(1)
				case err != nil || r.ID != id:
					t.Errorf("%q, %v; want %q", r.ID, err, id)
				default:
					answered.Add(1)
				}
				cancel()
			}
		})
	}
	all.Wait()
	pipe := c.framed.places[0].now.Load()
	if pipe.mu.Lock(); pipe.hungry != 0 {
		t.Errorf("%d wait for room", pipe.hungry)
	}
	pipe.mu.Unlock()
	if answered.Load() < callers*each/2 {
		t.Errorf("%d were answered, %d left", answered.Load(), left.Load())
	}
	c.Close()
	<-done
}

// TestAlone: who is alone reads his answer himself, unless he goes before; a node that has gone meanwhile is dialled again, as nothing was sent.
func TestAlone(t *testing.T) {
	p := newPeer(t)
	c := p.client(Options{Retries: -1})
	conns := make(chan *inbox, 3)
	go func() {
		for {
			in := p.accept(welcome)
			if in == nil {
				return
			}
			conns <- in
			late := uint64(0) // it is answered with the next one
			for {
				f, err := in.next()
				if err != nil {
					break
				}
				if f.Kind == frame.KindSettle {
					s, _, _ := frame.ReadSettlement(f.Body, nil)
					if s.ID == "late" {
						late = f.ID
						continue
					}
					if late != 0 {
						_, _ = in.conn.Write(frame.AppendReceipt(nil, late, &frame.Receipt{ID: "late"}))
						late = 0
					}
					_, _ = in.conn.Write(frame.AppendReceipt(nil, f.ID, &frame.Receipt{ID: s.ID}))
				}
			}
		}
	}()
	settle := func(ctx context.Context, id string) error {
		r, err := c.Settle(ctx, Settlement{ID: id})
		if err == nil && r.ID != id {
			err = fmt.Errorf("%q is answered with %q", id, r.ID)
		}
		return err
	}
	led := func() bool {
		pipe := c.framed.places[0].now.Load()
		pipe.mu.Lock()
		defer pipe.mu.Unlock()
		return !pipe.reading
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	for n := 0; n == 0 || !led(); n++ { // the reader stands back after some
		if err := settle(ctx, fmt.Sprint("n-", n)); err != nil {
			t.Fatal(err)
		}
	}
	if err := settle(ctx, "n-alone"); err != nil || !led() {
		t.Errorf("%v; the caller has read himself: %v", err, led())
	}
	// Whoever goes leaves the reading to the reader, and the connection as it was.
	short, stop := context.WithTimeout(ctx, time.Millisecond)
	defer stop()
	if err := settle(short, "late"); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("%v", err)
	}
	for n := 0; n == 0 || !led(); n++ {
		if err := settle(ctx, fmt.Sprint("m-", n)); err != nil {
			t.Fatal(err)
		}
	}
	// Nobody reads now, but for a second at the most: then the reader hears that the node is about to end.
	first := <-conns
	_, _ = first.conn.Write(frame.Append(nil, frame.KindBye, 0))
	select {
	case <-c.framed.places[0].now.Load().ended:
	case <-time.After(20 * time.Second):
		t.Fatal("nobody has heard that the node is about to end")
	}
	for n := 0; n == 0 || !led(); n++ {
		if err := settle(ctx, fmt.Sprint("o-", n)); err != nil {
			t.Fatal(err)
		}
	}
	// With nobody who reads, that the node has gone shows when something is written.
	second := <-conns
	_ = second.conn.Close()
	if err := settle(ctx, "n-new"); err != nil {
		t.Errorf("%v", err)
	}
	select {
	case <-conns:
	default:
		t.Error("the node was not dialled again")
	}
}
