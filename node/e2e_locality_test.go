//go:build unix

package node_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/openai/openai-go/v3"
	"github.com/openai/openai-go/v3/option"

	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/llm"
	"github.com/swarmpurse/swarmpurse/node/llm/standin"
)

// localityPolicy has a model in each of two zones, the cheaper one in us, and documents that must not leave eu.
const localityPolicy = `apiVersion: swarmpurse/v1
revision: 1
tokens:
  compute: {unit: token}
  reads: {unit: read}
data:
  "eu/*": {zones: [eu]}
  shared: {zones: [eu, us]}
upstreams:
  - {name: eu-gpu, zones: [eu], price: {input: 3, output: 9}}
  - {name: us-cloud, zones: [us], price: {input: 1, output: 3}}
budgets:
  - {name: pool, token: compute, supply: {grant: 100M}}
  - {name: us-reads, token: reads, supply: {grant: 1M}, locality: {zones: [us]}}
rules:
  - {when: model == "fast", route: latency}
  - {when: '"us-book" in data', draw: [us-reads], cost: {reads: "1"}}
  - {draw: [pool], route: price, retry: {backoff: 50ms, failover: ["*"]}}
`

// TestDataStaysInItsZone: two nodes in two zones, the official client, and a model server in each zone. Calls go where they are cheap; those that
// name bound data go to their zone's server and to no other, and from no other zone's node; whoever asks a node in the wrong zone hears which one to
// ask; and each node can tell what touched a data set.
func TestDataStaysInItsZone(t *testing.T) {
	t.Parallel()
	zones := []string{"eu", "us"}
	servers, doors := map[string]*standin.Server{}, map[string]*httptest.Server{}
	var upstreams []string
	for _, u := range []struct {
		name  string
		delay time.Duration
	}{{"eu-gpu", 2 * time.Millisecond}, {"us-cloud", 500 * time.Millisecond}} {
		m, err := standin.New(standin.Options{FirstToken: u.delay})
		if err != nil {
			t.Fatal(err)
		}
		up := httptest.NewServer(m)
		defer up.Close()
		servers[u.name], doors[u.name] = m, up
		upstreams = append(upstreams, u.name+"="+up.URL+"/v1")
	}
	i := 0
	s := newSwarm(t, 2, localityPolicy, func(set *settings) { set.Upstreams, set.Zone = upstreams, zones[i]; i++ })
	eu, us := s.nodes[0], s.nodes[1]
	// Members are known; which node is nearest is, a moment later.
	eventually(t, func() error {
		a, err := us.Admit(t.Context(), api.AdmitRequest{Data: []string{"eu/docs"}, PromptTokens: 1, Wait: "0s"})
		if err != nil {
			return err
		}
		if a.Decision != "deny" || a.Code != "locality" {
			t.Fatalf("a node in the wrong zone answers %+v", a)
		}
		if a.Advice == nil || a.Advice.Node != "n1" || a.Advice.Zone != "eu" || a.Advice.HTTP != "http://"+eu.set.HTTP {
			return fmt.Errorf("advice %+v", a.Advice)
		}
		return nil
	})
	call := func(p *proc, model, data string) (upstream string, err error) {
		client := openai.NewClient(option.WithBaseURL("http://"+p.set.HTTP+"/openai/v1/"), option.WithAPIKey("dummy"), option.WithMaxRetries(0),
			option.WithHeader(standin.HeaderTenant, data), option.WithHeader(standin.HeaderOutput, "5"))
		opts := []option.RequestOption{}
		if data != "" {
			opts = append(opts, option.WithHeader(llm.HeaderData, data))
		}
		var resp *http.Response
		_, err = client.Chat.Completions.New(t.Context(), openai.ChatCompletionNewParams{
			Model: model, MaxCompletionTokens: openai.Int(5), Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Go on.")},
		}, append(opts, option.WithResponseInto(&resp))...)
		if resp != nil {
			upstream = resp.Header.Get(llm.HeaderUpstream)
		}
		return upstream, err
	}
	const digest = "@sha256:9f86d081884c7d65"
	for _, tt := range []struct {
		p           *proc
		data, wants string
	}{
		{eu, "", "us-cloud"}, {us, "", "us-cloud"}, // by price
		{eu, "eu/docs" + digest, "eu-gpu"}, {eu, "eu/docs, other", "eu-gpu"},
		{eu, "shared", "us-cloud"}, {us, "shared", "us-cloud"}, {eu, "shared, eu/mail", "eu-gpu"},
		{us, "us-book", "us-cloud"}, // by its budget
	} {
		if got, err := call(tt.p, "standin-1", tt.data); err != nil || got != tt.wants {
			t.Errorf("%s with %q: went to %q, %v; want %s", tt.p.set.Name, tt.data, got, err, tt.wants)
		}
	}
	for _, tt := range []struct {
		p           *proc
		data, wants string
	}{
		{us, "eu/docs", `this node is in zone us, and the call is bound by data set "eu/docs" (zone eu): ask n1 in zone eu`},
		{us, "eu/docs" + digest, `ask n1 in zone eu`},
		{us, "us-book, eu/docs", `have no zone in common: it may run nowhere`},
		{eu, "us-book", `bound by budget "us-reads" (zone us): ask n2 in zone us`},
	} {
		_, err := call(tt.p, "standin-1", tt.data)
		var e *openai.Error
		if !errors.As(err, &e) || e.StatusCode != 429 || !strings.Contains(e.Message, tt.wants) || e.Response.Header.Get("X-Should-Retry") != "false" {
			t.Errorf("%s with %q: %v", tt.p.set.Name, tt.data, err)
			continue
		}
		if near := e.Response.Header.Get(llm.HeaderNearest); strings.Contains(tt.wants, "ask n1") && near != "n1 http://"+eu.set.HTTP {
			t.Errorf("%s with %q: nearest is %q", tt.p.set.Name, tt.data, near)
		}
	}
	// By latency: neither states one, so each is tried, and then the faster one is chosen.
	for range 4 {
		if _, err := call(eu, "fast", ""); err != nil {
			t.Fatal(err)
		}
	}
	for range 5 {
		if got, err := call(eu, "fast", ""); err != nil || got != "eu-gpu" {
			t.Errorf("by latency: went to %q, %v", got, err)
		}
	}
	// What the servers saw, by the data that calls named: the judge of all this.
	for name, tenants := range map[string]map[string]standin.Sums{"us-cloud": servers["us-cloud"].Stats().ByTenant, "eu-gpu": servers["eu-gpu"].Stats().ByTenant} {
		for data, n := range tenants {
			if name == "us-cloud" && strings.Contains(data, "eu/") || name == "eu-gpu" && strings.Contains(data, "us-book") {
				t.Errorf("%d calls with %q reached %s", n.Calls, data, name)
			}
		}
	}

	// Callers of the API are told where the call goes.
	a, err := eu.Admit(t.Context(), api.AdmitRequest{Data: []string{"eu/docs" + digest}, PromptTokens: 5})
	if err != nil || a.Decision != "admit" || a.Advice == nil || a.Advice.Upstream != "eu-gpu" || a.Advice.Node != "" {
		t.Fatalf("%+v, %v", a, err)
	}
	if d, err := eu.Decision(t.Context(), a.ID); err != nil || len(d.Data) != 1 || d.Data[0] != "eu/docs"+digest || d.Advice.Upstream != "eu-gpu" {
		t.Errorf("%+v, %v", d, err)
	}
	l, err := eu.Lineage(t.Context(), "eu/docs", 10)
	if err != nil || l.Total != 3 || len(l.Decisions) != 3 {
		t.Fatalf("%+v, %v", l, err)
	}
	if x := l.Decisions[0]; x.ID != a.ID || x.Upstream != "eu-gpu" || x.Data[0] != "eu/docs"+digest {
		t.Errorf("the newest is %+v", x)
	}
	if l, err = us.Lineage(t.Context(), "eu/docs", 1); err != nil || l.Total < 4 || len(l.Decisions) != 1 || l.Decisions[0].Decision != "deny" || l.Decisions[0].Upstream != "" {
		t.Errorf("%+v, %v", l, err)
	}

	// The metrics are fed.
	for name, want := range map[string]float64{
		`swarmpurse_upstream_decisions_total{upstream="eu-gpu"}`: 4, `swarmpurse_upstream_decisions_total{upstream="us-cloud"}`: 2,
		`swarmpurse_upstream_latency_seconds{upstream="us-cloud"}`: 0.05, `swarmpurse_upstream_reach{upstream="eu-gpu"}`: 1,
		`swarmpurse_upstream_cost_total{upstream="us-cloud"}`:                         2e-5,
		`swarmpurse_proxy_upstream_seconds_count{upstream="eu-gpu"}`:                  4,
		`swarmpurse_decisions_total{class="standard",code="locality",verdict="deny"}`: 1,
	} {
		if got := eu.metric(name); got < want {
			t.Errorf("%s is %v, want %v or more", name, got, want)
		}
	}

	// The cheap one goes away: calls go to the other one, which the decision, the audit log and the caller's answer say; but no bound call leaves its zone.
	doors["us-cloud"].CloseClientConnections()
	doors["us-cloud"].Close()
	client := openai.NewClient(option.WithBaseURL("http://"+us.set.HTTP+"/openai/v1/"), option.WithAPIKey("dummy"), option.WithMaxRetries(0), option.WithHeader(standin.HeaderOutput, "5"))
	var resp *http.Response
	if _, err := client.Chat.Completions.New(t.Context(), openai.ChatCompletionNewParams{
		Model: "standin-1", MaxCompletionTokens: openai.Int(5), Messages: []openai.ChatCompletionMessageParamUnion{openai.UserMessage("Go on.")},
	}, option.WithResponseInto(&resp)); err != nil {
		t.Fatal(err)
	}
	if resp.Header.Get(llm.HeaderUpstream) != "eu-gpu" || resp.Header.Get(llm.HeaderTried) != "us-cloud unreachable" {
		t.Errorf("answered by %v", resp.Header)
	}
	id := resp.Header.Get(llm.HeaderDecision)
	if d, err := us.Decision(t.Context(), id); err != nil || d.State != "settled" || d.Outcome != "ok" || d.Advice.Upstream != "eu-gpu" || fmt.Sprint(d.Tried) != "[us-cloud unreachable]" {
		t.Errorf("%+v, %v", d, err)
	}
	eventually(t, func() error {
		recs, err := us.AuditRecords(t.Context(), api.AuditQuery{ID: id})
		if err != nil {
			return err
		}
		for _, r := range recs {
			if r.Kind == "end" && r.Upstream == "eu-gpu" && r.Why == "us-cloud unreachable" {
				return nil
			}
		}
		return fmt.Errorf("the audit log has %+v", recs)
	})
	if got := us.metric(`swarmpurse_proxy_retries_total{how="failover",reason="unreachable",upstream="us-cloud"}`); got != 1 {
		t.Errorf("the metric counts %v", got)
	}
	if got, err := call(us, "standin-1", "us-book"); err == nil {
		t.Errorf("a call that is bound to us went to %q", got)
	}
}
