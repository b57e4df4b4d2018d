package demo

import (
	"math"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"net/http/httptest"
	"time"

	"github.com/swarmpurse/swarmpurse/node/telemetry"
)

// What a node really serves is what is read.
func TestMetricsOfANodeAreRead(t *testing.T) {
	reg := prometheus.NewRegistry()
	m, err := telemetry.New(telemetry.Options{Registerer: reg, Version: "test"})
	if err != nil {
		t.Fatal(err)
	}
	m.SetPolicy(telemetry.PolicyInfo{Revision: 1, Hash: "00", Classes: []telemetry.ClassInfo{{Name: "standard", LatencyBudget: 2 * time.Second}}})
	for range 99 {
		m.Decision("admit", "ok", "standard", false, 0, 3*time.Microsecond)
	}
	m.Decision("admit", "ok", "standard", false, 0, 40*time.Millisecond)
	m.Decision("defer", "budget_exhausted", "standard", false, time.Second, time.Second)
	m.Settlement(telemetry.Settled)
	m.Settlement(telemetry.Late)
	m.Settlement(telemetry.Released)
	srv := httptest.NewServer(promhttp.HandlerFor(reg, promhttp.HandlerOpts{}))
	defer srv.Close()
	resp, err := plainHTTP.Get(srv.URL)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	got, err := readMetrics(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
	if got.settled != 2 {
		t.Errorf("%v settlements, want 2: settled and late", got.settled)
	}
	if l := got.local.latency(); l.Decisions != 100 || l.P50 > 0.0065 || l.P50 < 0.001 || l.P99 > 0.0065 {
		t.Errorf("local %+v, want 100 decisions around 3 µs", l)
	}
	if q := got.local.quantile(0.999); q < 0.02 || q > 0.08 {
		t.Errorf("the slowest took %g s, want about 40 ms", q)
	}
}

func TestQuantile(t *testing.T) {
	h := Histogram{bounds: []float64{1, 2, 4, math.Inf(1)}, counts: []float64{10, 10, 30, 40}, total: 40}
	for q, want := range map[float64]float64{0: 0, 0.125: 0.5, 0.25: 1, 0.5: 3, 0.75: 4, 0.99: 4, 1: 4} {
		if got := h.quantile(q); got != want {
			t.Errorf("quantile %g is %g, want %g", q, got, want)
		}
	}
	var none Histogram
	if !math.IsNaN(none.quantile(0.5)) || none.latency() != (Latency{}) {
		t.Error("no observations have no quantile")
	}
	before := Histogram{bounds: h.bounds, counts: []float64{10, 10, 10, 10}, total: 10}
	h.plus(before, -1)
	if h.total != 30 || h.quantile(0.5) != 3.5 {
		t.Errorf("less the first ten: %+v, median %g", h, h.quantile(0.5))
	}
}

func TestWrongMetricsAreAnError(t *testing.T) {
	if _, err := readMetrics(strings.NewReader("<html>")); err == nil {
		t.Error("a page that is no metrics was read")
	}
}
