package main

import (
	"context"
	"errors"
	"fmt"
	"math"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/swarmpurse/swarmpurse/cmd/swarmpurse/tables"
	"github.com/swarmpurse/swarmpurse/node/api"
)

func newExplainCommand(a *app) *cobra.Command {
	var data string
	var limit int
	var swarm bool
	c := &cobra.Command{
		Use:   "explain [ID]",
		Short: "Show why a call was admitted or refused, and what became of it",
		Long: `Show one decision: who asked, which rules matched, what was reserved at which budgets, and how it ended; whether it was met, missed
or excused by its class's objective, and how the class stands at that node now; and what calls of its model put out and cost there of late,
beside what is usual.
With --data, list the decisions on calls that named a data set instead, the newest first.

A node remembers its own last some ten thousand decisions, and its audit log has more, also of before it was started: ask the node
that decided, whose name the ID begins with, or have it asked by --swarm. From the audit log come the caller's trace, the node's rights before and after, and the transfers that the call
waited for. Of calls that named data sets it remembers 65,536 beside these, whatever else it decides on, but for 32 MiB of names at
most, and since it started.`,
		Example: `  swarmpurse explain n1-1k3v9q2c0001
  swarmpurse explain n2.17mf8001m84zy7c4 --swarm
  swarmpurse explain --data eu/docs --swarm`,
		Args: cobra.MaximumNArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			switch {
			case data != "" && len(args) > 0:
				return usageError("name a decision or --data, not both")
			case data == "" && cmd.Flags().Changed("limit"):
				return usageError("--limit goes with --data")
			case data == "" && len(args) == 0:
				return usageError("name a decision, as in swarmpurse explain ID, or a data set, as in --data eu/docs")
			case limit < 1:
				return usageError("--limit is %d: write a number from 1 on", limit)
			case data != "":
				return a.lineage(cmd, data, limit, swarm)
			}
			client, ctx, done, err := a.client(cmd, 0)
			if err != nil {
				return err
			}
			defer done()
			d, err := client.Decision(ctx, args[0])
			switch {
			case !unknownID(err):
			case swarm:
				d, err = a.decidedElsewhere(ctx, client, args[0], err)
			case strings.Contains(args[0], "."):
				err = &codedError{err: err, code: exitFailed, hint: "to have the node asked whose name it begins with: swarmpurse explain --swarm " + clean(args[0])}
			}
			if err != nil {
				return err
			}
			return a.print(d, func(w *strings.Builder) { printDecision(w, d) })
		},
	}
	f := c.Flags()
	f.StringVar(&data, "data", "", "list the decisions that touched this data `set`")
	f.IntVar(&limit, "limit", 100, "how many of them at most, of each node")
	f.BoolVar(&swarm, "swarm", false, "ask the member that decided, or with --data all that are alive, not only the node")
	return a.withClient(c)
}

func unknownID(err error) bool {
	var e *api.Error
	return errors.As(err, &e) && e.Code == api.ErrCodeUnknownID
}

// decidedElsewhere asks the member that an id names. why is what the first node said.
func (a *app) decidedElsewhere(ctx context.Context, client *api.Client, id string, why error) (api.Decision, error) {
	members, err := client.Members(ctx)
	if err != nil {
		return api.Decision{}, err
	}
	name := id[:max(0, strings.LastIndexByte(id, '.'))]
	for _, m := range members {
		if m.Name != name || m.Self || m.Foreign {
			continue
		}
		if m.Status != "alive" {
			return api.Decision{}, fmt.Errorf("node %s decided, and it is %s", clean(name), clean(m.Status))
		}
		c, err := a.dial(m.HTTP)
		if err != nil {
			return api.Decision{}, err
		}
		defer c.Close()
		return c.Decision(ctx, id)
	}
	return api.Decision{}, why
}

// level is "" at level 0, which is the rule.
func level(n int) string {
	if n == 0 {
		return ""
	}
	return fmt.Sprintf("level %d of 3", n)
}

// callTokens is what a call said that it needs, and what its provider counted.
func callTokens(d api.Decision) string {
	var parts []string
	switch {
	case d.Prompt == 0 && d.MaxOutput == 0 && d.Counted != "": // the audit log has nothing
		parts = append(parts, "prompt"+countedHow(d.Counted))
	case d.Prompt != 0 || d.MaxOutput != 0:
		parts = append(parts, fmt.Sprintf("%s of prompt%s, at most %s of output", count(d.Prompt), countedHow(d.Counted), count(d.MaxOutput)))
	}
	if u := d.Usage; u != nil {
		parts = append(parts, fmt.Sprintf("used %s and %s", count(u.Prompt), count(u.Output)))
	}
	return strings.Join(parts, "; ")
}

// countedHow says how a prompt was counted, "" where its caller stated it.
func countedHow(how string) string {
	switch how {
	case "":
		return ""
	case "bound":
		return " (a bound by its bytes, as far more was left: not counted)"
	case "upstream":
		return " (counted by the upstream)"
	case "tokenizer":
		return " (counted by the model's tokenizer)"
	case "estimate":
		return " (estimated by another model's tokenizer)"
	}
	return " (" + clean(how) + ")"
}

// standing says how the tenant stood where more was asked for than there was.
func standing(list []api.Standing) string {
	parts := make([]string, 0, len(list))
	for _, s := range list {
		what := fmt.Sprintf("its tenant asked for %s/s here, its share was %s/s", number(math.Round(s.Asked)), number(math.Round(s.Share)))
		switch {
		case s.Small:
			what = fmt.Sprintf("its tenant asked for less than its share in the swarm (%s/s here) and went first", number(math.Round(s.Asked)))
		case s.Under:
			what += ", of which it had had less: it went before those that had had theirs"
		default:
			what += ", which it had had: it went after those that had had less"
		}
		parts = append(parts, clean(s.Instance)+": "+what)
	}
	return strings.Join(parts, "; ")
}

// objective says how a call counts for its class, and how the class stands.
func objective(class string, s *api.Service) string {
	if s == nil {
		return ""
	}
	within := millis(s.LatencyBudgetMS)
	parts := []string{map[string]string{
		"met": "met, as it waited no longer than " + within, "missed": "missed: calls of class " + clean(class) + " should run within " + within,
		"excused": "excused: it was refused for what is its caller's own, or an operator's will",
	}[s.Result]}
	if s.Objective > 0 {
		what := fmt.Sprintf("%s of class %s should be met within %s", partOf(s.Objective), clean(class), within)
		for i, b := range s.Burn {
			what += map[bool]string{true: "; at this node it burns ", false: ", "}[i == 0] + fmt.Sprintf("%.1f in %s", b.Rate, clean(b.Window))
		}
		parts = append(parts, what)
	}
	return strings.Trim(strings.Join(parts, "; "), "; ")
}

// drift says what calls of a call's rules and model come to.
func drift(list []api.Drift) string {
	parts := make([]string, 0, len(list))
	for _, d := range list {
		what := fmt.Sprintf("%s put out %s of late", clean(d.Model), count(int64(math.Round(d.Output))))
		if d.OutputUsual >= 0 {
			what += fmt.Sprintf(", %s of calls more than %s where %s are usual", partOf(d.Above), count(d.OutputUsual), partOf(d.Expected))
		}
		for _, c := range d.Costs {
			what += fmt.Sprintf(", cost %s of %s where %s is usual", number(math.Round(c.Late)), clean(c.Budget), number(math.Round(c.Usual)))
		}
		parts = append(parts, clean(d.Rule)+": "+what)
	}
	return strings.Join(parts, "; ")
}

func auditIndex(i *int64) string {
	if i == nil {
		return ""
	}
	return "record " + count(*i)
}

func printDecision(w *strings.Builder, d api.Decision) {
	expires, overrun, guarantee := "", "", ""
	if d.Expires != nil {
		expires = instant(*d.Expires)
	}
	if d.Guaranteed {
		guarantee = "within its tenant's"
	}
	if d.Overrun > 0 {
		overrun = tokens(d.Overrun)
	}
	fields(w,
		"id", clean(d.ID),
		"decision", clean(d.Decision),
		"advice", advice(d.Advice),
		"flags", flagsOn(d.Advice),
		"experiment", experimentOf(d.Advice),
		"reason", clean(d.Reason),
		"code", clean(d.Code),
		"state", clean(d.State),
		"outcome", clean(d.Outcome),
		"score", scoreOf(d.Score),
		"at", instant(d.At),
		"node", clean(d.Node),
		"tenant", clean(d.Tenant),
		"agent", clean(d.Agent),
		"run", clean(d.Run),
		"key", clean(d.Caller),
		"class", clean(d.Class),
		"model", clean(d.Model),
		"not run by", clean(strings.Join(d.Tried, ", ")),
		"data", clean(strings.Join(d.Data, ", ")),
		"rules", clean(strings.Join(d.Rules, ", ")),
		"policy", policyOf(d.Revision, d.Arm),
		"waited", millis(d.WaitedMS),
		"backpressure", level(d.Backpressure),
		"guarantee", guarantee,
		"fairness", standing(d.Shared),
		"shadow", shadowOf(d.Shadow),
		"objective", objective(d.Class, d.Service),
		"drift", drift(d.Drift),
		"expires", expires,
		"overrun", overrun,
		"trace", clean(d.TraceID),
		"span", clean(d.SpanID),
		"tokens", callTokens(d),
		"audit", auditIndex(d.AuditIndex),
	)
	if len(d.Reserved) == 0 && len(d.Charged) == 0 {
		return
	}
	t := tables.New("instance", "token", "→price", "→reserved", "→charged")
	charged := func(instance, token string) string {
		for _, c := range d.Charged {
			if c.Instance == instance && c.Token == token {
				return tokens(c.Amount)
			}
		}
		return ""
	}
	for _, c := range d.Reserved {
		t.AppendRow(table.Row{clean(c.Instance), clean(c.Token), number(d.Price[c.Budget]), tokens(c.Amount), charged(c.Instance, c.Token)})
	}
	w.WriteString("\n" + t.Render() + "\n")
	if len(d.Rights) > 0 {
		t = tables.New("rights of this node", "token", "→before", "→after")
		for _, r := range d.Rights {
			t.AppendRow(table.Row{clean(r.Instance), clean(r.Token), tokens(r.Before), tokens(r.After)})
		}
		w.WriteString("\n" + t.Render() + "\n")
	}
	if len(d.Transfers) == 0 {
		return
	}
	t = tables.New("waited for", "from", "→rights", "→shares", "at")
	for _, m := range d.Transfers {
		t.AppendRow(table.Row{clean(m.Instance), clean(m.From), tokens(m.Tokens), count(int64(m.Shares)), instant(m.At)})
	}
	w.WriteString("\n" + t.Render() + "\n")
}
