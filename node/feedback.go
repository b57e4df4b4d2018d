package node

import (
	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/telemetry"
)

// Feedback takes in what a provider answered to a call. See admit.Admitter.
func (n *Node) Feedback(id string, u admit.Upstream) error {
	i, err := n.engine.Parse(id)
	if err != nil {
		return err
	}
	fell, err := n.engine.Feedback(n.now(), i, u)
	for _, l := range fell {
		n.lowered(l.Instance, l.Part, "")
	}
	return err
}

// Retry says where a call goes that its upstream did not run. See admit.Admitter.
func (n *Node) Retry(id string, f admit.Failed) (admit.Next, bool, error) {
	i, err := n.engine.Parse(id)
	if err != nil {
		return admit.Next{}, false, err
	}
	return n.engine.Retry(n.now(), i, f)
}

// lowered tells that the provider refused calls, and what is left of a rate; by is the peer that saw it, "" for this node.
func (n *Node) lowered(id ledger.InstanceID, part float64, by string) {
	budget, _, _, _ := id.Split()
	seen, who := telemetry.Here, n.opts.Name
	if by != "" {
		seen, who = telemetry.Peer, by
	}
	n.metrics.Lowered(budget, seen)
	n.log.Warn().Str("instance", id.Name()).Float64("part", part).Str("seen_by", who).
		Msg("the provider refuses calls: the rate is lowered in the whole swarm, and comes back by itself")
}
