package llm

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
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
		again := "/" + rt.Upstream + "/v1" + rt.Rest
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
