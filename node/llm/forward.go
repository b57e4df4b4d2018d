package llm

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/http/httptrace"
	"net/url"
	"strings"
	"sync/atomic"
	"time"

	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/telemetry/traces"
)

// newTransport returns the transport for upstreams: many connections to few hosts, kept alive.
func newTransport() *http.Transport {
	return &http.Transport{
		Proxy:                 http.ProxyFromEnvironment,
		DialContext:           (&net.Dialer{Timeout: 10 * time.Second, KeepAlive: 30 * time.Second}).DialContext,
		TLSClientConfig:       &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout:   10 * time.Second,
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          1024,
		MaxIdleConnsPerHost:   256,
		IdleConnTimeout:       90 * time.Second,
		ExpectContinueTimeout: time.Second,
		// Usage must be read on the way, so nothing is compressed on the inner hop.
		DisableCompression:     true,
		MaxResponseHeaderBytes: 256 << 10,
	}
}

// forward sends the call upstream and carries the reply back.
func (x *exchange) forward() *apiError {
	// The upstream call outlives the client: it ends by our own bounds.
	ctx, cancel := context.WithCancelCause(context.WithoutCancel(x.r.Context()))
	x.cancel = cancel
	timeout := time.AfterFunc(x.p.o.CallTimeout, func() { cancel(errCallTimeout) })
	defer timeout.Stop()
	defer context.AfterFunc(x.p.base, func() { cancel(errShutdown) })()
	var lateness atomic.Pointer[time.Timer]
	stop := context.AfterFunc(x.r.Context(), func() {
		lateness.Store(time.AfterFunc(x.p.o.Drain.Time, func() { cancel(errDrained) }))
	})
	defer func() {
		stop()
		if t := lateness.Load(); t != nil {
			t.Stop()
		}
	}()

	for {
		again, err := x.attempt(ctx)
		if !again {
			return err
		}
	}
}

// attempt sends the call to its upstream and carries the reply back, unless it is to be sent again.
func (x *exchange) attempt(ctx context.Context) (again bool, _ *apiError) {
	// Whether the upstream can have seen anything of the call decides whether it may be charged.
	var written atomic.Bool
	x.heard = false
	traced := httptrace.WithClientTrace(ctx, &httptrace.ClientTrace{
		GetConn:      func(string) { written.Store(false) }, // the transport tries again only if nothing was
		WroteHeaders: func() { written.Store(true) },
	})
	req, apiErr := x.request(traced)
	if apiErr != nil {
		x.release(apiErr.outcome)
		return false, apiErr
	}
	if req.Body != nil {
		// The transport may still be reading the client's body when this handler returns.
		defer req.Body.Close()
	}
	if x.span != nil {
		x.span.Forward(x.asked(), req.Header)
	}
	began := time.Now()
	resp, err := x.p.o.Transport.RoundTrip(req)
	x.answered = time.Since(began)
	if err != nil {
		return x.unreachable(ctx, err, written.Load())
	}
	defer func() { resp.Body.Close() }()
	x.span.Answered(resp.StatusCode)
	x.moved = false // what is sent again moves once more
	x.p.m.replies.WithLabelValues(x.up.Name, statusClass(resp.StatusCode)).Inc()
	x.p.m.latency.WithLabelValues(x.up.Name).Observe(x.answered.Seconds())
	if x.refusedThere(ctx, resp) {
		return true, nil
	}
	x.reply(ctx, resp)
	return false, nil
}

// asked is what the trace is told of the request.
func (x *exchange) asked() traces.Asked {
	a := traces.Asked{Dialect: x.dialect.String(), Model: x.req.Model, Upstream: x.up.Name, URL: x.up.URL}
	if x.plan != nil {
		a.Operation, a.MaxOutput, a.Stream = x.ep.String(), x.req.MaxOutputTokens, x.plan.Stream
	}
	return a
}

// request builds the outgoing request.
func (x *exchange) request(ctx context.Context) (*http.Request, *apiError) {
	u, err := target(x.up.URL, x.rest, x.r.URL.RawQuery)
	if err != nil {
		return nil, invalid("", "The path %s cannot be forwarded: %v.", clip(x.rest), err)
	}
	req := (&http.Request{
		Method: x.r.Method, URL: u, Host: u.Host, Header: x.r.Header.Clone(),
		Proto: "HTTP/1.1", ProtoMajor: 1, ProtoMinor: 1,
	}).WithContext(ctx)
	dropHopByHop(req.Header)
	req.Header.Del("Content-Length")
	req.Header.Del("Expect")
	req.Header.Set("Accept-Encoding", "identity")
	if _, stated := req.Header["User-Agent"]; !stated {
		req.Header["User-Agent"] = nil // or the transport would invent one
	}
	x.pooled = authorize(req.Header, x.up, x.dialect, x.routed)
	switch {
	case x.body != "":
		req.ContentLength = int64(len(x.body))
		body := x.body
		if !x.moved {
			x.pace(len(body))
		}
		x.moved = true
		req.Body = io.NopCloser(strings.NewReader(body))
		if req.Header.Get("Idempotency-Key") == "" && req.Header.Get("X-Idempotency-Key") == "" {
			// So that a connection which was closed while it idled costs nothing: the transport then
			// sends again what was not sent at all. With an idempotency key it would send again what
			// was, and one reservation would pay for two calls.
			req.GetBody = func() (io.ReadCloser, error) { return io.NopCloser(strings.NewReader(body)), nil }
		}
	case x.r.Body != nil && x.r.ContentLength != 0 && x.plan == nil:
		req.ContentLength = x.r.ContentLength
		req.Body = &pacedBody{http.MaxBytesReader(nil, x.r.Body, x.p.o.MaxPassBody), x}
	}
	return req, nil
}

// target joins an upstream's base URL and the rest of a path, keeping its escapes.
func target(base *url.URL, rest, query string) (*url.URL, error) {
	u := *base
	escaped := strings.TrimSuffix(base.EscapedPath(), "/") + rest
	path, err := url.PathUnescape(escaped)
	if err != nil {
		return nil, err
	}
	u.Path, u.RawPath, u.RawQuery = path, escaped, query
	return &u, nil
}

// unreachable ends a call that got no reply. If nothing of it was sent, nothing ran; otherwise the
// upstream may have worked for it, and only a charge of the whole reservation is surely enough.
func (x *exchange) unreachable(ctx context.Context, err error, written bool) (again bool, _ *apiError) {
	cause := context.Cause(ctx)
	x.p.o.Logger.Warn().Err(err).Str("id", x.id).Str("upstream", x.up.Name).Bool("sent", written).Msg("no reply from the upstream")
	out := outUnreachable
	if cause != nil {
		out = outCut
	}
	if written {
		x.settleWhole(out)
	} else {
		if cause == nil && x.r.Context().Err() == nil {
			if x.routed {
				x.tell(admit.Upstream{Unreachable: true})
			}
			if x.again(ctx, admit.Failed{Why: unreachable}) {
				return true, nil
			}
			if x.r.Context().Err() != nil {
				x.release(outLeft)
				return false, left()
			}
			if cause = context.Cause(ctx); cause != nil {
				out = outCut
			}
		}
		x.release(out)
	}
	return false, x.noReply(err, cause, out)
}

// noReply is what a client is told whose call got none.
func (x *exchange) noReply(err, cause error, out outcome) *apiError {
	if big := (*http.MaxBytesError)(nil); errors.As(err, &big) {
		return tooLarge(big.Limit)
	}
	switch cause {
	case errCallTimeout:
		return unavailable(http.StatusGatewayTimeout, out, "upstream_timeout",
			"The upstream %q did not answer within %v.", x.up.Name, x.p.o.CallTimeout)
	case errShutdown:
		return unavailable(http.StatusServiceUnavailable, out, "draining", "The node is shutting down.")
	case errDrained:
		return left()
	}
	before := ""
	if len(x.tried) > 0 {
		before = ", after others that did not run the call (" + strings.Join(x.tried, ", ") + ")"
	}
	return unavailable(http.StatusBadGateway, out, "upstream_unreachable",
		"The upstream %q gave no answer%s. The node's log says why.", x.up.Name, before)
}
