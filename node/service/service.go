// Package service says how well the classes of a policy are served: of their calls, how many ran within the class's latency
// budget, and at what pace they use up the misses that its objective allows. A call is met if it was admitted in time, missed if it was not, and
// excused if it was refused for what is its caller's own or an operator's will; excused calls count neither way. The burn rate is the part of
// calls that were missed over the part that the objective allows: at 1 the objective is just kept. See "Alerting on SLOs" in Google's SRE
// workbook, from which the windows are.
//
// It is pure: time comes in as an argument. Package telemetry exports it, and the simulator judges swarms by it.
package service

import (
	"slices"
	"time"
)

// LeastBudget is the time that every call may take, also of a class that lets none wait.
const LeastBudget = 10 * time.Millisecond

// Result is what became of a call.
type Result uint8

// Results.
const (
	Met Result = iota
	Missed
	Excused

	Results = iota
)

func (r Result) String() string { return [...]string{"met", "missed", "excused"}[r] }

// Became says how a call counts that took so long, where it might take most.
func Became(most time.Duration, admitted, excused bool, took time.Duration) Result {
	switch {
	case admitted && took <= most:
		return Met
	case !admitted && excused:
		return Excused
	}
	return Missed
}

// Counts are calls of one class.
type Counts struct{ Met, Missed, Excused uint64 }

// Add counts a call.
func (c *Counts) Add(r Result) {
	switch r {
	case Met:
		c.Met++
	case Missed:
		c.Missed++
	case Excused:
		c.Excused++
	}
}

// BurnRate is that of what came between two counts.
func BurnRate(from, to Counts, objective float64) float64 {
	bad := float64(to.Missed) - float64(from.Missed)
	all := bad + float64(to.Met) - float64(from.Met)
	if all <= 0 {
		return 0
	}
	return bad / all / (1 - objective)
}

// Window is one over which burn rates are told.
type Window struct {
	Name   string
	Length time.Duration
}

// Windows are all of them, the shortest first.
var Windows = []Window{{"5m", 5 * time.Minute}, {"30m", 30 * time.Minute}, {"1h", time.Hour}, {"6h", 6 * time.Hour}}

const (
	sampleEvery = 30 * time.Second
	// MaxSamples bounds what a History keeps of one class.
	MaxSamples = int(6*time.Hour/sampleEvery) + 1
)

// sample is what had been counted at one time.
type sample struct {
	at time.Time
	Counts
}

// History is what had been counted of each class at times in the past, oldest first. It is not safe for concurrent use.
type History struct {
	last    time.Time
	classes map[string][]sample
}

// Renew has the next Sample be due, as there may be other classes.
func (h *History) Renew() { h.last = time.Time{} }

// Due reports whether it is time for a Sample, which is every 30 s.
func (h *History) Due(now time.Time) bool { return h.last.IsZero() || now.Sub(h.last) >= sampleEvery }

// Sample notes what has been counted of all classes that have an objective. Those that it is not told of any more are forgotten.
func (h *History) Sample(now time.Time, counts map[string]Counts) {
	h.last = now
	next := make(map[string][]sample, len(counts))
	for name, n := range counts {
		s := h.classes[name]
		if len(s) > 0 && n.Met+n.Missed < s[len(s)-1].Met+s[len(s)-1].Missed {
			s = nil // the class went and came back
		}
		if len(s) >= MaxSamples {
			s = slices.Delete(s, 0, len(s)-MaxSamples+1)
		}
		next[name] = append(s, sample{now, n})
	}
	h.classes = next
}

// Burn is a class's burn rate over the window that ends now, which n has been counted by; shorter where less is known.
func (h *History) Burn(class string, n Counts, objective float64, window time.Duration) float64 {
	s := h.classes[class]
	if len(s) == 0 {
		return 0
	}
	i, _ := slices.BinarySearchFunc(s, h.last.Add(-window), func(s sample, t time.Time) int { return s.at.Compare(t) })
	return BurnRate(s[min(i, len(s)-1)].Counts, n, objective)
}

// Samples is how many are kept of a class.
func (h *History) Samples(class string) int { return len(h.classes[class]) }
