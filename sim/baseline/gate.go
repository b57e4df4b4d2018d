package baseline

import (
	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/policy"
	"github.com/swarmpurse/swarmpurse/sim/workload"
)

// call is a call on its way.
type call struct {
	workload.Call
	class    *policy.Class
	draws    []draw
	seq      uint64 // order of arrival, of this attempt
	attempts int    // before this one
	offered  bool
	refused  bool          // by the provider
	wait     ledger.Millis // and how long that says to wait
	admitted ledger.Millis
	place    int // in the list of its node's waiting calls

	// While it waits at a gate:
	gate        *gate
	short       int           // the draw that it waits for
	need        ledger.Tokens // there
	left, right *call
	least       ledger.Tokens // need of it and of all below it
	heap        uint64        // above those below it
}

// before is the order of service: better classes first, then by arrival.
func (c *call) before(o *call) bool {
	if c.class.Weight != o.class.Weight {
		return c.class.Weight > o.class.Weight
	}
	return c.seq < o.seq
}

// gate is where calls wait that are short at one place of one instance: a treap in the order of service that
// knows the least need of each subtree, so that the first call that fits is found without a walk.
type gate struct {
	site int32
	in   *instance
	root *call
	wake ledger.Millis // when it will be looked at; forever for never
}

func (g *gate) insert(c *call, need ledger.Tokens) {
	c.gate, c.need, c.least, c.left, c.right = g, need, need, nil, nil
	c.heap = mix(c.seq)
	g.root = insert(g.root, c)
}

func (g *gate) remove(c *call) {
	g.root = remove(g.root, c)
	c.gate, c.left, c.right = nil, nil, nil
}

// first is the call that is next to be served; nil if none waits.
func (g *gate) first() *call {
	c := g.root
	for c != nil && c.left != nil {
		c = c.left
	}
	return c
}

// fitting is the first call that needs no more than n.
func (g *gate) fitting(n ledger.Tokens) *call {
	c := g.root
	if c == nil || c.least > n {
		return nil
	}
	for {
		switch {
		case c.left != nil && c.left.least <= n:
			c = c.left
		case c.need <= n:
			return c
		default:
			c = c.right
		}
	}
}

func insert(t, c *call) *call {
	switch {
	case t == nil:
		return c
	case c.heap > t.heap:
		c.left, c.right = split(t, c)
		t = c
	case c.before(t):
		t.left = insert(t.left, c)
	default:
		t.right = insert(t.right, c)
	}
	t.sum()
	return t
}

// split cuts a tree into what comes before c and what comes after.
func split(t, c *call) (before, after *call) {
	if t == nil {
		return nil, nil
	}
	if t.before(c) {
		before = t
		t.right, after = split(t.right, c)
	} else {
		after = t
		before, t.left = split(t.left, c)
	}
	t.sum()
	return before, after
}

func remove(t, c *call) *call {
	switch {
	case t == c:
		return join(t.left, t.right)
	case c.before(t):
		t.left = remove(t.left, c)
	default:
		t.right = remove(t.right, c)
	}
	t.sum()
	return t
}

func join(a, b *call) *call {
	switch {
	case a == nil:
		return b
	case b == nil:
		return a
	case a.heap > b.heap:
		a.right = join(a.right, b)
		a.sum()
		return a
	}
	b.left = join(a, b.left)
	b.sum()
	return b
}

func (c *call) sum() {
	c.least = c.need
	if c.left != nil {
		c.least = min(c.least, c.left.least)
	}
	if c.right != nil {
		c.least = min(c.least, c.right.least)
	}
}

// mix spreads numbers evenly (the finisher of splitmix64), so that the treap is balanced without dice.
func mix(x uint64) uint64 {
	x += 0x9e3779b97f4a7c15
	x = (x ^ x>>30) * 0xbf58476d1ce4e5b9
	x = (x ^ x>>27) * 0x94d049bb133111eb
	return x ^ x>>31
}
