package main

import (
	"cmp"
	"context"
	"encoding/csv"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/spf13/cobra"

	"github.com/swarmpurse/swarmpurse/cmd/swarmpurse/tables"
	"github.com/swarmpurse/swarmpurse/node/api"
)

const reportHelp = `Add up what calls were charged, per day, tenant, agent and model, by the audit log of the node that is asked, or with --swarm by those of all
members that are alive. Charges are by budget; a call that draws on several is charged at each. Days are those of UTC, and calls count when they ended.

A node's log has the calls that were decided there, and takes --audit-size at most: the report says from when on it is whole, how many records could
not be written, and where the policy's audit leaves calls out. What a node that is away decided is in no report until it is back. A tenant's key shows the
tenant's own.`

func newReportCommand(a *app) *cobra.Command {
	var q api.ReportQuery
	var within timeRange
	var asCSV, swarm bool
	c := a.withClient(&cobra.Command{
		Use:   "report",
		Short: "Show spending per tenant, agent, model and day",
		Long:  reportHelp,
		Example: `  swarmpurse report --swarm --since 168h
  swarmpurse report --by tenant,model --since 2026-11-01T00:00:00Z --until 2026-12-01T00:00:00Z --csv > november.csv`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			var err error
			if q.Since, q.Until, err = within.read(time.Now()); err != nil {
				return err
			}
			for _, f := range q.By {
				if !slices.Contains(api.ReportFields, f) {
					return usageError("--by has %q: choose from %s", f, strings.Join(api.ReportFields, ","))
				}
			}
			if asCSV && a.output == "json" {
				return usageError("choose --csv or -o json")
			}
			client, ctx, done, err := a.client(cmd, 0)
			if err != nil {
				return err
			}
			defer done()
			r, err := client.Report(ctx, q)
			if err != nil {
				return err
			}
			var silent []string
			if swarm {
				members, err := client.Members(ctx)
				if err != nil {
					return err
				}
				silent = a.reports(ctx, &r, members, q)
			}
			if asCSV {
				err = a.reportCSV(&r)
			} else {
				err = a.print(r, func(w *strings.Builder) { printReport(w, &r) })
			}
			if err == nil && len(silent) > 0 {
				return fmt.Errorf("%s did not answer: what was spent there is not in the report", clean(strings.Join(silent, ", ")))
			}
			return err
		},
	})
	f := c.Flags()
	f.StringSliceVar(&q.By, "by", api.ReportFields, "`fields` to add up by: day, tenant, agent, model")
	within.flags(f, "calls that ended")
	f.StringVar(&q.Tenant, "tenant", "", "`name` of a tenant, for its spending only")
	f.BoolVar(&swarm, "swarm", false, "add up all members that are alive, not only the node")
	f.BoolVar(&asCSV, "csv", false, "CSV, with a line for each budget of a row")
	_ = c.RegisterFlagCompletionFunc("by", cobra.FixedCompletions(api.ReportFields, cobra.ShellCompDirectiveNoFileComp))
	return c
}

// reports adds what the other members say to r, and returns those that did not answer. A member that keeps no log has nothing to say.
func (a *app) reports(ctx context.Context, r *api.Report, members []api.Member, q api.ReportQuery) (silent []string) {
	sum := api.NewReportSum(r.By)
	sum.Add(r)
	silent = askOthers(members, func(node string) (api.Report, error) { return a.reportOf(ctx, node, q) }, func(x api.Report) {
		sum.Add(&x)
		r.Nodes = append(r.Nodes, x.Nodes...)
	})
	r.Rows, r.Truncated = sum.Rows()
	slices.SortFunc(r.Nodes, func(a, b api.ReportNode) int { return cmp.Compare(a.Name, b.Name) })
	return silent
}

func (a *app) reportOf(ctx context.Context, node string, q api.ReportQuery) (api.Report, error) {
	c, err := a.dial(node)
	if err != nil {
		return api.Report{}, err
	}
	defer c.Close()
	return c.Report(ctx, q)
}

// labels are a row's values of the fields of By.
func reportLabels(by []string, r *api.ReportRow) (out []string) {
	for i, v := range []string{r.Day, r.Tenant, r.Agent, r.Model} {
		if slices.Contains(by, api.ReportFields[i]) {
			out = append(out, v)
		}
	}
	return out
}

func reportHeads(by []string) (out []string) {
	for _, f := range api.ReportFields {
		if slices.Contains(by, f) {
			out = append(out, f)
		}
	}
	return out
}

func printReport(w *strings.Builder, r *api.Report) {
	t := tables.New(append(reportHeads(r.By), "→calls", "→refused", "→prompt", "→output", "charged")...)
	for i := range r.Rows {
		x := &r.Rows[i]
		var row table.Row
		for _, l := range reportLabels(r.By, x) {
			row = append(row, clean(l))
		}
		var charged []string
		for _, c := range x.Charged {
			charged = append(charged, fmt.Sprintf("%s %s", clean(c.Budget), tokens(c.Amount)))
		}
		t.AppendRow(append(row, count(x.Calls), count(x.Refused), count(x.Prompt), count(x.Output), strings.Join(charged, ", ")))
	}
	w.WriteString(t.Render() + "\n\n")
	for _, n := range r.Nodes {
		missing := ""
		if n.Missing > 0 {
			missing = ", without " + plural(n.Missing, "record") + " that could not be written"
		}
		if n.Decisions != "all" {
			missing += ", calls: " + clean(n.Decisions)
		}
		fmt.Fprintf(w, "%s: its log since %s%s\n", clean(n.Name), instant(n.From), missing)
	}
	if r.Truncated {
		fmt.Fprintf(w, "there are more than %s rows: the rest is added up in %s; see fewer fields with --by\n", count(api.MaxReportRows), api.ReportOther)
	}
}

// reportCSV writes a line for each budget of each row; the calls and tokens of a row are on its first line only, so that columns can be added up.
func (a *app) reportCSV(r *api.Report) error {
	w := csv.NewWriter(a.stdout)
	_ = w.Write(append(reportHeads(r.By), "calls", "refused", "prompt_tokens", "output_tokens", "cached_tokens", "reasoning_tokens", "budget", "token", "charged", "overrun"))
	number := func(n int64) string { return strconv.FormatInt(n, 10) }
	for i := range r.Rows {
		x := &r.Rows[i]
		charges := x.Charged
		if len(charges) == 0 {
			charges = []api.ReportCharge{{}}
		}
		for j, c := range charges {
			sums := []int64{x.Calls, x.Refused, x.Prompt, x.Output, x.Cached, x.Reasoning}
			line := reportLabels(r.By, x)
			for _, n := range sums {
				if j > 0 {
					n = 0
				}
				line = append(line, number(n))
			}
			_ = w.Write(append(line, c.Budget, c.Token, number(int64(c.Amount)), number(int64(c.Overrun))))
		}
	}
	w.Flush()
	return w.Error()
}
