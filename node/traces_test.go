package node

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	collector "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	common "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/grpc"
	"google.golang.org/protobuf/proto"

	"github.com/swarmpurse/swarmpurse/node/telemetry/traces"
)

// spans is an OpenTelemetry collector, by HTTP and by gRPC, that keeps what it is told.
type spans struct {
	collector.UnimplementedTraceServiceServer
	mu     sync.Mutex
	all    []*tracepb.Span
	about  map[string]string // of the last resource
	schema string            // of the spans
	raw    strings.Builder
}

func (s *spans) Export(_ context.Context, r *collector.ExportTraceServiceRequest) (*collector.ExportTraceServiceResponse, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.raw.WriteString(r.String())
	for _, rs := range r.ResourceSpans {
		s.about = attributesOf(rs.Resource.Attributes)
		for _, ss := range rs.ScopeSpans {
			s.schema = ss.SchemaUrl
			s.all = append(s.all, ss.Spans...)
		}
	}
	return &collector.ExportTraceServiceResponse{}, nil
}

func (s *spans) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	b, err := io.ReadAll(r.Body)
	var req collector.ExportTraceServiceRequest
	if err == nil {
		err = proto.Unmarshal(b, &req)
	}
	if err != nil || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/x-protobuf" {
		http.Error(w, "not OTLP", http.StatusBadRequest)
		return
	}
	_, _ = s.Export(r.Context(), &req)
}

func (s *spans) named(t *testing.T, name string) (*tracepb.Span, map[string]string) {
	t.Helper()
	s.mu.Lock()
	defer s.mu.Unlock()
	var found *tracepb.Span
	for _, x := range s.all {
		if x.Name == name {
			if found != nil {
				t.Fatalf("two spans are called %q", name)
			}
			found = x
		}
	}
	if found == nil {
		var names []string
		for _, x := range s.all {
			names = append(names, x.Name)
		}
		t.Fatalf("no span is called %q: there are %q", name, names)
	}
	return found, attributesOf(found.Attributes)
}

func attributesOf(kvs []*common.KeyValue) map[string]string {
	m := map[string]string{}
	for _, kv := range kvs {
		switch v := kv.Value.Value.(type) {
		case *common.AnyValue_StringValue:
			m[kv.Key] = v.StringValue
		case *common.AnyValue_ArrayValue:
			var parts []string
			for _, x := range v.ArrayValue.Values {
				parts = append(parts, x.GetStringValue())
			}
			m[kv.Key] = strings.Join(parts, " ")
		case *common.AnyValue_IntValue:
			b, _ := json.Marshal(v.IntValue)
			m[kv.Key] = string(b)
		case *common.AnyValue_BoolValue:
			b, _ := json.Marshal(v.BoolValue)
			m[kv.Key] = string(b)
		}
	}
	return m
}

// TestTraces follows calls through the proxy and the API to a collector, and W3C trace context from the caller to the provider.
func TestTraces(t *testing.T) {
	const (
		trace  = "4bf92f3577b34da6a3ce929d0e0e4736"
		parent = "00f067aa0ba902b7"
	)
	for _, kind := range []string{"http", "grpc"} {
		t.Run(kind, func(t *testing.T) {
			got := &spans{}
			var endpoint string
			if kind == "http" {
				srv := httptest.NewServer(got)
				defer srv.Close()
				endpoint = srv.URL
			} else {
				lis, err := net.Listen("tcp", "127.0.0.1:0")
				if err != nil {
					t.Fatal(err)
				}
				srv := grpc.NewServer()
				collector.RegisterTraceServiceServer(srv, got)
				go func() { _ = srv.Serve(lis) }()
				defer srv.Stop()
				endpoint = "grpc://" + lis.Addr().String()
			}
			var header http.Header
			up := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				header = r.Header.Clone()
				w.Header().Set("Content-Type", "application/json")
				_, _ = io.WriteString(w, `{"id":"x","object":"chat.completion","choices":[{"index":0,"finish_reason":"stop","message":{"role":"assistant","content":"SECRET-ANSWER"}}],`+
					`"usage":{"prompt_tokens":9,"completion_tokens":4,"total_tokens":13,"prompt_tokens_details":{"cached_tokens":5},"completion_tokens_details":{"reasoning_tokens":3}}}`)
			}))
			defer up.Close()
			reg := prometheus.NewRegistry()
			n, err := Open(t.Context(), Options{
				Name: "n1", Cluster: "test", Zone: "eu", Gossip: "127.0.0.1:0", HTTP: "127.0.0.1:0", Registry: reg, Logger: zerolog.Nop(),
				Upstreams: []string{"openai=" + up.URL + "/v1"}, OTLP: endpoint, Version: "v9", Data: t.TempDir(),
			})
			if err != nil {
				t.Fatal(err)
			}
			ctx, stop := context.WithCancel(t.Context())
			done := make(chan error, 1)
			go func() { done <- n.Run(ctx) }()
			send := func(path, body, traceparent string) string {
				t.Helper()
				req, err := http.NewRequestWithContext(t.Context(), http.MethodPost, n.HTTPAddr()+path, strings.NewReader(body))
				if err != nil {
					t.Fatal(err)
				}
				req.Header.Set("Content-Type", "application/json")
				req.Header.Set("Authorization", "Bearer SECRET-KEY")
				req.Header.Set("X-Swarmpurse-Tenant", "search")
				if traceparent != "" {
					req.Header.Set("Traceparent", traceparent)
					req.Header.Set("Tracestate", "vendor=1")
				}
				resp, err := http.DefaultClient.Do(req)
				if err != nil {
					t.Fatal(err)
				}
				b, err := io.ReadAll(resp.Body)
				if resp.Body.Close(); err != nil || resp.StatusCode != http.StatusOK {
					t.Fatalf("%d %s %v", resp.StatusCode, b, err)
				}
				if id := resp.Header.Get("X-Swarmpurse-Decision"); id != "" {
					return id
				}
				var a struct{ ID string }
				_ = json.Unmarshal(b, &a)
				return a.ID
			}
			id := send("/openai/v1/chat/completions", `{"model":"gpt-4o","max_completion_tokens":20,"messages":[{"role":"user","content":"SECRET-PROMPT"}]}`, "00-"+trace+"-"+parent+"-01")
			quiet := send("/v1/admit", `{"tenant":"quiet","tokens":{"compute":7}}`, "00-5bf92f3577b34da6a3ce929d0e0e4736-"+parent+"-00") // its caller records nothing
			if _, err := n.Release(quiet); err != nil {
				t.Fatal(err)
			}
			d, err := n.Decision(id)
			if err != nil {
				t.Fatal(err)
			}
			stop()
			if err := <-done; err != nil {
				t.Fatal(err)
			}

			server, sa := got.named(t, "proxy POST")
			admit, aa := got.named(t, "admit")
			client, ca := got.named(t, "chat gpt-4o")
			settle, ea := got.named(t, "settle")
			for _, s := range []*tracepb.Span{server, admit, client, settle} {
				if hex.EncodeToString(s.TraceId) != trace {
					t.Errorf("%s is in the trace %x", s.Name, s.TraceId)
				}
			}
			for _, link := range []struct {
				child  *tracepb.Span
				parent []byte
				kind   tracepb.Span_SpanKind
			}{
				{server, must(hex.DecodeString(parent)), tracepb.Span_SPAN_KIND_SERVER},
				{admit, server.SpanId, tracepb.Span_SPAN_KIND_INTERNAL},
				{client, server.SpanId, tracepb.Span_SPAN_KIND_CLIENT},
				{settle, admit.SpanId, tracepb.Span_SPAN_KIND_INTERNAL},
			} {
				if string(link.child.ParentSpanId) != string(link.parent) || link.child.Kind != link.kind {
					t.Errorf("%s: parent %x, want %x; kind %v, want %v", link.child.Name, link.child.ParentSpanId, link.parent, link.child.Kind, link.kind)
				}
			}
			if want := "00-" + trace + "-" + hex.EncodeToString(client.SpanId) + "-01"; header.Get("Traceparent") != want || header.Get("Tracestate") != "vendor=1" {
				t.Errorf("the provider was sent %q and %q, want %q", header.Get("Traceparent"), header.Get("Tracestate"), want)
			}
			if d.TraceID != trace || d.SpanID != hex.EncodeToString(admit.SpanId) {
				t.Errorf("explain names the trace %s, span %s", d.TraceID, d.SpanID)
			}
			for _, c := range []struct {
				in         map[string]string
				name, want string
			}{
				{ca, "gen_ai.operation.name", "chat"}, {ca, "gen_ai.provider.name", "openai"}, {ca, "gen_ai.request.model", "gpt-4o"},
				{ca, "gen_ai.request.max_tokens", "20"}, {ca, "gen_ai.request.stream", "false"}, {ca, "gen_ai.usage.input_tokens", "9"}, {ca, "gen_ai.usage.output_tokens", "4"},
				{ca, "gen_ai.usage.cache_read.input_tokens", "5"}, {ca, "gen_ai.usage.reasoning.output_tokens", "3"}, {ca, "server.address", "127.0.0.1"},
				{ca, "http.response.status_code", "200"}, {ca, "swarmpurse.upstream", "openai"}, {ca, "swarmpurse.outcome", "ok"}, {ca, "swarmpurse.usage", "upstream"},
				{sa, "http.request.method", "POST"}, {sa, "swarmpurse.endpoint", "chat"}, {sa, "swarmpurse.tenant", "search"}, {sa, "swarmpurse.id", id}, {sa, "error.type", ""},
				{aa, "swarmpurse.decision", "admit"}, {aa, "swarmpurse.code", "ok"}, {aa, "swarmpurse.id", id}, {aa, "swarmpurse.tenant", "search"}, {aa, "gen_ai.request.model", "gpt-4o"},
				{ea, "swarmpurse.end", "settled"}, {ea, "swarmpurse.id", id}, {ea, "swarmpurse.outcome", "ok"},
				{got.about, "service.name", "swarmpurse"}, {got.about, "service.instance.id", "n1"}, {got.about, "service.version", "v9"}, {got.about, "swarmpurse.cluster", "test"}, {got.about, "swarmpurse.zone", "eu"},
			} {
				if c.in[c.name] != c.want {
					t.Errorf("%s is %q, want %q", c.name, c.in[c.name], c.want)
				}
			}
			if want := "https://opentelemetry.io/schemas/" + traces.Conventions; got.schema != want {
				t.Errorf("the schema is %q, want %q", got.schema, want)
			}
			if raw := got.raw.String(); strings.Contains(raw, "SECRET") || strings.Contains(raw, "quiet") {
				t.Error("spans tell what nobody should be told")
			}
			if v := gauges(t, reg, "swarmpurse_trace_spans_total"); v["swarmpurse_trace_spans_total{result=exported}"] != 4 || v["swarmpurse_trace_spans_total{result=failed}"]+v["swarmpurse_trace_spans_total{result=dropped}"] != 0 {
				t.Errorf("counted: %v", v)
			}
		})
	}
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
