package admit

import (
	"fmt"
	"slices"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// classQueue is the calls of one class that wait at this node, by tenant.
type classQueue struct {
	class   string
	n       int
	tenants []*tenantQueue // that have some, in no order that matters
	by      map[string]*tenantQueue
}

// tenantQueue is the calls of one tenant in a class, in order of arrival.
type tenantQueue struct {
	tenant string
	calls  []*Waiter
	at     int // in tenants
}

// class returns what waits of a class; nil if nothing of it ever did.
func (q *queue) class(name string) *classQueue {
	for _, c := range q.classes {
		if c.class == name {
			return c
		}
	}
	return nil
}

// counted counts a call that came (1) or went (-1).
func (q *queue) counted(w *Waiter, by int) {
	name, tenant := w.bound.plan.Class.Name, w.Request.Tenant
	c := q.class(name)
	if c == nil {
		c = &classQueue{class: name, by: map[string]*tenantQueue{}}
		q.classes = append(q.classes, c)
	}
	c.n += by
	t := c.by[tenant]
	if by > 0 {
		if t == nil {
			t = &tenantQueue{tenant: tenant, at: len(c.tenants)}
			c.by[tenant] = t
			c.tenants = append(c.tenants, t)
		}
		t.calls = append(t.calls, w)
		return
	}
	if t.calls[0] == w {
		t.calls[0] = nil
		t.calls = t.calls[1:]
	} else {
		t.calls = drop(t.calls, w)
	}
	if len(t.calls) == 0 {
		last := c.tenants[len(c.tenants)-1]
		last.at = t.at
		c.tenants[t.at] = last
		c.tenants = c.tenants[:len(c.tenants)-1]
		delete(c.by, tenant)
	}
	if c.n == 0 { // classes come and go with policies
		q.classes = slices.DeleteFunc(q.classes, func(x *classQueue) bool { return x == c })
	}
}

// crowded says why one more call may not wait at its at-th draw, nil if it may. Where its class has no room left, the tenant of the class
// with the most calls makes room for one that has fewer, by at least two: the last of its calls goes. So no tenant shuts
// others out.
func (e *Engine) crowded(now ledger.Instant, l Ledger, w *Waiter, at int) *refusal {
	q, class := &e.queue, w.bound.plan.Class
	most := e.cfg.MaxQueue
	if class.Weight < e.rev.Load().best {
		most -= most / 4
	}
	c := q.class(class.Name)
	own := 0
	if c != nil {
		if t := c.by[w.Request.Tenant]; t != nil {
			own = len(t.calls)
		}
	}
	switch {
	case q.n < most && (class.Queue == 0 || c == nil || c.n < class.Queue):
		return nil
	case c == nil:
		no := e.queueFull("too many calls wait at this node", e.whenServed(now, l, w, at))
		return &no
	}
	longest := c.tenants[0]
	for _, t := range c.tenants[1:] {
		if len(t.calls) > len(longest.calls) || len(t.calls) == len(longest.calls) && t.tenant < longest.tenant {
			longest = t
		}
	}
	if len(longest.calls) < own+2 {
		no := e.queueFull(fmt.Sprintf("too many calls of class %q wait at this node, %d of them this tenant's", class.Name, own), e.whenServed(now, l, w, at))
		return &no
	}
	last := longest.calls[len(longest.calls)-1]
	last.ID = e.refused(now, last.Request, last.bound, e.queueFull(fmt.Sprintf(
		"too many calls of class %q wait at this node, %d of them this tenant's: its last made room for another tenant's", class.Name, len(longest.calls),
	), e.whenServed(now, l, last, last.at(last.gate))), last.waited(now))
	q.leave(last)
	q.full = append(q.full, last)
	return nil
}

// displaced adds the calls that had to make room.
func (e *Engine) displaced(decided []*Waiter) []*Waiter {
	decided = append(decided, e.queue.full...)
	clear(e.queue.full)
	e.queue.full = e.queue.full[:0]
	return decided
}

func (e *Engine) queueFull(reason string, retry time.Duration) refusal {
	return refusal{verdict: Defer, code: CodeQueueFull, reason: reason, retry: retry}
}
