package llm

import (
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/gjson"

	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/caller"
	"github.com/swarmpurse/swarmpurse/policy"
)

// FuzzParseRoute: a path is taken apart in one way, and what names tenant and agent puts it together again.
func FuzzParseRoute(f *testing.F) {
	for _, s := range []string{"/openai/v1/chat/completions", "/t/search/a/crawler/openai/v1/models", "/a/x/openai/v1/", "/t/a%2Fb/openai/v1/x", "/t//openai/v1/x", "/t/%zz/openai/v1/x", "/a/x/t/y/openai/v1/x"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		rt, ok := ParseRoute(s)
		if !ok {
			return
		}
		again := "/" + rt.Dialect.String() + "/v1" + rt.Rest
		if rt.Agent != "" {
			again = "/a/" + url.PathEscape(rt.Agent) + again
		}
		if rt.Tenant != "" {
			again = "/t/" + url.PathEscape(rt.Tenant) + again
		}
		if got, ok := ParseRoute(again); !ok || got != rt || !strings.HasSuffix(s, rt.Rest) {
			t.Fatalf("%q is %+v, which is %q, which is %+v", s, rt, again, got)
		}
	})
}

// FuzzUpstreamHeaders: whatever a provider says of its limits comes to a part of a limit and a time, both within their bounds.
func FuzzUpstreamHeaders(f *testing.F) {
	f.Add(429, "1.5", "", "10", "100")
	f.Add(529, "", "1500", "0", "1e-320")
	f.Add(503, "Wed, 21 Oct 2026 07:28:00 GMT", "NaN", "-1", "Inf")
	f.Add(200, "", "", "1e308", "0x1p-2")
	now := time.Date(2026, 10, 21, 7, 0, 0, 0, time.UTC)
	f.Fuzz(func(t *testing.T, status int, after, ms, left, limit string) {
		h := http.Header{}
		h.Set("Retry-After", after)
		h.Set("Retry-After-Ms", ms)
		for _, kind := range []string{"X-Ratelimit-%s-Tokens", "Anthropic-Ratelimit-Requests-%s"} {
			h.Set(strings.Replace(kind, "%s", "Remaining", 1), left)
			h.Set(strings.Replace(kind, "%s", "Limit", 1), limit)
		}
		u := upstreamOf(&http.Response{StatusCode: status, Header: h}, now)
		if !(u.Left >= 0 && u.Left <= 1) || u.RetryAfter < 0 || u.RetryAfter > maxRetryAfter || !u.Refused && u.RetryAfter != 0 {
			t.Fatalf("%v is %+v", h, u)
		}
	})
}

// FuzzIdentify: whatever headers and path say, a call is of whom its key names, and nothing that is taken from them is longer than it
// may be or holds what is no text.
func FuzzIdentify(f *testing.F) {
	f.Add("/t/ads/a/a1/openai/v1/models", "", "", "run-7", "batch", "eu/docs@sha256:0123456789abcdef, eu/mail", "true", "Bearer sp_search")
	f.Add("/openai/v1/models", "ads", "a1", "", "", ",,", "1", "sp_crawler")
	f.Add("/openai/v1/models", "search", "crawler", "", "best", "eu/docs", "maybe", "")
	keys := caller.NewTable(fuzzPolicy(f), nil)
	f.Fuzz(func(t *testing.T, path, tenant, agent, run, class, data, priority, authorization string) {
		rt, ok := ParseRoute(path)
		if !ok {
			return
		}
		r := &http.Request{Header: http.Header{}}
		for name, v := range map[string]string{HeaderTenant: tenant, HeaderAgent: agent, HeaderRun: run, HeaderClass: class, HeaderData: data, HeaderPriority: priority, "Authorization": authorization} {
			if v != "" {
				r.Header[name] = []string{v}
			}
		}
		var who *caller.Caller
		if k, err := caller.KeyOf(r.Header); err == nil && k != "" {
			if who, err = keys.Find(k, time.Unix(0, 0)); err != nil {
				return // the door refuses it
			}
			r = r.WithContext(caller.With(t.Context(), who))
		}
		var req admit.Request
		if err := (&Proxy{}).identify(r, rt, &req); err != nil {
			if (err.status != http.StatusBadRequest && err.status != http.StatusForbidden) || len(err.Message) > 4096 {
				t.Fatalf("%d %q", err.status, err.Message)
			}
			return
		}
		c := &req.Call
		for _, v := range []string{c.Tenant, c.Agent, c.Run, c.Class} {
			if len(v) > maxName || strings.ContainsFunc(v, func(r rune) bool { return r < ' ' || r == 0x7f }) {
				t.Fatalf("%q", v)
			}
		}
		if len(c.Data) > maxDataSets || req.Digests != nil && len(req.Digests) != len(c.Data) {
			t.Fatalf("%d data sets, %d digests", len(c.Data), len(req.Digests))
		}
		if who != nil && (c.Tenant != who.Tenant || who.Agent != "" && c.Agent != who.Agent || len(who.Classes) > 0 && !slices.Contains(who.Classes, c.Class)) {
			t.Fatalf("the key of %+v calls as %q %q %q", *who, c.Tenant, c.Agent, c.Class)
		}
	})
}

// FuzzCount: any text is counted, as often with the same result, and comes to no more tokens than it has bytes; so does what a prompt is
// made of, whatever its form.
func FuzzCount(f *testing.F) {
	c := NewCounter()
	f.Add("gpt-4o", `{"messages":[{"role":"user","content":[{"type":"text","text":"hi"},{"type":"image_url","image_url":{"detail":"low"}}]}]}`)
	f.Add("gpt-4", `{"prompt":["a",[1,2],3],"input":"x"}`)
	f.Add("text-davinci-003", "\xff\xfe \u00a0\u00a0\n\n\t")
	f.Fuzz(func(t *testing.T, model, text string) {
		n := c.Text(model, text)
		if n < 0 || n > int64(len(text))+1 || n == 0 && text != "" || n != c.Text(model, text) {
			t.Fatalf("%d tokens in %d bytes", n, len(text))
		}
		if !gjson.Valid(text) || !gjson.Parse(text).IsObject() {
			return
		}
		chat, embeddings := c.Chat(model, text), c.Embeddings(model, text)
		tokens, prompts := c.Completions(model, text)
		if chat < replyPriming || embeddings < 0 || tokens < 0 || prompts < 1 {
			t.Fatalf("chat %d, embeddings %d, %d tokens in %d prompts", chat, embeddings, tokens, prompts)
		}
		written := texts{c: c, model: model}
		written.add(gjson.Parse(text)) // a reply has another form, but an upstream may say anything
		if n := written.total(); n < 0 || n > int64(len(text))+maxTextChoices {
			t.Fatalf("%d tokens written in %d bytes", n, len(text))
		}
	})
}

func fuzzPolicy(t testing.TB) *policy.Policy {
	src := "apiVersion: swarmpurse/v1\nrevision: 1\nclasses: [{name: best, weight: 9}, {name: standard, weight: 4}, {name: batch}]\ncallers:\n" +
		fmt.Sprintf("  - {name: search, key: \"sha256:%x\", tenant: search}\n", caller.Hash("sp_search")) +
		fmt.Sprintf("  - {name: crawler, key: \"sha256:%x\", tenant: search, agent: crawler, classes: [batch, standard]}\n", caller.Hash("sp_crawler")) +
		fmt.Sprintf("  - {name: ops, key: \"sha256:%x\", operator: true}\n", caller.Hash("sp_ops"))
	p, err := policy.Parse("fuzz", []byte(src))
	if err != nil {
		t.Fatal(err)
	}
	return p
}
