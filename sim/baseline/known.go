package baseline

import (
	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/sim/workload"
)

// known is a central pool that falls apart in partitions: each side gets the part of every instance's supply
// that its demand will be of all demand while the partition lasts.
type known struct {
	*cells
	groups *groups
	demand demand
	epoch  int
	node   []int32 // site of each
	count  int32
}

// demand is, for each epoch with several sites and each instance, what was drawn at site 0, at 0 and 1, and so on.
type demand map[demandKey][]int64

type demandKey struct {
	epoch int
	in    ledger.InstanceID
}

func newKnown(g *groups, d demand) *known {
	k := &known{cells: central(), groups: g, demand: d}
	k.node, k.count = g.sites(0)
	k.of = func(node int) int32 { return k.node[node] }
	k.cells.part = k.part
	return k
}

func (k *known) part(site int32, in *instance) part {
	if k.count == 1 {
		return whole
	}
	sums := k.demand[demandKey{k.epoch, in.id}]
	if len(sums) == 0 || sums[len(sums)-1] == 0 {
		// Nobody will ask for it: by nodes, as well as otherwise.
		sums = make([]int64, k.count)
		for _, s := range k.node {
			sums[s]++
		}
		for i := 1; i < len(sums); i++ {
			sums[i] += sums[i-1]
		}
	}
	p := part{0, sums[site], sums[len(sums)-1]}
	if site > 0 {
		p.lo = sums[site-1]
	}
	return p
}

// regroup goes on to an epoch: all that sides have is put together, and dealt out anew.
func (k *known) regroup(now ledger.Millis, epoch int, instances []*instance) {
	var all []bucket // of each instance that has been used
	var of []*instance
	for _, in := range instances {
		used := false
		for s := range k.count {
			_, ok := k.buckets[cell{s, in.index}]
			used = used || ok
		}
		if !used {
			continue
		}
		sum := *k.look(now, 0, in)
		for s := int32(1); s < k.count; s++ {
			b := k.look(now, s, in)
			sum.avail += b.avail
			sum.extra += b.extra
			sum.open += b.open
		}
		all, of = append(all, sum), append(of, in)
	}
	clear(k.buckets)
	k.epoch = epoch
	k.node, k.count = k.groups.sites(epoch)
	for i, in := range of {
		for s := range k.count {
			b := all[i]
			p := k.part(s, in)
			b.part, b.rate, b.rem = p, p.rate(b.spec), 0
			b.avail, b.extra, b.open = p.of(b.avail), p.of(b.extra), p.of(b.open)
			if b.spec.Kind == ledger.Rate {
				b.clamp()
			}
			k.buckets[cell{s, in.index}] = &b
		}
	}
}

// ever is the whole: no partition lasts.
func (k *known) ever(*bucket) part { return whole }

// foresee runs the source without any limit, and sums up what is drawn where.
func foresee(r *run, g *groups, source workload.Source) demand {
	d := demand{}
	b := newBinder(r.sc.Policies[0], r.sc.Workload)
	var q events
	pull := func() {
		if c, ok := source.Next(); ok {
			q.push(event{at: c.At, what: arrive, call: &call{Call: c}})
		}
	}
	for i, e := range r.changes {
		q.push(event{at: e.at, what: change, do: i})
	}
	pull()
	now := 0
	site, count := g.sites(0)
	for {
		e, ok := q.pop()
		if !ok || e.at >= r.stop {
			break
		}
		if e.what == change {
			if p := r.changes[e.do].policy; p != nil {
				b.revise(p, e.at)
			}
			continue
		}
		c := e.call
		if c.attempts == 0 { // by itself
			pull()
		}
		if at := g.at(now, e.at); at != now {
			now = at
			site, count = g.sites(now)
		}
		if r.lost(c.Node, e.at) {
			continue
		}
		_, draws, ok := b.bind(&c.Call)
		if !ok {
			continue
		}
		for _, next := range source.Follow(&c.Call, c.At+c.Runs, true) {
			q.push(event{at: next.At, what: arrive, call: &call{Call: next, attempts: 1}})
		}
		if count == 1 {
			continue
		}
		for i := range draws {
			key := demandKey{now, draws[i].in.id}
			if d[key] == nil {
				d[key] = make([]int64, count)
			}
			sums := d[key]
			if n := int64(draws[i].reserved); sums[count-1] <= 1<<60-n { // what is beyond that changes no part
				for s := site[c.Node]; s < count; s++ {
					sums[s] += n
				}
			}
		}
	}
	return d
}
