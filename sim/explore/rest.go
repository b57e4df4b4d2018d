package explore

import (
	"fmt"
	"slices"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/ledger/judge"
)

// sampled is a state whose fingerprint is among the least: a sample without bias that needs no dice.
type sampled struct {
	print print128
	world int32
}

// consider takes a state into the sample if it belongs there.
func (x *search) consider(p print128, k int32) {
	less := func(a sampled, p print128) int {
		if a.print[0] < p[0] {
			return -1
		}
		return 1
	}
	i, _ := slices.BinarySearchFunc(x.sample, p, less)
	if i < x.scope.Rest {
		x.sample = slices.Insert(x.sample, i, sampled{p, k})
		x.sample = x.sample[:min(len(x.sample), x.scope.Rest)]
	}
}

// restAll demands of the states in the sample that the swarm comes to rest when faults end.
func (x *search) restAll() *Failure {
	for _, s := range x.sample {
		for _, late := range []bool{false, true} {
			if err := x.rest(s.world, late); err != nil {
				return x.fail(x.worlds[s.world], fmt.Errorf("then all faults end (late messages arrive: %v) and %w", late, err))
			}
		}
		x.res.Rested++
	}
	return nil
}

// restRounds is how many rounds of roundMillis a swarm gets to come to rest: beyond the longest pause between
// repeats, the longest TTL and several windows.
const (
	restRounds  = 400
	roundMillis = 250
)

// rest ends all faults and runs the swarm until nothing is left to do. What was on the network is lost, or arrives
// late, the newest first.
func (x *search) rest(k int32, late bool) error {
	w := x.worlds[k]
	var ns [nodes]*node
	now := start
	for i, id := range w.locals {
		ns[i] = x.node(id)
		now = max(now, ns[i].clock)
	}
	for i, n := range ns {
		n.clock, n.policy = now, 0
		if n.left || n.writing {
			n.crash() // it comes back
		}
		if n.r == nil {
			if err := n.boot(); err != nil {
				return err
			}
		}
		n.r.Respec(now)
		for _, id := range x.ids {
			if !lives(id, now) {
				continue
			}
			if _, err := n.r.Open(now, id); err != nil {
				return err
			}
		}
		if late {
			of := slices.Clone(x.nets[w.net].of[i])
			slices.Reverse(of)
			for _, m := range of {
				if err := n.do(input{kind: receive, arg: m, then: commit}, x.messages[m].msg); err != nil {
					return err
				}
				if err := x.post(&ns, n); err != nil {
					return err
				}
			}
		}
	}
	why := ""
	for round := range restRounds {
		now += roundMillis
		for _, n := range ns {
			n.clock = now
			if err := n.do(input{kind: tick, then: commit}, nil); err != nil {
				return err
			}
			if err := x.post(&ns, n); err != nil {
				return err
			}
			if x.scope.Digests {
				if err := n.do(input{kind: digest, to: int8((n.i + 1 + round%(nodes-1)) % nodes)}, nil); err != nil {
					return err
				}
				if err := x.post(&ns, n); err != nil {
					return err
				}
			}
		}
		for b := range x.ids {
			if err := judge.Together([]*judge.Book{ns[0].books[b], ns[1].books[b], ns[2].books[b]}, x.scope.Specs[0].Kind, x.scope.Specs[0].Ceiling); err != nil {
				return err
			}
		}
		if round < 8 {
			continue
		}
		if why = x.unrest(&ns); why == "" {
			return nil
		}
	}
	return fmt.Errorf("%d s later %s", restRounds*roundMillis/1000, why)
}

// lives reports whether calls draw on an instance then.
func lives(id ledger.InstanceID, at ledger.Instant) bool {
	begins, ends, mortal := id.Life()
	return !mortal || begins <= at && at < ends
}

// post delivers what a node sent, and what comes of it.
func (x *search) post(ns *[nodes]*node, from *node) error {
	for _, e := range from.sent {
		to := ns[e.to]
		if to.r == nil {
			continue
		}
		if err := to.do(input{kind: receive, then: commit}, e.msg); err != nil {
			return err
		}
		if err := x.post(ns, to); err != nil {
			return err
		}
	}
	return nil
}

// unrest says what is stuck, or "".
func (x *search) unrest(ns *[nodes]*node) string {
	for b, id := range x.ids {
		if !lives(id, ns[0].clock) {
			continue
		}
		var owned ledger.Shares
		for _, n := range ns {
			name := n.sc.self[n.i].Node
			a := n.r.Account(id)
			if a == nil {
				return fmt.Sprintf("%s has forgotten %s", name, id.Name())
			}
			s, spec, _, ready := a.Peek()
			if !ready {
				return fmt.Sprintf("%s has not opened %s", name, id.Name())
			}
			open := ""
			n.r.EachEntry(id, func(peer ledger.Holder, e ledger.Entry) {
				if e.SharesOut > e.AckedShares || e.Window == s.Window && e.Out > e.AckedOut {
					open = fmt.Sprintf("%s waits for %s to acknowledge %s", name, peer.Node, entry(&e))
				}
			})
			if open != "" {
				return open
			}
			owned += s.Shares()
			// What is there can be had, now or as soon as the mark has moved.
			if n := a.Rights(ns[0].clock); n > 0 && spec.Kind != ledger.Rate {
				take := []ledger.Take{{Account: a, Amount: n}}
				if why, _ := ledger.Reserve(ns[0].clock, ns[0].clock+ttl, take, false); why == ledger.Enough {
					a.Settle(ns[0].clock, n, 0, take[0].Window)
				} else {
					return fmt.Sprintf("%s has %d rights in %s and cannot reserve them (%d)", name, n, id.Name(), why)
				}
			}
		}
		if owned != ledger.TotalShares {
			return fmt.Sprintf("%s: only %d shares are owned", id.Name(), owned)
		}
		// Nothing is on the way in the present window.
		var in, out ledger.Tokens
		for _, n := range ns {
			for _, u := range n.books[b].Uses {
				if u.Window == ns[0].books[b].Window {
					in, out = in+u.Last.In, out+u.Last.Out
				}
			}
		}
		if in != out {
			return fmt.Sprintf("%s: %d rights are on the way", id.Name(), out-in)
		}
	}
	return x.unknown(ns)
}

// unknown says of which row a node does not know the newest version, where nodes compare digests.
func (x *search) unknown(ns *[nodes]*node) string {
	for _, n := range ns {
		for _, id := range x.ids {
			if !x.scope.Digests {
				return ""
			}
			own := n.r.Rows(n.clock, id)[0]
			for _, o := range ns {
				for _, k := range o.r.Rows(o.clock, id) {
					if k.Holder == own.Holder && k.Row != own.Row {
						return fmt.Sprintf("%s knows %+v, not %+v", o.sc.self[o.i].Node, k.Row, own.Row)
					}
				}
				if known := len(o.r.Rows(o.clock, id)); known != nodes {
					return fmt.Sprintf("%s knows %d rows of %s", o.sc.self[o.i].Node, known, id.Name())
				}
			}
		}
	}
	return ""
}
