package api_test

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/api/apitest"
	"github.com/swarmpurse/swarmpurse/policy"
)

// everywhere serves on every interface, where callers need keys, and gives the address by loopback.
func everywhere(t *testing.T, o api.Options) (addr string, files api.TLSFiles, ca *x509.CertPool) {
	t.Helper()
	dir := t.TempDir()
	files = api.TLSFiles{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	ca = apitest.WriteCert(t, files, "first")
	s, err := api.New(o)
	if err != nil {
		t.Fatal(err)
	}
	door, err := api.Listen("0.0.0.0:0", files)
	if err != nil {
		t.Fatal(err)
	}
	running, stop := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(running, door) }()
	t.Cleanup(func() {
		stop()
		if err := <-done; err != nil {
			t.Errorf("Serve: %v", err)
		}
	})
	return fmt.Sprintf("127.0.0.1:%d", door.Addr().(*net.TCPAddr).Port), files, ca
}

// On every interface TLS and a key are needed, also by who comes from the machine itself; and a certificate is changed without a restart.
func TestTLS(t *testing.T) {
	reg := prometheus.NewRegistry()
	addr, files, ca := everywhere(t, api.Options{Node: apitest.New(1000), Callers: keys(t, someKeys), Registerer: reg, Grace: time.Second})
	client := func(key string, ca *x509.CertPool) *api.Client {
		c, err := api.NewClientWith("https://"+addr, api.ClientOptions{Key: key, CA: ca})
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(c.Close)
		return c
	}
	var e *api.Error
	if _, err := client("", ca).Budgets(ctx(t)); !errors.As(err, &e) || e.Status != 401 || e.Code != "no_api_key" || e.Hint() == "" {
		t.Errorf("without a key: %v", err)
	}
	mine := client("sp_search", ca)
	if a, err := mine.Admit(ctx(t), api.AdmitRequest{PromptTokens: 5}); err != nil || !a.Admitted() {
		t.Errorf("%+v, %v", a, err)
	}
	if _, err := mine.Policy(ctx(t)); !errors.As(err, &e) || e.Status != 403 {
		t.Errorf("a tenant read the policy: %v", err)
	}
	if _, err := client("sp_ops", ca).Policy(ctx(t)); err != nil {
		t.Errorf("an operator: %v", err)
	}
	if err := client("sp_ops", ca).Faults(ctx(t), api.Faults{}); !errors.As(err, &e) || e.Status != 403 {
		t.Errorf("faults from elsewhere: %v", err)
	}
	var unreachable *api.UnreachableError
	if _, err := client("sp_ops", nil).Policy(ctx(t)); !errors.As(err, &unreachable) || !strings.Contains(unreachable.Hint(), "--ca") {
		t.Errorf("a certificate that nobody vouches for: %v", err)
	}
	// A key is not sent in clear.
	if _, err := api.NewClientWith("http://10.0.0.1:7070", api.ClientOptions{Key: "sp_search"}); err == nil || !strings.Contains(err.Error(), "in clear") {
		t.Errorf("%v", err)
	}
	if resp, err := http.Get("http://" + addr + "/healthz"); err != nil {
		t.Error(err)
	} else {
		body, _ := io.ReadAll(resp.Body)
		resp.Body.Close()
		if resp.StatusCode != 400 || !strings.Contains(string(body), "HTTPS") {
			t.Errorf("without TLS: %d %s", resp.StatusCode, body)
		}
	}

	shown := func() string {
		conn, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		if p := conn.ConnectionState().NegotiatedProtocol; p != "" {
			t.Errorf("protocol %s", p)
		}
		return conn.ConnectionState().PeerCertificates[0].Subject.CommonName
	}
	if name := shown(); name != "first" {
		t.Fatal(name)
	}
	// Half a change: the key belongs to another certificate. The last good one stays.
	if err := os.WriteFile(files.Key, []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	failing := func() bool { shown(); return gauge(t, reg, "swarmpurse_tls_certificate_failing") == 1 }
	waitFor(t, failing)
	if name := shown(); name != "first" {
		t.Errorf("with files that do not belong together it shows %s", name)
	}
	apitest.WriteCert(t, files, "second")
	waitFor(t, func() bool { return shown() == "second" })
	if failing() || gauge(t, reg, "swarmpurse_tls_certificate_expiry_seconds") < float64(time.Now().Unix()) {
		t.Error("the metrics say that it fails")
	}
}

func gauge(t *testing.T, reg *prometheus.Registry, name string) float64 {
	t.Helper()
	fs, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, f := range fs {
		if f.GetName() == name {
			return f.Metric[0].Gauge.GetValue()
		}
	}
	return -1
}

func TestListenWithTLS(t *testing.T) {
	dir := t.TempDir()
	files := api.TLSFiles{Cert: filepath.Join(dir, "cert.pem"), Key: filepath.Join(dir, "key.pem")}
	apitest.WriteCert(t, files, "x")
	text := filepath.Join(dir, "text")
	if err := os.WriteFile(text, []byte("no PEM"), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		addr  string
		files api.TLSFiles
		msg   string
	}{
		{":0", api.TLSFiles{Cert: files.Cert}, "only one is named"},
		{":0", api.TLSFiles{Cert: files.Cert, Key: filepath.Join(dir, "none")}, "no such file"},
		{":0", api.TLSFiles{Cert: text, Key: files.Key}, "failed to find any PEM data"},
		{":0", api.TLSFiles{Cert: files.Key, Key: files.Cert}, "the certificate cannot be used"},
		{"unix:" + filepath.Join(dir, "sock"), files, "no use for TLS"},
	} {
		ln, err := api.Listen(tt.addr, tt.files)
		if err == nil {
			ln.Close()
			t.Fatalf("%+v: no error", tt)
		}
		var hint interface{ Hint() string }
		if !strings.Contains(err.Error(), tt.msg) || !errors.As(err, &hint) || hint.Hint() == "" {
			t.Errorf("%+v: %v", tt, err)
		}
	}
	ln, err := api.Listen("127.0.0.1:0", files)
	if err != nil || !ln.Secure() {
		t.Fatalf("TLS on loopback: %v", err)
	}
	ln.Close()
}

// slowly sends what it is given, and no more.
func slowly(t *testing.T, addr, send string, speakTLS bool, config *tls.Config) (*http.Response, error) {
	conn, err := net.Dial("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close()
	_ = conn.SetDeadline(time.Now().Add(30 * time.Second)) // of the test, not of the node
	if speakTLS {
		c := tls.Client(conn, config)
		if err := c.Handshake(); err != nil {
			return nil, err
		}
		conn = c
	}
	if _, err := io.WriteString(conn, send); err != nil {
		return nil, err
	}
	return http.ReadResponse(bufio.NewReader(conn), nil)
}

// TestSlowClients: who sends its handshake, its headers or its body too slowly is let go; a stream that takes longer than all of these
// times together is not cut.
func TestSlowClients(t *testing.T) {
	const short = 60 * time.Millisecond
	reg := prometheus.NewRegistry()
	stream := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for i := range 6 {
			fmt.Fprintf(w, "data: %d\n\n", i)
			w.(http.Flusher).Flush()
			time.Sleep(short)
		}
	})
	o := api.Options{Node: apitest.New(1000), Callers: keys(t, someKeys), Proxy: stream, Registerer: reg, HeaderTimeout: short, BodyTimeout: short, Grace: time.Second}
	addr, _, ca := everywhere(t, o)
	config := &tls.Config{RootCAs: ca, ServerName: "127.0.0.1"}
	const head = "POST /v1/admit HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer sp_search\r\nContent-Type: application/json\r\n"
	for _, tt := range []struct {
		name, send string
		tls        bool
		status     int // 0: the connection is closed without an answer
	}{
		{"no handshake", "", false, 0},
		{"half a handshake", "\x16\x03\x01\x02\x00\x01", false, 0},
		{"no request", "", true, 0},
		{"half a header", "GET /healthz HTTP/1.1\r\nHost: x\r\nX-Slow: ", true, 0},
		{"no body", head + "Content-Length: 100\r\n\r\n", true, 408},
		{"half a body", head + "Content-Length: 100\r\n\r\n{\"ten", true, 408},
		{"half a chunk", head + "Transfer-Encoding: chunked\r\n\r\n50\r\n{\"ten", true, 408},
		{"no chunk", head + "Transfer-Encoding: chunked\r\n\r\n", true, 408},
	} {
		t.Run(tt.name, func(t *testing.T) {
			// A machine that is too busy for a handshake in time closes the door on one whose turn to be slow has not come: once more.
			for try := range 100 {
				resp, err := slowly(t, addr, tt.send, tt.tls, config)
				var late net.Error
				switch {
				case errors.As(err, &late) && late.Timeout():
					t.Fatal("it was not let go")
				case tt.status == 0 && err == nil && resp.StatusCode != http.StatusRequestTimeout && resp.StatusCode != http.StatusBadRequest:
					t.Errorf("answered with %d", resp.StatusCode)
				case tt.status != 0 && err != nil && try < 99:
					continue
				case tt.status != 0 && (err != nil || resp.StatusCode != tt.status):
					t.Errorf("%v, %v", resp, err)
				}
				break
			}
		})
	}
	client := &http.Client{Transport: &http.Transport{TLSClientConfig: config}}
	defer client.CloseIdleConnections()
	req, _ := http.NewRequestWithContext(ctx(t), "POST", "https://"+addr+"/openai/v1/chat/completions", strings.NewReader("{}"))
	req.Header.Set("X-Api-Key", "sp_search")
	resp, err := client.Do(req)
	for range 100 {
		if err == nil {
			break
		}
		req.Body, _ = req.GetBody()
		resp, err = client.Do(req)
	}
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil || !strings.HasSuffix(string(body), "data: 5\n\n") {
		t.Errorf("the stream was cut: %q, %v", body, err)
	}
	l := &locked{reg: reg}
	if n := l.refused("body_slow"); n != 4 {
		t.Errorf("%v slow bodies were counted", n)
	}
	// A connection is closed before it is counted.
	for deadline := time.Now().Add(30 * time.Second); l.refused("header_slow") < 4; time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("%v slow handshakes and headers were counted, want 4", l.refused("header_slow"))
		}
	}
}

// TestBombs sends bodies that are too large or nested too deep to every route that takes one, as an operator: all are refused, the node
// goes on, and no token moves.
func TestBombs(t *testing.T) {
	l := newLocked(t)
	l.node.Check = func(src []byte) (int64, []string, error) { // what the node itself goes by
		p, err := policy.Parse("policy", src)
		if err != nil {
			return 0, nil, err
		}
		return p.Revision(), nil, nil
	}
	const deep = 20_000 // encoding/json goes 10,000 deep
	bombs := map[string]string{
		"deep lists":     strings.Repeat("[", deep) + strings.Repeat("]", deep),
		"open lists":     strings.Repeat("[", deep),
		"deep objects":   strings.Repeat(`{"a":`, deep) + "1" + strings.Repeat("}", deep),
		"deep inside":    `{"id":"x","tokens":` + strings.Repeat("[", deep) + strings.Repeat("]", deep) + `}`,
		"deep unknown":   `{"id":"x","unknown":` + strings.Repeat(`{"a":`, deep) + "1" + strings.Repeat("}", deep) + `}`,
		"too large":      `{"id":"` + strings.Repeat("x", api.MaxBody) + `"}`,
		"a great number": `{"tokens":{"compute":1e400},"amount":1e400,"revision":1e400,"score":1e400,"used":{"compute":1e400},"step":7,"dead":7,"tenant":7,"drop":7,"upstream":7}`,
		"no text":        "\xff\xfe\x00",
	}
	before, malformed := l.refused("body_size"), l.refused("body_malformed")
	for _, r := range l.Routes() {
		if r.Method != "POST" && r.Method != "PUT" {
			continue
		}
		for name, body := range bombs {
			code, answer := l.ask("sp_boss", r.Method, strings.ReplaceAll(r.Path, "{name}", "other"), body)
			if code < 400 || code >= 500 || len(answer) > 10_000 {
				t.Errorf("%s %s, %s: %d %.200s", r.Method, r.Path, name, code, answer)
			}
		}
	}
	if l.refused("body_size") == before {
		t.Error("bodies that are too large are not counted")
	}
	if l.refused("body_malformed") == malformed {
		t.Error("bodies that are nested too deeply are not counted")
	}
	if limit, spent, reserved := l.node.Totals(); limit != 1000 || spent != 0 || reserved != 0 {
		t.Errorf("limit %d, spent %d, reserved %d", limit, spent, reserved)
	}
	fs, _ := l.reg.Gather()
	for _, f := range fs {
		if f.GetName() == "swarmpurse_http_panics_total" && f.Metric[0].Counter.GetValue() != 0 {
			t.Error("a handler panicked")
		}
	}
	if strings.Contains(l.log.String(), "sp_boss") {
		t.Error("the log holds a key")
	}
	if code, _ := l.ask("sp_boss", "GET", "/v1/status", ""); code != 200 {
		t.Errorf("the node does not go on: %d", code)
	}
}
