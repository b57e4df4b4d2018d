package node

import (
	"time"

	"github.com/swarmpurse/swarmpurse/node/admit"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/audit"
)

// What the node tells those who follow GET /v1/events. It is in the words of the audit log, but for an index, and does not
// depend on whether a log is kept or what the policy leaves out of it. While nobody follows it costs an atomic load.

// event is a record without an index.
type event struct {
	api.AuditRecord
	Index *struct{} `json:"index,omitempty"` // hides the record's
}

// publish tells of what is no call. Safe for concurrent use.
func (n *Node) publish(r *audit.Record) {
	if kind := r.Kind.String(); n.events.Wants(kind) {
		n.events.Publish(kind, event{AuditRecord: viewRecord(&audit.Entry{Record: *r})})
	}
}

// publishDecision tells of a decision on a call.
func (n *Node) publishDecision(r *admit.Request, a *admit.Answer) {
	if !n.events.Wants("decision") {
		return
	}
	v := api.AuditRecord{
		Kind: "decision", At: time.UnixMilli(int64(n.now())).UTC(), ID: a.ID, TraceID: traceHex(r.Trace.ID), Tenant: r.Tenant, Agent: r.Agent, Run: r.Run, Caller: r.Key,
		Class: a.Class, Model: r.Model, Decision: a.Verdict.String(), Code: a.Code, Reason: a.Reason, Revision: a.Revision, Arm: a.Arm,
		WaitedMS: a.Waited.Milliseconds(), RetryMS: a.RetryAfter.Milliseconds(), Level: int64(a.Level), Prompt: r.PromptTokens, MaxOutput: r.MaxOutputTokens,
		Advice: api.AdviceOf(a), Draws: drawsOf(a.Reserved),
	}
	n.events.Publish(v.Kind, event{AuditRecord: v})
}

// publishEnd tells of a reservation that its caller has ended.
func (n *Node) publishEnd(rc *admit.Receipt, how, outcome string) {
	if !n.events.Wants("end") {
		return
	}
	v := api.AuditRecord{Kind: "end", At: time.UnixMilli(int64(n.now())).UTC(), ID: rc.ID, State: how, Outcome: outcome, Draws: drawsOf(rc.Charged)}
	n.events.Publish(v.Kind, event{AuditRecord: v})
}

func drawsOf(cs []admit.Charge) (out []api.AuditDraw) {
	for _, c := range cs {
		out = append(out, api.AuditDraw{Instance: c.Instance.Name(), Token: c.Token, Amount: c.Amount, Overrun: c.Overrun})
	}
	return out
}
