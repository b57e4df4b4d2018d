package admit

import (
	"slices"
	"sync"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// What a tenant has attained is first what its calls reserved, and what they really used once they have ended.

// maxCorrections bounds the settlements between two Pumps of which tenants hear. Beyond it they stay charged as reserved.
const maxCorrections = 4096

// corrections are what settlements found calls to have used more or less than reserved, until the owner takes them in.
type corrections struct {
	mu   sync.Mutex // guards list
	list []correction
}

type correction struct {
	gate          *gate
	class, tenant string
	by            ledger.Tokens
}

func (c *corrections) any() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.list) > 0
}

// attained remembers at which of the first four draws an admitted call was charged to its tenant; those beyond stay as they
// were reserved.
func (e *Engine) attained(id ID, at uint8) {
	s, i, ok := e.find(id)
	if !ok {
		return
	}
	s.rec(i).flags |= flags(at) * flagAttained
	s.mu.Unlock()
}

// add takes down how a call ended. Slots return, but they were used.
func (c *corrections) add(r *record) {
	hs := r.held()
	c.mu.Lock()
	defer c.mu.Unlock()
	for j := range min(len(hs), inline) {
		t := &r.bound.takes[j]
		by := hs[j].charged - hs[j].reserved
		if r.flags&(flagAttained<<j) == 0 || by == 0 || t.draw.Budget.Spec.Kind == ledger.Slots || len(c.list) >= maxCorrections {
			continue
		}
		c.list = append(c.list, correction{t.gate, r.bound.plan.Class.Name, r.tenant, by})
	}
}

// left takes down that a call no longer draws where another plan does not.
func (c *corrections) left(r *record, to *bound) {
	hs := r.held()
	c.mu.Lock()
	defer c.mu.Unlock()
	for j := range min(len(hs), inline) {
		t := &r.bound.takes[j]
		if r.flags&(flagAttained<<j) == 0 || t.terms.Budget.Spec.Kind == ledger.Slots || len(c.list) >= maxCorrections ||
			slices.ContainsFunc(to.takes, func(o boundTake) bool { return o.account == t.account }) {
			continue
		}
		c.list = append(c.list, correction{t.gate, r.bound.plan.Class.Name, r.tenant, hs[j].charged - hs[j].reserved})
	}
}

// apply charges tenants what their calls really used. The owner's.
func (c *corrections) apply() {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.list {
		x := &c.list[i]
		if f := x.gate.fair; f != nil {
			if s := f.by[whoOf(x.class, x.tenant)]; s != nil {
				s.level -= float64(x.by)
			}
		}
		if l := x.gate.line(x.class); l != nil && l.by[x.tenant] != nil {
			l.attain(l.by[x.tenant], float64(x.by))
		}
	}
	clear(c.list)
	c.list = c.list[:0]
}
