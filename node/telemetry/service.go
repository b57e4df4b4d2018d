package telemetry

import (
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Service levels: of the calls of a class, how many ran within its latency budget. A call is met if it was admitted in time,
// missed if it was not, and excused if it was refused for what is its caller's own or an operator's will; excused calls count
// neither way. The burn rate is the part of calls that were missed over the part that the class's objective allows: at 1 the
// objective is just kept. See "Alerting on SLOs" in Google's SRE workbook, from which the windows are.

// ClassInfo is one class of the policy in force.
type ClassInfo struct {
	Name          string
	LatencyBudget time.Duration
	Objective     float64 // the part of calls that should be met, between 0 and 1; 0 without one
}

// leastBudget is the time that every call may take, also of a class that lets none wait.
const leastBudget = 10 * time.Millisecond

// What became of calls, and the words for it.
const (
	isMet = iota
	isMissed
	isExcused

	met     = "met"
	missed  = "missed"
	excused = "excused"
)

// burnWindows are the windows of burn rates.
var burnWindows = []struct {
	name   string
	length time.Duration
}{{"5m", 5 * time.Minute}, {"30m", 30 * time.Minute}, {"1h", time.Hour}, {"6h", 6 * time.Hour}}

const (
	sampleEvery = 30 * time.Second
	maxSamples  = int(6*time.Hour/sampleEvery) + 1
)

// outcome counts the calls of one class since it is in the policy.
type outcome struct{ met, missed, excused uint64 }

// sample is what had been counted at one time.
type sample struct {
	at time.Time
	outcome
}

// history is the samples of each class, oldest first, at most maxSamples.
type history struct {
	mu      sync.Mutex // guards the rest
	last    time.Time
	classes map[string][]sample
}

// renew has the next Sample note what has been counted, as there may be other classes.
func (h *history) renew() {
	h.mu.Lock()
	h.last = time.Time{}
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
	if !h.last.IsZero() && now.Sub(h.last) < sampleEvery {
		return
	}
	h.last = now
	t := m.table.Load()
	next := make(map[string][]sample, len(t.names))
	for i, name := range t.names {
		if t.info[i].Objective == 0 {
			continue
		}
		s, n := h.classes[name], t.outcome(i)
		if len(s) > 0 && n.met+n.missed < s[len(s)-1].met+s[len(s)-1].missed {
			s = nil // the class went and came back
		}
		if len(s) >= maxSamples {
			s = slices.Delete(s, 0, len(s)-maxSamples+1)
		}
		next[name] = append(s, sample{now, n})
	}
	h.classes = next
}

// burn is a class's burn rate over the window that ends now, which n has been counted by; shorter where less is known.
func (h *history) burn(class string, n outcome, objective float64, window time.Duration) float64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	s := h.classes[class]
	if len(s) == 0 {
		return 0
	}
	i, _ := slices.BinarySearchFunc(s, h.last.Add(-window), func(s sample, t time.Time) int { return s.at.Compare(t) })
	return rate(s[min(i, len(s)-1)].outcome, n, objective)
}

func rate(from, to outcome, objective float64) float64 {
	bad := float64(to.missed) - float64(from.missed)
	all := bad + float64(to.met) - float64(from.met)
	if all <= 0 {
		return 0
	}
	return bad / all / (1 - objective)
}

// outcome sums up what became of the calls of a class.
func (t *table) outcome(class int) outcome {
	of := &t.service[class]
	return outcome{sumOf(&of[isMet]), sumOf(&of[isMissed]), sumOf(&of[isExcused])}
}

// collectService sends the service levels of all classes.
func (m *Metrics) collectService(ch chan<- prometheus.Metric) {
	t := m.table.Load()
	for i, name := range t.names {
		n, info := t.outcome(i), &t.info[i]
		for _, r := range []struct {
			result string
			n      uint64
		}{{met, n.met}, {missed, n.missed}, {excused, n.excused}} {
			ch <- prometheus.MustNewConstMetric(classCallsDesc, prometheus.CounterValue, float64(r.n), name, r.result)
		}
		if i == len(t.names)-1 {
			continue // "other" has no budget of time
		}
		ch <- prometheus.MustNewConstMetric(classBudgetDesc, prometheus.GaugeValue, info.LatencyBudget.Seconds(), name)
		if info.Objective == 0 {
			continue
		}
		ch <- prometheus.MustNewConstMetric(classObjectiveDesc, prometheus.GaugeValue, info.Objective, name)
		for _, w := range burnWindows {
			ch <- prometheus.MustNewConstMetric(classBurnDesc, prometheus.GaugeValue, m.history.burn(name, n, info.Objective, w.length), name, w.name)
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
	l = ServiceLevel{LatencyBudget: t.most[i], Objective: t.info[i].Objective, Met: n.met, Missed: n.missed, Excused: n.excused}
	if l.Objective > 0 {
		for _, w := range burnWindows {
			l.Burn = append(l.Burn, BurnRate{w.name, m.history.burn(t.names[i], n, l.Objective, w.length)})
		}
	}
	return l, true
}

// Became says how a call counts: met, missed or excused.
func (l *ServiceLevel) Became(admitted, isExcused bool, took time.Duration) string {
	switch {
	case admitted && took <= l.LatencyBudget:
		return met
	case !admitted && isExcused:
		return excused
	}
	return missed
}
