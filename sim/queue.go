package sim

import (
	"cmp"
	"slices"
)

// event is something that happens at a point of virtual time. Events at the same moment come in the order in which
// they were planned.
type event struct {
	at   micros
	seq  uint64
	kind eventKind
	node int32  // whom it happens to; -1 for the world
	life uint32 // of that node: what was planned for an earlier life does not happen
	p    any
}

// when is what the order of events goes by.
type when struct {
	at  micros
	seq uint64
}

func (e *event) when() when { return when{e.at, e.seq} }

func (a when) compare(b when) int {
	if c := cmp.Compare(a.at, b.at); c != 0 {
		return c
	}
	return cmp.Compare(a.seq, b.seq)
}

// micros is virtual time in microseconds from the start of the run.
type micros int64

const (
	milli  micros = 1000
	second micros = 1_000_000
)

// calendar is a queue of events: a ring of buckets of a millisecond each for what comes soon, and one unsorted
// list for what comes later. Events are put in and taken out in constant time on average (Brown, "Calendar
// Queues", CACM 1988).
type calendar struct {
	ring [ringSize][]event
	at   int64   // the millisecond of the bucket that is being emptied
	now  []event // its events, sorted, from next on
	next int
	late []event // beyond the ring
	look int64   // the millisecond at which late is looked at again
	n    int
}

const ringSize = 1 << 13 // 8 s

func (c *calendar) push(e event) {
	c.n++
	switch ms := int64(e.at / milli); {
	case ms <= c.at:
		// Into the bucket at hand, behind all that comes before it.
		i, _ := slices.BinarySearchFunc(c.now[c.next:], when{e.at, e.seq}, func(a event, b when) int { return a.when().compare(b) })
		c.now = slices.Insert(c.now, c.next+i, e)
	case ms < c.at+ringSize:
		b := &c.ring[ms%ringSize]
		*b = append(*b, e)
	default:
		c.late = append(c.late, e)
	}
}

// pop takes the next event; false when there is none before until.
func (c *calendar) pop(until micros) (event, bool) {
	for c.next == len(c.now) {
		if c.n == 0 || c.at >= int64(until/milli) {
			return event{}, false
		}
		clear(c.now)
		c.now, c.next = c.now[:0], 0
		c.at++
		if c.at >= c.look {
			c.refill()
		}
		b := &c.ring[c.at%ringSize]
		if len(*b) == 0 {
			continue
		}
		c.now, *b = *b, c.now
		slices.SortFunc(c.now, func(a, b event) int { return a.when().compare(b.when()) })
	}
	e := c.now[c.next]
	if e.at >= until {
		return event{}, false
	}
	c.now[c.next] = event{} // so that what it points to can go
	c.next++
	c.n--
	return e, true
}

// refill moves what has come within reach from late into the ring. Twice a turn of the ring is often enough.
func (c *calendar) refill() {
	c.look = c.at + ringSize/2
	rest := c.late[:0]
	for _, e := range c.late {
		if ms := int64(e.at / milli); ms < c.at+ringSize {
			b := &c.ring[ms%ringSize]
			*b = append(*b, e)
		} else {
			rest = append(rest, e)
		}
	}
	clear(c.late[len(rest):])
	c.late = rest
}
