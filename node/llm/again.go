package llm

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/tidwall/gjson"

	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/llm/wire"
)

// maxRefusal bounds the text of a refusal after which a call may be sent again, in bytes.
const maxRefusal = 64 << 10

// again has admission say where a call goes next whose upstream surely did not run it, and waits until it may. false: it is not sent again.
// Nothing of an answer has been written to the client.
func (x *exchange) again(ctx context.Context, f admit.Failed) bool {
	if x.id == "" || !x.repeatable() || ctx.Err() != nil || x.r.Context().Err() != nil {
		return false
	}
	f.Upstream, f.Prompt, f.Output = x.up.Name, x.prompt(), x.req.MaxOutputTokens
	f.Stay = f.Stay || !x.portable()
	next, ok, err := x.p.o.Admitter.Retry(x.id, f)
	if err != nil {
		x.p.o.Logger.Warn().Err(err).Str("id", x.id).Msg("the call cannot be sent again")
	}
	from, to := x.up, x.up
	if ok && next.Upstream != nil {
		to = x.ups[next.Upstream.Name]
	}
	if !ok || to == nil { // upstreams were changed while the call was under way
		return false
	}
	x.tried = append(x.tried, from.Name+" "+f.Why)
	how := "again"
	if next.Failover {
		how = "failover"
	}
	x.p.o.Logger.Info().Str("id", x.id).Str("upstream", from.Name).Str("why", f.Why).Str("next", to.Name).Dur("wait", next.Wait).
		Msg("the upstream did not run the call: it is sent again")
	if next.Wait > 0 && !x.wait(ctx, next.Wait) {
		return false
	}
	x.p.m.retries.WithLabelValues(from.Name, why(f.Why), how).Inc()
	x.span.Again(f.Why)
	x.up = to
	h := x.w.Header()
	h.Set(HeaderTried, strings.Join(x.tried, ", "))
	if x.routed {
		h.Set(HeaderUpstream, to.Name)
	}
	return true
}

// why is a metric's word for why an upstream did not run a call.
func why(s string) string {
	if s == unreachable {
		return s
	}
	return "refused"
}

// wait reports whether the call may still go on after that time.
func (x *exchange) wait(ctx context.Context, d time.Duration) bool {
	t := time.NewTimer(d)
	defer t.Stop()
	select {
	case <-t.C:
		return true
	case <-ctx.Done():
	case <-x.r.Context().Done():
	}
	return false
}

// repeatable reports whether what was to be sent is still there.
func (x *exchange) repeatable() bool {
	return x.body != "" || x.r.Body == nil || x.r.ContentLength == 0
}

// portable reports whether a call means the same at every upstream: one that names what its provider keeps, such as an earlier response or a
// file, does not.
func (x *exchange) portable() bool {
	if x.plan == nil {
		return false
	}
	if x.ep == wire.Responses {
		for _, v := range gjson.GetMany(x.body, "previous_response_id", "conversation", "prompt.id") {
			if v.Exists() && v.Type != gjson.Null {
				return false
			}
		}
	}
	return !strings.Contains(x.body, `"file_id"`)
}

const unreachable = "unreachable" // why a call did not run that was not sent

// refusedThere looks at an answer by which the upstream may have refused the call, and reports whether it is sent again. Else the answer is whole.
func (x *exchange) refusedThere(ctx context.Context, resp *http.Response) bool {
	if !admit.Refuses(resp.StatusCode) || resp.Header.Get("Content-Encoding") != "" || !x.repeatable() {
		return false
	}
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxRefusal+1))
	if err != nil || len(text) > maxRefusal {
		resp.Body = &joined{io.MultiReader(bytes.NewReader(text), failing{err}, resp.Body), resp.Body}
		return false
	}
	_ = resp.Body.Close()
	resp.Body = io.NopCloser(bytes.NewReader(text))
	if !notRun(resp, text) {
		return false
	}
	x.feedback(resp, text)
	x.heard = true
	return x.again(ctx, admit.Failed{
		Why: strconv.Itoa(resp.StatusCode), RetryAfter: retryAfter(resp.Header, time.Now()),
		Final: x.hopeless(resp.Header, text) || resp.Header.Get("X-Should-Retry") == "false",
	})
}

// notRun reports whether a refusal says that the call did not run. 429 and 529 are given before a model begins. A 503 may also be a gateway's that lost the
// model in the middle of its work; it counts if it is the provider's own, with an error object, or says when to come back.
func notRun(resp *http.Response, text []byte) bool {
	v := gjson.ParseBytes(text)
	if v.Get("usage").IsObject() {
		return false
	}
	return resp.StatusCode != http.StatusServiceUnavailable || v.Get("error").IsObject() && gjson.ValidBytes(text) ||
		slices.ContainsFunc([]string{"Retry-After", "Retry-After-Ms"}, func(name string) bool { return resp.Header.Get(name) != "" })
}

// joined reads what was looked at already before the rest.
type joined struct {
	io.Reader
	io.Closer
}

// failing gives an error, if there is one.
type failing struct{ err error }

func (f failing) Read([]byte) (int, error) {
	if f.err == nil {
		return 0, io.EOF
	}
	return 0, f.err
}
