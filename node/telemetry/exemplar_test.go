package telemetry

import (
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/promhttp"
)

// TestExemplars: a traced call is named at the bucket that it fell into, to those who read OpenMetrics, and replaced after a second at the soonest.
func TestExemplars(t *testing.T) {
	m, reg := newMetrics(t)
	m.SetPolicy(PolicyInfo{Classes: []ClassInfo{{Name: "batch"}}})
	at := time.Unix(1_800_000_000, 0)
	call := func(waited, took time.Duration, trace byte, after time.Duration) {
		m.Decision("admit", "ok", "batch", false, waited, took)
		m.Traced("batch", waited, took, TraceOf{ID: [16]byte{15: trace}, Span: [8]byte{7: trace}}, at.Add(after))
	}
	page := func(accept string) string {
		r := httptest.NewRequest("GET", "/metrics", nil)
		r.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		promhttp.HandlerFor(reg, promhttp.HandlerOpts{EnableOpenMetrics: true}).ServeHTTP(w, r)
		return w.Body.String()
	}
	const open = "application/openmetrics-text; version=1.0.0"
	trace := func(n string) string { return `trace_id="` + strings.Repeat("0", 31) + n + `"` }
	call(0, 300*time.Nanosecond, 1, 0)
	call(0, 400*time.Nanosecond, 2, time.Second/2) // too soon
	call(80*time.Millisecond, 90*time.Millisecond, 3, 0)
	call(0, time.Hour, 4, 0) // beyond all bounds
	out := page(open)
	for _, want := range []string{trace("1"), trace("3"), trace("4")} {
		if !strings.Contains(out, want) {
			t.Errorf("no %s in\n%s", want, out)
		}
	}
	if n := strings.Count(out, trace("3")); n != 2 {
		t.Errorf("a call that waited is an example of its decision and of its class: %d", n)
	}
	for line := range strings.Lines(out) {
		if strings.Contains(line, trace("1")) && (!strings.Contains(line, `le="5e-07"`) || !strings.Contains(line, "} 3e-07 ")) {
			t.Errorf("it stands at another bucket: %s", line)
		}
	}
	if strings.Contains(out, trace("2")) {
		t.Error("the first was replaced within a second")
	}
	if strings.Contains(page("text/plain"), "trace_id") {
		t.Error("the old format has none")
	}
	call(0, 400*time.Nanosecond, 5, time.Second)
	if out := page(open); !strings.Contains(out, trace("5")) || strings.Contains(out, trace("1")) {
		t.Error("it is not replaced after a second")
	}
	var none *Metrics
	none.Traced("batch", 0, 0, TraceOf{}, at)
}
