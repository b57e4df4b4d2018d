package node

import (
	"fmt"
	"math"
	"slices"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/audit"
	"github.com/swarmpurse/swarmpurse/node/seal"
)

// Who says what of whose rows: a peer that says it knows later ones than this node has written, a node that doubts its own directory, and
// a holder that has signed two rows of one version.

// provePause is how often, in ms, a peer is asked for a proof, and is given one.
const provePause = 1000

// doubt takes out of a digest what its sender says it knows of this node, if it is more than this node knows to have said: any
// peer could fence it by that. It is asked for the row, which has this node's signature.
func (n *Node) doubt(now ledger.Instant, from string, d *ledger.Digest) *ledger.Digest {
	s := &n.signed
	self := n.self()
	known := uint64(0)
	if s.of == self {
		known = max(s.own, s.proved)
	}
	for i := range d.Holders {
		if h := &d.Holders[i]; h.Holder == self && h.Highest > known {
			c := *d
			c.Holders = append(append([]ledger.HolderDigest(nil), d.Holders[:i]...), d.Holders[i+1:]...)
			at, asked := s.doubted[from]
			if asked && now < at+provePause && at <= now {
				return &c
			}
			if asked {
				n.refuse(from, &seal.Refusal{Reason: seal.Unproved, What: fmt.Sprintf("%s says that it knows version %d of this node, and shows no row of it", from, h.Highest)})
			}
			if len(s.doubted) >= maxRefusers {
				clear(s.doubted)
			}
			s.doubted[from] = now
			n.post(from, []byte{msgWantProof})
			return &c
		}
	}
	s.unsure = false // it knows nothing that this node does not
	return d
}

// unsureFor is how long, in ms, a node waits for a peer to say which of its rows it knows. Peers of versions without signatures say
// it in a way that fences at once.
const unsureFor = 5_000

// sure ends the wait, and tells what was kept. The loop's, at each tick.
func (n *Node) sure(now ledger.Instant) {
	s := &n.signed
	if s.unsure {
		if s.since == 0 && len(n.pool.Alive()) > 0 {
			s.since = now
		}
		s.unsure = s.since == 0 || now < s.since+unsureFor && now >= s.since
	}
	if s.unsure || len(s.held) == 0 {
		return
	}
	held := s.held
	s.held = map[rowKey]ledger.Spread{}
	if n.replica.Fenced() {
		return
	}
	var spreads []ledger.Spread
	for _, x := range held {
		spreads = append(spreads, x)
	}
	n.spreadRows(spreads)
}

// prove shows a peer the latest row that is known here of its present life.
func (n *Node) prove(now ledger.Instant, to string) {
	s := &n.signed
	if at, ok := s.shown[to]; ok && now < at+provePause && at <= now {
		return
	}
	if len(s.shown) >= maxRefusers {
		clear(s.shown)
	}
	s.shown[to] = now
	var best ledger.Holder
	for h := range s.newest {
		if h.Node == to && h.Gen > best.Gen {
			best = h
		}
	}
	if k, ok := s.newest[best]; ok {
		n.post(to, k.rows.Append([]byte{msgRows}, func(i int) bool { return i == k.at }))
	}
}

// afterProof is what there is to do with a directory of which a proof is known.
const afterProof = "stop all of its processes, and start one with an empty data directory"

// isOfUs reports that a proof is one of this node's data directory. The loop's.
func (n *Node) isOfUs(p *seal.Proof) bool {
	pin, ok := n.book.KeyOf(p.Holder.Node, p.Holder.Gen)
	return ok && p.Holder.Node == n.opts.Name && pin.Dir == n.dir
}

// whyFenced says why a node is fenced, and what to do: after a proof only an empty directory helps. The loop's.
func (n *Node) whyFenced() string {
	if slices.ContainsFunc(n.book.Proofs(), n.isOfUs) {
		return "fenced: two processes ran on copies of this node's data directory, or an older one was put back; " + afterProof
	}
	return "fenced: peers know a later state of this node; restore the newer data directory, or start with an empty one"
}

// convict acts on a proof that a holder has signed two rows of one version: peers hear of it, and it is fenced. The loop's.
func (n *Node) convict(now ledger.Instant, from string, p *seal.Proof) {
	news, err := n.book.Convict(int64(now), from, p)
	if err != nil {
		n.refuse(from, err)
		return
	}
	if !news {
		return
	}
	const rest = "It is fenced: " + afterProof
	say := n.log.Error().Str("event", "audit").Str("node", p.Holder.Node).Stringer("holder", p.Holder).Str("by", from)
	act := audit.Record{Kind: audit.Alarm, Node: p.Holder.Node, By: from, Count: int64(p.Version)}
	if p.OfStarts() {
		say.Msg("a process of that node goes on after another has begun on its data directory, both signed: two run on copies of it. " + rest)
		act.What, act.Why = "copied directory", fmt.Sprintf("a process of %s with the data directory %x goes on after another has begun on it", p.Holder.Node, p.Holder.Gen)
	} else {
		say.Uint64("version", p.Version).
			Msg("two different rows of one version, both signed: that node lies, two processes run on copies of its data directory, or an older copy of it was put back. " + rest)
		act.What, act.Why = "equivocation", fmt.Sprintf("%v has signed two different rows of version %d", p.Holder, p.Version)
	}
	n.auditor.act(act)
	n.refused.total[seal.Convicted].Add(1)
	payload := append([]byte{msgProof}, p.Encode()...)
	n.pool.Spread("proof/"+p.Holder.Node, frozenWeight, payload)
	for _, name := range n.pool.Alive() {
		n.post(name, payload)
	}
	if n.isOfUs(p) {
		// The ledger fences a replica that hears of rows of its own which it has not written. This is that.
		n.receive(now, from, &ledger.Row{Holder: n.self(), Version: math.MaxUint64})
	}
}
