package api_test

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"

	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/api/apitest"
)

// blockingNode holds every Admit until it is let go or the caller hangs up.
type blockingNode struct {
	*apitest.Node
	entered chan struct{}
	release chan struct{}
	gone    chan error
}

func newBlockingNode() *blockingNode {
	return &blockingNode{apitest.New(1000), make(chan struct{}, 16), make(chan struct{}), make(chan error, 16)}
}

func (n *blockingNode) Admit(ctx context.Context, r *admit.Request) (admit.Answer, error) {
	n.entered <- struct{}{}
	select {
	case <-n.release:
		return n.Node.Admit(ctx, r)
	case <-ctx.Done():
		n.gone <- ctx.Err()
		return admit.Answer{}, ctx.Err()
	}
}

// serve runs Serve and gives a client for it; the channel brings what Serve returned.
func serve(t *testing.T, ctx context.Context, o api.Options, addr string) (*api.Client, net.Listener, chan error) {
	t.Helper()
	s, err := api.New(o)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := api.Listen(addr, api.TLSFiles{})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx, ln) }()
	url := addr
	if ln.Addr().Network() == "tcp" {
		url = ln.Addr().String()
	}
	c, err := api.NewClient(url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(c.Close)
	return c, ln, done
}

func TestServeEndsGracefully(t *testing.T) {
	node := newBlockingNode()
	running, stop := context.WithCancel(t.Context())
	c, ln, done := serve(t, running, api.Options{Node: node}, "127.0.0.1:0")
	answer := make(chan error, 1)
	go func() {
		a, err := c.Admit(t.Context(), api.AdmitRequest{})
		if err == nil && !a.Admitted() {
			err = fmt.Errorf("answer %+v", a)
		}
		answer <- err
	}()
	<-node.entered
	stop()
	// New connections end as soon as the listener is closed, while the call in flight goes on.
	waitFor(t, func() bool {
		conn, err := net.Dial("tcp", ln.Addr().String())
		if err == nil {
			conn.Close()
		}
		return err != nil
	})
	close(node.release)
	if err := <-answer; err != nil {
		t.Errorf("the call in flight: %v", err)
	}
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

func TestServeCutsOffWhatDoesNotEnd(t *testing.T) {
	node := newBlockingNode()
	running, stop := context.WithCancel(t.Context())
	c, _, done := serve(t, running, api.Options{Node: node, Grace: time.Millisecond}, "127.0.0.1:0")
	answer := make(chan error, 1)
	go func() {
		_, err := c.Admit(t.Context(), api.AdmitRequest{})
		answer <- err
	}()
	<-node.entered
	stop()
	var unreachable *api.UnreachableError
	if err := <-answer; !errors.As(err, &unreachable) {
		t.Errorf("the call in flight: %v", err)
	}
	if err := <-node.gone; !errors.Is(err, context.Canceled) {
		t.Errorf("the node's context: %v", err)
	}
	if err := <-done; err != nil {
		t.Errorf("Serve: %v", err)
	}
}

// TestHangUp: a caller that goes away while it is queued frees its place.
func TestHangUp(t *testing.T) {
	node := newBlockingNode()
	_, c := start(t, api.Options{Node: node})
	calling, hangUp := context.WithCancel(t.Context())
	answer := make(chan error, 1)
	go func() {
		_, err := c.Admit(calling, api.AdmitRequest{})
		answer <- err
	}()
	<-node.entered
	hangUp()
	if err := <-node.gone; !errors.Is(err, context.Canceled) {
		t.Errorf("the node's context: %v", err)
	}
	if err := <-answer; !errors.Is(err, context.Canceled) {
		t.Errorf("the client: %v", err)
	}
}

func TestPanicsAreAnswered(t *testing.T) {
	reg := prometheus.NewRegistry()
	proxy := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if strings.HasSuffix(r.URL.Path, "/late") {
			_, _ = io.WriteString(w, "half of an answ")
			w.(http.Flusher).Flush()
		}
		panic("a planted bug")
	})
	var log safeBuffer
	ts, _ := start(t, api.Options{Proxy: proxy, Registerer: reg, Logger: zerolog.New(&log)})
	resp, body := send(t, ts, "POST", "/openai/early", "{}")
	if resp.StatusCode != 500 || !strings.Contains(body, `"internal_error"`) || strings.Contains(body, "planted") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	late, err := ts.Client().Post(ts.URL+"/openai/late", "application/json", nil)
	if err == nil {
		_, err = io.ReadAll(late.Body)
		late.Body.Close()
	}
	if err == nil {
		t.Error("half an answer looked whole")
	}
	if err := testutil.GatherAndCompare(reg, strings.NewReader(`
# HELP swarmpurse_http_panics_total HTTP handlers that panicked; each is a bug.
# TYPE swarmpurse_http_panics_total counter
swarmpurse_http_panics_total 2
`), "swarmpurse_http_panics_total"); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "a planted bug") {
		t.Errorf("log: %s", log.String())
	}
}

type failingNode struct{ *apitest.Node }

func (failingNode) Admit(context.Context, *admit.Request) (admit.Answer, error) {
	return admit.Answer{}, errors.New("disk /secret/path is full")
}

func TestInnerErrorsStayInTheLog(t *testing.T) {
	var log safeBuffer
	ts, _ := start(t, api.Options{Node: failingNode{apitest.New(1)}, Logger: zerolog.New(&log)})
	resp, body := send(t, ts, "POST", "/v1/admit", `{"tenant":"prompt text"}`)
	if resp.StatusCode != 500 || strings.Contains(body, "secret") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	if got := log.String(); !strings.Contains(got, "disk /secret/path is full") || strings.Contains(got, "prompt text") {
		t.Errorf("log: %s", got)
	}
}

func TestSlowBody(t *testing.T) {
	node := apitest.New(1000)
	ts, _ := start(t, api.Options{Node: node, BodyTimeout: time.Millisecond})
	conn, err := net.Dial("tcp", ts.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	fmt.Fprint(conn, "POST /v1/admit HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 100\r\n\r\n{\"ten")
	resp, err := http.ReadResponse(bufio.NewReader(conn), nil)
	if err != nil {
		t.Fatal(err)
	}
	body, _ := io.ReadAll(resp.Body)
	resp.Body.Close()
	if resp.StatusCode != 408 || !strings.Contains(string(body), "body_too_slow") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
}

// TestBodyInPieces: a body that trickles in leaves no deadline behind on its connection.
func TestBodyInPieces(t *testing.T) {
	ts, _ := start(t, api.Options{})
	conn, err := net.Dial("tcp", ts.Listener.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	r := bufio.NewReader(conn)
	for range 2 {
		fmt.Fprint(conn, "POST /v1/admit HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n")
		for _, piece := range []string{`{"prompt`, `_tokens":`, `7}`} {
			fmt.Fprintf(conn, "%x\r\n%s\r\n", len(piece), piece)
		}
		fmt.Fprint(conn, "0\r\n\r\n")
		resp, err := http.ReadResponse(r, nil)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 200 || !strings.Contains(string(body), `"reserved":{"pot":7}`) {
			t.Errorf("%d %s", resp.StatusCode, body)
		}
	}
}

func TestListen(t *testing.T) {
	dir := t.TempDir()
	busy, err := api.Listen("127.0.0.1:0", api.TLSFiles{})
	if err != nil {
		t.Fatal(err)
	}
	defer busy.Close()
	file := filepath.Join(dir, "file")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct{ name, addr, msg string }{
		{"port in use", busy.Addr().String(), "is in use by another process"},
		{"every interface", "0.0.0.0:0", "refusing to listen on every interface"},
		{"every interface, short", ":0", "refusing to listen on every interface"},
		{"another interface", "192.0.2.1:7070", "refusing to listen on 192.0.2.1"},
		{"no port", "127.0.0.1", "missing port"},
		{"no such port", "127.0.0.1:http-please", "unknown port"},
		{"a file is no socket", "unix:" + file, "is no socket"},
		{"no directory", "unix:" + filepath.Join(dir, "none", "sock"), "no such file"},
		{"no path", "unix:", "0 bytes: it must have 1 to 107"},
		{"long path", "unix:" + strings.Repeat("x", 108), "108 bytes"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ln, err := api.Listen(tt.addr, api.TLSFiles{})
			if err == nil {
				ln.Close()
				t.Fatal("no error")
			}
			var hint interface{ Hint() string }
			if !strings.Contains(err.Error(), tt.msg) || !strings.HasPrefix(err.Error(), "--http "+tt.addr) || !errors.As(err, &hint) || hint.Hint() == "" {
				t.Errorf("%v", err)
			}
		})
	}
	if _, err := os.Stat(file); err != nil {
		t.Errorf("a file that is no socket was removed: %v", err)
	}
}

func TestServeRefusesOtherThanLoopback(t *testing.T) {
	s, err := api.New(api.Options{Node: apitest.New(1)})
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	if err := s.Serve(t.Context(), ln); err == nil || !strings.Contains(err.Error(), "refusing") {
		t.Errorf("%v", err)
	}
}

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "sock")
	running, stop := context.WithCancel(t.Context())
	c, _, done := serve(t, running, api.Options{Node: apitest.New(1000)}, "unix:"+path)
	if a, err := c.Admit(ctx(t), api.AdmitRequest{PromptTokens: 5}); err != nil || !a.Admitted() {
		t.Fatalf("%+v, %v", a, err)
	}
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if ln, err := api.Listen("unix:"+path, api.TLSFiles{}); err == nil {
		ln.Close()
		t.Error("a socket in use was taken over")
	} else if !strings.Contains(err.Error(), "in use") {
		t.Error(err)
	}
	stop()
	if err := <-done; err != nil {
		t.Error(err)
	}
	// A killed process leaves its file behind.
	stale, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	stale.SetUnlinkOnClose(false)
	stale.Close()
	ln, err := api.Listen("unix:"+path, api.TLSFiles{})
	if err != nil {
		t.Fatalf("a stale socket was not removed: %v", err)
	}
	ln.Close()
}

func waitFor(t *testing.T, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(time.Minute)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatal("waited for a minute")
		}
		time.Sleep(time.Millisecond)
	}
}

type safeBuffer struct {
	mu sync.Mutex // guards b
	b  strings.Builder
}

func (s *safeBuffer) Write(p []byte) (int, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.Write(p)
}

func (s *safeBuffer) String() string {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.b.String()
}
