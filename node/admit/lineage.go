package admit

import (
	"slices"
	"sync"
	"unsafe"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// Datum is a data set that a call named, with the digest of what it read, if its caller gave one.
type Datum struct{ Name, Digest string }

func (d Datum) String() string {
	if d.Digest == "" {
		return d.Name
	}
	return d.Name + "@" + d.Digest
}

// data is what a request names.
func (r *Request) data() []Datum {
	if len(r.Data) == 0 {
		return nil
	}
	list := make([]Datum, len(r.Data))
	for i, name := range r.Data {
		if list[i].Name = name; i < len(r.Digests) {
			list[i].Digest = r.Digests[i]
		}
	}
	return list
}

// note is what few decisions have to remember.
type note struct {
	no   refusal // why it was refused, of those that were
	to   *target // where it was sent; nil if it was not
	data bool    // it named data sets: the lineage has them
	ran  bool    // it had run already: see TryRan
	// shared is how its tenant stood at the instances that were shared out.
	shared []Standing
	score  *float64 // what its caller said of its answer; nil for nothing
	tried  []Tried  // upstreams that did not run it; not to be changed in place
	// counted says how its prompt was counted.
	counted Counted
}

// upstream is the name of the upstream that a call was sent to, "" for none.
func (n *note) upstream() string {
	if n == nil || n.to == nil {
		return ""
	}
	return n.to.upstream.Name
}

// noteOf is what a decision has to remember that sends a call to an upstream, names data, or says how its prompt was counted; nil if it does none of these.
func noteOf(r *Request, to *target) *note {
	switch {
	case len(r.Data) > 0:
		return &note{to: to, data: true, counted: r.Counted}
	case to != nil:
		kept := &to.notes[r.Counted%numCounted]
		n := kept.Load()
		if n == nil {
			n = &note{to: to, counted: r.Counted}
			kept.Store(n)
		}
		return n
	case r.Counted != Stated:
		return &countedNotes[r.Counted%numCounted]
	}
	return nil
}

// noted counts a call that was admitted at its upstream, and remembers what data it named.
func (e *Engine) noted(now ledger.Instant, id ID, r *Request, b *bound, v Verdict, n *note) {
	if n.to != nil {
		n.to.meter.chosen.Add(1)
	}
	if n.data {
		e.touched(now, id, r, b, v, CodeOK, n)
	}
}

// Bounds of what is remembered of data sets. It stands beside the records, so that other calls, however many, do not push it out, and so that calls
// that name many data sets take no more memory than this.
const (
	MaxTouches     = 1 << 16
	maxTouchedSize = 32 << 20 // bytes of their strings
)

// Touch is a decision on a call that named data sets.
type Touch struct {
	ID                               ID
	At                               ledger.Instant
	Verdict                          Verdict
	Code                             string
	Tenant, Agent, Run, Class, Model string
	Upstream                         string // that it was sent to
	Revision                         int64
	Data                             []Datum
	size                             int
}

func (t *Touch) names(data string) bool {
	return slices.ContainsFunc(t.Data, func(d Datum) bool { return d.Name == data })
}

// lineage is the decisions that touched data sets, the oldest first.
type lineage struct {
	mu   sync.Mutex // guards all below
	ring []Touch
	head int // of the oldest
	n    int
	size int
	lost ledger.Instant // when the latest was made that is forgotten; 0 if none is
}

func (l *lineage) add(t Touch) {
	t.size = len(t.Tenant) + len(t.Agent) + len(t.Run) + len(t.Class) + len(t.Model)
	for _, d := range t.Data {
		t.size += int(unsafe.Sizeof(d)) + len(d.Name) + len(d.Digest)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	for l.n == MaxTouches || l.n > 0 && l.size+t.size > maxTouchedSize {
		old := &l.ring[l.head]
		l.lost = max(l.lost, old.At)
		l.size -= old.size
		*old = Touch{}
		l.head = (l.head + 1) % len(l.ring)
		l.n--
	}
	if l.n == len(l.ring) { // it grows by doubling, so that nodes whose calls name none keep none
		ring := make([]Touch, min(MaxTouches, max(64, 2*len(l.ring))))
		for i := range l.n {
			ring[i] = l.ring[(l.head+i)%len(l.ring)]
		}
		l.ring, l.head = ring, 0
	}
	l.ring[(l.head+l.n)%len(l.ring)] = t
	l.n++
	l.size += t.size
}

// Touched returns the decisions on calls that named a data set, of tenants that sees says (nil: all), the newest first, at most so many of them;
// how many there are; and since when all are remembered, 0 for since this engine was made. Safe for concurrent use.
func (e *Engine) Touched(data string, most int, sees func(tenant string) bool) (list []Touch, all int, since ledger.Instant) {
	l := &e.lineage
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := l.n - 1; i >= 0; i-- {
		if t := &l.ring[(l.head+i)%len(l.ring)]; t.names(data) && (sees == nil || sees(t.Tenant)) {
			if all++; all <= most {
				list = append(list, *t)
			}
		}
	}
	if l.lost != 0 {
		since = l.lost + 1
	}
	return list, all, since
}

// of is what a decision touched, as far as it is remembered.
func (l *lineage) of(id ID) []Datum {
	l.mu.Lock()
	defer l.mu.Unlock()
	for i := l.n - 1; i >= 0; i-- {
		if t := &l.ring[(l.head+i)%len(l.ring)]; t.ID == id {
			return t.Data
		}
	}
	return nil
}

// touched remembers a decision on a call that named data sets.
func (e *Engine) touched(now ledger.Instant, id ID, r *Request, b *bound, v Verdict, code string, n *note) {
	t := Touch{
		ID: id, At: now, Verdict: v, Code: code, Tenant: r.Tenant, Agent: r.Agent, Run: r.Run, Class: r.Class, Model: r.Model,
		Upstream: n.upstream(), Data: r.data(),
	}
	if b != nil {
		t.Class, t.Revision = b.plan.Class.Name, b.plan.Policy.Revision()
	} else {
		t.Revision = e.Policy().Revision()
	}
	e.lineage.add(t)
}
