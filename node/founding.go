package node

import (
	"slices"
	"strconv"

	"github.com/swarmpurse/swarmpurse/gossip"
	"github.com/swarmpurse/swarmpurse/ledger"
)

// founding is how a cluster of several founders comes to its charter. Every founder casts one durable vote;
// the candidate with the lowest name proposes, once it has seen enough of them for a while; the votes of
// all the founders that a proposal names make it the charter. Since a node votes once and the founders are
// more than half of the first members, there cannot be two.
type founding struct {
	seen   []ledger.Holder // candidates at the last look
	stable int             // looks at which they were the same
	votes  map[ledger.Holder]bool
	asked  ledger.Instant
	warned ledger.Instant
}

const (
	stableLooks   = 10  // ticks: half a second of an unchanged view
	proposalPause = 500 // ms between repeats of a proposal
	foundingWarn  = 30_000
)

// enfound makes c the charter of this node.
func (n *Node) enfound(c ledger.Charter) error {
	err := n.replica.Found(c)
	n.charter = n.replica.Charter().ID
	return err
}

// foundAlone makes a cluster of this node.
func (n *Node) foundAlone() error {
	c, err := ledger.NewCharter(n.opts.Cluster, []ledger.Holder{n.self()}, nonce())
	if err != nil {
		return err
	}
	n.log.Info().Stringer("charter", c.ID).Msg("founding a new cluster")
	return n.enfound(c)
}

// found moves the founding on. It runs on every tick, and does nothing once there is a charter.
func (n *Node) found(now ledger.Instant) {
	f := &n.founding
	if !n.replica.Charter().ID.IsZero() {
		return
	}
	if f.warned == 0 {
		f.warned = now
	}
	if now >= f.warned+foundingWarn {
		f.warned = now
		ev := n.log.Warn().Int("expect", n.opts.BootstrapExpect).Int("candidates", len(f.seen))
		if n.opts.candidate() {
			ev.Msg("still without a charter: start as many nodes with --bootstrap-expect as it says")
		} else {
			ev.Msg("still without a charter: no member of the cluster in --join could be reached")
		}
	}
	if !n.opts.candidate() {
		return
	}
	seen := n.candidates()
	if slices.Equal(seen, f.seen) {
		f.stable++
	} else {
		f.seen, f.stable = seen, 0
	}
	if b := n.replica.Ballot(); b != nil {
		n.propose(now, b.Charter) // whoever has voted helps its proposal along
		return
	}
	if len(seen) < n.opts.BootstrapExpect || f.stable < stableLooks || seen[0] != n.self() {
		return
	}
	c, err := ledger.NewCharter(n.opts.Cluster, seen[:n.opts.BootstrapExpect], nonce())
	if err != nil {
		n.log.Error().Err(err).Msg("cannot propose a charter")
		return
	}
	if _, err := n.replica.Vote(c); err != nil {
		n.log.Error().Err(err).Msg("cannot vote")
		return
	}
	n.log.Info().Stringer("charter", c.ID).Int("founders", len(c.Founders)).Msg("proposing to found the cluster")
}

// candidates lists the live founders that have no charter yet, this node included, by name.
func (n *Node) candidates() []ledger.Holder {
	want := strconv.Itoa(n.opts.BootstrapExpect)
	seen := []ledger.Holder{n.self()}
	for _, m := range n.pool.Members() {
		if h := holderOf(m); !m.Self && m.Status == gossip.Alive && m.Tags[tagExpect] == want && h.Gen != 0 {
			seen = append(seen, h)
		}
	}
	slices.SortFunc(seen, ledger.Holder.Compare)
	return seen
}

// propose asks the founders of c for their votes, and counts those that have come.
func (n *Node) propose(now ledger.Instant, c ledger.Charter) {
	f := &n.founding
	if f.votes == nil {
		f.votes = map[ledger.Holder]bool{}
	}
	f.votes[n.self()] = true
	for _, h := range c.Founders {
		if !f.votes[h] {
			if now >= f.asked+proposalPause {
				for _, h := range c.Founders {
					if h != n.self() && !f.votes[h] {
						n.tell(h.Node, msgProposal, ledger.EncodeCharter(&c))
					}
				}
				f.asked = now
			}
			return
		}
	}
	n.adoptCharter(c)
}

// receiveProposal votes, once, and answers with the vote that stands.
func (n *Node) receiveProposal(from string, c ledger.Charter) {
	if !n.replica.Charter().ID.IsZero() {
		have := n.replica.Charter()
		n.tell(from, msgCharter, ledger.EncodeCharter(&have))
		return
	}
	if !n.opts.candidate() || c.Cluster != n.opts.Cluster || !slices.Contains(c.Founders, n.self()) {
		n.log.Warn().Str("from", from).Stringer("charter", c.ID).Msg("a proposal to found a cluster that this node is not a founder of")
		return
	}
	b, err := n.replica.Vote(c)
	if err != nil {
		n.log.Warn().Err(err).Str("from", from).Msg("a proposal was refused")
		return
	}
	// The vote is told when it is durable, like everything.
	n.after = append(n.after, func(err error) {
		if err == nil {
			n.tell(from, msgVote, ledger.EncodeCharter(&b.Charter))
		}
	})
}

func (n *Node) receiveVote(from string, c ledger.Charter) {
	b := n.replica.Ballot()
	if b == nil {
		return
	}
	if b.Charter.ID != c.ID {
		n.log.Warn().Str("from", from).Stringer("theirs", c.ID).Stringer("ours", b.Charter.ID).
			Msg("founders voted for different charters: if no charter comes, stop the founders, empty their data directories and start them with equal --bootstrap-expect")
		return
	}
	for _, h := range c.Founders {
		if h.Node == from {
			if n.founding.votes == nil {
				n.founding.votes = map[ledger.Holder]bool{}
			}
			n.founding.votes[h] = true
		}
	}
}

// adoptCharter takes a charter that was made. It never replaces another.
func (n *Node) adoptCharter(c ledger.Charter) {
	have := n.replica.Charter()
	if have.ID == c.ID {
		return
	}
	if c.Cluster != n.opts.Cluster {
		n.log.Error().Str("theirs", c.Cluster).Msg("a charter of a cluster of another name")
		return
	}
	if err := n.enfound(c); err != nil {
		n.log.Error().Err(err).Msg("two clusters of one name meet: they do not merge")
		return
	}
	if len(n.opts.Join) > 0 {
		n.roll.pinAfter = n.now() + pinWaits
	}
	n.engine.Rebind()
	n.log.Info().Stringer("charter", c.ID).Int("founders", len(c.Founders)).Msg("the cluster has its charter")
	n.after = append(n.after, func(err error) {
		if err != nil {
			return
		}
		for _, name := range n.pool.Alive() {
			n.tell(name, msgCharter, ledger.EncodeCharter(&c))
		}
		n.retag()
	})
}
