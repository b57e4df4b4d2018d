package llm

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// outcome is how a call ended, for metrics and for the settlement.
type outcome string

const (
	outOK           outcome = "ok"
	outClientGone   outcome = "client_gone"  // it was read to its end all the same
	outCut          outcome = "cut"          // we cut the upstream: too slow, drained long enough, shut down
	outBroken       outcome = "broken"       // the upstream broke off, or its reply cannot be understood
	outUpstream     outcome = "upstream"     // the upstream answered with an error
	outUnreachable  outcome = "unreachable"  // no answer from the upstream
	outDeferred     outcome = "deferred"     // by admission
	outDenied       outcome = "denied"       // by admission
	outInvalid      outcome = "invalid"      // the caller's mistake
	outUnauthorized outcome = "unauthorized" // a wrong key, or one that may not do this
	outLeft         outcome = "left"         // the client went before the call was admitted or sent
	outBusy         outcome = "busy"         // one of the proxy's own bounds, or shutting down
	outNoUpstream   outcome = "no_upstream"  // none is configured
	outFailed       outcome = "failed"       // admission failed
	outPanic        outcome = "panic"        // a bug of ours
)

// good reports whether a call ended as its caller or the policy wanted it to.
func (o outcome) good() bool {
	switch o {
	case outOK, outClientGone, outDeferred, outDenied, outLeft, outInvalid, outUnauthorized:
		return true
	}
	return false
}

type metrics struct {
	calls      *prometheus.CounterVec   // endpoint, outcome
	replies    *prometheus.CounterVec   // upstream, status
	tokens     *prometheus.CounterVec   // endpoint, direction, source
	miscount   *prometheus.CounterVec   // direction
	unreserved *prometheus.CounterVec   // ending
	duration   *prometheus.HistogramVec // endpoint
	firstByte  *prometheus.HistogramVec // endpoint
	overhead   *prometheus.HistogramVec // stage
	counted    *prometheus.CounterVec   // how
	tokenize   *prometheus.CounterVec   // upstream, result
	inFlight   prometheus.Gauge
	buffered   prometheus.Gauge
	settleErrs prometheus.Counter
	overrun    prometheus.Counter
	degraded   *prometheus.CounterVec   // endpoint
	refused    *prometheus.CounterVec   // upstream
	retries    *prometheus.CounterVec   // upstream, reason, how
	latency    *prometheus.HistogramVec // upstream
	paced      prometheus.Counter
	pause      prometheus.Counter
}

func newMetrics(reg prometheus.Registerer) (*metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "swarmpurse_proxy_" + name, Help: help}, labels)
	}
	seconds := func(name, help string, from, factor float64, n int, label string) *prometheus.HistogramVec {
		return prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name: "swarmpurse_proxy_" + name, Help: help, Buckets: prometheus.ExponentialBuckets(from, factor, n),
		}, []string{label})
	}
	m := &metrics{
		calls:      counter("calls_total", "Calls by endpoint and how they ended.", "endpoint", "outcome"),
		replies:    counter("upstream_replies_total", "Replies of upstreams by status: 2xx, 3xx, 4xx, 429, 5xx.", "upstream", "status"),
		tokens:     counter("tokens_total", "Tokens settled, as the upstream reported them or as counted by the proxy.", "endpoint", "direction", "source"),
		miscount:   counter("prompt_miscount_tokens_total", "How far the counted prompt lay over or under what the upstream reported.", "direction"),
		degraded:   counter("degraded_total", "Calls that the proxy made cheaper, as admission said: another model, less output, or both.", "endpoint"),
		refused:    counter("upstream_refusals_total", "Replies by which an upstream refused a call under the pool's own limits, so that a lower rate helps.", "upstream"),
		retries:    counter("retries_total", "Calls that were sent again, by the upstream that did not run them, why (unreachable, refused), and how: again, to where they were sent before, or failover, to another.", "upstream", "reason", "how"),
		unreserved: counter("reservations_ended_total", "Reservations by how they ended: usage, counted, whole, released.", "ending"),
		duration:   seconds("duration_seconds", "Time from request to the end of the reply.", 0.001, 2.5, 15, "endpoint"),
		firstByte:  seconds("first_byte_seconds", "Time from request to the first byte for the client.", 0.001, 2.5, 13, "endpoint"),
		overhead:   seconds("stage_seconds", "Time before forwarding: prepare (read and parse), count (the prompt, where a bound does not do), admit (decide and wait).", 0.00001, 4, 12, "stage"),
		latency:    seconds("upstream_seconds", "Time from forwarding a call to the first of the upstream's answer, whatever its status.", 0.001, 2.5, 13, "upstream"),
		counted:    counter("prompts_counted_total", "Calls by how their prompts were counted before they were admitted: bound, not at all, as their bytes were few beside the rights at hand; tokenizer, by the model's own; estimate, by another model's; upstream, which was asked.", "how"),
		tokenize:   counter("tokenize_total", "Upstreams that were asked to count a prompt, as vLLM does: ok, absent (it does not count, and is not asked for 10 minutes), failed (for 30 seconds).", "upstream", "result"),
		inFlight: prometheus.NewGauge(prometheus.GaugeOpts{Name: "swarmpurse_proxy_in_flight",
			Help: "Calls in the proxy now."}),
		buffered: prometheus.NewGauge(prometheus.GaugeOpts{Name: "swarmpurse_proxy_buffered_bytes",
			Help: "Bytes of request bodies held in memory now."}),
		settleErrs: prometheus.NewCounter(prometheus.CounterOpts{Name: "swarmpurse_proxy_settle_errors_total",
			Help: "Settlements and releases that failed. The reservation then ends by its time to live."}),
		overrun: prometheus.NewCounter(prometheus.CounterOpts{Name: "swarmpurse_proxy_overrun_tokens_total",
			Help: "Real cost above the reservation, over all budgets."}),
		paced: prometheus.NewCounter(prometheus.CounterOpts{Name: "swarmpurse_proxy_paced_bytes_total",
			Help: "Bytes of requests and replies that were charged to budgets of bytes."}),
		pause: prometheus.NewCounter(prometheus.CounterOpts{Name: "swarmpurse_proxy_pause_seconds_total",
			Help: "Time that those bytes waited for their budgets."}),
	}
	if reg == nil {
		return m, nil
	}
	for _, c := range m.collectors() {
		if err := reg.Register(c); err != nil {
			return nil, err
		}
	}
	return m, nil
}

func (m *metrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{m.calls, m.replies, m.tokens, m.miscount, m.unreserved, m.duration,
		m.firstByte, m.overhead, m.inFlight, m.buffered, m.settleErrs, m.overrun, m.degraded, m.refused, m.retries, m.latency, m.paced, m.pause, m.counted, m.tokenize}
}

// Metrics lists what a Proxy registers.
func Metrics() []prometheus.Collector {
	m, _ := newMetrics(nil) // it fails to register only
	return m.collectors()
}

func (m *metrics) stage(name string, since time.Time) {
	m.overhead.WithLabelValues(name).Observe(time.Since(since).Seconds())
}

func statusClass(code int) string {
	switch {
	case code == 429:
		return "429"
	case code >= 500:
		return "5xx"
	case code >= 400:
		return "4xx"
	case code >= 300:
		return "3xx"
	}
	return "2xx"
}
