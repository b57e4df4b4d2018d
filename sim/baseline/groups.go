package baseline

import (
	"slices"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/sim/scenario"
)

// groups says who can talk to whom: time is cut where a partition begins or ends, and in each of the epochs
// between nodes of one group can talk. A partition in one direction cuts like any other: no count is agreed on
// by those of whom one hears nothing.
type groups struct {
	nodes    int
	timeline []scenario.Event
	epochs   []epoch // the first begins at 0
}

type epoch struct {
	at     ledger.Millis
	active []int // partitions, in the timeline
}

func millis(t interface{ Milliseconds() int64 }) ledger.Millis {
	return ledger.Millis(t.Milliseconds())
}

func newGroups(nodes int, timeline []scenario.Event) *groups {
	g := &groups{nodes: nodes, timeline: timeline}
	cuts := []ledger.Millis{0}
	for _, e := range timeline {
		if e.Kind == scenario.Partition {
			cuts = append(cuts, millis(e.At), millis(e.Until))
		}
	}
	slices.Sort(cuts)
	for _, at := range slices.Compact(cuts) {
		n := epoch{at: at}
		for i, e := range timeline {
			if e.Kind == scenario.Partition && millis(e.At) <= at && at < millis(e.Until) {
				n.active = append(n.active, i)
			}
		}
		g.epochs = append(g.epochs, n)
	}
	return g
}

// sites gives each node's group in an epoch, from 0 on in the order of their first nodes, and how many there are.
func (g *groups) sites(epoch int) (site []int32, count int32) {
	site, count = make([]int32, g.nodes), 1
	for _, i := range g.epochs[epoch].active {
		in := make([]bool, g.nodes)
		for _, n := range g.timeline[i].Nodes {
			in[n] = true
		}
		type half struct {
			was int32
			in  bool
		}
		number := map[half]int32{}
		for n := range site {
			h := half{site[n], in[n]}
			if _, ok := number[h]; !ok {
				number[h] = int32(len(number))
			}
			site[n] = number[h]
		}
		count = int32(len(number))
	}
	return site, count
}

// at is the epoch that now is in, which is not before epoch from.
func (g *groups) at(from int, now ledger.Millis) int {
	for from+1 < len(g.epochs) && g.epochs[from+1].at <= now {
		from++
	}
	return from
}
