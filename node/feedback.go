package node

import (
	"errors"
	"time"

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
	for end := time.Now().Add(retryWithin); ; {
		next, sent, err := n.engine.Retry(n.now(), i, f)
		if !errors.Is(err, admit.ErrLater) {
			return next, sent, err
		}
		f.Now = f.Now || !time.Now().Before(end)
		pause := time.NewTimer(retryLook)
		select {
		case <-pause.C:
		case <-n.stopped:
			pause.Stop()
			f.Now = true
		}
	}
}

// A call that fails over waits for this node's disk or guardians where it draws on a budget there that was not drawn on yet: for so long at the most, and looks so often.
const (
	retryWithin = time.Second
	retryLook   = 5 * time.Millisecond
)

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
