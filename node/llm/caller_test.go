package llm_test

import (
	"encoding/json"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/llm"
	"github.com/swarmpurse/swarmpurse/node/llm/wire"
)

func TestParseRoute(t *testing.T) {
	for path, want := range map[string]llm.Route{
		"/openai/v1/chat/completions":       {Rest: "/chat/completions"},
		"/t/acme/openai/v1/models":          {Rest: "/models", Tenant: "acme"},
		"/a/bot/openai/v1/models":           {Rest: "/models", Agent: "bot"},
		"/t/a%2Fb/a/b%20c/openai/v1/x%2Fy/": {Rest: "/x%2Fy/", Tenant: "a/b", Agent: "b c"},
		"/t/acme/anthropic/v1/messages":     {Dialect: wire.Anthropic, Rest: "/messages", Tenant: "acme"},
		"/t/t/a/a/openai/v1/":               {Rest: "/", Tenant: "t", Agent: "a"},
	} {
		if got, ok := llm.ParseRoute(path); !ok || got != want {
			t.Errorf("%s: %+v, %v", path, got, ok)
		}
	}
	for _, path := range []string{"", "/", "/openai", "/openai/v2/x", "/t/x", "/t//openai/v1/x", "/t/%zz/openai/v1/x", "/a/b/t/c/openai/v1/x", "/mistral/v1/messages"} {
		if got, ok := llm.ParseRoute(path); ok {
			t.Errorf("%q was taken: %+v", path, got)
		}
	}
}

// echo answers with what it was sent.
func echo(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	h := r.Header.Clone()
	h.Set("Echo-Uri", r.RequestURI)
	h.Set("Echo-Body", string(body))
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"header": h, "usage": map[string]int{"prompt_tokens": 1, "completion_tokens": 2}})
}

func echoed(t *testing.T, resp *http.Response) http.Header {
	t.Helper()
	var v struct{ Header http.Header }
	if err := json.NewDecoder(resp.Body).Decode(&v); err != nil || resp.StatusCode != 200 {
		t.Fatalf("status %d, %v", resp.StatusCode, err)
	}
	return v.Header
}

func TestCaller(t *testing.T) {
	keys := callers(t, `
  - {name: search, key: KEY(sp_search), tenant: search}
  - {name: crawler, key: KEY(sp_crawler), tenant: search, agent: crawler, classes: [batch, standard]}
  - {name: ops, key: KEY(sp_ops), operator: true}
`)
	b := newBed(t, http.HandlerFunc(echo), nil)
	b.door = keys
	const own = "Bearer sk-somebody-s-own-key-of-the-provider"
	for _, x := range []struct {
		name, prefix string
		header       []string
		status       int
		tenant       string
		agent, class string
		sends        string // Authorization
	}{
		{"nobody", "", nil, 200, "", "", "", "Bearer sk-provider-key-of-the-node"},
		{"placeholder key", "", []string{"Authorization", "Bearer dummy"}, 200, "", "", "", "Bearer sk-provider-key-of-the-node"},
		{"own key", "", []string{"Authorization", own}, 200, "", "", "", own},
		{"headers", "", []string{"X-Swarmpurse-Tenant", "ads", "X-Swarmpurse-Agent", "a1", "X-Swarmpurse-Class", "batch"}, 200, "ads", "a1", "batch", "Bearer sk-provider-key-of-the-node"},
		{"path", "/t/ads/a/a1", nil, 200, "ads", "a1", "", "Bearer sk-provider-key-of-the-node"},
		{"path and header agree", "/t/ads", []string{"X-Swarmpurse-Tenant", "ads"}, 200, "ads", "", "", "Bearer sk-provider-key-of-the-node"},
		{"path and header differ", "/t/ads", []string{"X-Swarmpurse-Tenant", "search"}, 400, "", "", "", ""},
		{"key", "", []string{"Authorization", "Bearer sp_search", "X-Swarmpurse-Agent", "a1"}, 200, "search", "a1", "", "Bearer sk-provider-key-of-the-node"},
		{"key with agent and classes", "", []string{"Authorization", "bearer sp_crawler"}, 200, "search", "crawler", "batch", "Bearer sk-provider-key-of-the-node"},
		{"another tenant's key", "/t/ads", []string{"Authorization", "Bearer sp_search"}, 403, "", "", "", ""},
		{"another agent's key", "/a/a1", []string{"Authorization", "Bearer sp_crawler"}, 403, "", "", "", ""},
		{"a class too good", "", []string{"Authorization", "Bearer sp_crawler", "X-Swarmpurse-Class", "critical"}, 403, "", "", "", ""},
		{"an operator's key, which has no tenant", "/t/search", []string{"Authorization", "Bearer sp_ops"}, 403, "", "", "", ""},
		{"a key as Anthropic's clients send it", "", []string{"X-Api-Key", "sp_search"}, 200, "search", "", "", "Bearer sk-provider-key-of-the-node"},
		{"a key beside a provider's own", "", []string{"X-Swarmpurse-Key", "sp_search", "Authorization", own}, 200, "search", "", "", own},
		{"long name", "/t/" + strings.Repeat("x", 129), nil, 400, "", "", "", ""},
		{"control character", "/t/%01", nil, 400, "", "", "", ""},
	} {
		t.Run(x.name, func(t *testing.T) {
			before := len(b.fake.all())
			resp := b.post(t, x.prefix+chatPath, chatBody(false), x.header...)
			if resp.StatusCode != x.status {
				t.Fatalf("status %d, want %d", resp.StatusCode, x.status)
			}
			all := b.fake.all()
			if x.status != 200 {
				if len(all) != before {
					t.Error("it was admitted all the same")
				}
				return
			}
			c := all[before].req.Call
			if key := all[before].req.Key; key != "" != strings.Contains(strings.Join(x.header, " "), "sp_") || key != "" && key != x.tenant && key != x.agent {
				t.Errorf("the key is told as %q", key)
			}
			if c.Tenant != x.tenant || c.Agent != x.agent || c.Class != x.class {
				t.Errorf("called by %q %q %q", c.Tenant, c.Agent, c.Class)
			}
			h := echoed(t, resp)
			if got := h.Get("Authorization"); got != x.sends {
				t.Errorf("Authorization sent upstream: %q, want %q", got, x.sends)
			}
			for name := range h {
				if strings.HasPrefix(name, "X-Swarmpurse") {
					t.Errorf("%s was sent upstream", name)
				}
			}
		})
	}
}

func TestWhatIsForwarded(t *testing.T) {
	b := newBed(t, http.HandlerFunc(echo), nil)
	b.door = callers(t, "\n  - {name: a, key: KEY(sp_dropped), tenant: t}\n")
	body := `{ "zz":[1.00 ,2], "model":"gpt-4o","max_tokens":7,"messages":[{"role":"user","content":"h\u0069"}] }`
	h := echoed(t, b.post(t, chatPath+"?api-version=1&x=%2F", body,
		"X-Request", "kept", "Connection", "X-Hop", "X-Hop", "dropped", "Api-Key", "sp_dropped",
		"X-Swarmpurse-Run", "r1", "X-Swarmpurse-Data", "eu/docs, eu/mail", "X-Swarmpurse-Priority", "true"))
	if h.Get("Echo-Body") != body || h.Get("Echo-Uri") != "/v1/chat/completions?api-version=1&x=%2F" {
		t.Errorf("forwarded %q to %q", h.Get("Echo-Body"), h.Get("Echo-Uri"))
	}
	if h.Get("X-Request") != "kept" || h.Get("X-Hop") != "" || h.Get("Api-Key") != "" || h.Get("Accept-Encoding") != "identity" {
		t.Errorf("forwarded %v", h)
	}
	if c := b.fake.only(t).req.Call; c.Run != "r1" || len(c.Data) != 2 || c.Data[1] != "eu/mail" || !c.Priority {
		t.Errorf("%+v", c)
	}
	if resp := b.post(t, chatPath, body, "X-Swarmpurse-Priority", "very"); resp.StatusCode != 400 {
		t.Errorf("a priority of no meaning: status %d", resp.StatusCode)
	}
}

// No spelling of a counted path passes uncounted, and none leaves the upstream's base URL.
func TestSpellingsOfPaths(t *testing.T) {
	b := newBed(t, http.HandlerFunc(echo), nil)
	for _, path := range []string{"/chat/completions", "/chat/completions/", "/chat%2Fcompletions", "/Chat/Completions"} {
		resp := b.post(t, "/openai/v1"+path, chatBody(false))
		all := b.fake.all()
		if e := all[len(all)-1]; resp.StatusCode != 200 || e.req.MaxOutputTokens != 12 {
			t.Errorf("%s: status %d, asked for %+v", path, resp.StatusCode, e.req.Call)
		}
	}
	for _, path := range []string{"/%2e%2e/admin", "/x/..%2f..%2fadmin", `/..%5cadmin`} {
		if resp := b.post(t, "/openai/v1"+path, "{}"); resp.StatusCode != 400 {
			t.Errorf("%s: status %d", path, resp.StatusCode)
		}
	}
}

func TestOtherPathsTellModelAndUsage(t *testing.T) {
	b := newBed(t, http.HandlerFunc(echo), nil)
	b.post(t, "/openai/v1/moderations", `{"model":"gpt-5","input":"hi"}`)
	e := b.fake.only(t)
	if e.req.Model != "gpt-5" || e.req.PromptTokens != 0 || e.usage == nil || *e.usage != (admit.Usage{PromptTokens: 1, CompletionTokens: 2}) {
		t.Errorf("%+v, settled %+v", e.req.Call, e.usage)
	}
}

func TestBounds(t *testing.T) {
	b := newBed(t, nil, func(o *llm.Options) { o.MaxBody, o.MaxBuffered, o.MaxPassBody = 1000, 1500, 2000 })
	big := `{"messages":[{"content":"` + strings.Repeat("x", 1000) + `"}]}`
	for _, x := range []struct {
		name, path, body string
		status           int
		code             string
	}{
		{"big body", chatPath, big, 413, "request_too_large"},
		{"big other body", "/openai/v1/files", strings.Repeat(big, 3), 413, "request_too_large"},
		{"malformed", chatPath, `{"messages":`, 400, ""},
		{"wrong type", chatPath, `{"messages":7}`, 400, ""},
		{"unknown path", "/openai/v2/x", `{}`, 404, "unknown_url"},
	} {
		resp := b.post(t, x.path, x.body)
		var v struct {
			Error struct {
				Message, Type string
				Code          *string
			}
		}
		if err := json.NewDecoder(resp.Body).Decode(&v); err != nil {
			t.Fatal(err)
		}
		if resp.StatusCode != x.status || v.Error.Message == "" || v.Error.Type != "invalid_request_error" || (v.Error.Code == nil) != (x.code == "") || v.Error.Code != nil && *v.Error.Code != x.code {
			t.Errorf("%s: %d %+v", x.name, resp.StatusCode, v.Error)
		}
	}
	if n := len(b.fake.all()); n != 0 {
		t.Errorf("%d were admitted", n)
	}
	if n := testutil.CollectAndCount(b.reg, "swarmpurse_proxy_calls_total"); n == 0 {
		t.Error("nothing was counted")
	}
}

func TestInvalidAdmissionIsTheCallersMistake(t *testing.T) {
	b := newBed(t, nil, nil)
	b.fake.answer = func(*admit.Request) (admit.Answer, error) { return admit.Answer{}, admit.ErrInvalid }
	if resp := b.post(t, chatPath, chatBody(false)); resp.StatusCode != 400 {
		t.Errorf("status %d", resp.StatusCode)
	}
}

func TestOptions(t *testing.T) {
	ok, _ := url.Parse("http://127.0.0.1:1/v1")
	with := func(raw string) []llm.Upstream {
		u, err := url.Parse(raw)
		if err != nil {
			t.Fatal(err)
		}
		return []llm.Upstream{{Name: wire.OpenAI.String(), URL: u}}
	}
	for says, o := range map[string]llm.Options{
		"Admitter is missing":    {},
		"not an http":            {Admitter: &fakeAdmitter{}, Upstreams: with("ftp://x/")},
		"user, query":            {Admitter: &fakeAdmitter{}, Upstreams: with("http://a:b@x/")},
		"given twice":            {Admitter: &fakeAdmitter{}, Upstreams: append(with("http://x/"), with("http://x/")...)},
		"the name must be":       {Admitter: &fakeAdmitter{}, Upstreams: []llm.Upstream{{Name: "x y", URL: ok}}},
		"header cannot carry":    {Admitter: &fakeAdmitter{}, Upstreams: []llm.Upstream{{Name: wire.OpenAI.String(), URL: ok, Key: "x\n"}}},
		"Options.MaxBody is":     {Admitter: &fakeAdmitter{}, MaxBody: -1},
		"Options.CallTimeout is": {Admitter: &fakeAdmitter{}, CallTimeout: 1 << 60},
	} {
		if _, err := llm.New(o); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("want an error that says %q, got %v", says, err)
		}
	}
	p, err := llm.New(llm.Options{Admitter: &fakeAdmitter{}, Upstreams: with("http://x/")})
	if err != nil {
		t.Fatal(err)
	}
	if err := p.Reload([]llm.Upstream{{Name: "-x", URL: ok}}); err == nil {
		t.Error("a wrong reload was taken")
	}
	if err := p.Reload(nil); err != nil {
		t.Error(err)
	}
}
