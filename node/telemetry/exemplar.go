package telemetry

import (
	"encoding/hex"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Exemplars lead from a bucket of a histogram to the trace of a call that fell into it. Prometheus takes them by OpenMetrics.

// TraceOf names the span of a decision that is recorded somewhere.
type TraceOf struct {
	ID   [16]byte
	Span [8]byte
}

// example is a traced call.
type example struct {
	trace TraceOf
	took  time.Duration
	at    time.Time
}

// exampleEvery is how long a bucket keeps its example at least, so that many traced calls cost a look each and no more.
const exampleEvery = time.Second

// Traced tells of a decision that Decision has counted, with the same arguments, whose trace is recorded.
func (m *Metrics) Traced(class string, waited, took time.Duration, trace TraceOf, now time.Time) {
	if m == nil {
		return
	}
	if waited <= 0 {
		m.local.example(took, trace, now)
		return
	}
	m.waited.example(took, trace, now)
	t := m.table.Load()
	t.wait(t.class(class)).example(waited, trace, now)
}

func (h *histogram) example(d time.Duration, trace TraceOf, now time.Time) {
	d = max(d, 0)
	p := &h.examples[bucketOf(d)]
	if last := p.Load(); last == nil || now.Sub(last.at) >= exampleEvery {
		p.Store(&example{trace, d, now})
	}
}

func (h *histogram) exemplars() (list []prometheus.Exemplar) {
	for i := range h.examples {
		if e := h.examples[i].Load(); e != nil {
			list = append(list, prometheus.Exemplar{Value: e.took.Seconds(), Timestamp: e.at, Labels: prometheus.Labels{
				"trace_id": hex.EncodeToString(e.trace.ID[:]), "span_id": hex.EncodeToString(e.trace.Span[:]),
			}})
		}
	}
	return list
}
