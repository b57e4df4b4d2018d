package traces

import (
	"net/http"
	"net/url"
	"strconv"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/propagation"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/swarmpurse/swarmpurse/node/admit"
)

// Call is a call on its way through the proxy: a span for what the node was asked, and one for what it asked of the provider. One
// goroutine owns it. A nil *Call does nothing.
type Call struct {
	t      *Tracer
	server trace.Span
	client trace.Span // nil until the call is forwarded
}

// Call begins the span of a call that came as r.
func (t *Tracer) Call(r *http.Request, begin time.Time) *Call {
	if t == nil {
		return nil
	}
	ctx := propagation.TraceContext{}.Extract(under(trace.SpanContext{}), propagation.HeaderCarrier(r.Header))
	// The path is the caller's choice, and may name a tenant: it is no part of the name.
	_, span := t.tracer.Start(ctx, "proxy "+r.Method, trace.WithTimestamp(begin), trace.WithSpanKind(trace.SpanKindServer))
	if span.IsRecording() {
		span.SetAttributes(semconv.HTTPRequestMethodKey.String(r.Method))
	}
	return &Call{t: t, server: span}
}

// Trace is what the decision on the call belongs to.
func (c *Call) Trace() admit.Trace { return traceOf(c.server.SpanContext()) }

// Asked is what of the call is known when it goes to a provider.
type Asked struct {
	Operation string // chat, completions, embeddings, responses, messages, or "" of what is not counted
	Dialect   string // openai, anthropic
	Model     string
	MaxOutput int64
	Stream    bool
	Upstream  string // its name
	URL       *url.URL
}

// operations are in the words of the conventions.
var operations = map[string]attribute.KeyValue{
	"chat": semconv.GenAIOperationNameChat, "responses": semconv.GenAIOperationNameChat, "messages": semconv.GenAIOperationNameChat,
	"completions": semconv.GenAIOperationNameTextCompletion, "embeddings": semconv.GenAIOperationNameEmbeddings,
}

// Forward begins the span of the request to the provider, and has the request's headers say so.
func (c *Call) Forward(q Asked, header http.Header) {
	if c == nil {
		return
	}
	name := "forward"
	op, counted := operations[q.Operation]
	if counted {
		name = op.Value.AsString()
		if q.Model != "" {
			name += " " + q.Model
		}
	}
	// The caller's tracestate goes on, as it came.
	ctx, span := c.t.tracer.Start(under(c.server.SpanContext()), name, trace.WithSpanKind(trace.SpanKindClient))
	propagation.TraceContext{}.Inject(ctx, propagation.HeaderCarrier(header))
	c.client = span
	if !span.IsRecording() {
		return
	}
	span.SetAttributes(said("swarmpurse.upstream", q.Upstream, string(semconv.ServerAddressKey), q.URL.Hostname())...)
	if port, err := strconv.Atoi(q.URL.Port()); err == nil {
		span.SetAttributes(semconv.ServerPort(port))
	}
	if counted {
		span.SetAttributes(op, semconv.GenAIProviderNameKey.String(q.Dialect), semconv.GenAIRequestStream(q.Stream))
		span.SetAttributes(said(string(semconv.GenAIRequestModelKey), q.Model)...)
		if q.MaxOutput > 0 {
			span.SetAttributes(semconv.GenAIRequestMaxTokens(int(q.MaxOutput)))
		}
	}
}

// Answered says that the provider's answer began.
func (c *Call) Answered(status int) {
	if c == nil || c.client == nil {
		return
	}
	c.client.SetAttributes(semconv.HTTPResponseStatusCode(status))
	if status >= 400 {
		fail(c.client, strconv.Itoa(status))
	}
}

// Again ends the span of a request that the provider did not run: another one follows. why is unreachable, or the status of its refusal.
func (c *Call) Again(why string) {
	if c == nil || c.client == nil {
		return
	}
	fail(c.client, why)
	c.client.End()
	c.client = nil
}

// Used says what the provider counted, or what was counted for it.
func (c *Call) Used(u admit.Usage, counted bool) {
	if c == nil || c.client == nil || !c.client.IsRecording() {
		return
	}
	source := "upstream"
	if counted {
		source = "counted"
	}
	c.client.SetAttributes(semconv.GenAIUsageInputTokens(int(u.PromptTokens)), semconv.GenAIUsageOutputTokens(int(u.CompletionTokens)), attribute.String("swarmpurse.usage", source))
	if u.CachedTokens > 0 {
		c.client.SetAttributes(semconv.GenAIUsageCacheReadInputTokens(int(u.CachedTokens)))
	}
	if u.ReasoningTokens > 0 {
		c.client.SetAttributes(semconv.GenAIUsageReasoningOutputTokens(int(u.ReasoningTokens)))
	}
}

// End ends both spans. outcome is the proxy's word for how the call ended; good ones are no errors. id is the decision's.
func (c *Call) End(outcome string, good bool, id, endpoint, tenant, agent string) {
	if c == nil {
		return
	}
	for _, span := range []trace.Span{c.client, c.server} {
		if span == nil {
			continue
		}
		if span.IsRecording() {
			span.SetAttributes(said("swarmpurse.outcome", outcome, "swarmpurse.id", id, "swarmpurse.endpoint", endpoint, "swarmpurse.tenant", tenant, "swarmpurse.agent", agent)...)
			if !good && outcome != "upstream" {
				fail(span, outcome)
			}
		}
		span.End()
	}
}

// fail marks a span as failed.
func fail(span trace.Span, kind string) {
	span.SetAttributes(semconv.ErrorTypeKey.String(kind))
	span.SetStatus(codes.Error, kind)
}
