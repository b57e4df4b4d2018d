package node

import (
	"encoding/hex"
	"strconv"

	"github.com/swarmpurse/swarmpurse/gossip"
	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/audit"
	"github.com/swarmpurse/swarmpurse/policy/rollout"
)

// What goes into the audit log beside calls.

// auditPolicy notes that a policy comes into force. The loop's.
func (n *Node) auditPolicy(to, from *adopted) {
	h := to.policy.Hash()
	n.auditor.act(audit.Record{
		Kind: audit.Policy, What: "applied", Revision: to.policy.Revision(), From: from.policy.Revision(), Hash: hex.EncodeToString(h[:]), By: to.by,
	})
}

// auditPolicyAtStart notes which policy is in force when the node starts, if any is.
func (n *Node) auditPolicyAtStart() {
	p := n.policy.Load()
	if p.policy.Revision() == 0 {
		return
	}
	h := p.policy.Hash()
	n.auditor.act(audit.Record{Kind: audit.Policy, What: "in force at the start", Revision: p.policy.Revision(), Hash: hex.EncodeToString(h[:]), By: p.by})
}

// auditRevision notes what was said of a revision. The loop's.
func (n *Node) auditRevision(old, now rollout.Entry) {
	note := func(what string, w rollout.Word) {
		n.log.Info().Str("event", "audit").Str("what", what).Int64("revision", now.Revision).Str("by", w.By).Str("node", w.Node).Str("why", w.Why).
			Msg("a word on a policy")
		n.auditor.act(audit.Record{
			Kind: audit.Policy, What: what, Revision: now.Revision, Hash: hex.EncodeToString(now.Hash[:]), By: w.By, Why: w.Why, Node: w.Node,
		})
	}
	if t := now.Trial; t != nil && (old.Trial == nil || old.Trial.At != t.At) {
		note("candidate on "+t.How.String(), t.Word)
	}
	if p := now.Pause; p != nil && (old.Pause == nil || old.Pause.At != p.At) {
		note(map[bool]string{true: "paused", false: "resumed"}[p.On], p.Word)
	}
	if w := now.Whole; w != nil && old.Whole == nil {
		note(map[bool]string{true: "promoted", false: "for all calls"}[now.Trial != nil], *w)
	}
	if w := now.Back; w != nil && old.Back == nil {
		note("rolled back", *w)
	}
}

// auditEvent notes rights and shares that moved. The loop's.
func (n *Node) auditEvent(e *ledger.Event) {
	r := audit.Record{Kind: audit.Transfer, Node: e.Peer.Node, Instance: e.Instance.Name(), Tokens: int64(e.Tokens), Shares: int64(e.Shares)}
	switch e.Kind {
	case ledger.GotRights, ledger.GotShares:
		r.What = "in"
	case ledger.GaveRights, ledger.GaveShares:
		r.What = "out"
	case ledger.Reclaimed:
		r.Kind, r.What = audit.Claim, "generation "+strconv.FormatUint(e.Peer.Gen, 16)
	case ledger.TookBack:
		r.Kind, r.What = audit.Claim, "taken back"
	case ledger.Vouched:
		r = audit.Record{Kind: audit.Member, What: "vouched dead", Node: e.Peer.Node, By: e.Said.By, Why: e.Said.Why}
	default:
		return
	}
	n.auditor.act(r)
}

// maxAuditedMembers bounds of how many members it is known how they were.
const maxAuditedMembers = 1 << 16

// auditMembers notes what has changed of members. The loop's.
func (n *Node) auditMembers(ms []gossip.Member) {
	if n.auditor == nil {
		return
	}
	now := make(map[string]string, len(ms))
	for _, m := range ms {
		if m.Self || len(now) >= maxAuditedMembers {
			continue
		}
		is := m.Status.String() + " " + m.Tags[tagGen]
		now[m.Name] = is
		if n.members[m.Name] != is {
			n.auditor.act(audit.Record{Kind: audit.Member, What: m.Status.String(), Node: m.Name, Why: "generation " + m.Tags[tagGen]})
		}
	}
	for name := range n.members {
		if _, there := now[name]; !there {
			n.auditor.act(audit.Record{Kind: audit.Member, What: "forgotten", Node: name})
		}
	}
	n.members = now
}
