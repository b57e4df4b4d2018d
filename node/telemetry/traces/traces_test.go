package traces

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/rs/zerolog"
	"go.opentelemetry.io/otel/sdk/resource"
	sdk "go.opentelemetry.io/otel/sdk/trace"

	"github.com/swarmpurse/swarmpurse/node/admit"
)

func TestParseEndpoint(t *testing.T) {
	for in, want := range map[string]Endpoint{
		"http://127.0.0.1:4318":          {false, false, "127.0.0.1:4318", "/v1/traces"},
		"https://otel.example":           {false, true, "otel.example:4318", "/v1/traces"},
		"https://otel.example/v1/traces": {false, true, "otel.example:4318", "/v1/traces"},
		"http://[::1]:99/a/b":            {false, false, "[::1]:99", "/a/b"},
		"grpc://otel:4317":               {true, false, "otel:4317", ""},
		"grpcs://otel":                   {true, true, "otel:4317", ""},
	} {
		if got, err := ParseEndpoint(in); err != nil || got != want {
			t.Errorf("%s: %+v, %v, want %+v", in, got, err, want)
		}
	}
	for _, in := range []string{"127.0.0.1:4318", "otel", "ftp://x", "http://", "http://a:b@c", "grpc://x/v1/traces", "http://x?y=z", "http://x#y", "http://x:\x7f"} {
		if got, err := ParseEndpoint(in); err == nil {
			t.Errorf("%s is %+v", in, got)
		}
	}
}

func TestFromEnvironment(t *testing.T) {
	for _, c := range []struct {
		env  string
		want string
		err  string
	}{
		{"", "", ""},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318", "http://c:4318/v1/traces", ""},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318/base/", "http://c:4318/base/v1/traces", ""},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4318 OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://t:1/x", "http://t:1/x", ""},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c:4317 OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "grpc://c:4317", ""},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=https://c:4317 OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "grpcs://c:4317", ""},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=c:4317 OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=grpc", "grpcs://c:4317", ""},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c OTEL_EXPORTER_OTLP_PROTOCOL=http/json", "", "http/json"},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c OTEL_SDK_DISABLED=true", "", ""},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c OTEL_TRACES_EXPORTER=none", "", ""},
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://c OTEL_TRACES_EXPORTER=zipkin", "", "zipkin"},
	} {
		env := map[string]string{}
		for _, kv := range strings.Fields(c.env) {
			k, v, _ := strings.Cut(kv, "=")
			env[k] = v
		}
		got, err := FromEnvironment(func(k string) string { return env[k] })
		if got != c.want || (err == nil) != (c.err == "") || err != nil && !strings.Contains(err.Error(), c.err) {
			t.Errorf("%s: %q, %v", c.env, got, err)
		}
	}
}

// stuck is a collector that takes nothing before it is let, and then fails once.
type stuck struct {
	begun chan struct{} // one for each export
	let   chan error
	got   int
}

func (s *stuck) ExportSpans(_ context.Context, spans []sdk.ReadOnlySpan) error {
	s.begun <- struct{}{}
	err := <-s.let
	if err == nil {
		s.got += len(spans)
	}
	return err
}

func (s *stuck) Shutdown(context.Context) error { return nil }

// TestQueueIsBounded: a collector that hangs costs calls nothing but spans, and these are counted.
func TestQueueIsBounded(t *testing.T) {
	s := &stuck{begun: make(chan struct{}, maxQueue), let: make(chan error, maxQueue)}
	var counts Counts
	tr := open(newQueue(s, &counts, zerolog.Nop()), resource.Empty())
	const more = 100
	for range maxQueue + more {
		_, d := tr.Decide(&admit.Request{}, time.Now())
		d.End(&admit.Answer{Verdict: admit.Deny}, nil)
	}
	if n := counts.dropped.Load(); n != more {
		t.Errorf("%d dropped, want %d", n, more)
	}
	<-s.begun // the first batch is on its way, and fails; the others come through
	s.let <- errors.New("away")
	for range maxQueue {
		s.let <- nil
	}
	if err := tr.Close(t.Context()); err != nil {
		t.Fatal(err)
	}
	if failed, sent := counts.failed.Load(), counts.sent.Load(); failed == 0 || failed+sent != maxQueue || int64(s.got) != sent {
		t.Errorf("%d failed, %d sent (%d came), of %d", failed, sent, s.got, maxQueue)
	}
	if problems, err := testutil.CollectAndLint(&counts); err != nil || len(problems) > 0 {
		t.Error(problems, err)
	}
}

// TestNone: without a tracer nothing is done, and nothing is allocated.
func TestNone(t *testing.T) {
	tr, err := Open(t.Context(), Options{}, new(Counts), zerolog.Nop())
	if tr != nil || err != nil {
		t.Fatal(tr, err)
	}
	if n := testing.AllocsPerRun(100, func() {
		c := tr.Call(nil, time.Time{})
		c.Forward(Asked{}, nil)
		c.Answered(200)
		c.Used(admit.Usage{}, false)
		c.End("ok", true, "", "", "", "")
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
	if err := tr.Close(t.Context()); err != nil {
		t.Error(err)
	}
}
