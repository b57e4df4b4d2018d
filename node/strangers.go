package node

import (
	"github.com/swarmpurse/swarmpurse/gossip"
	"github.com/swarmpurse/swarmpurse/ledger"
)

// Two clusters of one name and one keyring may come to gossip in one pool: a seed of the one was given to a node
// of the other, or two nodes of one swarm were founded apart. Their rights cannot mix, since instances are named
// by the charter. Nothing else may either: neither policies, of which the higher revision would win, nor what a
// leaving node hands on. So a member that tells of another charter is a stranger: it counts as no peer, and what it
// says is not listened to.

// charterTag is what this node tells of its charter; "" while it has none. The loop's.
func (n *Node) charterTag() string {
	if c := n.replica.Charter(); !c.ID.IsZero() {
		return c.ID.String()[:16]
	}
	return ""
}

// stranger reports whether a member belongs to another cluster than a node with that charter.
func stranger(m *gossip.Member, charterTag string) bool {
	theirs := m.Tags[tagCharter]
	return theirs != "" && charterTag != "" && theirs != charterTag
}

// ours is the membership without strangers, and without nodes that are not enrolled where that is needed. It remembers who is who.
func (n *Node) ours(members []gossip.Member) (list []gossip.Member) {
	tag := n.charterTag()
	known := make(map[string]bool, len(members))
	for i := range members {
		m := &members[i]
		foreign := stranger(m, tag)
		if foreign && !n.strangers[m.Name] {
			n.log.Error().Str("member", m.Name).Str("gossip", m.Addr).Str("theirs", m.Tags[tagCharter]).Str("ours", tag).
				Msg("two clusters of one name meet, and share nothing: take the one's addresses out of --join of the other, or give one another --cluster")
		}
		if known[m.Name] = foreign; !foreign && n.isPeer(m) {
			list = append(list, *m)
		}
	}
	n.strangers = known
	return list
}

// listens reports whether to act on a message of a kind from a member, or from a push/pull with somebody of the
// charter theirs. All hear of charters, or clusters that meet would not notice. Policies are taken only from who is
// known to be no stranger: a message may come before the news of its sender. The loop's.
func (n *Node) listens(from string, theirs ledger.CharterID, kind byte) bool {
	own := n.replica.Charter().ID
	if kind == msgCharter || own.IsZero() {
		return true
	}
	if from == "" {
		return theirs.IsZero() || theirs == own
	}
	foreign, known := n.strangers[from]
	switch kind {
	case msgPolicy, msgHave, msgWant, msgFrozen, msgHaveFrozen, msgWantFrozen, msgRollout, msgHaveRollout, msgWantRollout, msgWantDocument, msgDocument, msgTally, msgSums, msgTrust, msgEnrolled, msgHaveEnrolled, msgWantEnrolled:
		return known && !foreign
	}
	return !foreign
}

// charterIn finds the charter in the parts of a push/pull; zero if there is none.
func charterIn(parts [][]byte) (id ledger.CharterID) {
	for _, p := range parts {
		if len(p) > 0 && p[0] == msgCharter {
			if c, err := ledger.DecodeCharter(p[1:]); err == nil {
				id = c.ID
			}
		}
	}
	return id
}
