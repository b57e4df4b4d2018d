package node

import (
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/telemetry"
)

// do is the one place where effects of the ledger meet the world. What they show is durable.
func (n *Node) do(fx ledger.Effects) {
	if n.pool == nil {
		return // the batch of the start: nobody is known yet, and what matters is told again
	}
	for _, s := range n.starting.lets(fx.Sends) {
		if rows, ok := s.Message.([]ledger.Row); ok {
			n.sendRows(s.To, rows)
			continue
		}
		n.post(s.To, ledger.Encode(s.Message))
	}
	n.spreadRows(fx.Spreads)
	n.metrics.RowsSent(len(fx.Spreads))
	n.metrics.RowsReceived(telemetry.News, fx.News)
	n.metrics.RowsReceived(telemetry.Stale, fx.Stale)
	for _, e := range fx.Events {
		n.measure(e)
	}
}

// measure feeds the metrics with what happened in the ledger.
func (n *Node) measure(e ledger.Event) {
	took := time.Duration(e.Took) * time.Millisecond
	budget, _, _, _ := e.Instance.Split()
	n.auditEvent(&e)
	switch e.Kind {
	case ledger.AskGranted:
		n.metrics.Ask(telemetry.Granted, took)
	case ledger.AskRefused:
		n.metrics.Ask(telemetry.Refused, took)
	case ledger.AskUnanswered:
		n.metrics.Ask(telemetry.Unanswered, took)
	case ledger.GaveRights:
		n.metrics.Asked(telemetry.Granted)
		n.metrics.RightsMoved(telemetry.Out, budget, int64(e.Tokens))
	case ledger.RefusedAsk:
		n.metrics.Asked(telemetry.Refused)
	case ledger.GotRights:
		n.metrics.RightsMoved(telemetry.In, budget, int64(e.Tokens))
	case ledger.GaveShares:
		n.metrics.SharesMoved(telemetry.Out)
	case ledger.Reclaimed, ledger.TookBack:
		n.cameBack(&e)
	case ledger.GotShares:
		n.metrics.SharesMoved(telemetry.In)
	case ledger.Slowed:
		n.lowered(e.Instance, float64(e.PPM)/ledger.Whole, e.Peer.Node)
	case ledger.Vouched:
		n.log.Warn().Str("event", "audit").Str("what", "members remove").Stringer("of", e.Peer).Str("by", e.Said.By).Str("why", e.Said.Why).
			Time("at", time.UnixMilli(int64(e.Said.At))).Msg("an operator has vouched for the death of a node: its rights are another's from now on")
	}
}
