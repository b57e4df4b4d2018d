package baseline

import (
	"slices"

	"github.com/swarmpurse/swarmpurse/ledger"
)

// counters is what gossiping rate limiters do: each node counts what it admits, and admits on the last known
// total. A node knows its own calls at once, those of nodes that it can talk to after the delay of gossip, and of
// the others what they had done when the partition began.
//
// What a node learns says when it happened, and the node puts it where it belongs: it has the exact state of a
// while ago, and what it has done itself since. No such limiter can do better. The bucket of a rate remembers a
// debt of at most one burst: with none, every delay's excess would be forgotten; with all of it, a partition that
// has healed would stop the swarm for about as long as it lasted.
type counters struct {
	delay    ledger.Millis
	groups   *groups
	reaches  []reach // by epoch, as far as they were needed
	journals []*journal
	view     bucket // what look returns
}

// reach says, in one epoch, who talks to whom, and what they knew of the others when it began.
type reach struct {
	site  []int32 // of each node
	count int32
	until [][]ledger.Millis // for each site and node: everything that the node did before is known at the site
}

// delta is what one node did on one instance: reserve, or end a reservation.
type delta struct {
	at             ledger.Millis
	node           int
	end            bool
	reserved, used ledger.Tokens
	window         ledger.Millis
}

// journal is what happened on one instance.
type journal struct {
	epoch int
	base  bucket  // when all could last talk
	log   []delta // since, or what is not in that yet
	sites []counted
	own   map[int][]delta // by node: what is not in its site's count yet
}

// counted is what one site knows: the part of the log before next, as far as it hears of it.
type counted struct {
	bucket
	next int
}

func newCounters(delay ledger.Millis, g *groups) *counters {
	c := &counters{delay: delay, groups: g}
	site, count := g.sites(0)
	c.reaches = []reach{{site: site, count: count, until: make([][]ledger.Millis, count)}}
	for s := range c.reaches[0].until {
		c.reaches[0].until[s] = make([]ledger.Millis, g.nodes)
	}
	return c
}

func (c *counters) site(node int) int32 { return int32(node) }

func (c *counters) look(now ledger.Millis, site int32, in *instance) *bucket {
	j, node, known := c.journal(now, in), int(site), now-c.delay
	c.catchUp(j, in, known)
	c.view = j.sites[c.reach(j.epoch).site[node]].bucket
	own := j.own[node]
	for len(own) > 0 && own[0].at <= known {
		own = own[1:]
	}
	if len(own) > 0 {
		j.own[node] = own
	} else {
		delete(j.own, node)
	}
	for i := range own {
		c.view.apply(in, &own[i])
	}
	c.view.follow(in)
	c.view.order(in, now)
	c.view.advance(now)
	return &c.view
}

func (c *counters) take(now ledger.Millis, node int, in *instance, n ledger.Tokens) ledger.Millis {
	window := c.look(now, int32(node), in).end
	c.journal(now, in).add(delta{at: now, node: node, reserved: n, window: window})
	return window
}

func (c *counters) give(now ledger.Millis, node int, d *draw) {
	c.journal(now, d.in).add(delta{at: now, node: node, end: true, reserved: d.reserved, used: d.used, window: d.window})
}

func (c *counters) ever(b *bucket) part { return b.part }

func (c *counters) news(now ledger.Millis, site int32, in *instance) (ledger.Millis, bool) {
	j, node := c.journal(now, in), int(site)
	c.catchUp(j, in, now-c.delay)
	r := c.reach(j.epoch)
	at := now + c.delay // what happens from now on
	for _, d := range j.log[j.sites[r.site[node]].next:] {
		if d.node != node && r.site[d.node] == r.site[node] {
			at = min(at, d.at+c.delay)
			break
		}
	}
	return at, true
}

func (j *journal) add(d delta) {
	j.log = append(j.log, d)
	j.own[d.node] = append(j.own[d.node], d)
}

func (c *counters) journal(now ledger.Millis, in *instance) *journal {
	for int(in.index) >= len(c.journals) {
		c.journals = append(c.journals, nil)
	}
	j := c.journals[in.index]
	if j == nil {
		j = &journal{base: newBucket(in.spec(), whole, now), own: map[int][]delta{}}
		j.epoch = c.groups.at(0, max(now-c.delay, 0))
		for range c.reach(j.epoch).count {
			j.sites = append(j.sites, counted{bucket: j.base})
		}
		c.journals[in.index] = j
	}
	return j
}

// catchUp brings all sites of an instance up to a time.
func (c *counters) catchUp(j *journal, in *instance, known ledger.Millis) {
	for j.epoch+1 < len(c.groups.epochs) && c.groups.epochs[j.epoch+1].at <= known {
		end := c.groups.epochs[j.epoch+1].at - 1
		c.count(j, in, end)
		c.regroup(j, in)
	}
	c.count(j, in, known)
}

// count adds what sites hear of up to a time.
func (c *counters) count(j *journal, in *instance, known ledger.Millis) {
	r := c.reach(j.epoch)
	for s := range j.sites {
		n := &j.sites[s]
		for ; n.next < len(j.log) && j.log[n.next].at <= known; n.next++ {
			if d := &j.log[n.next]; r.site[d.node] == int32(s) {
				n.apply(in, d)
			}
		}
		if known >= in.since {
			n.follow(in)
		}
		n.order(in, known)
		n.advance(known)
	}
	if r.count == 1 && j.sites[0].next > 1024 {
		j.log = slices.Delete(j.log, 0, j.sites[0].next)
		j.sites[0].next = 0
	}
}

// regroup goes on to the next epoch: each site knows what any of its nodes knew.
func (c *counters) regroup(j *journal, in *instance) {
	next := j.sites[0].next // the same at all sites
	if c.reach(j.epoch).count == 1 {
		j.base = j.sites[0].bucket
		j.log = slices.Delete(j.log, 0, next)
		next = 0
	}
	j.epoch++
	r := c.reach(j.epoch)
	j.sites = j.sites[:0]
	for s := range r.count {
		n := counted{bucket: j.base, next: next}
		for i := range j.log[:next] {
			if d := &j.log[i]; d.at < r.until[s][d.node] {
				n.apply(in, d)
			}
		}
		j.sites = append(j.sites, n)
	}
}

// reach works out who knows what in an epoch from the one before.
func (c *counters) reach(epoch int) *reach {
	for len(c.reaches) <= epoch {
		old, at := &c.reaches[len(c.reaches)-1], c.groups.epochs[len(c.reaches)].at
		var r reach
		r.site, r.count = c.groups.sites(len(c.reaches))
		r.until = make([][]ledger.Millis, r.count)
		type pair struct{ old, site int32 }
		seen := map[pair]bool{}
		for n, s := range r.site {
			if r.until[s] == nil {
				r.until[s] = make([]ledger.Millis, len(r.site))
			}
			if p := (pair{old.site[n], s}); !seen[p] {
				seen[p] = true
				for m := range r.site {
					was := old.until[p.old][m]
					if old.site[m] == p.old {
						was = at
					}
					r.until[s][m] = max(r.until[s][m], was)
				}
			}
		}
		c.reaches = append(c.reaches, r)
	}
	return &c.reaches[epoch]
}

// apply puts what happened where it belongs.
func (b *bucket) apply(in *instance, d *delta) {
	if d.at >= in.since {
		b.follow(in)
	}
	b.order(in, d.at)
	b.advance(d.at)
	if d.end {
		b.give(d.reserved, d.used, d.window)
	} else {
		b.take(d.reserved)
	}
	if b.spec.Kind == ledger.Rate {
		b.avail = max(b.avail, -b.full())
	}
}
