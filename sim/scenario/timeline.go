package scenario

import (
	"cmp"
	"math"
	"math/rand/v2"
	"slices"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// Epoch is the wall time at which every run starts: a Monday, midnight UTC, so that windows of any length turn
// at the start of a run. All systems go by it.
const Epoch ledger.Instant = 1_767_571_200_000 // 2026-01-05

// Never is the end of what does not end.
const Never time.Duration = math.MaxInt64

// MaxEvents bounds a timeline. Parse refuses faults that may make a longer one.
const MaxEvents = 1 << 15

// eventsAtMost is how many events a scenario's faults may make.
func eventsAtMost(sc *Scenario) (events int) {
	all := sc.Nodes
	for pass := range 2 { // the nodes that join first
		for i := range sc.Faults {
			f := &sc.Faults[i]
			if f.Skip || f.At >= sc.Duration || (f.Kind == Join) != (pass == 0) {
				continue
			}
			times := 1
			if f.Every > 0 {
				last := sc.Duration
				if f.Until > 0 {
					last = min(last, f.Until)
				}
				times = min(max(1, int((max(0, last-f.At)+f.Every-1)/f.Every)), 2*MaxEvents)
			}
			nodes := all // that it happens to
			switch {
			case f.Kind == Join:
				nodes = max(1, f.Count)
				all += times * nodes
			case len(f.Nodes) > 0:
				nodes = len(f.Nodes)
			case f.Fraction > 0:
				nodes = max(1, int(math.Round(f.Fraction*float64(all))))
			case f.Count > 0:
				nodes = min(all, f.Count)
			case f.Kind.operators():
				nodes = 1
			}
			if f.Stagger > 0 { // each node has an event of its own, until the end
				nodes = min(nodes, int((sc.Duration-f.At-1)/f.Stagger)+1)
			} else {
				nodes = 1
			}
			if events += times * nodes; events > 1<<30 {
				return events
			}
		}
	}
	return events
}

// Event is one occurrence of a fault at nodes that are named.
type Event struct {
	At, Until time.Duration // Until is Never for what does not end
	Fault     int           // index into Scenario.Faults
	Kind      FaultKind
	// Nodes are those that it happens to, in ascending order; never empty. Nodes that join have the indexes after
	// those of the start, in the order in which they join.
	Nodes []int
}

// Timeline makes a scenario's faults concrete, in order of time. It depends on the scenario only, so that the
// swarm and all that it is compared with meet the same faults.
//
//   - What a fault leaves open is drawn by chance from the scenario's seed, anew for each repetition, and for each
//     fault by dice of its own: another fault more changes nothing of the others. Nodes wins over Fraction and
//     Count, which draw from Zone if there is one. Without any of them a fault happens to all nodes of Zone or
//     of the swarm; Revise, Freeze, Mint and Burn to one.
//   - Crash, Pause and Leave happen only to nodes that are up for all of their time otherwise, so that no node is
//     stopped twice. Nobody is drawn for any fault who has not joined yet or never comes back.
//   - With Stagger each node has an event of its own, the next one that much later.
//   - All faults are over at the end of Scenario.Duration, also those whose For is 0, but for these: Join, Revise, Mint, Burn,
//     and Freeze, Leave and Crash with For 0; after the last two the node never comes back. A node that left comes back after For
//     on its disk.
func Timeline(sc *Scenario) []Event {
	t := timeline{sc: sc, nodes: sc.Nodes, out: map[int][]span{}}
	for _, o := range occurrences(sc) {
		t.add(o)
	}
	slices.SortStableFunc(t.events, func(a, b Event) int { return cmp.Compare(a.At, b.At) })
	return t.events
}

// occurrence is one repetition of a fault.
type occurrence struct {
	at           time.Duration
	fault, again int
}

func occurrences(sc *Scenario) []occurrence {
	var list []occurrence
	for i, f := range sc.Faults {
		if f.Skip {
			continue
		}
		last := f.At
		if f.Every > 0 {
			last = sc.Duration
			if f.Until > 0 {
				last = min(last, f.Until)
			}
		}
		for again, at := 0, f.At; at < sc.Duration && (again == 0 || at < last) && len(list) < MaxEvents; again++ {
			list = append(list, occurrence{at, i, again})
			if f.Every == 0 {
				break
			}
			at += f.Every
		}
	}
	slices.SortStableFunc(list, func(a, b occurrence) int { return cmp.Compare(a.at, b.at) })
	return list
}

type span struct{ from, until time.Duration }

type timeline struct {
	sc     *Scenario
	nodes  int            // that exist, up or down
	out    map[int][]span // when nodes are stopped or gone; from unborn: when they have not joined yet
	events []Event
}

// unborn is before all that happens.
const unborn time.Duration = -1

// stops reports whether a node that it happens to does nothing while it lasts.
func (k FaultKind) stops() bool { return k == Crash || k == Pause || k == Leave }

func (t *timeline) add(o occurrence) {
	f := &t.sc.Faults[o.fault]
	nth := 0 // of the fault's nodes
	hit := func(node int) bool {
		at := o.at + time.Duration(nth)*f.Stagger
		e := Event{At: at, Until: t.end(f, at), Fault: o.fault, Kind: f.Kind, Nodes: []int{node}}
		if at >= t.sc.Duration || len(t.events) >= MaxEvents || !t.can(node, e) {
			return false
		}
		nth++
		switch {
		case f.Kind == Join:
			t.out[node] = append(t.out[node], span{unborn, at})
		case f.Kind.stops():
			t.out[node] = append(t.out[node], span{at, e.Until})
		}
		if n := len(t.events); f.Stagger == 0 && nth > 1 {
			t.events[n-1].Nodes = append(t.events[n-1].Nodes, node)
		} else {
			t.events = append(t.events, e)
		}
		return true
	}
	if f.Kind == Join {
		for range max(1, f.Count) {
			if hit(t.nodes) {
				t.nodes++
			}
		}
		return
	}
	candidates, most := t.candidates(o)
	for _, node := range candidates {
		if nth == most {
			break
		}
		hit(node)
	}
	if n := len(t.events); nth > 0 && f.Stagger == 0 {
		slices.Sort(t.events[n-1].Nodes)
	}
}

// candidates lists the nodes that a fault may happen to, in the order in which it looks at them, and at how many
// it stops.
func (t *timeline) candidates(o occurrence) (nodes []int, most int) {
	f := &t.sc.Faults[o.fault]
	if len(f.Nodes) > 0 {
		return f.Nodes, len(f.Nodes)
	}
	for i := range t.nodes {
		if f.Zone == "" || t.sc.ZoneOf(i) == f.Zone {
			nodes = append(nodes, i)
		}
	}
	switch {
	case f.Fraction > 0:
		most = max(1, int(math.Round(f.Fraction*float64(len(nodes)))))
	case f.Count > 0:
		most = f.Count
	case f.Kind.operators():
		most = 1
	default:
		return nodes, len(nodes)
	}
	// A constant apart from the seed, so that faults and workload do not throw the same dice.
	dice := rand.New(rand.NewPCG(t.sc.Seed^0x6661756c7473, uint64(o.fault)<<32|uint64(o.again)))
	dice.Shuffle(len(nodes), func(i, j int) { nodes[i], nodes[j] = nodes[j], nodes[i] })
	return nodes, most
}

// can reports whether the event may happen to the node.
func (t *timeline) can(node int, e Event) bool {
	if e.Kind == Join {
		return true
	}
	if node >= t.nodes {
		return false
	}
	return !slices.ContainsFunc(t.out[node], func(s span) bool {
		if e.Kind.stops() {
			return e.At < s.until && s.from < e.Until
		}
		return s.from <= e.At && e.At < s.until && (s.from == unborn || s.until == Never)
	})
}

// end is when the fault ends that begins at.
func (t *timeline) end(f *Fault, at time.Duration) time.Duration {
	switch {
	case f.Kind == Join || f.Kind == Revise || f.Kind.amounts(), f.For == 0 && (f.Kind == Leave || f.Kind == Crash || f.Kind == Freeze):
		return Never
	case f.For == 0:
		return t.sc.Duration
	}
	return min(at+f.For, t.sc.Duration)
}
