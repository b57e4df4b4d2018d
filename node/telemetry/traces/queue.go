package traces

import (
	"context"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/rs/zerolog"
	sdk "go.opentelemetry.io/otel/sdk/trace"
)

// maxQueue bounds the spans that wait to be sent or are on their way, some kilobyte each.
const maxQueue = 4096

// Counts is what became of spans. The zero value is ready; safe for concurrent use.
type Counts struct{ sent, failed, dropped atomic.Int64 }

var spansDesc = prometheus.NewDesc("swarmpurse_trace_spans_total",
	"Spans of OpenTelemetry by what became of them: exported, failed (the collector did not take them), dropped (the queue was full).", []string{"result"}, nil)

// Describe and Collect make Counts a collector.
func (c *Counts) Describe(to chan<- *prometheus.Desc) { to <- spansDesc }

func (c *Counts) Collect(to chan<- prometheus.Metric) {
	for result, n := range map[string]*atomic.Int64{"exported": &c.sent, "failed": &c.failed, "dropped": &c.dropped} {
		to <- prometheus.MustNewConstMetric(spansDesc, prometheus.CounterValue, float64(n.Load()), result)
	}
}

// queue stands before a batching processor, lets in as many spans as it may hold, and counts the others; behind it, as the
// processor's exporter, it counts what was sent. The SDK's own processor drops without telling.
type queue struct {
	sdk.SpanProcessor
	to      sdk.SpanExporter
	waiting atomic.Int64
	counts  *Counts
	log     zerolog.Logger
	failing atomic.Bool // said in the log
}

func newQueue(to sdk.SpanExporter, counts *Counts, log zerolog.Logger) *queue {
	q := &queue{to: to, counts: counts, log: log}
	q.SpanProcessor = sdk.NewBatchSpanProcessor((*exporter)(q), sdk.WithMaxQueueSize(maxQueue))
	return q
}

// OnEnd takes a span in, or drops it. It never waits.
func (q *queue) OnEnd(s sdk.ReadOnlySpan) {
	if !s.SpanContext().IsSampled() {
		return
	}
	if q.waiting.Add(1) > maxQueue {
		q.waiting.Add(-1)
		q.counts.dropped.Add(1)
		return
	}
	q.SpanProcessor.OnEnd(s)
}

// exporter is the queue's other end.
type exporter queue

// ExportSpans sends. Errors are told here, once until it works again: OpenTelemetry's own handler is a global.
func (e *exporter) ExportSpans(ctx context.Context, spans []sdk.ReadOnlySpan) error {
	defer e.waiting.Add(-int64(len(spans)))
	if err := e.to.ExportSpans(ctx, spans); err != nil {
		e.counts.failed.Add(int64(len(spans)))
		if !e.failing.Swap(true) {
			e.log.Warn().Err(err).Int("spans", len(spans)).Msg("traces: the collector does not take spans; calls go on, swarmpurse_trace_spans_total counts what is lost")
		}
		return nil
	}
	e.counts.sent.Add(int64(len(spans)))
	if e.failing.Swap(false) {
		e.log.Info().Msg("traces: the collector takes spans again")
	}
	return nil
}

func (e *exporter) Shutdown(ctx context.Context) error { return e.to.Shutdown(ctx) }
