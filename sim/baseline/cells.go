package baseline

import "github.com/swarmpurse/swarmpurse/ledger"

// pool is where the tokens are, and who knows of them.
type pool interface {
	// site is the place whose word counts for calls of a node.
	site(node int) int32
	// look is what is known at a site of an instance, brought up to now. It may be overwritten by the next call of
	// a method.
	look(now ledger.Millis, site int32, in *instance) *bucket
	// take reserves for a call of the node, and says in which window.
	take(now ledger.Millis, node int, in *instance, n ledger.Tokens) ledger.Millis
	// give ends a reservation.
	give(now ledger.Millis, node int, d *draw)
	// ever is the largest part of an instance's supply that a bucket may come to have.
	ever(b *bucket) part
	// news is when the site will next hear of others, without which look changes by time only; false for never.
	news(now ledger.Millis, site int32, in *instance) (ledger.Millis, bool)
}

// cells is a pool of buckets that each know all of what happens to them.
type cells struct {
	of      func(node int) int32
	part    func(site int32, in *instance) part
	buckets map[cell]*bucket
}

type cell struct{ site, in int32 }

// central is one place that has and knows everything.
func central() *cells {
	return &cells{
		of:      func(int) int32 { return 0 },
		part:    func(int32, *instance) part { return whole },
		buckets: map[cell]*bucket{},
	}
}

// alone gives each node the whole limit.
func alone() *cells {
	c := central()
	c.of = func(node int) int32 { return int32(node) }
	return c
}

// even gives each node that is there at the start the same part. Those that join later get none: somebody would
// have to take it from the others.
func even(nodes int) *cells {
	c := alone()
	c.part = func(site int32, _ *instance) part {
		if int(site) >= nodes {
			return part{0, 0, 1}
		}
		return part{int64(site), int64(site) + 1, int64(nodes)}
	}
	return c
}

func (c *cells) site(node int) int32 { return c.of(node) }

func (c *cells) look(now ledger.Millis, site int32, in *instance) *bucket {
	key := cell{site, in.index}
	b := c.buckets[key]
	if b == nil {
		n := newBucket(in.spec(), c.part(site, in), now)
		b = &n
		c.buckets[key] = b
	}
	b.follow(in)
	b.order(in, now)
	b.advance(now)
	return b
}

// follow brings the instance's present limit into force, from when it was.
func (b *bucket) follow(in *instance) {
	if b.spec != in.spec() {
		b.advance(in.since)
		b.respec(in.spec())
	}
}

func (c *cells) take(now ledger.Millis, node int, in *instance, n ledger.Tokens) ledger.Millis {
	return c.look(now, c.of(node), in).take(n)
}

func (c *cells) give(now ledger.Millis, node int, d *draw) {
	c.look(now, c.of(node), d.in).give(d.reserved, d.used, d.window)
}

func (c *cells) ever(b *bucket) part { return b.part }

func (c *cells) news(ledger.Millis, int32, *instance) (ledger.Millis, bool) { return 0, false }
