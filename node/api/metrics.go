package api

import (
	"fmt"
	"net/http"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics holds swarmpurse_http_*. Every label comes from a fixed list: routes are patterns, never
// paths.
type metrics struct {
	requests    *prometheus.CounterVec
	duration    *prometheus.HistogramVec
	inFlight    prometheus.GaugeFunc
	inFlightNow atomic.Int64
	panics      prometheus.Counter
	refused     *prometheus.CounterVec
}

// routeMetrics is one route's row, looked up once.
type routeMetrics struct {
	name     string
	duration prometheus.Observer
	ok       prometheus.Counter // by far the most frequent status
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	m := &metrics{
		requests: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "swarmpurse_http_requests_total",
			Help: "HTTP requests answered, by route and status.",
		}, []string{"route", "status"}),
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "swarmpurse_http_request_duration_seconds",
			Help: "Time to answer an HTTP request, by route; waiting in the admission queue and streaming included.",
			// 50 µs for a local decision up to minutes for streams and for batch calls that queue.
			Buckets: []float64{50e-6, 100e-6, 250e-6, 500e-6, 1e-3, 2.5e-3, 5e-3, 10e-3, 25e-3, 100e-3, 500e-3, 1, 5, 30, 120, 600},
		}, []string{"route"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "swarmpurse_http_panics_total",
			Help: "HTTP handlers that panicked; each is a bug.",
		}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "swarmpurse_http_refused_total",
			Help: "HTTP requests refused before they were read: foreign Host header, cross-origin page, media type, body size.",
		}, []string{"reason"}),
	}
	m.inFlight = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "swarmpurse_http_in_flight",
		Help: "HTTP requests being answered now.",
	}, func() float64 { return float64(m.inFlightNow.Load()) })
	for _, reason := range []string{"host", "cross_origin", "media_type", "body_size"} {
		m.refused.WithLabelValues(reason)
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range []prometheus.Collector{m.requests, m.duration, m.inFlight, m.panics, m.refused} {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("http metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) route(name string) *routeMetrics {
	return &routeMetrics{
		name:     name,
		duration: m.duration.WithLabelValues(name),
		ok:       m.requests.WithLabelValues(name, strconv.Itoa(http.StatusOK)),
	}
}

func (m *metrics) refuse(reason string) { m.refused.WithLabelValues(reason).Inc() }

func (m *metrics) enter() { m.inFlightNow.Add(1) }

func (m *metrics) leave(rt *routeMetrics, status int, took time.Duration) {
	m.inFlightNow.Add(-1)
	rt.duration.Observe(took.Seconds())
	if status == http.StatusOK {
		rt.ok.Inc()
		return
	}
	label := "other" // an upstream may answer any number through the proxy
	if http.StatusText(status) != "" || status == statusClientIsGone {
		label = strconv.Itoa(status)
	}
	m.requests.WithLabelValues(rt.name, label).Inc()
}
