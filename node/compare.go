package node

import (
	"github.com/swarmpurse/swarmpurse/ledger"
)

// compare sends a digest of all rows to a peer when it is time, and what policy this node has.
func (n *Node) compare(now ledger.Instant) {
	if !n.comparer.Due(now) {
		return
	}
	founded := !n.replica.Charter().ID.IsZero()
	to, pause := n.comparer.Peer(now, founded, n.rand)
	if to == "" {
		return
	}
	if !founded {
		// The first push/pull of a join brings charter and policy; this one was with somebody who had none yet, or
		// was too busy to answer.
		if err := n.pool.Sync(to); err != nil {
			n.log.Debug().Err(err).Str("peer", to).Msg("not synced")
		}
		return
	}
	digest := ledger.Encode(n.replica.Digest())
	for _, msg := range [][]byte{digest, n.have(), n.haveFrozen(), n.haveRevisions(), n.haveEnrolled()} {
		if msg != nil {
			n.post(to, msg)
		}
	}
	n.comparer.Told(now, pause, len(digest), int64(n.opts.GossipBytesPerSecond), n.rand)
}
