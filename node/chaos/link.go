package chaos

import (
	"slices"
	"time"
)

// Link is what happens to packets from one node to another. The zero value lets all pass at once.
type Link struct {
	Cut           bool
	Loss          float64       // part of the packets that is lost
	Delay, Jitter time.Duration // each packet is held back for Delay and up to Jitter more
}

// with is a link that suffers from both.
func (l Link) with(m Link) Link {
	return Link{l.Cut || m.Cut, 1 - (1-l.Loss)*(1-m.Loss), l.Delay + m.Delay, l.Jitter + m.Jitter}
}

// link is what an event does to the packets from one node to another. NoRoute does nothing to them: they are
// never sent.
func (e *Event) link(from, to int) Link {
	switch e.Kind {
	case Partition, Isolate:
		return Link{Cut: side(e.Sides, from) != side(e.Sides, to)}
	case OneWay:
		return Link{Cut: slices.Contains(e.Sides[0], from) && slices.Contains(e.Sides[1], to)}
	case Slow, Lossy:
		if len(e.Nodes) == 0 || slices.Contains(e.Nodes, from) || slices.Contains(e.Nodes, to) {
			return Link{Loss: e.Loss, Delay: e.Delay, Jitter: e.Jitter}
		}
	}
	return Link{}
}

func side(sides [][]int, i int) int {
	return slices.IndexFunc(sides, func(s []int) bool { return slices.Contains(s, i) })
}

// linkUnder is a link under all the events that are in force.
func linkUnder(events []*Event, from, to int) (l Link) {
	for _, e := range events {
		l = l.with(e.link(from, to))
	}
	return l
}
