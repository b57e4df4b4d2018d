package scenario

import (
	"cmp"
	"slices"
	"time"
)

// Downtime says which nodes of a scenario are down or paused when. It is the same for the swarm and all that it is
// compared with, so that calls made at a node that is down are lost to all of them. It never changes.
type Downtime struct {
	nodes int // with those that join
	down  map[int][]outage
}

type outage struct {
	span
	kind FaultKind
}

// NewDowntime looks for what stops nodes in a timeline of sc.
func NewDowntime(sc *Scenario, timeline []Event) *Downtime {
	d := &Downtime{nodes: sc.Nodes, down: map[int][]outage{}}
	for _, e := range timeline {
		for _, node := range e.Nodes {
			switch {
			case e.Kind == Join:
				d.nodes = max(d.nodes, node+1)
				d.down[node] = append(d.down[node], outage{span{unborn, e.At}, Join})
			case e.Kind.stops():
				d.down[node] = append(d.down[node], outage{span{e.At, e.Until}, e.Kind})
			}
		}
	}
	for _, list := range d.down {
		slices.SortFunc(list, func(a, b outage) int { return cmp.Compare(a.from, b.from) })
	}
	return d
}

// Nodes is how many nodes there are at the end, also those that left or died.
func (d *Downtime) Nodes() int { return d.nodes }

// Down reports whether nobody answers at a node: it has crashed, has left or has not joined yet, or there is none.
func (d *Downtime) Down(node int, at time.Duration) bool {
	if node < 0 || node >= d.nodes {
		return true
	}
	o, ok := d.find(node, at)
	return ok && o.kind != Pause
}

// Paused reports whether a node is paused, and when it goes on. What is sent to it until then waits.
func (d *Downtime) Paused(node int, at time.Duration) (until time.Duration, paused bool) {
	o, ok := d.find(node, at)
	return o.until, ok && o.kind == Pause
}

// find is what stops a node at a time. There is never more than one.
func (d *Downtime) find(node int, at time.Duration) (outage, bool) {
	list := d.down[node]
	i, found := slices.BinarySearchFunc(list, at, func(o outage, at time.Duration) int { return cmp.Compare(o.from, at) })
	if !found {
		i--
	}
	if i < 0 || at >= list[i].until {
		return outage{}, false
	}
	return list[i], true
}

// Crashed reports whether the node crashed after from and not after to: what it held in memory at from is gone.
func (d *Downtime) Crashed(node int, from, to time.Duration) bool {
	return slices.ContainsFunc(d.down[node], func(o outage) bool {
		return o.kind == Crash && o.from > from && o.from <= to
	})
}
