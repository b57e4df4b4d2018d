package api

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/swarmpurse/swarmpurse/node/caller"
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
	certificate atomic.Pointer[certificate] // nil: no TLS is spoken
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
			Help: "HTTP requests refused at the door: foreign Host header, cross-origin page, media type, body size, a body that is no JSON or is nested too deeply (body_malformed) or did not come (body_slow), a handshake or headers that did not come (header_slow), an answer that was not taken (answer_slow), no key, a key that is unknown or has expired, a key's rate or concurrency, another tenant, agent or class than the key's, what is for operators, or for the machine itself.",
		}, []string{"reason"}),
	}
	m.inFlight = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "swarmpurse_http_in_flight",
		Help: "HTTP requests being answered now.",
	}, func() float64 { return float64(m.inFlightNow.Load()) })
	for _, reason := range []string{
		"host", "cross_origin", "media_type", "body_size", "body_malformed", "body_slow", "header_slow", "answer_slow", "no_key", "key", "expired_key", "key_rate", "key_concurrency",
		"tenant", "agent", "class", "operator", "machine",
	} {
		m.refused.WithLabelValues(reason)
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range m.collectors() {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("http metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.requests, m.duration, m.inFlight, m.panics, m.refused, certificates{m}}
}

// Metrics lists what a Server registers.
func Metrics() []prometheus.Collector {
	m, _ := newMetrics(nil) // it fails to register only
	none := func() *caller.Table { return nil }
	return slices.Concat(m.collectors(), eventCollectors(NewEvents(0)), []prometheus.Collector{callerUse{none}})
}

// show tells of the certificate of a door.
func (m *metrics) show(c *certificate) { m.certificate.Store(c) }

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

var (
	certificateUntil = prometheus.NewDesc("swarmpurse_tls_certificate_expiry_seconds", "Unix time at which the certificate of the HTTP address ends.", nil, nil)
	certificateFails = prometheus.NewDesc("swarmpurse_tls_certificate_failing", "1 while the files of the certificate cannot be used, and the last good one is shown.", nil, nil)
)

// certificates tells of a certificate where TLS is spoken.
type certificates struct{ m *metrics }

func (c certificates) Describe(to chan<- *prometheus.Desc) {
	to <- certificateUntil
	to <- certificateFails
}

func (c certificates) Collect(to chan<- prometheus.Metric) {
	cert := c.m.certificate.Load()
	if cert == nil {
		return
	}
	shown, _ := cert.get(nil) // also where nobody has come in for long
	failing := 0.0
	if cert.failing.Load() {
		failing = 1
	}
	to <- prometheus.MustNewConstMetric(certificateUntil, prometheus.GaugeValue, float64(shown.Leaf.NotAfter.Unix()))
	to <- prometheus.MustNewConstMetric(certificateFails, prometheus.GaugeValue, failing)
}

var (
	callerLabels   = []string{"caller", "tenant"}
	callerRequests = prometheus.NewDesc("swarmpurse_caller_requests_total", "Requests of a caller's key, by HTTP and gRPC, that its limits let in.", callerLabels, nil)
	callerRefused  = prometheus.NewDesc("swarmpurse_caller_refused_total", "Requests of a caller's key that its limits refused, by limit: rate, concurrency.", append(callerLabels[:2:2], "limit"), nil)
	callerInFlight = prometheus.NewDesc("swarmpurse_caller_in_flight", "Requests of a caller's key that are being answered now.", callerLabels, nil)
)

// callerUse tells what became of the requests of each key that was used. There are as many series as the policy has keys.
type callerUse struct{ callers func() *caller.Table }

func registerCallers(reg prometheus.Registerer, callers func() *caller.Table) error {
	if reg == nil {
		return nil
	}
	if err := reg.Register(callerUse{callers}); err != nil {
		return fmt.Errorf("http metrics: %w", err)
	}
	return nil
}

func (c callerUse) Describe(to chan<- *prometheus.Desc) {
	to <- callerRequests
	to <- callerRefused
	to <- callerInFlight
}

func (c callerUse) Collect(to chan<- prometheus.Metric) {
	c.callers().Each(func(u caller.Use) {
		to <- prometheus.MustNewConstMetric(callerRequests, prometheus.CounterValue, float64(u.Requests), u.Name, u.Tenant)
		to <- prometheus.MustNewConstMetric(callerRefused, prometheus.CounterValue, float64(u.Rate), u.Name, u.Tenant, "rate")
		to <- prometheus.MustNewConstMetric(callerRefused, prometheus.CounterValue, float64(u.Busy), u.Name, u.Tenant, "concurrency")
		to <- prometheus.MustNewConstMetric(callerInFlight, prometheus.GaugeValue, float64(u.InFlight), u.Name, u.Tenant)
	})
}
