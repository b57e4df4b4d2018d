package admit

import (
	"slices"
	"sync/atomic"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// gate is one instance as seen by the queue. A waiting call waits at one gate, that of the instance at which
// it is short: it does not keep others from the rest of what it draws on.
//
// Calls that wait at one gate are served in the order of self-clocked fair queueing (Golestani, INFOCOM
// 1994) by the classes' weights, each call counting as one: a call's tag is the virtual time at which it would
// be done if every class were served at the rate of its weight, and the lowest tag is first. A tag never
// changes, so a call moves ahead of ever more newcomers of better classes: that is the aging.
type gate struct {
	id   ledger.InstanceID
	hash uint32
	// waiting is how many calls wait here or keep rights here. While there are any, newcomers go through
	// Offer. The owner writes it.
	waiting atomic.Int32
	// price is what costs are multiplied by now, in parts per million; 0 while the budget's price does not move. The owner
	// writes it.
	price atomic.Int64

	// The rest is the owner's.
	list    []*Waiter // by tag
	keepers []*Waiter // wait elsewhere and keep here what they need, see Waiter.keeps
	virtual float64   // tag of the call that was served last
	last    []classTag
	told    ledger.Tokens // what the ledger was told that the first call needs
	busy    bool          // on the queue's list
	pricing *pricing      // nil while the price does not move
}

// classTag is the last tag that was given to a class.
type classTag struct {
	class string
	tag   float64
}

// maxGates bounds the gates: as many as a replica has instances. Those of calls that wait are kept beyond it.
const maxGates = ledger.MaxInstances

// gate returns the gate of an instance, making it.
func (e *Engine) gate(id ledger.InstanceID) *gate {
	if g, ok := e.gates[id]; ok {
		return g
	}
	g := &gate{id: id, hash: 2166136261} // FNV-1a
	for i := range len(id) {
		g.hash = (g.hash ^ uint32(id[i])) * 16777619
	}
	e.gates[id] = g
	return g
}

// forgetGates drops the gates of which no waiting call knows, once there are too many. Plans are forgotten with
// them, so that no instance ever has two gates in use.
func (e *Engine) forgetGates() {
	used := map[ledger.InstanceID]*gate{}
	for _, g := range e.queue.busy {
		used[g.id] = g
		for _, w := range g.list {
			for i := range w.bound.takes {
				used[w.bound.takes[i].gate.id] = w.bound.takes[i].gate
			}
		}
	}
	e.gates = used
	e.priced = slices.DeleteFunc(e.priced, func(g *gate) bool { return used[g.id] == nil })
	e.Rebind()
}

// tag returns the tag that a newcomer of the class would get here.
func (g *gate) tag(class string, weight int) float64 {
	start := g.virtual
	for i := range g.last {
		if g.last[i].class == class {
			start = max(start, g.last[i].tag)
		}
	}
	return start + 1/float64(max(1, weight))
}

// charge books a tag that was given out.
func (g *gate) charge(class string, tag float64) {
	for i := range g.last {
		if g.last[i].class == class {
			g.last[i].tag = max(g.last[i].tag, tag)
			return
		}
	}
	g.last = append(g.last, classTag{class, tag})
}

// insert puts a waiter in by its tag, behind those of the same tag.
func (g *gate) insert(w *Waiter) {
	i := g.place(w.tag)
	g.list = slices.Insert(g.list, i, w)
	w.gate = g
	g.waiting.Add(1)
}

// place is where a tag goes in.
func (g *gate) place(tag float64) int {
	i, _ := slices.BinarySearchFunc(g.list, tag, func(x *Waiter, tag float64) int {
		if x.tag <= tag {
			return -1
		}
		return 1
	})
	return i
}

// remove takes a waiter out of the list.
func (g *gate) remove(w *Waiter) {
	switch i := slices.Index(g.list, w); {
	case i < 0:
		panic("BUG: a waiting call is not at its gate")
	case i == 0: // the usual case, and many at once when a window turns
		g.list[0] = nil
		g.list = g.list[1:]
	default:
		g.list = slices.Delete(g.list, i, i+1)
	}
	w.gate = nil
	g.waiting.Add(-1)
	g.rest()
}

// rest forgets the order of service when nobody waits any more.
func (g *gate) rest() {
	if len(g.list) == 0 {
		g.virtual, g.last, g.list = 0, nil, nil
	}
}

// kept is what calls that wait elsewhere, and came before w, keep here.
func (g *gate) kept(w *Waiter) (n ledger.Tokens) {
	for _, k := range g.keepers {
		if k.seq < w.seq {
			n = min(n+k.needs(g), ledger.MaxTokens)
		}
	}
	return n
}

// ahead is what the calls that come before w, which waits here or is about to, need here.
func (g *gate) ahead(w *Waiter) (sum ledger.Tokens) {
	tag := w.tag
	if w.gate != g {
		tag = g.tag(w.bound.plan.Class.Name, w.bound.plan.Class.Weight)
	}
	for _, x := range g.list {
		if x == w || x.tag > tag {
			break
		}
		sum = min(sum+x.needs(g), ledger.MaxTokens)
	}
	return sum
}
