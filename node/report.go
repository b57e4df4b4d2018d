package node

import (
	"context"
	"strings"
	"time"

	"github.com/swarmpurse/swarmpurse/ledger"
	"github.com/swarmpurse/swarmpurse/node/api"
	"github.com/swarmpurse/swarmpurse/node/audit"
)

// Spending adds the audit log up. See api.Auditor. It reads all of the log that is on disk, at most one report at a time.
func (n *Node) Spending(ctx context.Context, q api.ReportQuery) (api.Report, error) {
	if n.auditor.tl == nil {
		return api.Report{}, errNoAudit
	}
	select {
	case n.reporting <- struct{}{}:
		defer func() { <-n.reporting }()
	case <-ctx.Done():
		return api.Report{}, ctx.Err()
	}
	n.auditor.flush()
	of := api.ReportNode{Name: n.opts.Name, Decisions: n.AuditStatus().Decisions}
	sum := api.NewReportSum(q.By)
	err := n.auditor.tl.Dir().Each(0, func(e *audit.Entry) bool {
		if of.From.IsZero() {
			of.From = time.UnixMilli(e.Record.At).UTC()
		}
		addTo(sum, &of, &q, &e.Record)
		return ctx.Err() == nil
	})
	if err == nil {
		err = ctx.Err()
	}
	r := api.Report{Nodes: []api.ReportNode{of}, By: q.By}
	r.Rows, r.Truncated = sum.Rows()
	return r, err
}

// addTo adds one record. What a call cost is in the record of its end, at the time of its end.
func addTo(sum *api.ReportSum, of *api.ReportNode, q *api.ReportQuery, r *audit.Record) {
	at := time.UnixMilli(r.At).UTC()
	if !q.Since.IsZero() && at.Before(q.Since) || !q.Until.IsZero() && !at.Before(q.Until) {
		return
	}
	switch {
	case r.Kind == audit.Gap:
		of.Missing += r.Count
	case q.Tenant != "" && r.Tenant != q.Tenant:
	case r.Kind == audit.End:
		row := sum.Row(at.Format(time.DateOnly), r.Tenant, r.Agent, r.Model)
		row.Calls++
		row.Prompt += r.UsedPrompt
		row.Output += r.UsedOutput
		row.Cached += r.Cached
		row.Reasoning += r.Think
		for _, d := range r.Draws {
			budget, _, _ := strings.Cut(d.Instance, "/")
			row.Charge(api.ReportCharge{Budget: budget, Token: d.Token, Amount: ledger.Tokens(d.Amount), Overrun: ledger.Tokens(d.Overrun)})
		}
	case r.Kind == audit.Decision && (r.Verdict == "defer" || r.Verdict == "deny"):
		sum.Row(at.Format(time.DateOnly), r.Tenant, r.Agent, r.Model).Refused++
	}
}
