package api_test

import (
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/api/apitest"
)

func TestAdmitSettleRelease(t *testing.T) {
	node := apitest.New(1000)
	_, c := start(t, api.Options{Node: node})

	first, err := c.Admit(ctx(t), api.AdmitRequest{Tenant: "search", PromptTokens: 300, MaxOutputTokens: 100, Wait: "0s", TTL: "1m"})
	if err != nil || !first.Admitted() || first.Reserved["pot"] != 400 || first.ID == "" || first.Policy.Revision != 1 || first.Node != "fake" {
		t.Fatalf("admit: %+v, %v", first, err)
	}
	deferred, err := c.Admit(ctx(t), api.AdmitRequest{Tokens: map[string]ledger.Tokens{"compute": 700}})
	if err != nil || deferred.Decision != "defer" || deferred.RetryAfterMS != 3200 || len(deferred.Reserved) != 0 || !strings.Contains(deferred.Reason, "600 left") {
		t.Fatalf("defer: %+v, %v", deferred, err)
	}
	denied, err := c.Admit(ctx(t), api.AdmitRequest{Tokens: map[string]ledger.Tokens{"compute": 2000}})
	if err != nil || denied.Decision != "deny" || denied.RetryAfterMS != 0 || denied.Code != admit.CodeTooLarge {
		t.Fatalf("deny: %+v, %v", denied, err)
	}
	settle := api.SettleRequest{ID: first.ID, Used: map[string]ledger.Tokens{"compute": 432}, Outcome: "ok"}
	receipt, err := c.Settle(ctx(t), settle)
	if want := (api.Receipt{ID: first.ID, Charged: map[string]ledger.Tokens{"pot": 432}, Overrun: 32}); err != nil || !reflect.DeepEqual(receipt, want) {
		t.Fatalf("settle: %+v, %v, want %+v", receipt, err, want)
	}
	again, err := c.Settle(ctx(t), settle)
	receipt.Repeated = true
	if err != nil || !reflect.DeepEqual(again, receipt) {
		t.Fatalf("settle again: %+v, %v", again, err)
	}
	second, err := c.Admit(ctx(t), api.AdmitRequest{PromptTokens: 500, IdempotencyKey: "k"})
	if err != nil || !second.Admitted() {
		t.Fatalf("admit: %+v, %v", second, err)
	}
	if retry, err := c.Admit(ctx(t), api.AdmitRequest{PromptTokens: 500, IdempotencyKey: "k"}); err != nil || retry.ID != second.ID {
		t.Fatalf("retry with a key: %+v, %v", retry, err)
	}
	if r, err := c.Release(ctx(t), second.ID); err != nil || r.Charged["pot"] != 0 {
		t.Fatalf("release: %+v, %v", r, err)
	}
	if _, spent, reserved := node.Totals(); spent != 432 || reserved != 0 {
		t.Errorf("spent %d, reserved %d; want 432 and 0", spent, reserved)
	}
	d, err := c.Decision(ctx(t), first.ID)
	if err != nil || d.State != "settled" || d.Overrun != 32 || d.Charged[0].Amount != 432 || d.Outcome != "ok" {
		t.Errorf("decision: %+v, %v", d, err)
	}
}

// TestUpstream: callers that talk to their provider themselves tell what it said of its limits when they end the call.
func TestUpstream(t *testing.T) {
	node := apitest.New(1000)
	_, c := start(t, api.Options{Node: node})
	left := 0.01
	for _, end := range []func(id string) (api.Receipt, error){
		func(id string) (api.Receipt, error) {
			return c.Refused(ctx(t), id, api.Upstream{Status: 429, RetryAfterMS: 1500})
		},
		func(id string) (api.Receipt, error) { return c.Refused(ctx(t), id, api.Upstream{Status: 500}) },
		func(id string) (api.Receipt, error) {
			return c.Settle(ctx(t), api.SettleRequest{ID: id, Upstream: &api.Upstream{Status: 200, Remaining: &left}})
		},
		func(id string) (api.Receipt, error) { return c.Release(ctx(t), id) },
	} {
		a, err := c.Admit(ctx(t), api.AdmitRequest{PromptTokens: 10})
		if err != nil {
			t.Fatal(err)
		}
		if r, err := end(a.ID); err != nil || r.Repeated {
			t.Errorf("%+v, %v", r, err)
		}
	}
	want := []admit.Upstream{{Refused: true, RetryAfter: 1500 * time.Millisecond}, {}, {Left: 0.01, Known: true}}
	if got := node.Told(); !slices.Equal(got, want) {
		t.Errorf("told %+v, want %+v", got, want)
	}
}

// TestStatuses pins what clients that read only statuses and headers see.
func TestStatuses(t *testing.T) {
	ts, _ := start(t, api.Options{Node: apitest.New(1000)})
	for _, tt := range []struct {
		name, body string
		status     int
		retryAfter string
	}{
		{"admit", `{"prompt_tokens":1000}`, 200, ""},
		{"defer, rounded up", `{"prompt_tokens":1}`, 429, "4"},
		{"deny", `{"prompt_tokens":5000}`, 429, ""},
		{"unknown fields are ignored", `{"prompt_tokens":0,"colour":"red","nested":{"a":[1]}}`, 200, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			resp, body := send(t, ts, "POST", "/v1/admit", tt.body)
			if resp.StatusCode != tt.status || resp.Header.Get("Retry-After") != tt.retryAfter {
				t.Errorf("%d, Retry-After %q; want %d, %q: %s", resp.StatusCode, resp.Header.Get("Retry-After"), tt.status, tt.retryAfter, body)
			}
		})
	}
	// What does not exist yet must not look as if it did.
	resp, body := send(t, ts, "POST", "/v1/admit", `{}`)
	if got := resp.Header.Get("X-Swarmpurse-Backpressure"); got != "0" {
		t.Errorf("X-Swarmpurse-Backpressure is %q", got)
	}
	var fields map[string]any
	if err := json.Unmarshal([]byte(body), &fields); err != nil {
		t.Fatal(err)
	}
	for _, absent := range []string{"advice", "retry_after_ms"} {
		if _, ok := fields[absent]; ok {
			t.Errorf("%q is in %s", absent, body)
		}
	}
	for _, h := range []string{"application/json; charset=utf-8", "application/vnd.x+json"} {
		if resp, body := send(t, ts, "POST", "/v1/admit", `{}`, "Content-Type: "+h); resp.StatusCode != 200 {
			t.Errorf("%s: %d %s", h, resp.StatusCode, body)
		}
	}
	for _, h := range []string{"localhost", "LOCALHOST:7070", "127.0.0.1", "127.8.8.8:1", "[::1]:7070", "[::1]", "[::ffff:127.0.0.1]:9"} {
		if resp, body := send(t, ts, "POST", "/v1/admit", `{}`, "Host: "+h); resp.StatusCode != 200 {
			t.Errorf("Host %s: %d %s", h, resp.StatusCode, body)
		}
	}
}

func TestUsageForms(t *testing.T) {
	_, c := start(t, api.Options{Node: apitest.New(1 << 40)})
	n := func(v int64) *int64 { return &v }
	for name, tt := range map[string]struct {
		usage api.Usage
		want  ledger.Tokens
	}{
		"chat":       {api.Usage{PromptTokens: n(10), CompletionTokens: n(5)}, 15},
		"embeddings": {api.Usage{PromptTokens: n(10)}, 10},
		"responses":  {api.Usage{InputTokens: n(7), OutputTokens: n(2)}, 9},
		"cached":     {api.Usage{InputTokens: n(7), OutputTokens: n(2), CacheCreationTokens: n(30), CacheReadTokens: n(400)}, 439},
		"parts":      {api.Usage{PromptTokens: n(10), CompletionTokens: n(5), PromptDetails: &api.UsageDetails{CachedTokens: n(8)}, CompletionDetails: &api.UsageDetails{ReasoningTokens: n(4)}}, 15},
		"both":       {api.Usage{PromptTokens: n(10), CompletionTokens: n(5), InputTokens: n(1), OutputTokens: n(1)}, 15},
	} {
		t.Run(name, func(t *testing.T) {
			a, err := c.Admit(ctx(t), api.AdmitRequest{PromptTokens: 1})
			if err != nil {
				t.Fatal(err)
			}
			r, err := c.Settle(ctx(t), api.SettleRequest{ID: a.ID, Usage: &tt.usage})
			if err != nil || r.Charged["pot"] != tt.want {
				t.Errorf("charged %d, %v; want %d", r.Charged["pot"], err, tt.want)
			}
		})
	}
}

func TestReads(t *testing.T) {
	node := apitest.New(1000)
	ts, c := start(t, api.Options{Node: node})

	budgets, err := c.Budgets(ctx(t))
	if err != nil || len(budgets) != 1 || budgets[0].Instances[0].Holders != nil || budgets[0].Instances[0].Limit != 1000 {
		t.Errorf("budgets: %+v, %v", budgets, err)
	}
	budget, err := c.Budget(ctx(t), "pot")
	if err != nil || len(budget.Instances[0].Holders) != 1 {
		t.Errorf("budget: %+v, %v", budget, err)
	}
	members, err := c.Members(ctx(t))
	if err != nil || len(members) != 2 || !members[0].Self {
		t.Errorf("members: %+v, %v", members, err)
	}
	status, err := c.Status(ctx(t))
	if err != nil || status.Node != "fake" || !status.Ready {
		t.Errorf("status: %+v, %v", status, err)
	}
	for _, tt := range []struct {
		path, accept, contentType, body string
		status                          int
	}{
		{"/healthz", "", "application/json", `{"status":"ok"}`, 200},
		{"/readyz", "", "application/json", `{"ready":true}`, 200},
		{"/v1/policy", "", "application/json", `"revision":1`, 200},
		{"/v1/policy?raw=1", "", "application/yaml", "apiVersion: swarmpurse/v1", 200},
		{"/v1/policy", "application/yaml", "application/yaml", "apiVersion: swarmpurse/v1", 200},
		{"/v1/policy?raw=0", "application/yaml", "application/json", `"revision":1`, 200},
		{"/debug/pprof/cmdline", "", "text/plain; charset=utf-8", ".test", 200},
	} {
		resp, body := send(t, ts, "GET", tt.path, "", "Accept: "+tt.accept)
		if resp.StatusCode != tt.status || resp.Header.Get("Content-Type") != tt.contentType || !strings.Contains(body, tt.body) {
			t.Errorf("%s: %d %s %.100q", tt.path, resp.StatusCode, resp.Header.Get("Content-Type"), body)
		}
	}
	if resp, body := send(t, ts, "HEAD", "/v1/budgets", ""); resp.StatusCode != 200 || body != "" {
		t.Errorf("HEAD: %d %q", resp.StatusCode, body)
	}
	node.NotReady = []string{"no charter yet: 1 of 3 founders have voted"}
	if resp, body := send(t, ts, "GET", "/readyz", ""); resp.StatusCode != 503 || !strings.Contains(body, "1 of 3 founders") {
		t.Errorf("readyz: %d %s", resp.StatusCode, body)
	}
}

func TestOperatorCalls(t *testing.T) {
	node := apitest.New(1000)
	node.Check = func(src []byte) (int64, []string, error) {
		if !strings.Contains(string(src), "revision: 9") {
			return 0, nil, errors.New("policy.yaml:3:5: unknown field \"limt\"")
		}
		return 9, []string{"a warning"}, nil
	}
	_, c := start(t, api.Options{Node: node, Faults: true})

	p, err := c.PutPolicy(ctx(t), []byte("revision: 9\n"))
	if err != nil || p.Revision != 9 || p.Source != "revision: 9\n" || !strings.HasPrefix(p.By, "127.0.0.1:") || len(p.Warnings) != 1 {
		t.Errorf("put: %+v, %v", p, err)
	}
	var apiErr *api.Error
	if _, err = c.PutPolicy(ctx(t), []byte("revision: 9\n")); !errors.As(err, &apiErr) || apiErr.Status != 409 || apiErr.Hint() == "" {
		t.Errorf("put again: %v", err)
	}
	if _, err = c.PutPolicy(ctx(t), []byte("limt: 9\n")); !errors.As(err, &apiErr) || apiErr.Status != 400 || !strings.Contains(err.Error(), "policy.yaml:3:5") {
		t.Errorf("put a wrong one: %v", err)
	}
	if p, err := c.Policy(ctx(t)); err != nil || p.Revision != 9 {
		t.Errorf("get: %+v, %v", p, err)
	}
	m := api.MintRequest{Budget: "pot", Amount: 500, ID: "top-up-1", Why: "launch day"}
	for range 2 {
		if r, err := c.Mint(ctx(t), m); err != nil || r.Limit != 1500 {
			t.Errorf("mint: %+v, %v", r, err)
		}
	}
	f := api.Faults{Drop: []string{"n2"}, Delay: map[string]string{"n3": "50ms"}, Clock: "-30s"}
	if err := c.Faults(ctx(t), f); err != nil || !reflect.DeepEqual(node.LastFaults(), f) {
		t.Errorf("faults: %+v, %v", node.LastFaults(), err)
	}
	if err := c.Faults(ctx(t), api.Faults{Delay: map[string]string{"n3": "2h"}}); !errors.As(err, &apiErr) || apiErr.Param != "delay.n3" {
		t.Errorf("faults: %v", err)
	}
	for _, clock := range []string{"25h", "--1s", "soon"} {
		if err := c.Faults(ctx(t), api.Faults{Clock: clock}); !errors.As(err, &apiErr) || apiErr.Param != "clock" {
			t.Errorf("a clock that is wrong by %q: %v", clock, err)
		}
	}
}

func TestProxyAndMetrics(t *testing.T) {
	reg := prometheus.NewRegistry()
	proxy := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, "proxied "+r.Method+" "+r.URL.Path)
		w.(http.Flusher).Flush()
		if err := http.NewResponseController(w).SetWriteDeadline(time.Time{}); err != nil {
			t.Error(err)
		}
	})
	ts, _ := start(t, api.Options{Proxy: proxy, Registerer: reg, Metrics: promhttp.HandlerFor(reg, promhttp.HandlerOpts{})})
	for _, path := range []string{"/openai/v1/chat/completions", "/t/acme/a/bot/openai/v1/models", "/a/bot/openai/v1/models"} {
		if _, body := send(t, ts, "POST", path, "x", "Content-Type: text/plain"); body != "proxied POST "+path {
			t.Errorf("%s: %s", path, body)
		}
	}
	if resp, _ := send(t, ts, "POST", "/openai/v1/chat/completions", "x", "Origin: http://evil.example"); resp.StatusCode != 403 {
		t.Errorf("a foreign page reached the proxy: %d", resp.StatusCode)
	}
	send(t, ts, "GET", "/some/path/of/a/scanner", "")
	_, body := send(t, ts, "GET", "/metrics", "")
	for _, line := range []string{
		`swarmpurse_http_requests_total{route="/openai/",status="200"} 1`,
		`swarmpurse_http_requests_total{route="/t/",status="200"} 1`,
		`swarmpurse_http_requests_total{route="/openai/",status="403"} 1`,
		`swarmpurse_http_requests_total{route="unknown",status="404"} 1`,
		`swarmpurse_http_refused_total{reason="cross_origin"} 1`,
		`swarmpurse_http_request_duration_seconds_count{route="/openai/"} 2`,
		`swarmpurse_http_in_flight 1`,
		`swarmpurse_http_panics_total 0`,
	} {
		if !strings.Contains(body, line+"\n") {
			t.Errorf("no %s", line)
		}
	}
	if strings.Contains(body, "scanner") {
		t.Error("a path became a label")
	}
}
