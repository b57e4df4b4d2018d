package main

import (
	"math"
	"time"

	"github.com/swarmpurse/swarmpurse/node/api"
)

// topHistory keeps the looks of the last minute or so: rates and percentiles are the differences between two of them.
type topHistory struct{ looks []topLook }

type topLook struct {
	at      time.Time
	flows   map[string]topFlow // by instance
	classes map[string]api.Class
}

type topFlow struct {
	spent, issued int64
	window        time.Time
}

const (
	topWindow = time.Minute // what figures of late are of
	// topLooks bounds what is kept, and topFlows the instances in each: of more, speeds are not shown.
	topLooks = 70
	topFlows = 2000
)

func (h *topHistory) add(at time.Time, s snapshot) {
	// Looks that come faster than once a second take the place of the last one.
	if n := len(h.looks); n > 1 && at.Sub(h.looks[n-2].at) < time.Second {
		h.looks = h.looks[:n-1]
	}
	l := topLook{at: at, flows: map[string]topFlow{}, classes: map[string]api.Class{}}
	for _, b := range s.Budgets {
		for _, i := range b.Instances {
			if len(l.flows) == topFlows {
				break
			}
			f := topFlow{spent: int64(i.Swarm.Spent), issued: int64(i.Swarm.Issued)}
			if i.WindowStart != nil {
				f.window = *i.WindowStart
			}
			l.flows[i.Instance] = f
		}
	}
	for _, c := range s.Classes {
		l.classes[c.Name] = c
	}
	if h.looks = append(h.looks, l); len(h.looks) > topLooks {
		h.looks = append(h.looks[:0], h.looks[1:]...)
	}
}

// pair is the look from about so long ago and the last one, and the seconds between; false while there is one only.
func (h *topHistory) pair(ago time.Duration) (from, last topLook, seconds float64, ok bool) {
	n := len(h.looks)
	if n < 2 {
		return topLook{}, topLook{}, 0, false
	}
	last, from = h.looks[n-1], h.looks[0]
	for _, l := range h.looks[:n-1] {
		if l.at.After(last.at.Add(-ago)) {
			break
		}
		from = l
	}
	seconds = last.at.Sub(from.at).Seconds()
	return from, last, seconds, seconds > 0
}

// flow is what was spent and issued of an instance a second, in the last ten; false while it is not known, as when a window has just begun.
func (h *topHistory) flow(instance string) (spent, issued float64, ok bool) {
	from, last, seconds, ok := h.pair(10 * time.Second)
	if !ok {
		return 0, 0, false
	}
	a, known := from.flows[instance]
	b, still := last.flows[instance]
	if !known || !still || !a.window.Equal(b.window) {
		return 0, 0, false
	}
	return math.Max(0, float64(b.spent-a.spent)) / seconds, math.Max(0, float64(b.issued-a.issued)) / seconds, true
}

// class is what became of the calls of a class in the last minute, as counts like those since the start; false while that is not known.
func (h *topHistory) class(name string) (api.Class, float64, bool) {
	from, last, seconds, ok := h.pair(topWindow)
	b, known := last.classes[name]
	if !ok || !known {
		return api.Class{}, 0, false
	}
	a := from.classes[name]
	out := b
	out.Met, out.Missed, out.Excused = less(b.Met, a.Met), less(b.Missed, a.Missed), less(b.Excused, a.Excused)
	out.Decisions, out.Waits = nil, nil
	for _, d := range b.Decisions {
		for _, was := range a.Decisions {
			if was.Decision == d.Decision && was.Code == d.Code {
				d.Calls = less(d.Calls, was.Calls)
			}
		}
		out.Decisions = append(out.Decisions, d)
	}
	for _, w := range b.Waits {
		for _, was := range a.Waits {
			if was.OverMS == w.OverMS {
				w.Calls = less(w.Calls, was.Calls)
			}
		}
		out.Waits = append(out.Waits, w)
	}
	return out, seconds, true
}

// less is a - b, and a if the node was started anew in between.
func less(a, b uint64) uint64 {
	if b > a {
		return a
	}
	return a - b
}

// callsOf counts the decisions of a class.
func callsOf(c api.Class) (n uint64) {
	for _, d := range c.Decisions {
		n += d.Calls
	}
	return n
}

// waitOf is a time, in ms, that a part of the calls of a class did not pass: an upper bound, as the node counts waits by steps. Calls that did not
// queue waited 0, and none waits longer than its class's budget. -1 without calls.
func waitOf(c api.Class, part float64) float64 {
	calls, queued := callsOf(c), uint64(0)
	for _, w := range c.Waits {
		queued += w.Calls
	}
	if calls = max(calls, queued); calls == 0 {
		return -1
	}
	left := int64(math.Ceil(part*float64(calls))) - int64(calls-queued)
	if left <= 0 {
		return 0
	}
	for _, w := range c.Waits {
		if left -= int64(w.Calls); left > 0 {
			continue
		}
		most := w.MostMS
		if most == 0 {
			most = math.Inf(1)
		}
		if c.LatencyBudgetMS > w.OverMS {
			most = math.Min(most, c.LatencyBudgetMS)
		}
		return most
	}
	return math.Inf(1)
}
