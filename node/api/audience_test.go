package api_test

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"

	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/api/apitest"
	"github.com/swarmpurse/swarmpurse/node/caller"
	"github.com/swarmpurse/swarmpurse/policy"
)

// keys makes the table of a policy's callers, in which KEY(x) stands for the hash of the key x.
func keys(t testing.TB, list string) func() *caller.Table {
	t.Helper()
	list = regexp.MustCompile(`KEY\((.*?)\)`).ReplaceAllStringFunc(list, func(s string) string {
		return fmt.Sprintf("sha256:%x", caller.Hash(s[len("KEY("):len(s)-1]))
	})
	p, err := policy.Parse("callers", []byte("apiVersion: swarmpurse/v1\nrevision: 1\ncallers:"+list))
	if err != nil {
		t.Fatal(err)
	}
	table := caller.NewTable(p, nil)
	return func() *caller.Table { return table }
}

const someKeys = `
  - {name: search-1, key: KEY(sp_search), tenant: search, classes: [standard]}
  - {name: ads-1, key: KEY(sp_ads), tenant: ads, agent: bidder}
  - {name: ops, key: KEY(sp_ops), operator: true}
  - {name: boss, key: KEY(sp_boss), operator: true, tenant: ops}
  - {name: gone, key: KEY(sp_gone), tenant: search, expires: 2020-01-01}
  - {name: slow, key: KEY(sp_slow), tenant: slow, rate: 1/h, burst: 2}
`

// audits is a Node with an audit log that tells what it was asked for.
type audits struct {
	*apitest.Node
	asked *api.AuditQuery
}

func (a audits) AuditStatus() api.AuditStatus { return api.AuditStatus{Node: "fake"} }
func (a audits) AuditRecords(q api.AuditQuery) ([]api.AuditRecord, error) {
	*a.asked = q
	return nil, nil
}
func (a audits) Spending(_ context.Context, q api.ReportQuery) (api.Report, error) {
	*a.asked = api.AuditQuery{Tenant: q.Tenant, Since: q.Since}
	return api.Report{By: q.By}, nil
}
func (a audits) AuditSightings(string) []api.AuditSighting          { return nil }
func (a audits) GossipKeys(context.Context) (api.GossipKeys, error) { return api.GossipKeys{}, nil }
func (a audits) ChangeGossipKey(context.Context, api.GossipKeyChange) (api.GossipKeys, error) {
	return api.GossipKeys{}, nil
}
func (a audits) AuditArchive(w io.Writer) error {
	_, err := io.WriteString(w, "tar")
	return err
}

// locked is a server as it is seen from elsewhere: requests come in by no door of this machine.
type locked struct {
	*api.Server
	node  *apitest.Node
	asked *api.AuditQuery
	reg   *prometheus.Registry
	log   *strings.Builder
}

func newLocked(t testing.TB) *locked {
	t.Helper()
	l := &locked{node: apitest.New(1000), asked: &api.AuditQuery{}, reg: prometheus.NewRegistry(), log: &strings.Builder{}}
	answers := func(what string) http.Handler {
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, what, api.ViewOf(r.Context())) })
	}
	var err error
	l.Server, err = api.New(api.Options{
		Node: l.node, Views: l.node, Events: api.NewEvents(1), Audit: audits{l.node, l.asked}, Keys: audits{l.node, l.asked}, Callers: keys(t, someKeys), Registerer: l.reg, Faults: true,
		Logger: zerolog.New(l.log), Proxy: answers("proxied "), Metrics: answers("all "),
		TenantMetrics: func(tenant string) http.Handler { return answers("metrics of " + tenant + " ") },
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// ask makes one request with a key, "" for none.
func (l *locked) ask(key, method, path, body string) (int, string) {
	r := httptest.NewRequest(method, path, strings.NewReader(body))
	r.Header.Set("Content-Type", "application/json")
	if key != "" {
		r.Header.Set("Authorization", "Bearer "+key)
	}
	if path == "/v1/events" { // it would go on until its reader has gone
		gone, leave := context.WithCancel(r.Context())
		leave()
		r = r.WithContext(gone)
	}
	w := httptest.NewRecorder()
	l.Handler().ServeHTTP(w, r)
	return w.Code, w.Body.String()
}

func (l *locked) refused(reason string) float64 {
	fs, _ := l.reg.Gather()
	for _, f := range fs {
		if f.GetName() != "swarmpurse_http_refused_total" {
			continue
		}
		for _, m := range f.Metric {
			if m.Label[0].GetValue() == reason {
				return m.Counter.GetValue()
			}
		}
	}
	return -1
}

// TestAudiences is the table of all routes with who may use each. A route that is not in it, or is for others, fails here.
func TestAudiences(t *testing.T) {
	want := strings.Fields(`
		/healthz:GET:public
		/readyz:GET:public
		/ui:GET:public
		/ui/:GET:public
		/:*:public
		/metrics:GET:tenants
		/v1/admit:POST:tenants
		/v1/settle:POST:tenants
		/v1/release:POST:tenants
		/v1/score:POST:tenants
		/v1/caller:GET:tenants
		/v1/budgets:GET:tenants
		/v1/budgets/{name}:GET:tenants
		/v1/decisions:GET:tenants
		/v1/decisions/{id}:GET:tenants
		/v1/audit/records:GET:tenants
		/v1/report:GET:tenants
		/v1/freeze:GET:tenants
		/openai/:*:tenants
		/anthropic/:*:tenants
		/t/:*:tenants
		/a/:*:tenants
		/v1/freeze:POST:operators
		/v1/unfreeze:POST:operators
		/v1/mint:POST:operators
		/v1/burn:POST:operators
		/v1/members:GET:operators
		/v1/members/{name}/remove:POST:operators
		/v1/policy:GET:operators
		/v1/policy:PUT:operators
		/v1/policy/promote:POST:operators
		/v1/policy/pause:POST:operators
		/v1/policy/resume:POST:operators
		/v1/policy/rollback:POST:operators
		/v1/policy/history:GET:operators
		/v1/trust:GET:operators
		/v1/enrolment:GET:operators
		/v1/enrolment:POST:operators
		/v1/status:GET:operators
		/v1/audit:GET:operators
		/v1/overview:GET:operators
		/v1/events:GET:operators
		/v1/gossip/keys:GET:operators
		/v1/gossip/keys:POST:operators
		/v1/audit/checkpoints:GET:operators
		/v1/audit/archive:GET:operators
		/debug/faults:POST:machine
		/debug/pprof/:GET:machine
		/debug/pprof/cmdline:GET:machine
		/debug/pprof/profile:GET:machine
		/debug/pprof/symbol:GET:machine
		/debug/pprof/trace:GET:machine`)
	var got []string
	for _, r := range newLocked(t).Routes() {
		method := r.Method
		if method == "" {
			method = "*"
		}
		got = append(got, fmt.Sprintf("%s:%s:%s", r.Path, method, r.Audience))
	}
	slices.Sort(want)
	slices.Sort(got)
	for _, r := range got {
		if !slices.Contains(want, r) {
			t.Errorf("%s is not in the table: say whom it is for", r)
		}
	}
	for _, r := range want {
		if !slices.Contains(got, r) {
			t.Errorf("%s is in the table, and there is no such route", r)
		}
	}
}

// TestWhoMayUseWhat walks all routes from elsewhere: without a key, with one that nobody knows, with a tenant's and with an operator's.
func TestWhoMayUseWhat(t *testing.T) {
	l := newLocked(t)
	for _, r := range l.Routes() {
		method, path := r.Method, strings.NewReplacer("{name}", "x", "{id}", "x").Replace(r.Path)
		if method == "" {
			method = "POST"
		}
		for _, tt := range []struct {
			key                                 string
			public, tenants, operators, machine int // what is refused; 0: it is let in
		}{
			{"", 0, 401, 401, 403}, {"sp_wrong", 0, 401, 401, 403}, {"sp_gone", 0, 401, 401, 403},
			{"sp_search", 0, 0, 403, 403}, {"sp_boss", 0, 0, 0, 403},
		} {
			want := map[api.Audience]int{api.Public: tt.public, api.Tenants: tt.tenants, api.Operators: tt.operators, api.Machine: tt.machine}[r.Audience]
			code, body := l.ask(tt.key, method, path, "{}")
			var e struct {
				Error struct{ Code, Type, Message string }
			}
			_ = json.Unmarshal([]byte(body), &e)
			keyed := map[string]int{"no_api_key": 401, "invalid_api_key": 401, "permission_denied": 403, "host_not_allowed": 403}[e.Error.Code]
			if keyed != want || want != 0 && code != want {
				t.Errorf("%s %s with key %q: %d %s, want %d", method, r.Path, tt.key, code, body, want)
			}
		}
	}
	if strings.Contains(l.log.String(), "sp_") {
		t.Error("the log holds a key")
	}
	for _, reason := range []string{"no_key", "key", "expired_key", "operator", "machine"} {
		if l.refused(reason) < 1 {
			t.Errorf("%s is not counted", reason)
		}
	}
	// No call ran and no token moved.
	if limit, spent, reserved := l.node.Totals(); limit != 1000 || spent != 0 || reserved != 0 {
		t.Errorf("limit %d, spent %d, reserved %d", limit, spent, reserved)
	}
}

// TestImpersonation tries to be another tenant at every door of the API.
func TestImpersonation(t *testing.T) {
	l := newLocked(t)
	admit := func(key, body string) string {
		code, answer := l.ask(key, "POST", "/v1/admit", body)
		if code != 200 {
			t.Fatalf("%s: %d %s", body, code, answer)
		}
		var a api.AdmitAnswer
		if err := json.Unmarshal([]byte(answer), &a); err != nil {
			t.Fatal(err)
		}
		return a.ID
	}
	theirs := admit("sp_ads", `{"tokens":{"compute":100},"data":["eu/docs"]}`)
	mine := admit("sp_search", `{"tenant":"search","tokens":{"compute":50},"data":["eu/docs"]}`)
	_, before, reserved := l.node.Totals()
	for _, tt := range []struct {
		name, key, method, path, body string
		code                          int
		says, counted                 string
	}{
		{"names another tenant in the body", "sp_search", "POST", "/v1/admit", `{"tenant":"ads","tokens":{"compute":1}}`, 403, "cannot spend as tenant", "tenant"},
		{"names it twice", "sp_search", "POST", "/v1/admit", `{"tenant":"search","tenant":"ads","tokens":{"compute":1}}`, 403, "cannot spend as tenant", "tenant"},
		{"names it in other letters", "sp_search", "POST", "/v1/admit", `{"Tenant":"ads","tokens":{"compute":1}}`, 403, "cannot spend as tenant", "tenant"},
		{"takes a class that it may not", "sp_search", "POST", "/v1/admit", `{"class":"royal","tokens":{"compute":1}}`, 403, "may use class standard", "class"},
		{"acts as another agent", "sp_ads", "POST", "/v1/admit", `{"agent":"x","tokens":{"compute":1}}`, 403, "cannot act as agent", "agent"},
		{"has no tenant", "sp_ops", "POST", "/v1/admit", `{"tenant":"ads","tokens":{"compute":1}}`, 403, "has no tenant", "tenant"},
		{"settles another's call", "sp_search", "POST", "/v1/settle", `{"id":"` + theirs + `","used":{"compute":0}}`, 404, "has no decision", "tenant"},
		{"releases another's call", "sp_search", "POST", "/v1/release", `{"id":"` + theirs + `"}`, 404, "has no decision", "tenant"},
		{"tells lies of another's provider", "sp_search", "POST", "/v1/release", `{"id":"` + theirs + `","upstream":{"status":429}}`, 404, "has no decision", "tenant"},
		{"scores another's call", "sp_search", "POST", "/v1/score", `{"id":"` + theirs + `","score":1}`, 404, "has no decision", "tenant"},
		{"explains another's call", "sp_search", "GET", "/v1/decisions/" + theirs, "", 404, "has no decision", "tenant"},
		{"reads another's spending", "sp_search", "GET", "/v1/report?tenant=ads", "", 403, "spending of tenant", "tenant"},
		{"reads another's records", "sp_search", "GET", "/v1/audit/records?tenant=ads", "", 403, "records of tenant", "tenant"},
	} {
		was := l.refused(tt.counted)
		code, body := l.ask(tt.key, tt.method, tt.path, tt.body)
		if code != tt.code || !strings.Contains(body, tt.says) {
			t.Errorf("%s: %d %s", tt.name, code, body)
		}
		if l.refused(tt.counted) != was+1 {
			t.Errorf("%s: not counted as %s", tt.name, tt.counted)
		}
	}
	// Whether an id is another's or nobody's cannot be told.
	for _, path := range []string{"/v1/settle", "/v1/release"} {
		_, a := l.ask("sp_search", "POST", path, `{"id":"`+theirs+`"}`)
		_, b := l.ask("sp_search", "POST", path, `{"id":"fake-9"}`)
		if strings.ReplaceAll(a, theirs, "fake-9") != b {
			t.Errorf("%s tells another's id from nobody's:\n%s%s", path, a, b)
		}
	}
	if _, after, r := l.node.Totals(); after != before || r != reserved {
		t.Errorf("spent %d, reserved %d: before %d and %d", after, r, before, reserved)
	}
	if told := l.node.Told(); len(told) > 0 {
		t.Errorf("lies were believed: %v", told)
	}
	// Its own it may end, see and list, and nothing of others is in it.
	_, body := l.ask("sp_search", "GET", "/v1/decisions?data=eu/docs", "")
	if !strings.Contains(body, mine) || strings.Contains(body, theirs) || !strings.Contains(body, `"total":1`) {
		t.Errorf("decisions by data: %s", body)
	}
	if code, _ := l.ask("sp_search", "GET", "/v1/report", ""); code != 200 || l.asked.Tenant != "search" {
		t.Errorf("report: %d, asked for %+v", code, *l.asked)
	}
	if code, body := l.ask("sp_ops", "GET", "/v1/report?by=day,colour", ""); code != 400 || !strings.Contains(body, "there are day, tenant, agent, model") {
		t.Errorf("report: %d %s", code, body)
	}
	if code, _ := l.ask("sp_search", "GET", "/v1/audit/records?agent=a", ""); code != 200 || l.asked.Tenant != "search" || l.asked.Agent != "a" {
		t.Errorf("asked for records of %+v", *l.asked)
	}
	if code, _ := l.ask("sp_ops", "GET", "/v1/audit/records", ""); code != 200 || l.asked.Tenant != "" {
		t.Errorf("an operator asked for records of %+v", *l.asked)
	}
	if code, body := l.ask("sp_search", "GET", "/v1/decisions/"+mine, ""); code != 200 || strings.Contains(body, "drift") {
		t.Errorf("its own decision: %d %s", code, body)
	}
	for key, want := range map[string]string{"sp_search": "metrics of search", "sp_ops": "all"} {
		if _, body := l.ask(key, "GET", "/metrics", ""); !strings.HasPrefix(body, want) {
			t.Errorf("metrics with %s: %s", key, body)
		}
	}
	if _, body := l.ask("sp_search", "GET", "/v1/budgets", ""); !strings.Contains(body, `"withheld":true`) || strings.Contains(body, `"spent"`) {
		t.Errorf("budgets that others share: %s", body)
	}
	// And an operator may end what others left.
	if code, body := l.ask("sp_ops", "POST", "/v1/release", `{"id":"`+theirs+`"}`); code != 200 {
		t.Errorf("an operator: %d %s", code, body)
	}
	if code, body := l.ask("sp_search", "POST", "/v1/settle", `{"id":"`+mine+`","used":{"compute":10}}`); code != 200 {
		t.Errorf("its own call: %d %s", code, body)
	}
}

// What operators do is done in their key's name.
func TestActsNameTheirKey(t *testing.T) {
	l := newLocked(t)
	if code, body := l.ask("sp_ops", "POST", "/v1/freeze", `{"tenant":"search","why":"x"}`); code != 200 || !strings.Contains(body, `"by":"ops (192.0.2.1:1234)"`) {
		t.Errorf("%d %s", code, body)
	}
}

func TestLimitsOfAKey(t *testing.T) {
	l := newLocked(t)
	for range 2 {
		if code, body := l.ask("sp_slow", "GET", "/v1/budgets", ""); code != 200 {
			t.Fatalf("%d %s", code, body)
		}
	}
	r := httptest.NewRequest("GET", "/v1/budgets", nil)
	r.Header.Set("X-Api-Key", "sp_slow")
	w := httptest.NewRecorder()
	l.Handler().ServeHTTP(w, r)
	if w.Code != 429 || !strings.Contains(w.Body.String(), `caller \"slow\" has reached its limit at this node (1/h, burst 2)`) {
		t.Fatalf("%d %s", w.Code, w.Body)
	}
	var seconds int
	if fmt.Sscan(w.Header().Get("Retry-After"), &seconds); seconds < 3590 || seconds > 3600 || w.Header().Get("Retry-After-Ms") == "" {
		t.Errorf("Retry-After %q", w.Header().Get("Retry-After"))
	}
	if l.refused("key_rate") != 1 {
		t.Error("not counted")
	}
	if err := testutil.GatherAndCompare(l.reg, strings.NewReader(`
# HELP swarmpurse_caller_refused_total Requests of a caller's key that its limits refused, by limit: rate, concurrency.
# TYPE swarmpurse_caller_refused_total counter
swarmpurse_caller_refused_total{caller="slow",limit="concurrency",tenant="slow"} 0
swarmpurse_caller_refused_total{caller="slow",limit="rate",tenant="slow"} 1
# HELP swarmpurse_caller_requests_total Requests of a caller's key, by HTTP and gRPC, that its limits let in.
# TYPE swarmpurse_caller_requests_total counter
swarmpurse_caller_requests_total{caller="slow",tenant="slow"} 2
# HELP swarmpurse_caller_in_flight Requests of a caller's key that are being answered now.
# TYPE swarmpurse_caller_in_flight gauge
swarmpurse_caller_in_flight{caller="slow",tenant="slow"} 0
`), "swarmpurse_caller_refused_total", "swarmpurse_caller_requests_total", "swarmpurse_caller_in_flight"); err != nil {
		t.Error(err)
	}
	// Others are not touched by it.
	if code, _ := l.ask("sp_ads", "GET", "/v1/budgets", ""); code != 200 {
		t.Errorf("another key: %d", code)
	}
}

// On the node's own machine no key is needed, and one that is sent counts.
func TestLoopbackIsFree(t *testing.T) {
	node := apitest.New(1000)
	ts, c := start(t, api.Options{Node: node, Callers: keys(t, someKeys)})
	if _, err := c.Policy(ctx(t)); err != nil {
		t.Errorf("without a key: %v", err)
	}
	if who, err := c.Caller(ctx(t)); err != nil || !who.Operator || who.Name != "" {
		t.Errorf("%+v, %v", who, err)
	}
	if resp, body := send(t, ts, "GET", "/debug/pprof/cmdline", ""); resp.StatusCode != 200 {
		t.Errorf("pprof: %d %s", resp.StatusCode, body)
	}
	for _, tt := range []struct {
		path, key string
		code      int
	}{
		{"/v1/policy", "sp_search", 403}, {"/debug/pprof/cmdline", "sp_search", 403}, {"/v1/budgets", "sp_search", 200},
		{"/v1/policy", "sp_ops", 200}, {"/v1/budgets", "sp_wrong", 401}, {"/v1/budgets", "sk-a-provider-s-own", 200},
	} {
		if resp, body := send(t, ts, "GET", tt.path, "", "Authorization: Bearer "+tt.key); resp.StatusCode != tt.code {
			t.Errorf("%s with %s: %d %s", tt.path, tt.key, resp.StatusCode, body)
		}
	}
	mine, err := api.NewClientWith(ts.URL, api.ClientOptions{Key: "sp_search"})
	if err != nil {
		t.Fatal(err)
	}
	defer mine.Close()
	who, err := mine.Caller(ctx(t))
	if err != nil || who.Name != "search-1" || who.Tenant != "search" || who.Operator {
		t.Errorf("%+v, %v", who, err)
	}
	// A node that is asked by an address of its own that is not loopback's asks for a key, whatever the caller's is.
	r := httptest.NewRequest("GET", "/v1/budgets", nil)
	r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, net.Addr(&net.TCPAddr{IP: net.IPv4(10, 0, 0, 1), Port: 7070})))
	r.RemoteAddr, r.Host = "127.0.0.1:1", "localhost"
	s, err := api.New(api.Options{Node: node})
	if err != nil {
		t.Fatal(err)
	}
	w := httptest.NewRecorder()
	s.Handler().ServeHTTP(w, r)
	if w.Code != 401 || w.Header().Get("WWW-Authenticate") == "" {
		t.Errorf("%d %s", w.Code, w.Body)
	}
}

// Elsewhere readiness says yes or no, and not why: the reasons name peers.
func TestReadinessFromElsewhere(t *testing.T) {
	l := newLocked(t)
	l.node.NotReady = []string{"n3 (10.0.0.3) does not answer"}
	if code, body := l.ask("", "GET", "/readyz", ""); code != 503 || strings.Contains(body, "n3") {
		t.Errorf("%d %s", code, body)
	}
}
