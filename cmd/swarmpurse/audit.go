package main

import (
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/swarmpurse/swarmpurse/cmd/swarmpurse/tables"
	"github.com/swarmpurse/swarmpurse/node/api"
)

const auditHelp = `Every node with a data directory keeps an audit log there, DIR/audit: decisions on calls (the policy's audit says which), and
all policies, members, mints, freezes and transfers. It is an append-only Merkle log, whose head the node signs with every batch
and some peers countersign, so that what is in it cannot be changed unseen. Prompts and completions are never in it.

Without a command: how the log stands, who has countersigned it, and what is wrong with it or with those of peers.`

func newAuditCommand(a *app) *cobra.Command {
	c := a.withClient(&cobra.Command{
		Use:   "audit",
		Short: "Show, verify and export a node's audit log",
		Long:  auditHelp,
		Args:  cobra.NoArgs,
		RunE:  showing(a, (*api.Client).AuditStatus, func(w *strings.Builder, s api.AuditStatus) { printAuditStatus(w, &s) }),
	})
	c.AddCommand(newAuditShowCommand(a), newAuditVerifyCommand(a), newAuditExportCommand(a))
	return c
}

func printAuditStatus(w *strings.Builder, s *api.AuditStatus) {
	if !s.On {
		fields(w, "node", clean(s.Node), "log", "none: the node has no data directory (--data), or its log could not be opened", "failing", clean(s.Failing), "key", clean(s.Key))
	} else {
		dropped := ""
		if s.Dropped > 0 {
			dropped = plural(s.Dropped, "record") + " since the node started"
		}
		fields(w,
			"node", clean(s.Node),
			"records", fmt.Sprintf("%s to %s", count(s.From), count(max(s.Size-1, 0))),
			"decisions", clean(s.Decisions),
			"when full", clean(s.OnFull),
			"on disk", fmt.Sprintf("%.1f MiB of %.0f in %s", mib(s.Bytes), mib(s.MaxBytes), plural(int64(s.Segments), "segment")),
			"dropped", dropped,
			"failing", clean(s.Failing),
			"root", clean(s.Root),
			"key", clean(s.Key),
		)
	}
	if len(s.Witnesses) > 0 {
		t := tables.New("countersigned by", "→records", "at")
		for _, x := range s.Witnesses {
			t.AppendRow(table.Row{clean(x.Name), count(x.Size), instant(x.At)})
		}
		w.WriteString("\n" + t.Render() + "\n")
	}
	if len(s.Alarms) > 0 {
		t := tables.New("alarm", "log of", "seen by", "at", "what")
		for _, x := range s.Alarms {
			t.AppendRow(table.Row{clean(x.Kind), clean(x.Of), clean(x.By), instant(x.At), clean(x.What)})
		}
		w.WriteString("\n" + t.Render() + "\n")
	}
}

func count(n int64) string { return humanize.Comma(n) }

// plural is a number of things.
func plural(n int64, one string) string {
	if n == 1 {
		return "1 " + one
	}
	return count(n) + " " + one + "s"
}

func mib(n int64) float64 { return float64(n) / (1 << 20) }

func newAuditShowCommand(a *app) *cobra.Command {
	var q api.AuditQuery
	var within timeRange
	c := a.withClient(&cobra.Command{
		Use:   "show",
		Short: "Show records of a node's audit log, the latest by default",
		Long: `Show records of a node's audit log that match all that is asked for, oldest first; of more than --limit the latest.
swarmpurse explain ID shows all of one decision.`,
		Example: `  swarmpurse audit show --kind policy
  swarmpurse audit show --tenant search --decision deny --since 1h
  swarmpurse audit show --trace 4bf92f3577b34da6a3ce929d0e0e4736 -o json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if q.Since, q.Until, err = within.read(time.Now()); err != nil {
				return err
			}
			client, ctx, done, err := a.client(cmd, 0)
			if err != nil {
				return err
			}
			defer done()
			list, err := client.AuditRecords(ctx, q)
			if err != nil {
				return err
			}
			return a.print(struct {
				Records []api.AuditRecord `json:"records"`
			}{list}, func(w *strings.Builder) { printAuditRecords(w, list) })
		},
	})
	f := c.Flags()
	f.IntVar(&q.Limit, "limit", 50, "most `records` to show, up to 1000")
	f.Int64Var(&q.From, "from", 0, "only from this `record` on")
	f.StringVar(&q.Kind, "kind", "", "`kind` of record: decision, end, policy, member, mint, burn, freeze, transfer, claim, start, stop, gap, alarm")
	f.StringVar(&q.ID, "id", "", "`id` of a decision, or of a mint")
	f.StringVar(&q.Trace, "trace", "", "W3C trace `id` that the caller sent: its decision, and how it ended")
	f.StringVar(&q.Tenant, "tenant", "", "`name` of the tenant")
	f.StringVar(&q.Agent, "agent", "", "`name` of the agent")
	f.StringVar(&q.Run, "run", "", "`name` of the run")
	f.StringVar(&q.Caller, "caller", "", "`name` of the caller's key that the call came with")
	f.StringVar(&q.Verdict, "decision", "", "admit, degrade, defer or deny")
	f.StringVar(&q.Code, "code", "", "reason `code`, as in budget_exhausted")
	within.flags(f, "records of what happened")
	return c
}

func printAuditRecords(w *strings.Builder, list []api.AuditRecord) {
	t := tables.New("→record", "at", "kind", "who", "what", "id")
	for i := range list {
		r := &list[i]
		t.AppendRow(table.Row{strconv.FormatInt(r.Index, 10), instant(r.At), clean(r.Kind), clean(auditWho(r)), clean(auditWhat(r)), clean(r.ID)})
	}
	w.WriteString(t.Render() + "\n")
}

// auditWho is whose doing a record is.
func auditWho(r *api.AuditRecord) string {
	var parts []string
	for _, s := range []string{r.Tenant, r.Agent, r.Run} {
		if s != "" {
			parts = append(parts, s)
		}
	}
	switch {
	case len(parts) > 0:
		return strings.Join(parts, "/")
	case r.By != "":
		return r.By
	}
	return r.Peer
}

// auditWhat is a record in a few words.
func auditWhat(r *api.AuditRecord) string {
	var parts []string
	add := func(format string, args ...any) { parts = append(parts, fmt.Sprintf(format, args...)) }
	switch r.Kind {
	case "decision":
		add("%s", r.Decision)
		if r.Code != "ok" {
			add("(%s)", r.Code)
		}
	case "end":
		add("%s", r.State)
		if r.Outcome != "" && r.Outcome != r.State {
			add("(%s)", r.Outcome)
		}
	case "policy":
		add("%s: revision %d", r.What, r.Revision)
		if r.From != 0 {
			add("after %d", r.From)
		}
	case "metrics":
		add("%d series", len(r.Samples))
	case "transfer":
		way := "from"
		if r.What == "out" {
			way = "to"
		}
		if r.Tokens != 0 {
			add("%s rights of %s %s %s", tokens(r.Tokens), r.Instance, way, r.Peer)
		}
		if r.Shares != 0 {
			add("%s shares of %s %s %s", count(int64(r.Shares)), r.Instance, way, r.Peer)
		}
	case "gap":
		add("%d records are missing", r.Count)
	case "start":
		add("version %s, policy revision %d", r.What, r.Revision)
	default:
		for _, s := range []string{r.What, r.Instance} {
			if s != "" {
				add("%s", s)
			}
		}
		if r.Tokens != 0 {
			add("%s", tokens(r.Tokens))
		}
	}
	for _, d := range r.Draws {
		add("%s %s", d.Instance, tokens(d.Amount))
	}
	if r.Why != "" {
		add("(%s)", r.Why)
	}
	return strings.Join(parts, " ")
}
