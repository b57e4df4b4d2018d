package chaos

import (
	"cmp"
	"fmt"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Kind is a kind of fault.
type Kind uint8

// The kinds of faults.
const (
	Partition Kind = iota // zones cannot reach each other, in silence
	Isolate               // one node is cut off
	OneWay                // packets pass in one direction only
	NoRoute               // as OneWay, but the sender's system says so
	Slow                  // packets are held back, some longer than others
	Lossy                 // packets are lost
	Kill                  // SIGKILL, restarted on its data
	Wipe                  // SIGKILL, restarted without its data
	Pause                 // SIGSTOP, then SIGCONT
	Roll                  // one node after the other ends in order and starts with the newer binary
	Step                  // the wall clock steps, and steps back
	Full                  // the disk is full
)

var kindNames = [...]string{"partition", "isolate", "one-way", "no-route", "slow", "lossy", "kill", "wipe", "pause", "roll", "clock", "disk-full"}

func (k Kind) String() string { return kindNames[k] }

// The tracks: of one track's faults only one is in force at a time, so those of different tracks overlap.
var tracks = [...][]Kind{
	{Partition, Isolate, OneWay, NoRoute, Slow, Lossy},
	{Kill, Pause, Wipe, Roll},
	{Step, Full},
}

// track is the index of a kind's track.
func (k Kind) track() int {
	return slices.IndexFunc(tracks[:], func(t []Kind) bool { return slices.Contains(t, k) })
}

// Event is one fault.
type Event struct {
	Kind     Kind
	From, To time.Duration // after the start of the load

	Nodes []int   // whom it strikes: their processes, disks, clocks, or links. Slow, Lossy: none means all
	Sides [][]int // network: Partition, Isolate: what is apart; OneWay, NoRoute: from, to

	Loss          float64       // Lossy: part of the packets
	Delay, Jitter time.Duration // Slow: at least, and up to so much more
	Ahead         time.Duration // Step: of the right time
}

// Schedule is the timeline of a run.
type Schedule struct {
	Nodes  int
	Zones  []string      // of each node
	Calm   time.Duration // from here on nothing is broken
	End    time.Duration
	Events []Event // by time
}

const (
	shortest = 4500 * time.Millisecond // most that one turn of a track takes, fault and rest
	longest  = 40 * time.Second
	rollEach = 3500 * time.Millisecond // for each node of a rolling restart
	// maxWiped nodes lose their directory in one run: what they held is gone, and with it a good part of
	// what there is to be fought over.
	maxWiped = 2
)

// Draw makes the timeline of a run. The same arguments make the same. Left out kinds do not occur.
func Draw(seed uint64, nodes int, length time.Duration, without ...Kind) *Schedule {
	s := &Schedule{Nodes: nodes, End: length}
	for i := range nodes {
		s.Zones = append(s.Zones, zoneOf(i, nodes))
	}
	begin := min(length/10, 10*time.Second)
	s.Calm = length - max(length/5, 8*time.Second)
	for n, kinds := range tracks {
		d := drawer{rand.New(rand.NewPCG(seed, uint64(n))), s}
		kinds = slices.DeleteFunc(slices.Clone(kinds), func(k Kind) bool { return slices.Contains(without, k) })
		if len(kinds) > 0 {
			d.track(kinds, begin)
		}
	}
	slices.SortStableFunc(s.Events, func(a, b Event) int { return cmp.Compare(a.From, b.From) })
	return s
}

// zoneOf puts the nodes into three zones.
func zoneOf(i, nodes int) string { return string(rune('a' + i*3/nodes)) }

type drawer struct {
	*rand.Rand
	s *Schedule
}

// track fills one track. Kinds come in a shuffled order, each once before any comes again.
func (d drawer) track(kinds []Kind, begin time.Duration) {
	turn := min(max(2*(d.s.Calm-begin)/time.Duration(2*len(kinds)+1), shortest), longest)
	at := begin + d.upTo(turn/4)
	var deck []Kind
	var wiped []int
	for {
		if len(deck) == 0 {
			deck = slices.Clone(kinds)
			d.Shuffle(len(deck), func(i, j int) { deck[i], deck[j] = deck[j], deck[i] })
		}
		e := Event{Kind: deck[0], From: at, To: at + turn/2 + d.upTo(turn*3/10)}
		deck = deck[1:]
		d.fill(&e, turn)
		if e.Kind == Roll {
			// It takes as long as it takes; what follows waits.
			e.To = e.From + time.Duration(len(e.Nodes))*rollEach
			kinds = slices.DeleteFunc(kinds, func(k Kind) bool { return k == Roll })
		}
		if e.Kind == Wipe {
			if e.Nodes = slices.DeleteFunc(e.Nodes, func(i int) bool { return slices.Contains(wiped, i) }); len(e.Nodes) == 0 {
				continue // the same node again: the next of the deck has this turn
			}
			if wiped = append(wiped, e.Nodes...); len(wiped) == maxWiped {
				kinds = slices.DeleteFunc(kinds, func(k Kind) bool { return k == Wipe })
			}
		}
		if e.To > d.s.Calm {
			if e.Kind == Roll || d.s.Calm-e.From < turn/3 {
				return
			}
			e.To = d.s.Calm
		}
		d.s.Events = append(d.s.Events, e)
		at = max(at+turn, e.To+turn/10)
	}
}

// fill draws what belongs to an event's kind.
func (d drawer) fill(e *Event, turn time.Duration) {
	n := d.s.Nodes
	switch e.Kind {
	case Partition:
		zones := d.zones()
		if z := d.IntN(len(zones) + 1); z < len(zones) {
			e.Sides = [][]int{zones[z], others(n, zones[z])}
		} else {
			e.Sides = zones
		}
	case Isolate:
		i := d.some(1)
		e.Sides = [][]int{i, others(n, i)}
	case OneWay:
		from := d.some(1 + d.IntN(n/2))
		e.Sides = [][]int{from, others(n, from)}
		if d.IntN(2) == 0 {
			slices.Reverse(e.Sides)
		}
	case NoRoute:
		from := d.some(1 + d.IntN(2))
		to := others(n, from)
		d.Shuffle(len(to), func(i, j int) { to[i], to[j] = to[j], to[i] })
		to = to[:1+d.IntN(len(to))]
		slices.Sort(to)
		e.Sides = [][]int{from, to}
	case Slow:
		e.Nodes = d.few()
		e.Delay = 20*time.Millisecond + d.upTo(380*time.Millisecond)
		e.Jitter = d.upTo(e.Delay)
	case Lossy:
		e.Nodes = d.few()
		e.Loss = float64(5+d.IntN(41)) / 100
	case Kill, Pause:
		e.Nodes = d.some(1 + d.IntN(4)/3)
	case Wipe, Full:
		e.Nodes = d.some(1)
	case Roll:
		e.Nodes = d.Perm(n)[:min(n, max(2, int(2*turn/rollEach)))]
	case Step:
		e.Nodes = d.some(1)
		e.Ahead = time.Second + d.upTo(89*time.Second)
		if d.IntN(2) == 0 {
			e.Ahead = -e.Ahead
		}
	}
}

// upTo draws whole milliseconds from 0 to most.
func (d drawer) upTo(most time.Duration) time.Duration {
	return time.Duration(d.Int64N(most.Milliseconds()+1)) * time.Millisecond
}

// some draws k nodes.
func (d drawer) some(k int) []int {
	list := d.Perm(d.s.Nodes)[:k]
	slices.Sort(list)
	return list
}

// few draws one node, one zone, or nobody in particular.
func (d drawer) few() []int {
	switch d.IntN(3) {
	case 0:
		return d.some(1)
	case 1:
		zones := d.zones()
		return zones[d.IntN(len(zones))]
	}
	return nil
}

func (d drawer) zones() (zones [][]int) {
	for i, z := range d.s.Zones {
		if i == 0 || z != d.s.Zones[i-1] {
			zones = append(zones, nil)
		}
		zones[len(zones)-1] = append(zones[len(zones)-1], i)
	}
	return zones
}

func others(n int, not []int) (list []int) {
	for i := range n {
		if !slices.Contains(not, i) {
			list = append(list, i)
		}
	}
	return list
}

// mutes reports whether an event keeps a node from telling any of its peers what it did.
func (e *Event) mutes(i, nodes int) bool {
	switch e.Kind {
	case Partition, Isolate:
		return len(e.Sides[side(e.Sides, i)]) == 1
	case OneWay, NoRoute:
		return slices.Contains(e.Sides[0], i) && len(e.Sides[1]) == nodes-1
	case Kill, Wipe, Pause, Full:
		return slices.Contains(e.Nodes, i)
	}
	return false
}

// Kinds are those that occur, in their order.
func (s *Schedule) Kinds() (kinds []Kind) {
	for _, e := range s.Events {
		if !slices.Contains(kinds, e.Kind) {
			kinds = append(kinds, e.Kind)
		}
	}
	slices.Sort(kinds)
	return kinds
}

// nodeName is the name of the node of that index.
func nodeName(i int) string { return "n" + strconv.Itoa(i+1) }

func nodeNames(list []int) string {
	if len(list) == 0 {
		return "all"
	}
	names := make([]string, len(list))
	for i, n := range list {
		names[i] = nodeName(n)
	}
	return strings.Join(names, " ")
}

// what says what an event does, in a few words.
func (e *Event) what() string {
	switch e.Kind {
	case Partition, Isolate:
		sides := make([]string, len(e.Sides))
		for i, s := range e.Sides {
			sides[i] = nodeNames(s)
		}
		return strings.Join(sides, " | ")
	case OneWay, NoRoute:
		return fmt.Sprintf("%s cannot send to %s", nodeNames(e.Sides[0]), nodeNames(e.Sides[1]))
	case Slow:
		return fmt.Sprintf("links of %s by %v to %v", nodeNames(e.Nodes), e.Delay, e.Delay+e.Jitter)
	case Lossy:
		return fmt.Sprintf("links of %s lose %.0f %%", nodeNames(e.Nodes), 100*e.Loss)
	case Step:
		return fmt.Sprintf("%s is %+.1f s off", nodeNames(e.Nodes), e.Ahead.Seconds())
	}
	return nodeNames(e.Nodes)
}

func (e *Event) String() string {
	return fmt.Sprintf("%6.1f to %6.1f s  %-9s  %s", e.From.Seconds(), e.To.Seconds(), e.Kind, e.what())
}

// String is the timeline, a line for each event.
func (s *Schedule) String() string {
	var b strings.Builder
	for i := range s.Events {
		fmt.Fprintln(&b, s.Events[i].String())
	}
	fmt.Fprintf(&b, "%6.1f to %6.1f s  nothing is broken any more\n", s.Calm.Seconds(), s.End.Seconds())
	return b.String()
}
