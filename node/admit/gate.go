package admit

import (
	"iter"
	"math"
	"slices"
	"sync/atomic"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// gate is one instance as seen by the queue. A waiting call waits at one gate, that of the instance at which
// it is short: it does not keep others from the rest of what it draws on.
//
// Classes are served in the order of self-clocked fair queueing (Golestani, INFOCOM 1994) by their weights, in tokens: the
// tag of a line is the virtual time at which its next call would be done if every class were served at the rate of its
// weight, and the lowest tag is first. The start of a line that waits never changes, so it moves ahead of ever more
// newcomers of better classes: that is the aging.
//
// A class with headroom is no obstacle to those that may use more of the instance than it: while it waits for rights that
// they could use, they go ahead.
type gate struct {
	id   ledger.InstanceID
	hash uint32
	// closed is the least headroom of the classes that wait here, open if none does: newcomers with that headroom or more
	// go through Offer. The owner writes it.
	closed atomic.Int64
	// price is what costs are multiplied by now, in parts per million; 0 while the budget's price does not move. The owner
	// writes it.
	price atomic.Int64
	// left is the part of the limit that is left in the swarm, in parts per million, if calls run cheaper when that is little;
	// whole otherwise. The owner writes it.
	left atomic.Int64

	// level is that of backpressure. The owner writes it.
	level atomic.Int32
	// frozen says that an operator froze the instance. The owner writes it.
	frozen atomic.Bool

	// most and others are what the instance can have at once, and how much of it is left at other nodes; most is 0 until that
	// is known. The owner writes them.
	most, others atomic.Int64

	turns turns // of bytes that wait for rights

	// The rest is the owner's.
	lines   []*classLine  // in the order in which their classes came first
	n       int           // calls that wait
	keepers []*Waiter     // wait elsewhere and keep here what they need, see Waiter.keeps
	virtual float64       // tag of the call that was served last
	told    ledger.Tokens // what the ledger was told that the first call needs
	busy    bool          // on the queue's list
	watch   *watch        // nil if decisions are told nothing of the instance
	floors  []*floor      // of tenants with a guarantee that called here
	fair    *fair         // nil while tenants of the swarm do not ask for more than there is

	promises promises // to callers who were refused here
}

// open is gate.closed where nobody waits.
const open = math.MaxInt64

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
	g.freeze(e.frozen.Load())
	g.closed.Store(open)
	g.left.Store(whole)
	e.gates[id] = g
	return g
}

// forgetGates drops the gates of which no waiting call knows, once there are too many. Plans are forgotten with
// them, so that no instance ever has two gates in use.
func (e *Engine) forgetGates() {
	used := map[ledger.InstanceID]*gate{}
	for _, g := range e.queue.busy {
		used[g.id] = g
		for w := range g.all() {
			for b := range w.bound.forms() {
				for i := range b.takes {
					used[b.takes[i].gate.id] = b.takes[i].gate
				}
			}
		}
	}
	e.gates = used
	e.watched = slices.DeleteFunc(e.watched, func(g *gate) bool { return used[g.id] == nil })
	e.Rebind()
}

// all goes through the calls that wait. None may come or go meanwhile.
func (g *gate) all() iter.Seq[*Waiter] {
	return func(yield func(*Waiter) bool) {
		for _, l := range g.lines {
			for w := range l.all() {
				if !yield(w) {
					return
				}
			}
		}
	}
}

// line returns the line of a class, nil if it has none.
func (g *gate) line(class string) *classLine {
	for _, l := range g.lines {
		if l.class == class {
			return l
		}
	}
	return nil
}

// lineOf returns the line of a call's class, making it.
func (g *gate) lineOf(w *Waiter) *classLine {
	c := w.bound.plan.Class
	l := g.line(c.Name)
	if l == nil {
		l = &classLine{class: c.Name}
		g.lines = append(g.lines, l)
	}
	l.update(c)
	return l
}

// first is the line that is next, of those whose class has less headroom than limit; nil if none waits.
func (g *gate) first(limit int64) *classLine {
	var best *classLine
	for _, l := range g.lines {
		if l.n > 0 && l.headroom < limit && (best == nil || g.before(l, best)) {
			best = l
		}
	}
	return best
}

// before reports whether a line is served before another.
func (g *gate) before(a, b *classLine) bool {
	if x := a.favored != nil; x != (b.favored != nil) {
		return x
	}
	if x, y := a.tag(g), b.tag(g); x != y {
		return x < y
	}
	return a.head().seq < b.head().seq
}

// passes reports whether a newcomer may go ahead of all that wait and are no better off than it. Within a class a newcomer
// is never first: its tenant has attained no less than the first, and came later.
func (g *gate) passes(w *Waiter) bool {
	class := w.bound.plan.Class
	l := g.first(class.Headroom + 1)
	if l == nil {
		return true
	}
	if len(g.floors) > 0 {
		if g.favors(class.Headroom) {
			return false
		}
		if w.first(g) {
			return true
		}
	}
	own := g.line(class.Name)
	if own != nil && own.n > 0 {
		return own.favored == nil && g.share(w).rank() > own.next.share.rank()
	}
	begin := g.virtual
	if own != nil {
		begin = own.begin(g)
	}
	return begin+tokens(w.needs(g))/float64(max(1, class.Weight)) < l.tag(g)
}

// insert puts a waiter in.
func (g *gate) insert(w *Waiter) {
	g.lineOf(w).insert(g, w)
	w.gate = g
	g.n++
	g.close()
}

// remove takes a waiter out.
func (g *gate) remove(w *Waiter) {
	w.line.remove(g, w)
	w.gate = nil
	g.n--
	g.rest()
	g.close()
}

// close has newcomers go through Offer that may have to stand behind those that wait.
func (g *gate) close() {
	least := int64(open)
	if len(g.keepers) > 0 || g.fair != nil { // who asks for what is counted then
		least = 0
	}
	for _, l := range g.lines {
		if l.n > 0 {
			least = min(least, l.headroom)
		}
	}
	if g.closed.Load() != least {
		g.closed.Store(least)
	}
}

// rest forgets the order of service when nobody waits any more.
func (g *gate) rest() {
	if g.n == 0 {
		g.virtual, g.lines = 0, nil
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

// ahead is about what the calls need here that come before w, which waits here or is about to.
func (g *gate) ahead(w *Waiter) (sum ledger.Tokens) {
	plan, tenant, need := w.bound.plan, w.Request.Tenant, w.needs(g)
	weight := float64(max(1, plan.Policy.TenantWeight(tenant)))
	if w.first(g) {
		return g.aheadOfFirst(w)
	}
	begin := g.virtual
	own := g.line(plan.Class.Name)
	if own != nil {
		begin = own.begin(g)
		var before ledger.Tokens
		if b := own.by[tenant]; b != nil {
			before = b.need
			if w.gate == g {
				before = 0
				for _, x := range b.calls {
					if x == w {
						break
					}
					before += x.needs(g)
				}
			}
		}
		sum = own.ahead(tenant, weight, before)
	}
	tag := begin + float64(sum+max(1, need))/float64(max(1, plan.Class.Weight))
	for _, l := range g.lines {
		if l == own || l.n == 0 || l.headroom > plan.Class.Headroom {
			continue
		}
		n := ledger.Tokens(min(max(0, tag-l.start)*l.weight, float64(l.need)))
		if l.tag(g) <= tag {
			n = max(n, l.head().needs(g))
		} else {
			n = 0
		}
		sum = min(sum+n, ledger.MaxTokens)
	}
	return sum
}

// spare is the part of an instance that w's class leaves to better ones, in the whole swarm.
func (w *Waiter) spare(spec *ledger.Spec) ledger.Tokens {
	if spec.Ceiling == ledger.Observe {
		return 0
	}
	return ledger.Part(spec.Amount, w.bound.plan.Class.Headroom)
}

// expired returns the calls whose time is over, also those that may wait on for the disk: whether they still do, behind says.
func (g *gate) expired(now ledger.Instant) (ws []*Waiter) {
	for w := range g.all() {
		if now >= w.deadline {
			ws = append(ws, w)
		}
	}
	return ws
}

// asker is the call for whose rights the ledger should ask: the first of those that may have them, if it waits for rights.
func (g *gate) asker() *Waiter {
	var best *classLine
	for _, l := range g.lines {
		if l.n > 0 && !l.head().scant && (best == nil || g.before(l, best)) {
			best = l
		}
	}
	if best == nil || !best.head().rights {
		return nil
	}
	return best.head()
}

// wanted is what some of the calls need that may have it, the asker's included.
func (g *gate) wanted(asker *Waiter) ledger.Tokens {
	if asker.first(g) {
		return g.wantedFirst(asker)
	}
	if asker.short() > ledger.RankNone {
		return g.wantedShort(asker)
	}
	sum, left := asker.needs(g), askedTogether-1
	for _, l := range g.lines {
		if l.n == 0 || l.head().scant {
			continue
		}
		for w := range l.all() {
			if left == 0 {
				return sum
			}
			if w != asker {
				sum = min(sum+w.needs(g), ledger.MaxTokens)
				left--
			}
		}
	}
	return sum
}

// drop takes a call off a list.
func drop(list []*Waiter, w *Waiter) []*Waiter {
	if i := slices.Index(list, w); i >= 0 {
		return slices.Delete(list, i, i+1)
	}
	return list
}
