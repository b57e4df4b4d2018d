package node

import (
	"slices"

	"github.com/swarmpurse/swarmpurse/gossip"
	"github.com/swarmpurse/swarmpurse/ledger"
)

// comparing keeps the rows and policies of two nodes from differing for long. A row is told once, when it
// changes, so what was lost on the way (a cut too short for the membership to notice is enough) would stay
// unknown until a full push/pull happens to come by, after half a minute or more. Instead every node tells one
// peer after the other what it knows, in a digest and by its policy's revision, and that peer sends what is
// missing.
type comparing struct {
	at       ledger.Instant // of the next digest
	live     []string       // members alive at the last look
	returned []string       // came back since: they are asked first
}

const (
	compareEvery = 3_000 // ms between digests to peers by chance
	compareSoon  = 300   // ms between digests to peers that came back
	// comparePart is the part of --gossip-rate that digests may cost: they grow with the swarm, and are sent
	// more seldom then.
	comparePart = 10
	maxReturned = 3 // the rows of a whole side come with the first of them, and travel on
)

// cameBack remembers which peers are alive that were not before.
func (n *Node) cameBack(now ledger.Instant, members []gossip.Member) {
	c := &n.comparing
	var live []string
	for _, m := range members {
		if m.Self || m.Status != gossip.Alive {
			continue
		}
		live = append(live, m.Name)
		if _, was := slices.BinarySearch(c.live, m.Name); !was && len(c.returned) < maxReturned {
			c.returned = append(c.returned, m.Name)
			c.at = min(c.at, now)
		}
	}
	c.live = live // sorted, as members are
}

// compare sends a digest to a peer when it is time.
func (n *Node) compare(now ledger.Instant) {
	c := &n.comparing
	if now < c.at && c.at <= now+compareEvery*maxComparePauses {
		return
	}
	alive := n.pool.Alive()
	c.at = now + compareEvery
	if len(alive) == 0 {
		return
	}
	to := alive[n.rand.IntN(len(alive))]
	if n.replica.Charter().ID.IsZero() {
		// The first push/pull of a join brings charter and policy; this one was with somebody who had none yet, or
		// was too busy to answer.
		if err := n.pool.Sync(to); err != nil {
			n.log.Debug().Err(err).Str("peer", to).Msg("not synced")
		}
		return
	}
	pause := ledger.Instant(compareEvery)
	if len(c.returned) > 0 {
		to, c.returned = c.returned[0], c.returned[1:]
		if len(c.returned) > 0 {
			pause = compareSoon
		}
	}
	digest := ledger.Encode(n.replica.Digest())
	err := n.pool.Send(to, digest)
	if err == nil {
		err = n.pool.Send(to, n.have())
	}
	if err != nil {
		n.log.Debug().Err(err).Str("to", to).Msg("rows not compared; another peer is asked soon")
	}
	cost := ledger.Instant(int64(len(digest)) * comparePart * 1000 / int64(n.opts.GossipBytesPerSecond))
	pause = max(pause, min(cost, compareEvery*maxComparePauses))
	c.at = now + pause*3/4 + ledger.Instant(n.rand.Int64N(int64(pause)/2))
}

// maxComparePauses bounds the pause between digests: two minutes.
const maxComparePauses = 40
