package llm

import (
	"context"
	"errors"
	"io"
	"mime"
	"net/http"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/tidwall/gjson"

	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/llm/wire"
	"github.com/swarmpurse/swarmpurse/node/telemetry/traces"
)

// exchange is one call on its way through the proxy. One goroutine, the handler's, owns it.
type exchange struct {
	p     *Proxy
	w     http.ResponseWriter
	r     *http.Request
	rc    *http.ResponseController
	start time.Time

	dialect wire.Dialect
	ups     map[string]*Upstream // as they were when the call came
	up      *Upstream            // that it goes to; nil until it is admitted
	rest    string               // the escaped path after /v1
	ep      wire.Endpoint
	req     admit.Request
	plan    *wire.Plan // of counted calls
	choices int64      // of those: how many answers there may be, over all prompts
	media   bool       // of those: there are images, audio or files in it
	exact   int64      // of those that were admitted by a bound: the tokens of the prompt, once known
	known   bool
	body    string // what is forwarded, where it was read; else r.Body is
	held    int64  // bytes counted in Proxy.buffered

	span     *traces.Call // nil: nothing is traced
	id       string       // of the reservation, "" if there is none
	ended    bool         // it was settled or released
	routed   bool         // the policy chose the upstream
	pooled   bool         // the provider's limits that the call runs under are the pool's
	outcome  outcome
	ttfb     time.Duration
	answered time.Duration // until the upstream's answer began
	sent     bool          // a status was written to the client
	gone     bool          // the client cannot be written to
	goneRead int64
	bounded  time.Time   // when the deadline of writes was set
	arrived  *texts      // of a stream, so far
	giveUp   *time.Timer // cuts the upstream of a client that cannot be written to

	tried []string // upstreams that did not run it, and why
	heard bool     // admission was told what this answer says
	moved bool     // the body was charged to budgets of bytes, and not sent since

	unpaced atomic.Bool // admission said that nothing of it is paced

	cancel context.CancelCauseFunc // ends the upstream call
}

var (
	errCallTimeout = errors.New("the call took longer than the proxy allows")
	errDrained     = errors.New("the client has gone and the bound on reading on is reached")
	errShutdown    = errors.New("the node is shutting down")
)

// run carries the call as far as it gets. An error is one to tell the client: nothing was sent yet.
func (x *exchange) run(rt Route, known bool) *apiError {
	if err := x.begin(rt, known); err != nil {
		return err
	}
	if err := x.prepare(); err != nil {
		return err
	}
	if err := x.admit(); err != nil {
		return err
	}
	return x.forward()
}

// prepare reads the body where it must be understood.
func (x *exchange) prepare() *apiError {
	since := time.Now()
	defer x.p.m.stage("prepare", since)
	if x.ep == wire.Other {
		return x.peek()
	}
	body, err := x.readBody()
	if err != nil {
		return err
	}
	o := &x.p.o
	plan, bad := wire.ParsePlan(x.ep, body, wire.OutputLimits{Default: o.DefaultMaxOutput, Max: o.MaxOutput})
	if bad != nil {
		return invalid(bad.Param, "%s", bad.Message)
	}
	x.plan, x.req.Model = plan, plan.Model
	x.bound()
	return nil
}

// peek reads the model from a JSON body of a call that is not counted, so that rules can match on it.
// Bodies that are long, or of another type, are not read: they stream through.
func (x *exchange) peek() *apiError {
	r := x.r
	if r.Body == nil || r.ContentLength == 0 {
		return nil
	}
	if r.ContentLength > x.p.o.MaxPassBody {
		return tooLarge(x.p.o.MaxPassBody)
	}
	kind, _, _ := mime.ParseMediaType(r.Header.Get("Content-Type"))
	if kind != "application/json" || r.ContentLength < 0 || r.ContentLength > x.p.o.MaxBody {
		return nil
	}
	body, err := x.readBody()
	if err != nil {
		return err
	}
	x.body = body
	if m := gjson.Get(body, "model"); m.Type == gjson.String && len(m.Str) <= 256 && gjson.Valid(body) {
		x.req.Model = m.Str
	}
	return nil
}

func tooLarge(limit int64) *apiError {
	e := invalid("", "The request body is larger than %d bytes, which is this node's limit.", limit)
	e.status = http.StatusRequestEntityTooLarge
	return e.code("request_too_large")
}

// readBody reads the whole request body into memory, within the bounds on one and on all.
func (x *exchange) readBody() (string, *apiError) {
	o := &x.p.o
	if x.r.ContentLength > o.MaxBody {
		return "", tooLarge(o.MaxBody)
	}
	_ = x.rc.SetReadDeadline(time.Now().Add(o.BodyTimeout)) // unsupported by some writers: the server's own then rules
	defer func() { _ = x.rc.SetReadDeadline(time.Time{}) }()
	var b strings.Builder
	if n := x.r.ContentLength; n > 0 {
		b.Grow(int(min(n, 1<<20)))
	}
	buf, free := x.p.buffer()
	defer free()
	for {
		n, err := x.r.Body.Read(buf)
		x.held += int64(n)
		x.p.m.buffered.Add(float64(n))
		if x.p.buffered.Add(int64(n)) > o.MaxBuffered {
			return "", unavailable(http.StatusServiceUnavailable, outBusy, "overloaded",
				"The node holds request bodies of %d bytes, which is its limit. Retry later.", o.MaxBuffered).with("Retry-After", "1")
		}
		if x.held > o.MaxBody {
			return "", tooLarge(o.MaxBody)
		}
		b.Write(buf[:n])
		switch {
		case err == io.EOF:
			return b.String(), nil
		case err != nil:
			if x.r.Context().Err() != nil {
				return "", left()
			}
			return "", invalid("", "The request body could not be read to its end: %v.", err)
		}
	}
}

// left is never seen by anybody, but for proxies in between that log 499 as others do.
func left() *apiError {
	return unavailable(499, outLeft, "client_closed_request", "The client went away.")
}

// admit asks for the reservation.
func (x *exchange) admit() *apiError {
	o := &x.p.o
	x.req.Wait = admit.UseClassDefault
	if x.span != nil {
		x.req.Trace = x.span.Trace()
	} else {
		x.req.Trace = admit.ParseTrace(x.r.Header.Get("Traceparent"))
	}
	x.req.AsIs, x.req.Forward = !x.changeable(), true
	x.req.Fixed = x.req.AsIs
	x.req.TTL = min(o.CallTimeout+o.Drain.Time+time.Minute, admit.MaxTTL)
	a, err := x.decide()
	switch {
	case errors.Is(err, admit.ErrInvalid):
		return invalid("", "%v", err)
	case err != nil && x.r.Context().Err() != nil:
		return left()
	case err != nil:
		o.Logger.Error().Err(err).Str("tenant", x.req.Tenant).Msg("admission failed")
		return unavailable(http.StatusServiceUnavailable, outFailed, "admission_failed", "Admission failed: %v.", err).with("Retry-After", "1")
	}
	h := x.w.Header()
	if a.ID != "" {
		h.Set(HeaderDecision, a.ID)
	}
	node := a.Node
	if node == "" {
		node = o.Node
	}
	if node != "" {
		h.Set(HeaderNode, node)
	}
	h.Set(HeaderBackpressure, strconv.Itoa(a.Level))
	if s := priceHeader(a.Prices()); s != "" {
		h.Set(HeaderPrice, s)
	}
	if len(a.Flags) > 0 {
		h.Set(HeaderFlags, strings.Join(a.Flags, ", "))
	}
	if a.Experiment != "" {
		h.Set(HeaderExperiment, a.Experiment+"="+a.ExperimentArm)
	}
	if !a.Verdict.Admitted() {
		return refusal(&a)
	}
	x.id = a.ID
	if err := x.choose(&a); err != nil {
		x.release(outNoUpstream)
		return err
	}
	if x.r.Context().Err() != nil {
		x.release(outLeft)
		return left()
	}
	if x.plan != nil {
		x.build(a.Advice, a.Verdict == admit.Degrade)
	}
	return nil
}

// choose finds the upstream that the decision names, or the one for calls that are not routed.
func (x *exchange) choose(a *admit.Answer) *apiError {
	if a.Upstream == nil {
		if x.up = unrouted(x.ups, x.dialect); x.up == nil {
			return unavailable(http.StatusServiceUnavailable, outNoUpstream, "no_upstream",
				"This node has %d upstreams, and neither their names nor the policy say which one the call goes to: start the node with --upstream %s=URL, or declare them under upstreams in the policy.", len(x.ups), x.dialect)
		}
		return nil
	}
	if x.up = x.ups[a.Upstream.Name]; x.up == nil { // they were changed while the call waited
		return unavailable(http.StatusServiceUnavailable, outNoUpstream, "no_upstream",
			"This node does not know any more where upstream %q is. Retry.", a.Upstream.Name).with("Retry-After", "1")
	}
	x.routed = true
	x.w.Header().Set(HeaderUpstream, x.up.Name)
	return nil
}

// changeable reports whether the proxy can change the call's model and its limit of output. Vectors of another model are no
// use to whoever asked for those of this one.
func (x *exchange) changeable() bool { return x.plan != nil && x.ep != wire.Embeddings }

// build makes the body that is forwarded, changed as the decision says: cheaper, or as its arm of an experiment does.
func (x *exchange) build(a *admit.Advice, degraded bool) {
	if a == nil {
		x.body = x.plan.Build(x.plan.PerChoice, "")
		return
	}
	each := x.plan.PerChoice
	if a.MaxOutputTokens > 0 {
		each = min(each, max(1, a.MaxOutputTokens/max(1, x.choices)))
	}
	if v := a.Temperature; v != nil {
		x.plan.Set("temperature", *v)
	}
	if v := a.TopP; v != nil {
		x.plan.Set("top_p", *v)
	}
	x.body = x.plan.Build(each, a.Model)
	if a.Model != "" {
		x.plan.Model, x.req.Model = a.Model, a.Model // what comes back is counted by it
	}
	if degraded {
		x.w.Header().Set(HeaderDegraded, degradedHeader(a))
		x.p.m.degraded.WithLabelValues(x.ep.String()).Inc()
	}
}

// settle ends the reservation with what the call really used; counted says that we counted it
// ourselves. Only the first of settle, settleWhole and release does anything.
func (x *exchange) settle(out outcome, u wire.Usage, counted bool) {
	if !x.end(out) {
		return
	}
	source, ending := "upstream", "usage"
	if counted {
		source, ending = "counted", "counted"
	} else if x.plan != nil && x.req.Counted != admit.Bounded {
		if d := x.req.PromptTokens - u.PromptTokens; d > 0 {
			x.p.m.miscount.WithLabelValues("over").Add(float64(d))
		} else if d < 0 {
			x.p.m.miscount.WithLabelValues("under").Add(float64(-d))
		}
	}
	x.p.m.tokens.WithLabelValues(x.ep.String(), "prompt", source).Add(float64(u.PromptTokens))
	x.p.m.tokens.WithLabelValues(x.ep.String(), "completion", source).Add(float64(u.CompletionTokens))
	x.p.m.unreserved.WithLabelValues(ending).Inc()
	x.span.Used(admit.Usage(u), counted)
	x.book(x.p.o.Admitter.Settle(x.id, admit.Settlement{Usage: (*admit.Usage)(&u), Outcome: settleOutcome(out)}))
}

// settleWhole ends the reservation when nobody can say what the call used: all of it is charged, but on
// ceilings that are not hard what arrived of a stream.
func (x *exchange) settleWhole(out outcome) {
	if !x.end(out) {
		return
	}
	x.p.m.unreserved.WithLabelValues("whole").Inc()
	s := admit.Settlement{Outcome: settleOutcome(out)}
	if x.arrived != nil {
		s.Estimate = &admit.Usage{PromptTokens: x.prompt(), CompletionTokens: x.arrived.total()}
	}
	x.book(x.p.o.Admitter.Settle(x.id, s))
}

// release ends the reservation of a call that never ran.
func (x *exchange) release(out outcome) {
	if !x.end(out) {
		return
	}
	x.p.m.unreserved.WithLabelValues("released").Inc()
	x.book(x.p.o.Admitter.Release(x.id))
}

// end reports whether there is a reservation left to end, and makes sure that there is none after.
func (x *exchange) end(out outcome) bool {
	x.outcome = out
	if x.id == "" || x.ended {
		return false
	}
	x.ended = true
	return true
}

func (x *exchange) book(rec admit.Receipt, err error) {
	if err != nil {
		x.p.m.settleErrs.Inc()
		x.p.o.Logger.Warn().Err(err).Str("id", x.id).Str("outcome", string(x.outcome)).
			Msg("the reservation could not be ended; its time to live will")
		return
	}
	if rec.Overrun > 0 {
		x.p.m.overrun.Add(float64(rec.Overrun))
	}
}

func settleOutcome(out outcome) string {
	switch out {
	case outOK, outCut:
		return string(out)
	case outClientGone, outLeft:
		return "cancelled"
	}
	return "error"
}

// finish ends what is still open and counts the call. It runs whatever happened before.
func (x *exchange) finish() {
	x.settleWhole(x.outcome) // a no-op unless a handler panicked: every other path has ended it
	if x.cancel != nil {
		x.cancel(nil)
	}
	if x.giveUp != nil {
		x.giveUp.Stop()
	}
	x.p.buffered.Add(-x.held)
	x.p.m.buffered.Sub(float64(x.held))
	took := time.Since(x.start)
	ep := x.ep.String()
	x.span.End(string(x.outcome), x.outcome.good(), x.id, ep, x.req.Tenant, x.req.Agent)
	x.p.m.calls.WithLabelValues(ep, string(x.outcome)).Inc()
	x.p.m.duration.WithLabelValues(ep).Observe(took.Seconds())
	if x.ttfb > 0 {
		x.p.m.firstByte.WithLabelValues(ep).Observe(x.ttfb.Seconds())
	}
	x.p.o.Logger.Debug().Str("id", x.id).Str("endpoint", ep).Str("outcome", string(x.outcome)).
		Str("tenant", x.req.Tenant).Str("agent", x.req.Agent).Str("run", x.req.Run).Str("model", x.req.Model).
		Dur("took", took).Msg("call")
}
