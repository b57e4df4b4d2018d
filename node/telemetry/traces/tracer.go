package traces

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	lru "github.com/hashicorp/golang-lru/v2"
	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.41.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/swarmpurse/swarmpurse/node/admit"
)

// Conventions is the version of OpenTelemetry's semantic conventions that spans follow.
const Conventions = "1.41.0"

// maxOpen bounds the decisions whose spans are remembered, so that their settlements come under them.
const maxOpen = 16_384

// Tracer makes spans and has them sent. Safe for concurrent use.
type Tracer struct {
	provider *sdk.TracerProvider
	tracer   trace.Tracer
	open     *lru.Cache[string, trace.SpanContext] // by decision
}

// Open makes a tracer, or none (nil) without an endpoint. It connects to nobody yet: a collector that is away stops no node.
func Open(ctx context.Context, o Options, counts *Counts, log zerolog.Logger) (*Tracer, error) {
	if o.Endpoint == "" {
		return nil, nil
	}
	e, err := ParseEndpoint(o.Endpoint)
	if err != nil {
		return nil, err
	}
	var to sdk.SpanExporter
	if e.GRPC {
		opts := []otlptracegrpc.Option{otlptracegrpc.WithEndpoint(e.Host)}
		if !e.Secure {
			opts = append(opts, otlptracegrpc.WithInsecure())
		}
		to, err = otlptracegrpc.New(ctx, opts...)
	} else {
		scheme := "http://"
		if e.Secure {
			scheme = "https://"
		}
		to, err = otlptracehttp.New(ctx, otlptracehttp.WithEndpointURL(scheme+e.Host+e.Path))
	}
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	about := []attribute.KeyValue{
		semconv.ServiceName("swarmpurse"), semconv.ServiceVersion(o.Version), semconv.ServiceInstanceID(o.Node), attribute.String("swarmpurse.cluster", o.Cluster),
	}
	if o.Zone != "" {
		about = append(about, attribute.String("swarmpurse.zone", o.Zone))
	}
	// OTEL_SERVICE_NAME and OTEL_RESOURCE_ATTRIBUTES go before ours.
	res, err := resource.New(ctx, resource.WithAttributes(about...), resource.WithTelemetrySDK(), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("traces: %w", err)
	}
	return open(newQueue(to, counts, log), res), nil
}

func open(q *queue, res *resource.Resource) *Tracer {
	p := sdk.NewTracerProvider(sdk.WithSpanProcessor(q), sdk.WithResource(res))
	cache, err := lru.New[string, trace.SpanContext](maxOpen)
	if err != nil {
		panic("BUG: " + err.Error()) // for sizes below 1
	}
	return &Tracer{provider: p, tracer: p.Tracer("github.com/swarmpurse/swarmpurse", trace.WithSchemaURL(semconv.SchemaURL)), open: cache}
}

// Close sends what waits, until ctx ends.
func (t *Tracer) Close(ctx context.Context) error {
	if t == nil {
		return nil
	}
	return t.provider.Shutdown(ctx)
}

// contextOf is the parent that a caller named.
func contextOf(c admit.Trace) trace.SpanContext {
	if c.ID == [16]byte{} {
		return trace.SpanContext{}
	}
	flags := trace.FlagsSampled
	if c.Quiet {
		flags = 0
	}
	return trace.NewSpanContext(trace.SpanContextConfig{TraceID: c.ID, SpanID: c.Span, TraceFlags: flags, Remote: true})
}

func traceOf(sc trace.SpanContext) admit.Trace {
	return admit.Trace{ID: sc.TraceID(), Span: sc.SpanID(), Quiet: !sc.IsSampled()}
}

// under is a context in which spans come under a parent.
func under(parent trace.SpanContext) context.Context {
	return trace.ContextWithSpanContext(context.Background(), parent)
}

// Decision is a decision that is being made.
type Decision struct {
	t    *Tracer
	span trace.Span
}

// Decide begins the span of a decision. The request that it returns is a copy that belongs to that span: so the audit log names it.
func (t *Tracer) Decide(r *admit.Request, begin time.Time) (*admit.Request, Decision) {
	kind := trace.SpanKindServer // somebody asked us; but for the proxy, which has a span of its own
	if r.Forward {
		kind = trace.SpanKindInternal
	}
	_, span := t.tracer.Start(under(contextOf(r.Trace)), "admit", trace.WithTimestamp(begin), trace.WithSpanKind(kind))
	c := *r
	c.Trace = traceOf(span.SpanContext())
	if span.IsRecording() {
		span.SetAttributes(said(
			"swarmpurse.tenant", r.Tenant, "swarmpurse.agent", r.Agent, "swarmpurse.run", r.Run, "swarmpurse.caller", r.Key,
			string(semconv.GenAIRequestModelKey), r.Model)...)
		if r.MaxOutputTokens > 0 {
			span.SetAttributes(semconv.GenAIRequestMaxTokens(int(r.MaxOutputTokens)))
		}
		span.SetAttributes(attribute.Int64("swarmpurse.prompt_tokens", r.PromptTokens))
		if r.Counted != admit.Stated {
			span.SetAttributes(attribute.String("swarmpurse.prompt_counted", r.Counted.String()))
		}
	}
	return &c, Decision{t, span}
}

// End says how it was decided.
func (d Decision) End(a *admit.Answer, err error) {
	if errors.Is(err, admit.ErrBound) { // it is asked again: that one is told
		return
	}
	defer d.span.End()
	if a.ID != "" && a.Verdict.Admitted() {
		d.t.open.Add(a.ID, d.span.SpanContext())
	}
	if !d.span.IsRecording() {
		return
	}
	if err != nil { // nothing was decided
		d.span.SetStatus(codes.Error, err.Error())
		return
	}
	attrs := said("swarmpurse.decision", a.Verdict.String(), "swarmpurse.code", a.Code, "swarmpurse.reason", a.Reason, "swarmpurse.id", a.ID,
		"swarmpurse.class", a.Class, "swarmpurse.policy.arm", a.Arm, "swarmpurse.experiment", a.Experiment, "swarmpurse.experiment.arm", a.ExperimentArm)
	attrs = append(attrs,
		attribute.Int64("swarmpurse.policy.revision", a.Revision), attribute.Int("swarmpurse.backpressure", a.Level),
		attribute.Int64("swarmpurse.waited_ms", a.Waited.Milliseconds()), attribute.StringSlice("swarmpurse.reserved", amounts(a.Reserved)))
	if a.RetryAfter > 0 {
		attrs = append(attrs, attribute.Int64("swarmpurse.retry_after_ms", a.RetryAfter.Milliseconds()))
	}
	if a.Upstream != nil {
		attrs = append(attrs, attribute.String("swarmpurse.upstream", a.Upstream.Name))
	}
	if len(a.Flags) > 0 {
		attrs = append(attrs, attribute.StringSlice("swarmpurse.flags", slices.Clone(a.Flags)))
	}
	d.span.SetAttributes(attrs...)
}

// Ended tells of a reservation's end: how is settled, released, late. Its span comes under the decision's, while that is remembered;
// what is not, as after a restart, is left out.
func (t *Tracer) Ended(rc *admit.Receipt, how, outcome string, begin time.Time) {
	parent, ok := t.open.Peek(rc.ID)
	if !ok {
		return
	}
	t.open.Remove(rc.ID)
	_, span := t.tracer.Start(under(parent), "settle", trace.WithTimestamp(begin), trace.WithSpanKind(trace.SpanKindInternal))
	defer span.End()
	if span.IsRecording() {
		span.SetAttributes(said("swarmpurse.id", rc.ID, "swarmpurse.end", how, "swarmpurse.outcome", outcome)...)
		span.SetAttributes(attribute.StringSlice("swarmpurse.charged", amounts(rc.Charged)), attribute.Int64("swarmpurse.overrun", int64(rc.Overrun)))
	}
}

// amounts are written as budget=amount.
func amounts(cs []admit.Charge) []string {
	out := make([]string, len(cs))
	for i, c := range cs {
		out[i] = fmt.Sprintf("%s=%d", c.Instance.Name(), c.Amount)
	}
	return out
}

// said are the pairs of names and values whose value is stated.
func said(pairs ...string) []attribute.KeyValue {
	var out []attribute.KeyValue
	for pair := range slices.Chunk(pairs, 2) {
		if pair[1] != "" {
			out = append(out, attribute.String(pair[0], pair[1]))
		}
	}
	return out
}
