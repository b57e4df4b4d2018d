package admit

import (
	"cmp"
	"iter"
	"math"
	"slices"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
)

// classLine is the calls of one class that wait at one gate, tenant by tenant. Its tenants are served by least attained tokens
// over weight: the virtual token counter of Sheng et al. (OSDI 2024). Each tenant's own calls are served as they came.
type classLine struct {
	class    string
	weight   float64
	headroom int64 // see policy.Class; the last to come says
	// start is the virtual time at which the first call's service begins, while any waits; finish the tag of the call that
	// was served last.
	start, finish float64

	n    int           // calls that wait
	need ledger.Tokens // what they needed here when they came
	heap []*backlog    // tenants with calls that wait, the one with the least attained first
	// rest are tenants without calls that wait, which have attained more than the others: they must not gain by coming
	// back. At most maxRest.
	rest []*backlog
	// favored is the tenant with calls that wait that goes first for its guarantee, nil if none does: see favor.
	favored *backlog
	// next is the tenant with calls that wait that is next otherwise: of those that have had less than their part in the swarm, or
	// of all, the one that has attained least.
	next  *backlog
	by    map[string]*backlog // those of heap and rest
	level float64             // what the tenant had attained that was the last to have no call any more
	seq   uint64
}

// backlog is the calls of one tenant in a line.
type backlog struct {
	tenant   string
	weight   float64
	attained float64 // tokens of calls served while others waited here, over weight
	calls    []*Waiter
	need     ledger.Tokens // what they needed here when they came
	seq      uint64        // order in which tenants came, among those that attained the same
	at       int           // in the heap, -1 in rest
	share    *share        // nil where the instance is not shared out
}

// maxRest bounds the tenants that a line remembers though no call of theirs waits.
const maxRest = 256

// begin is the virtual time at which the next call of the line begins.
func (l *classLine) begin(g *gate) float64 {
	if l.n > 0 {
		return l.start
	}
	return max(l.finish, g.virtual)
}

// floor is the least that a tenant has attained here of those that wait: who comes has attained no less.
func (l *classLine) floor() float64 {
	if len(l.heap) > 0 {
		return l.heap[0].attained
	}
	return l.level
}

// attained is what a tenant has attained, or would have if it came now.
func (l *classLine) attained(tenant string) float64 {
	if b := l.by[tenant]; b != nil {
		return max(b.attained, l.floor())
	}
	return l.floor()
}

// head is the call that is next.
func (l *classLine) head() *Waiter {
	if l.favored != nil {
		return l.favored.calls[0]
	}
	return l.next.calls[0]
}

// choose finds who is next.
func (l *classLine) choose() {
	l.next = nil
	if len(l.heap) == 0 {
		return
	}
	l.next = l.heap[0]
	if l.next.share == nil {
		return
	}
	for _, b := range l.heap {
		if b.goesBefore(l.next) {
			l.next = b
		}
	}
}

// goesBefore reports whether a tenant is next rather than another where an instance is shared out. Those that ask for less than their
// parts get all of it, so only how long they wait is to be shared: they go as they came.
func (b *backlog) goesBefore(o *backlog) bool {
	x, y := b.share.rank(), o.share.rank()
	switch {
	case x != y:
		return x > y
	case x == ledger.RankSmall:
		return b.calls[0].seq < o.calls[0].seq
	}
	return b.attained < o.attained || b.attained == o.attained && b.seq < o.seq
}

// tag is the virtual time at which the next call will have been served.
func (l *classLine) tag(g *gate) float64 { return l.start + tokens(l.head().needs(g))/l.weight }

// tokens is what a call counts, so that many calls that need nothing count too.
func tokens(n ledger.Tokens) float64 { return float64(max(1, n)) }

// update takes over what a class's plan says now.
func (l *classLine) update(c *policy.Class) {
	l.weight, l.headroom = float64(max(1, c.Weight)), c.Headroom
}

// tenant returns a tenant's backlog, making it. Who comes has attained no less than the least of those that wait.
func (l *classLine) tenant(g *gate, w *Waiter) *backlog {
	b := l.by[w.Request.Tenant]
	if b == nil {
		l.seq++
		b = &backlog{tenant: w.Request.Tenant, at: -1, seq: l.seq, attained: math.Inf(-1)}
		if l.by == nil {
			l.by = map[string]*backlog{}
		}
		l.by[b.tenant] = b
		l.rest = append(l.rest, b)
	}
	b.weight = float64(max(1, w.bound.plan.Policy.TenantWeight(b.tenant)))
	b.share = g.share(w)
	if b.at < 0 {
		b.attained = max(b.attained, l.floor())
	}
	return b
}

// insert puts a call in by its order of arrival among those of its tenant.
func (l *classLine) insert(g *gate, w *Waiter) {
	if l.n == 0 {
		l.start = max(l.finish, g.virtual)
	}
	need := w.needs(g)
	w.counted = need
	b := l.tenant(g, w)
	i := len(b.calls)
	for i > 0 && b.calls[i-1].seq > w.seq {
		i--
	}
	b.calls = slices.Insert(b.calls, i, w)
	b.need += need
	l.n++
	l.need += need
	if b.at < 0 {
		l.seq++
		b.seq = l.seq
		l.rest = slices.DeleteFunc(l.rest, func(x *backlog) bool { return x == b })
		b.at = len(l.heap)
		l.heap = append(l.heap, b)
		l.up(b.at)
	}
	w.line = l
	l.favor(g.floors)
}

// remove takes a call out.
func (l *classLine) remove(g *gate, w *Waiter) {
	need := w.counted // what it needs may have changed with the price
	b := l.by[w.Request.Tenant]
	i := slices.Index(b.calls, w)
	switch {
	case i < 0:
		panic("BUG: a waiting call is not at its gate")
	case i == 0: // the usual case, and many at once when a window turns
		b.calls[0] = nil
		b.calls = b.calls[1:]
	default:
		b.calls = slices.Delete(b.calls, i, i+1)
	}
	b.need -= need
	l.n--
	l.need -= need
	w.line = nil
	defer l.favor(g.floors)
	if len(b.calls) > 0 {
		return
	}
	b.calls = nil
	last := len(l.heap) - 1
	at := b.at
	l.swap(at, last)
	l.heap[last] = nil
	l.heap = l.heap[:last]
	if at < last {
		l.up(at)
		l.down(at)
	}
	b.at = -1
	l.rest = append(l.rest, b)
	if len(l.heap) == 0 {
		l.level = b.attained
	}
	l.forget()
}

// forget drops tenants that gain nothing by it, and when there are too many those that gain least.
func (l *classLine) forget() {
	if len(l.rest) <= maxRest {
		return
	}
	floor := l.floor()
	drop := func(b *backlog) bool {
		if b.attained > floor {
			return false
		}
		delete(l.by, b.tenant)
		return true
	}
	if l.rest = slices.DeleteFunc(l.rest, drop); len(l.rest) <= maxRest {
		return
	}
	slices.SortStableFunc(l.rest, func(a, b *backlog) int { return cmp.Compare(b.attained, a.attained) })
	for _, b := range l.rest[maxRest/2:] {
		delete(l.by, b.tenant)
	}
	clear(l.rest[maxRest/2:])
	l.rest = l.rest[:maxRest/2]
}

// served charges a call to its class and its tenant.
func (l *classLine) served(g *gate, w *Waiter) {
	need := tokens(w.needs(g))
	l.finish = l.begin(g) + need/l.weight
	l.start = l.finish
	g.virtual = max(g.virtual, l.finish)
	b := l.tenant(g, w)
	l.attain(b, need)
	if len(l.heap) == 0 {
		l.level = b.attained
	}
}

// attain adds to what a tenant has attained.
func (l *classLine) attain(b *backlog, tokens float64) {
	b.attained += tokens / b.weight
	if b.at >= 0 {
		l.up(b.at)
		l.down(b.at)
		l.choose()
	} else {
		l.forget()
	}
}

// ahead is about what comes before a call of a tenant that needs so much, behind own tokens of its tenant: what other
// tenants get until they have attained as much as that tenant when its turn comes.
func (l *classLine) ahead(tenant string, weight float64, own ledger.Tokens) ledger.Tokens {
	sum := own
	until := l.attained(tenant) + float64(own)/weight
	for _, b := range l.heap {
		if b.tenant == tenant || b.attained > until {
			continue
		}
		n := ledger.Tokens(min((until-b.attained)*b.weight, float64(b.need)))
		sum = min(sum+max(n, b.calls[0].needs(b.calls[0].gate)), ledger.MaxTokens)
	}
	return sum
}

// less orders tenants by what they have attained, and then as they came.
func (l *classLine) less(i, j int) bool {
	a, b := l.heap[i], l.heap[j]
	if a.attained != b.attained {
		return a.attained < b.attained
	}
	return a.seq < b.seq
}

func (l *classLine) swap(i, j int) {
	l.heap[i], l.heap[j] = l.heap[j], l.heap[i]
	l.heap[i].at, l.heap[j].at = i, j
}

func (l *classLine) up(i int) {
	for i > 0 {
		parent := (i - 1) / 2
		if !l.less(i, parent) {
			return
		}
		l.swap(i, parent)
		i = parent
	}
}

func (l *classLine) down(i int) {
	for {
		child := 2*i + 1
		if child >= len(l.heap) {
			return
		}
		if child+1 < len(l.heap) && l.less(child+1, child) {
			child++
		}
		if !l.less(child, i) {
			return
		}
		l.swap(i, child)
		i = child
	}
}

// all goes through the calls that wait, tenant by tenant. None may come or go meanwhile.
func (l *classLine) all() iter.Seq[*Waiter] {
	return func(yield func(*Waiter) bool) {
		for _, b := range l.heap {
			for _, w := range b.calls {
				if !yield(w) {
					return
				}
			}
		}
	}
}
