package api_test

import (
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	"github.com/swarmpurse/swarmpurse/node/api"
)

func TestNewClientRefuses(t *testing.T) {
	for _, node := range []string{"ftp://h:1", "http://", "://", "http://h:1?x=1", "unix:", "http://h:1#f", "ht tp://x", ":7070"} {
		if _, err := api.NewClient(node); err == nil || !strings.Contains(err.Error(), "node ") {
			t.Errorf("%q: %v", node, err)
		}
	}
	for _, node := range []string{"", "127.0.0.1:7070", "localhost:1", "https://purse.example/prefix/", "unix:/run/x", "unix:///run/x", "[::1]:7070"} {
		if _, err := api.NewClient(node); err != nil {
			t.Errorf("%q: %v", node, err)
		}
	}
}

// TestClientDistrusts: what is no answer of a node is an error that says so, not a zero value.
func TestClientDistrusts(t *testing.T) {
	answers := map[string]http.HandlerFunc{
		"another server":   func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "<html>hello</html>") },
		"no decision":      func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "{}") },
		"a foreign 404":    http.NotFound,
		"a gateway's 502":  func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(502) },
		"an empty refusal": func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(429) },
		"a redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "http://127.0.0.1:1/elsewhere", http.StatusTemporaryRedirect)
		},
		"no end": func(w http.ResponseWriter, r *http.Request) {
			for i := 0; i < 33 && r.Context().Err() == nil; i++ {
				_, _ = w.Write(make([]byte, 1<<20))
			}
		},
	}
	for name, h := range answers {
		t.Run(name, func(t *testing.T) {
			ts := httptest.NewServer(h)
			defer ts.Close()
			c, err := api.NewClient(ts.URL)
			if err != nil {
				t.Fatal(err)
			}
			defer c.Close()
			_, err = c.Admit(ctx(t), api.AdmitRequest{})
			var e *api.Error
			if !errors.As(err, &e) || e.Code != api.ErrCodeNotOurs || e.Hint() == "" || len(e.Message) > 2000 {
				t.Errorf("%v", err)
			}
		})
	}
}

func TestClientUnreachable(t *testing.T) {
	ts := httptest.NewServer(http.NotFoundHandler())
	addr := ts.Listener.Addr().String()
	ts.Close()
	c, err := api.NewClient(addr)
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Status(ctx(t))
	var u *api.UnreachableError
	if !errors.As(err, &u) || u.Node != addr || !strings.Contains(u.Hint(), "swarmpurse node") {
		t.Errorf("%v", err)
	}
	expired, cancel := context.WithTimeout(t.Context(), 0)
	defer cancel()
	if _, err = c.Status(expired); !errors.As(err, &u) || !strings.Contains(u.Hint(), "--timeout") {
		t.Errorf("%v", err)
	}
}

// TestClientAtAnotherSocket: a Unix socket that speaks no HTTP is most likely the node's own for callers in Go.
func TestClientAtAnotherSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s.sock")
	ln, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	go func() {
		for {
			conn, err := ln.Accept()
			if err != nil {
				return
			}
			_, _ = conn.Read(make([]byte, 1<<10))
			_ = conn.Close() // as package socket does with what is no hello
		}
	}()
	c, err := api.NewClient("unix:" + path)
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	var u *api.UnreachableError
	if _, err = c.Status(t.Context()); !errors.As(err, &u) || !strings.Contains(u.Hint(), "--socket") {
		t.Errorf("%v, %v", err, u)
	}
}
