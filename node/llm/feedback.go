package llm

import (
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/swarmpurse/swarmpurse/node/admit"
)

// maxRetryAfter bounds what a provider may say, before the policy's own bound.
const maxRetryAfter = 24 * time.Hour

// feedback tells admission what the reply says of the provider's limits; body is what of an error is at hand. A caller's own
// provider key has limits of its own, which are none of the pool's.
func (x *exchange) feedback(resp *http.Response, body []byte) {
	if x.id == "" || x.heard {
		return
	}
	var u admit.Upstream
	if x.pooled {
		u = upstreamOf(resp, time.Now())
	}
	if u.Refused && x.hopeless(resp.Header, body) {
		return
	}
	if x.routed && resp.StatusCode < 300 { // how fast a failure comes says nothing
		u.Latency = max(1, x.answered)
	}
	if !u.Refused && !u.Known && u.Latency == 0 {
		return
	}
	if u.Refused {
		x.p.m.refused.WithLabelValues(x.up.Name).Inc()
	}
	x.tell(u)
}

// tell has admission hear of the upstream.
func (x *exchange) tell(u admit.Upstream) {
	if err := x.p.o.Admitter.Feedback(x.id, u); err != nil {
		x.p.o.Logger.Warn().Err(err).Str("id", x.id).Msg("what the upstream says of its limits could not be taken in")
	}
}

// hopeless reports whether the provider refused the call for what no lower rate helps against: money, or a call that is
// larger than its limit.
func (x *exchange) hopeless(h http.Header, body []byte) bool {
	e := gjson.GetBytes(body, "error")
	if e.Get("code").Str == "insufficient_quota" || e.Get("type").Str == "insufficient_quota" {
		return true
	}
	limit, ok := number(h.Get("X-Ratelimit-Limit-Tokens"))
	return ok && float64(x.prompt())+float64(x.req.MaxOutputTokens) > limit
}

// upstreamOf reads what a reply says of the provider's limits.
func upstreamOf(resp *http.Response, now time.Time) (u admit.Upstream) {
	h := resp.Header
	if admit.Refuses(resp.StatusCode) {
		u.Refused, u.RetryAfter = true, retryAfter(h, now)
	}
	for name := range h {
		// x-ratelimit-remaining-tokens, -requests; anthropic-ratelimit-input-tokens-remaining
		limit, kind, ok := limitOf(name)
		if !ok {
			continue
		}
		left, ok := number(h.Get(name))
		most, known := number(h.Get(limit))
		if !ok || !known || most <= 0 || kind == "" {
			continue
		}
		if part := min(1, left/most); !u.Known || part < u.Left {
			u.Left, u.Known = part, true
		}
	}
	return u
}

// limitOf names the header of the limit that a header of what remains belongs to.
func limitOf(name string) (limit, kind string, ok bool) {
	if kind, ok = strings.CutPrefix(name, "X-Ratelimit-Remaining-"); ok {
		return "X-Ratelimit-Limit-" + kind, kind, true
	}
	if kind, ok = strings.CutPrefix(name, "Anthropic-Ratelimit-"); ok {
		if kind, ok = strings.CutSuffix(kind, "-Remaining"); ok {
			return "Anthropic-Ratelimit-" + kind + "-Limit", kind, true
		}
	}
	return "", "", false
}

// number reads an amount that is not negative.
func number(s string) (float64, bool) {
	n, err := strconv.ParseFloat(strings.TrimSpace(s), 64)
	return n, err == nil && n >= 0 && !math.IsInf(n, 0)
}

// retryAfter reads how long a provider says to wait: in milliseconds, in seconds, or until a date; 0 if it does not.
func retryAfter(h http.Header, now time.Time) time.Duration {
	bound := func(seconds float64) time.Duration {
		return time.Duration(min(seconds, maxRetryAfter.Seconds()) * float64(time.Second))
	}
	if n, ok := number(h.Get("Retry-After-Ms")); ok {
		return bound(n / 1000)
	}
	if n, ok := number(h.Get("Retry-After")); ok {
		return bound(n)
	}
	if t, err := http.ParseTime(h.Get("Retry-After")); err == nil && t.After(now) {
		return bound(t.Sub(now).Seconds())
	}
	return 0
}
