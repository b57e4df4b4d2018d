package telemetry

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/swarmpurse/swarmpurse/node/service"
)

// ClassInfo is one class of the policy in force.
type ClassInfo struct {
	Name          string
	LatencyBudget time.Duration
	Objective     float64 // the part of calls that should be met, between 0 and 1; 0 without one
}

// history is what had been counted at times in the past: see package service.
type history struct {
	mu sync.Mutex // guards of
	of service.History
}

// renew has the next Sample note what has been counted, as there may be other classes.
func (h *history) renew() {
	h.mu.Lock()
	h.of.Renew()
	h.mu.Unlock()
}

// Sample notes what has been counted, for burn rates; it does so every 30 s, and nothing when called more often.
func (m *Metrics) Sample(now time.Time) {
	if m == nil {
		return
	}
	h := &m.history
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.of.Due(now) {
		return
	}
	t := m.table.Load()
	counts := make(map[string]service.Counts, len(t.names))
	for i, name := range t.names {
		if t.info[i].Objective > 0 {
			counts[name] = t.outcome(i)
		}
	}
	h.of.Sample(now, counts)
}

func (h *history) burn(class string, n service.Counts, objective float64, window time.Duration) float64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.of.Burn(class, n, objective, window)
}

// outcome sums up what became of the calls of a class.
func (t *table) outcome(class int) service.Counts {
	of := &t.service[class]
	return service.Counts{Met: sumOf(&of[service.Met]), Missed: sumOf(&of[service.Missed]), Excused: sumOf(&of[service.Excused])}
}

// collectService sends the service levels of all classes.
func (m *Metrics) collectService(ch chan<- prometheus.Metric) {
	t := m.table.Load()
	for i, name := range t.names {
		n, info := t.outcome(i), &t.info[i]
		for _, r := range []struct {
			result service.Result
			n      uint64
		}{{service.Met, n.Met}, {service.Missed, n.Missed}, {service.Excused, n.Excused}} {
			ch <- prometheus.MustNewConstMetric(classCallsDesc, prometheus.CounterValue, float64(r.n), name, r.result.String())
		}
		if i == len(t.names)-1 {
			continue // "other" has no budget of time
		}
		ch <- prometheus.MustNewConstMetric(classBudgetDesc, prometheus.GaugeValue, info.LatencyBudget.Seconds(), name)
		if info.Objective == 0 {
			continue
		}
		ch <- prometheus.MustNewConstMetric(classObjectiveDesc, prometheus.GaugeValue, info.Objective, name)
		for _, w := range service.Windows {
			ch <- prometheus.MustNewConstMetric(classBurnDesc, prometheus.GaugeValue, m.history.burn(name, n, info.Objective, w.Length), name, w.Name)
		}
	}
}

// ServiceLevel is what became of the calls of one class at this node.
type ServiceLevel struct {
	LatencyBudget        time.Duration // the most that a call may take to count as met
	Objective            float64       // 0 without one
	Met, Missed, Excused uint64
	Burn                 []BurnRate // of a class with an objective
}

// BurnRate is the part of calls that were missed over the part that the objective allows, in a window that ends now.
type BurnRate struct {
	Window string
	Rate   float64
}

// ServiceLevel tells of a class of the policy in force; false if there is none of that name.
func (m *Metrics) ServiceLevel(class string) (l ServiceLevel, ok bool) {
	if m == nil {
		return l, false
	}
	t := m.table.Load()
	i := t.class(class)
	if i == len(t.names)-1 {
		return l, false
	}
	n := t.outcome(i)
	l = ServiceLevel{LatencyBudget: t.most[i], Objective: t.info[i].Objective, Met: n.Met, Missed: n.Missed, Excused: n.Excused}
	if l.Objective > 0 {
		for _, w := range service.Windows {
			l.Burn = append(l.Burn, BurnRate{w.Name, m.history.burn(t.names[i], n, l.Objective, w.Length)})
		}
	}
	return l, true
}

// Became says how a call counts: met, missed or excused.
func (l *ServiceLevel) Became(admitted, isExcused bool, took time.Duration) string {
	return service.Became(l.LatencyBudget, admitted, isExcused, took).String()
}
