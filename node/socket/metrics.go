package socket

import (
	"fmt"
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// What is asked, and what became of it.
const (
	admits = iota
	settles
	releases
	calls
)

const (
	resultOK      = iota // admitted or degraded; ended
	resultRefused        // deferred or denied
	resultError
	results
)

// Why connections were cut.
const (
	cutHello   = "hello"       // no hello came in its time, or none that can be read
	cutVersion = "version"     // no version that both speak
	cutKey     = "key"         // a key that is unknown or has expired
	cutFrame   = "frame"       // too long, or malformed
	cutSlow    = "slow_frame"  // a frame began and did not end in its time
	cutAnswer  = "slow_answer" // answers were not taken
	cutEnd     = "end"         // it outlasted the shutdown
)

type metrics struct {
	byCall   *prometheus.CounterVec
	conns    prometheus.GaugeFunc
	requests [calls][results]prometheus.Counter
	refused  *prometheus.CounterVec
	cut      *prometheus.CounterVec
	panics   prometheus.Counter
	open     atomic.Int64
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	requests := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "swarmpurse_socket_requests_total",
		Help: "Requests over --socket, by call (admit, settle, release) and result: ok, refused (deferred and denied), error."}, []string{"call", "result"})
	m := &metrics{
		byCall: requests,
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "swarmpurse_socket_refused_total",
			Help: "Requests over --socket refused at the door: a key that is unknown (key) or has expired, a key's rate or concurrency, another tenant, agent or class than the key's, more at once than a connection may have (window)."}, []string{"reason"}),
		cut: prometheus.NewCounterVec(prometheus.CounterOpts{Name: "swarmpurse_socket_cut_total",
			Help: "Connections of --socket that the node ended: no hello in its time (hello), no version that both speak, a bad key, a frame that is too long or malformed (frame) or did not come to its end (slow_frame), answers that were not taken (slow_answer), still open when the node ended (end)."}, []string{"reason"}),
		panics: prometheus.NewCounter(prometheus.CounterOpts{Name: "swarmpurse_socket_panics_total", Help: "Requests over --socket that panicked; each is a bug."}),
	}
	for c, call := range [calls]string{"admit", "settle", "release"} {
		for r, result := range [results]string{"ok", "refused", "error"} {
			m.requests[c][r] = requests.WithLabelValues(call, result)
		}
	}
	for _, reason := range []string{"key", "expired_key", "key_rate", "key_concurrency", "tenant", "agent", "class", refusedWindow} {
		m.refused.WithLabelValues(reason)
	}
	for _, reason := range []string{cutHello, cutVersion, cutKey, cutFrame, cutSlow, cutAnswer, cutEnd} {
		m.cut.WithLabelValues(reason)
	}
	m.conns = prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "swarmpurse_socket_connections", Help: "Connections of --socket that are open now."},
		func() float64 { return float64(m.open.Load()) })
	if reg == nil {
		return m, nil
	}
	for _, c := range m.collectors() {
		if err := reg.Register(c); err != nil {
			return nil, fmt.Errorf("socket metrics: %w", err)
		}
	}
	return m, nil
}

func (m *metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.byCall, m.refused, m.cut, m.panics, m.conns}
}

// Metrics lists what a Server registers.
func Metrics() []prometheus.Collector {
	m, _ := newMetrics(nil) // it fails to register only
	return m.collectors()
}

const refusedWindow = "window"

func (m *metrics) refuse(reason string) { m.refused.WithLabelValues(reason).Inc() }
