package rls

import (
	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"

	"github.com/swarmpurse/swarmpurse/policy"
)

// Results of descriptors.
const (
	resultOK        = "ok"
	resultOver      = "over_limit"
	resultInvalid   = "invalid" // its values make no call that the policy can decide on: over its limit
	resultUnmatched = "unmatched"
	resultForbidden = "forbidden" // it names another tenant, agent or class than the caller's key: over its limit
	resultReported  = "reported"
	resultRefunded  = "refunded"
)

const labelDomain = "domain"

// otherDomain is the label of domains that the policy does not have.
const otherDomain = "other"

type metrics struct {
	requests    *prometheus.CounterVec // code
	ok, over    prometheus.Counter     // of them
	descriptors descriptors            // domain, result
	refunds     *prometheus.CounterVec // result
	early       prometheus.Counter
	duration    prometheus.Histogram
	held        prometheus.GaugeFunc
}

func newMetrics(reg prometheus.Registerer, rules func() *policy.Policy, held func() int) (*metrics, error) {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "swarmpurse_ratelimit_" + name, Help: help}, labels)
	}
	m := &metrics{
		requests:    counter("requests_total", "Requests to the rate limit service by what they were told: ok, over_limit, or the name of a gRPC status.", "code"),
		descriptors: descriptors{counter("descriptors_total", "Descriptors by domain of the policy and by what became of them: ok, over_limit, invalid, forbidden, unmatched, reported, refunded.", labelDomain, "result"), rules},
		refunds:     counter("refund_hits_total", "Hits given back by is_negative_hits: returned to their budgets, or lost, as nothing was held for them any more.", "result"),
		early: prometheus.NewCounter(prometheus.CounterOpts{Name: "swarmpurse_ratelimit_holds_cut_total",
			Help: "Reservations that were charged before their hold was over, as too many waited for a refund."}),
		duration: prometheus.NewHistogram(prometheus.HistogramOpts{Name: "swarmpurse_ratelimit_duration_seconds",
			Help: "Time from request to answer.", Buckets: prometheus.ExponentialBuckets(0.0001, 2.5, 13)}),
	}
	m.ok, m.over = m.requests.WithLabelValues(resultOK), m.requests.WithLabelValues(resultOver)
	m.held = prometheus.NewGaugeFunc(prometheus.GaugeOpts{Name: "swarmpurse_ratelimit_held_reservations",
		Help: "Reservations that wait for a refund now."}, func() float64 { return float64(held()) })
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
	return []prometheus.Collector{m.requests, m.descriptors, m.refunds, m.early, m.duration, m.held}
}

// Metrics lists what a Server registers.
func Metrics() []prometheus.Collector {
	m, _ := newMetrics(nil, nil, func() int { return 0 }) // it fails to register only
	return m.collectors()
}

// descriptors are counters of which those go, at the next scrape, whose domain the policy no longer has.
type descriptors struct {
	*prometheus.CounterVec
	rules func() *policy.Policy
}

func (d descriptors) Collect(to chan<- prometheus.Metric) {
	rules, gone := d.rules(), map[string]bool{}
	all := make(chan prometheus.Metric)
	go func() {
		defer close(all)
		d.CounterVec.Collect(all)
	}()
	for m := range all {
		var x dto.Metric
		if err := m.Write(&x); err != nil {
			panic("BUG: a counter cannot be written: " + err.Error())
		}
		domain := ""
		for _, l := range x.GetLabel() {
			if l.GetName() == labelDomain {
				domain = l.GetValue()
			}
		}
		if _, ok := rules.RateDomain(domain); !ok && domain != otherDomain {
			gone[domain] = true
			continue
		}
		to <- m
	}
	for domain := range gone {
		d.DeletePartialMatch(prometheus.Labels{labelDomain: domain})
	}
}
