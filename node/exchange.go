package node

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"time"

	"github.com/swarmpurse/swarmpurse/gossip"
	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/seal"
	"github.com/swarmpurse/swarmpurse/node/telemetry"
	"github.com/swarmpurse/swarmpurse/node/wire"
	"github.com/swarmpurse/swarmpurse/policy"
)

// Messages of the node itself. The ledger's kinds are below 32.
const (
	msgPolicy       byte = iota + 32 // a policy document
	msgHave                          // the policy that the sender has: revision and hash
	msgWant                          // send me your policy
	msgProposal                      // a charter to vote for
	msgVote                          // the charter that the sender voted for
	msgCharter                       // a charter that was made
	msgFrozen                        // words of operators on what is frozen
	msgHaveFrozen                    // the hash of all such words that the sender has
	msgWantFrozen                    // send me yours
	msgAuditHead                     // the signed head of the sender's audit log
	msgAuditAnswer                   // what a witness says to it
	msgRollout                       // words on revisions of the policy
	msgHaveRollout                   // the hash of all such words that the sender has
	msgWantRollout                   // send me yours
	msgWantDocument                  // send me the document of a revision
	msgDocument                      // a document that words are known of
	msgTally                         // what the sender has counted while a candidate is tried
	msgSums                          // what the sender has counted of an experiment, or of a shadow
	msgTrust                         // where trust begins, and signed words on revisions of the policy
	msgDeath                         // an operator's signed word that members are dead, from their heir
	msgEnrolled                      // operators' signed words on which nodes belong to the swarm
	msgHaveEnrolled                  // the hash of all such words that the sender has
	msgWantEnrolled                  // send me those that differ from what I have
	msgTopUps                        // top-ups that operators signed
	msgWantTopUps                    // send me those at a holder
)

// tell sends one of the node's own messages.
func (n *Node) tell(to string, kind byte, body []byte) {
	n.post(to, append(append(make([]byte, 0, len(body)+1), kind), body...))
}

// delegate is the node as the pool sees it.
type delegate Node

// Receive checks a message and hands it to the loop. What a node that signs says without a signature is refused.
func (d *delegate) Receive(from string, payload []byte) {
	n := (*Node)(d)
	if len(payload) > 0 {
		switch body := payload[1:]; payload[0] {
		case msgLetter:
			n.openLetter(from, body)
			return
		case msgRows:
			n.takeRows(from, body)
			return
		case msgProof:
			n.takeProof(from, body)
			return
		}
	}
	if n.signs(from) {
		if !n.isRows(payload) || !n.peers.mixed() { // rows may be for members of versions without signatures
			n.refuse(from, &seal.Refusal{Reason: seal.Unsigned, What: "a message of a node that signs what it says"})
		}
		return
	}
	n.take(from, ledger.CharterID{}, payload)
}

// isRows reports whether a message is rows without signatures.
func (n *Node) isRows(payload []byte) bool {
	m, err := ledger.Decode(payload)
	_, ok := m.([]ledger.Row)
	return err == nil && ok
}

// take takes a message in that is not signed, also a part of a push/pull with somebody of the charter theirs.
func (n *Node) take(from string, theirs ledger.CharterID, payload []byte) {
	n.takeFrom(from, 0, theirs, payload)
}

// takeFrom is take for one of a peer in its directory dir, as its signature says; 0 for none.
func (n *Node) takeFrom(from string, dir uint64, theirs ledger.CharterID, payload []byte) {
	if from != "" && len(payload) > 0 && !n.heeds(from, dir, payload[0]) {
		return
	}
	f, err := n.decode(from, dir, payload)
	if r := (*seal.Refusal)(nil); errors.As(err, &r) {
		n.refuse(from, err)
		return
	}
	if err != nil {
		n.metrics.Dropped(telemetry.Malformed)
		n.log.Warn().Err(err).Str("from", from).Msg("a message was dropped")
		return
	}
	if f != nil {
		ch := n.inputs
		if k := payload[0]; k >= msgFrozen && k <= msgTrust || k >= msgEnrolled && k <= msgWantEnrolled {
			ch = n.looks // it changes nothing of the replica, so it waits for no disk
		}
		_ = n.submit(ch, func(now ledger.Instant) { // full: counted; peers tell again what matters
			if n.listens(from, theirs, payload[0]) {
				f(now)
			}
		})
	}
}

// decode checks a message and returns what the loop should do with it; nil for kinds of a newer version.
func (n *Node) decode(from string, dir uint64, payload []byte) (op, error) {
	if len(payload) == 0 {
		return nil, fmt.Errorf("an empty message")
	}
	body := payload[1:]
	switch payload[0] {
	case msgPolicy:
		doc, err := wire.DecodeDocument(body)
		if err != nil {
			return nil, err
		}
		p, err := policy.ParseNewer("peer", doc.Source) // slow, so not in the loop
		if err != nil {
			return n.refuseDocument(from, doc.Source, err), nil
		}
		return func(ledger.Instant) { n.receivePolicy(from, p, doc) }, nil
	case msgHave:
		have, err := wire.DecodeHave(body)
		if err != nil {
			return nil, err
		}
		return func(ledger.Instant) { n.receiveHave(have) }, nil
	case msgWant:
		return func(ledger.Instant) { n.sendPolicy(from) }, nil
	case msgFrozen:
		ws, err := wire.DecodeWords(body)
		if err != nil {
			return nil, err
		}
		return func(now ledger.Instant) { n.receiveFrozen(now, from, ws) }, nil
	case msgHaveFrozen:
		have, err := wire.DecodeHaveFrozen(body)
		if err != nil {
			return nil, err
		}
		return func(ledger.Instant) { n.receiveHaveFrozen(have) }, nil
	case msgWantFrozen:
		return func(ledger.Instant) { n.sendFrozen(from) }, nil
	case msgAuditHead:
		h, err := wire.DecodeAuditHead(body)
		if err == nil && h.Node != from {
			err = fmt.Errorf("the head of an audit log that says it is from %.64q", h.Node)
		}
		return func(ledger.Instant) { n.auditor.deliver(auditMessage{from: from, head: &h}) }, err
	case msgAuditAnswer:
		a, err := wire.DecodeAuditAnswer(body)
		return func(ledger.Instant) { n.auditor.deliver(auditMessage{from: from, answer: &a}) }, err
	case msgRollout, msgHaveRollout, msgWantRollout, msgWantDocument, msgDocument, msgTally, msgTrust:
		return n.decodeRollout(from, payload)
	case msgSums:
		id, rows, err := wire.DecodeSums(body)
		if err != nil {
			return nil, err
		}
		return func(ledger.Instant) { n.receiveSums(from, id, rows, body) }, nil
	case msgDeath:
		d, err := wire.DecodeDeath(body)
		if err != nil {
			return nil, err
		}
		return func(now ledger.Instant) { n.receiveDeath(now, from, d) }, nil
	case msgEnrolled, msgHaveEnrolled, msgWantEnrolled:
		return n.decodeEnrolled(from, payload)
	case msgTopUps, msgWantTopUps:
		return n.decodeTopUps(from, payload)
	case msgProposal, msgVote, msgCharter:
		c, err := ledger.DecodeCharter(body)
		if err != nil {
			return nil, err
		}
		kind := payload[0]
		return func(ledger.Instant) {
			switch kind {
			case msgProposal:
				n.receiveProposal(from, c)
			case msgVote:
				n.receiveVote(from, c)
			case msgCharter:
				n.adoptCharter(c)
			}
		}, nil
	}
	m, err := ledger.Decode(payload)
	if err != nil || m == nil {
		return nil, err
	}
	if err := honest(from, m); err != nil {
		return nil, err
	}
	if err := n.speaks(from, dir, m); err != nil {
		return nil, err
	}
	if rows, ok := m.([]ledger.Row); ok {
		if rows = n.unsignedRows(from, rows); len(rows) == 0 {
			return nil, nil
		}
		return func(now ledger.Instant) {
			rows = slices.DeleteFunc(rows, func(r ledger.Row) bool { return !n.passes(now, from, &r, nil, 0) })
			n.receive(now, from, rows)
		}, nil
	}
	if a, ok := m.(*ledger.WordAsk); ok {
		return func(now ledger.Instant) { n.receiveWordAsk(now, from, a) }, nil
	}
	if d, ok := m.(*ledger.Digest); ok && dir > 0 {
		return func(now ledger.Instant) { n.receive(now, from, n.doubt(now, d.From.Node, d)) }, nil
	}
	return func(now ledger.Instant) {
		if n.noteCovered(now, m) {
			n.receive(now, from, m)
		}
	}, nil
}

// honest refuses a message that is another's to send than the peer's it came from. In a push/pull, whose other side has no
// name, there is a digest, and nothing else that is one node's to say.
func honest(from string, m any) error {
	who, ok := ledger.Sender(m)
	if _, digest := m.(*ledger.Digest); !ok || who == from || from == "" && digest {
		return nil
	}
	return &seal.Refusal{Reason: seal.NotTheirs, What: fmt.Sprintf("a %T that says it is from %.64q", m, who)}
}

// receive gives a ledger message to the replica.
func (n *Node) receive(now ledger.Instant, from string, m any) {
	n.replica.Elapsed(n.boot()) // after now: a lease is never taken for longer than it is
	if err := n.replica.Receive(now, m); err != nil {
		if rows, ok := m.([]ledger.Row); ok {
			n.metrics.RowsReceived(telemetry.Refused, len(rows))
		}
		n.log.Debug().Err(err).Str("from", from).Type("kind", m).Msg("a message was refused")
		if n.replica.Fenced() {
			n.becomeFenced(err)
		}
	}
}

// LocalState is our part of a push/pull: the digest of all rows, the charter, and what policy we have; the
// document itself for a joiner.
func (d *delegate) LocalState(join bool) []byte {
	n := (*Node)(d)
	var state []byte
	done := make(chan struct{})
	if n.submit(n.looks, func(ledger.Instant) { state = n.pushPull(join); close(done) }) != nil {
		return nil
	}
	select {
	case <-done:
		return state
	case <-n.stopped:
		return nil
	case <-time.After(2 * time.Second): // busy: the next push/pull has it
		return nil
	}
}

// pushPull is what always goes, and of the rest what a push/pull has room for: what matters most first. Peers ask for a policy that they lack.
func (n *Node) pushPull(join bool) []byte {
	parts := [][]byte{ledger.Encode(n.replica.Digest()), n.have(), n.haveFrozen(), n.haveRevisions()}
	if c := n.replica.Charter(); !c.ID.IsZero() {
		parts = append(parts, append([]byte{msgCharter}, ledger.EncodeCharter(&c)...))
	}
	also := func(part []byte) {
		if part != nil && len(parts) < wire.MaxParts-1 {
			parts = append(parts, part)
		}
	}
	start := append([]byte{msgStart}, n.starting.own.Encode()...)
	if !n.starting.over.Load() {
		also(start)
		start = nil
	}
	if ps := n.book.Proofs(); len(ps) > 0 { // one that runs twice may hear of it in no other way
		also(append([]byte{msgProof}, ps[n.rand.IntN(len(ps))].Encode()...))
	}
	also(n.haveEnrolled())
	also(start)
	if join {
		if cur := n.policy.Load(); cur.whole {
			also(append([]byte{msgPolicy}, cur.encode()...))
		}
	}
	return wire.JoinParts(append(parts, append([]byte{msgSeal}, n.signer.State(parts)...)))
}

// MergeState takes the peer's part of a push/pull, message by message.
func (d *delegate) MergeState(state []byte, _ bool) {
	parts, err := wire.SplitParts(state)
	if err != nil {
		(*Node)(d).metrics.Dropped(telemetry.Malformed)
		(*Node)(d).log.Warn().Err(err).Msg("a push/pull state was dropped")
		return
	}
	(*Node)(d).takeState(parts)
}

// takeState takes the parts of a push/pull, whose seal says whom it is from. One without a seal is of a version without signatures; its
// digest names its sender, who must be no other.
func (n *Node) takeState(parts [][]byte) {
	from, dir := "", uint64(0)
	if last := len(parts) - 1; last >= 0 && len(parts[last]) > 0 && parts[last][0] == msgSeal {
		var err error
		from, dir, err = n.book.OpenState(time.Now().UnixMilli(), parts[last][1:], parts[:last])
		// A start has a signature of its own. What a process on a copy of a directory says else may be refused as older than what was read.
		for _, p := range parts[:last] {
			if len(p) > 0 && p[0] == msgStart {
				n.takeStart(from, p[1:], false)
				break
			}
		}
		if err != nil {
			n.refuse(from, err)
			return
		}
		parts = slices.DeleteFunc(parts[:last:last], func(p []byte) bool { return len(p) > 0 && p[0] == msgStart })
	}
	theirs, who := charterIn(parts), from
	for _, p := range parts {
		if m, err := ledger.Decode(p); err == nil {
			if g, ok := m.(*ledger.Digest); ok && (dir > 0 && g.From.Node != from || dir == 0 && n.book.Signs(g.From.Node)) {
				why := seal.NotTheirs
				if dir == 0 {
					why = seal.Unsigned
				}
				n.refuse(g.From.Node, &seal.Refusal{Reason: why, What: "the state of a push/pull that says it is from " + clip(g.From.Node, 64)})
				return
			} else if ok && who == "" {
				who = g.From.Node
			}
		}
	}
	heard := n.belongs(who, dir)
	for _, p := range parts {
		if !heard && len(p) > 0 && !anybodys(p[0]) {
			n.notEnrolled(who, "the state of a push/pull")
			continue
		}
		if len(p) > 0 && p[0] == msgProof {
			n.takeProof(from, p[1:])
			continue
		}
		// A digest names its sender itself; the rest does not care for it.
		n.takeFrom("", dir, theirs, p)
	}
}

// MembersChanged tells the ledger who lives.
func (d *delegate) MembersChanged() {
	n := (*Node)(d)
	_ = n.submit(n.inputs, func(now ledger.Instant) { n.meet(now) })
}

// meet takes over the membership. Round-trip times change without notice, so it also runs now and then.
func (n *Node) meet(now ledger.Instant) {
	var peers []ledger.Peer
	n.meetKeys(n.pool.Members())
	members := n.ours(n.pool.Members())
	var live []string
	for _, m := range members { // sorted by name
		if !m.Self && m.Status == gossip.Alive {
			live = append(live, m.Name)
		}
		h := holderOf(m)
		if m.Self || h.Gen == 0 {
			continue
		}
		dir := hexTag(m, tagDir)
		peers = append(peers, ledger.Peer{
			Holder: h, Alive: m.Status == gossip.Alive, Left: m.Status == gossip.Left, Distance: ledger.Millis(m.RTT.Milliseconds()),
			Directory: dir, Zone: m.Zone, Host: m.Tags[tagHost], Passing: dir == 0 || m.Tags[tagDraining] != "",
		})
	}
	n.engine.SetNeighbors(neighborsOf(members))
	n.comparer.Members(now, live)
	n.auditMembers(members)
	n.replica.SetPeers(peers)
	n.met = now
}

func holderOf(m gossip.Member) ledger.Holder {
	return ledger.Holder{Node: m.Name, Gen: hexTag(m, tagGen)}
}

// hexTag reads a number that a member tells; 0 if there is none.
func hexTag(m gossip.Member, tag string) uint64 {
	v, err := strconv.ParseUint(m.Tags[tag], 16, 64)
	if err != nil {
		return 0
	}
	return v
}

// retag tells peers what changed of this node.
func (n *Node) retag() {
	if err := n.pool.SetTags(n.tags()); err != nil {
		n.log.Warn().Err(err).Msg("tags not told")
	}
}

func (n *Node) becomeFenced(err error) {
	if !n.saidFenced {
		n.saidFenced = true
		n.engine.Rebind() // nothing is admitted from plans that are bound to accounts
		n.log.Error().Err(err).Msg(n.whyFenced())
	}
}
