package node

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"
	"time"

	ratelimit "github.com/envoyproxy/go-control-plane/envoy/extensions/common/ratelimit/v3"
	pb "github.com/envoyproxy/go-control-plane/envoy/service/ratelimit/v3"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials/insecure"

	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/caller"
	"github.com/swarmpurse/swarmpurse/node/telemetry"
	"github.com/swarmpurse/swarmpurse/policy"
)

// manyDoc is a policy whose names tell of the revision that brought them.
func manyDoc(revision, of int) []byte {
	return fmt.Appendf(nil, `
apiVersion: swarmpurse/v1
revision: %[3]d
tokens: {compute: {unit: token}, compute-%[1]d: {unit: token}}
classes: [{name: standard, latency_budget: 2s, objective: 90%%}, {name: class-%[1]d, latency_budget: 2s, objective: 90%%}]
budgets:
  - {name: pot, token: compute, ceiling: {soft: 10%%}, supply: {window: 24h, amount: 900M}, alerts: [%[1]d%%]}
  - {name: each, token: compute, per: [tenant], instances: 100, supply: {window: 24h, amount: 900M}}
  - {name: budget-%[1]d, token: compute-%[1]d, supply: {window: 24h, amount: 900M}}
flags: {flag-%[1]d: {on: 50%%}}
upstreams: [{name: up, models: ["*"]}, {name: up-%[1]d, models: ["*"]}]
callers: [{name: caller-%[1]d, key: "sha256:%[2]x", tenant: tenant-%[1]d}]
ratelimit:
  - {domain: domain-%[1]d, descriptors: [{match: {tenant: "*", model: "*"}, hits: tokens.compute}]}
experiments:
  - {name: experiment-%[1]d, by: agent, arms: [{name: a-%[1]d}, {name: b-%[1]d, temperature: 0}]}
rules:
  - {when: agent == "each", draw: [each, budget-%[1]d], cost: {compute: prompt_tokens + max_output_tokens, compute-%[1]d: "1"}}
  - {draw: [pot, budget-%[1]d], cost: {compute: prompt_tokens + max_output_tokens, compute-%[1]d: "1"}}
`, of, caller.Hash("sp_key"), revision)
}

// TestSeriesAreBounded drives thousands of names through every door of a node, a candidate beside its policy and one policy after the other: no label
// has more values than METRICS.md states, callers' names make no series beyond those, and names that policies no longer have are told of no more.
func TestSeriesAreBounded(t *testing.T) {
	up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		w.WriteHeader(200 + len(body)*7%700)
	}))
	defer up.Close()
	reg := prometheus.NewRegistry()
	n, err := Open(t.Context(), Options{
		Name: "n1", Cluster: "test", Gossip: "127.0.0.1:0", HTTP: "127.0.0.1:0", GRPC: "127.0.0.1:0", Upstreams: []string{"up=" + up.URL + "/v1"},
		Drain: time.Second, Registry: reg, Logger: zerolog.Nop(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	apply := func(revision, of int, how map[string]string) {
		t.Helper()
		if _, err := n.ApplyPolicy(t.Context(), api.ApplyRequest{Source: manyDoc(revision, of), By: "test", Rollout: how}); err != nil {
			t.Fatal(err)
		}
	}
	apply(1, 1, nil)
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- n.Run(ctx) }()
	t.Cleanup(func() { stop(); <-ended })
	conn, err := grpc.NewClient(n.GRPCAddr(), grpc.WithTransportCredentials(insecure.NewCredentials()))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close() })
	envoy := pb.NewRateLimitServiceClient(conn)
	var last int // revision
	ask := func(method, path, body string) {
		r := httptest.NewRequest(method, path, strings.NewReader(body))
		r.RemoteAddr = "127.0.0.1:1"
		r.Header.Set("Content-Type", "application/json")
		n.server.Handler().ServeHTTP(httptest.NewRecorder(), r)
	}
	names := 0
	drive := func(direct, doors int) {
		t.Helper()
		for i := range max(direct, doors) {
			names++
			name := fmt.Sprint("n", names)
			if i < direct {
				model := name
				if i%2 == 0 { // so often that something is known of them
					model = fmt.Sprint("often", i/2%80)
				}
				r := &admit.Request{Call: policy.Call{
					Tenant: name, Agent: name, Run: name, Model: model, PromptTokens: 5, MaxOutputTokens: 5,
					Attributes: map[string]string{name: name}, Data: []string{name},
				}}
				switch i % 4 {
				case 1:
					r.Call.Agent = "each"
				case 3:
					r.Call.Class = name
				}
				a, err := n.Admit(t.Context(), r)
				if err == nil && a.Verdict != admit.Defer && a.Verdict != admit.Deny {
					_, err = n.Settle(a.ID, admit.Settlement{Outcome: name, Usage: &admit.Usage{PromptTokens: 5, CompletionTokens: int64(i % 9)}})
				}
				if err != nil && i%4 != 3 {
					t.Fatal(err)
				}
			}
			if i >= doors {
				continue
			}
			r := httptest.NewRequest("GET", "/v1/caller", nil)
			r.Header.Set("Authorization", "Bearer sp_key")
			n.server.Handler().ServeHTTP(httptest.NewRecorder(), r)
			ask("POST", "/v1/admit", fmt.Sprintf(`{"tenant":%[1]q,"agent":%[1]q,"run":%[1]q,"model":%[1]q,"class":"standard","prompt_tokens":1}`, name))
			ask("POST", "/v1/"+name, "{}")
			ask("X"+strings.ToUpper(name), "/v1/admit", "{}")
			ask("GET", "/v1/budgets/"+name, "")
			ask("POST", "/openai/v1/"+name, "{}")
			ask("POST", "/t/"+name+"/a/"+name+"/openai/v1/chat/completions", fmt.Sprintf(`{"model":%q,"max_tokens":5,"messages":[{"role":"user","content":%q}]}`, name, strings.Repeat("x", i)))
			for _, domain := range []string{fmt.Sprint("domain-", last), name} {
				d := &ratelimit.RateLimitDescriptor{Entries: []*ratelimit.RateLimitDescriptor_Entry{{Key: "tenant", Value: name}, {Key: "model", Value: name}, {Key: name, Value: name}}}
				if _, err := envoy.ShouldRateLimit(t.Context(), &pb.RateLimitRequest{Domain: domain, Descriptors: []*ratelimit.RateLimitDescriptor{d}, HitsAddend: 1}); err != nil {
					t.Fatal(err)
				}
			}
		}
	}
	seen := map[string]bool{} // labels
	series := func() (total int, by map[string]map[string]bool) {
		t.Helper()
		fs, err := reg.Gather()
		if err != nil {
			t.Fatal(err)
		}
		by = map[string]map[string]bool{}
		for _, f := range fs {
			of := map[string]map[string]bool{}
			for _, m := range f.GetMetric() {
				for _, l := range m.GetLabel() {
					if of[l.GetName()] == nil {
						of[l.GetName()] = map[string]bool{}
					}
					of[l.GetName()][l.GetValue()] = true
				}
			}
			for label, values := range of {
				seen[label] = true
				if by[label] == nil {
					by[label] = map[string]bool{}
				}
				for v := range values {
					by[label][v] = true
				}
				if most := telemetry.BoundOf(label); len(values) > most {
					t.Errorf("%s has %d values of %s, of at most %d", f.GetName(), len(values), label, most)
				}
			}
			if strings.HasPrefix(f.GetName(), "swarmpurse_") {
				total += len(f.GetMetric())
			}
		}
		return total, by
	}

	last = 1
	drive(8000, 100)
	apply(2, 1, map[string]string{"canary": "50%"})
	drive(4000, 100) // both arms
	before, by := series()
	if len(by["model"]) != telemetry.MaxSizes || !by["arm"]["candidate"] {
		t.Errorf("models %v, arms %v", by["model"], by["arm"])
	}
	drive(3000, 100)
	after, _ := series()
	if after > before {
		t.Errorf("%d series, and %d after thousands of names more", before, after)
	}

	for _, b := range telemetry.Bounds {
		if !seen[b.Label] && b.Label != "instance" { // which a tenant's own scrape has
			t.Errorf("no metric had the label %s, of which a bound is stated", b.Label)
		}
	}

	// Names of policies go with them.
	for last = 3; last < 20; last++ {
		apply(last, last, nil)
		drive(20, 2)
	}
	last--
	total, by := series()
	if total > before {
		t.Errorf("%d series, and %d after other policies", before, total)
	}
	for label, values := range by {
		for v := range values {
			if i := strings.LastIndexByte(v, '-'); i > 0 {
				if r, err := strconv.Atoi(v[i+1:]); err == nil && r != last {
					t.Errorf("%s=%s is told of, and the policy is revision %d", label, v, last)
				}
			}
		}
	}
}
