package demo

import (
	"fmt"
	"math"
	"slices"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/jedib0t/go-pretty/v6/table"

	"github.com/swarmpurse/swarmpurse/cmd/swarmpurse/tables"
)

func comma(n int64) string { return humanize.Comma(n) }

func percent(part, whole int64) string {
	if whole <= 0 {
		return ""
	}
	return fmt.Sprintf("%.1f%%", 100*float64(part)/float64(whole))
}

// ms writes milliseconds as short as they can be told.
func ms(f float64) string {
	switch {
	case math.IsNaN(f):
		return "-"
	case f == 0:
		return "0"
	case f < 0.1:
		return fmt.Sprintf("%.0f µs", 1000*f)
	case f < 1:
		return fmt.Sprintf("%.2f ms", f)
	case f < 100:
		return fmt.Sprintf("%.1f ms", f)
	}
	return fmt.Sprintf("%.0f ms", f)
}

func (l Latency) texts() (n, p50, p99 string) {
	if l.Decisions == 0 {
		return "0", "-", "-"
	}
	return comma(l.Decisions), ms(l.P50), ms(l.P99)
}

// Text writes the report for people.
func (r *Report) Text() string {
	var b strings.Builder
	line := func(format string, args ...any) { fmt.Fprintf(&b, format+"\n", args...) }
	section := func(title string, t table.Writer) { line("\n%s\n%s", title, t.Render()) }

	line("%d nodes, %d agents, %.0f s of load: %s calls, %s", r.Nodes, r.Agents, r.Seconds, comma(int64(r.Calls)), r.Workload)

	t := tables.Indented("tenant", "class", "→offered", "→admitted", "→settled", "→deferred", "→denied", "→failed", "→wait p50", "→p99")
	row := func(tenant, class string, x Tally, wait Latency) {
		_, p50, p99 := wait.texts()
		t.AppendRow(table.Row{tenant, class, comma(x.Offered), comma(x.Admitted), comma(x.Settled), comma(x.Deferred), comma(x.Denied), comma(x.Failed), p50, p99})
	}
	for _, g := range r.Groups {
		row(g.Tenant, g.Class, g.Tally, g.Wait)
	}
	row("all", "", r.Total, r.Wait)
	section("Calls (deferred: come back later; denied: waiting cannot help), and how long the admitted ones waited for tokens", t)

	t = tables.Indented("budget", "supply", "ceiling", "→counted", "→of supply", "→most at once", "→allowed", "→overspend")
	for _, a := range r.Audit {
		if a.Skipped != "" {
			t.AppendRow(table.Row{a.Instance, a.Supply, a.Ceiling, "not judged"})
			continue
		}
		t.AppendRow(table.Row{a.Instance, a.Supply, a.Ceiling, comma(a.Counted), percent(a.Counted, a.Supplied), comma(a.Peak), comma(a.Allowed), comma(a.Overspend)})
	}
	section("Budgets in tokens, as the model server counted them", t)

	t = tables.Indented("", "", "→decisions", "→p50", "→p99")
	latency := func(name string, l Latencies) {
		for _, x := range []struct {
			how string
			Latency
		}{{"at once", l.Local}, {"after waiting", l.Waited}} {
			n, p50, p99 := x.texts()
			t.AppendRow(table.Row{name, x.how, n, p50, p99})
			name = ""
		}
	}
	for _, p := range r.Phases {
		latency(p.Name, p.Admission)
	}
	if len(r.Phases) != 1 {
		latency("whole run", r.All)
	}
	section("Admission latency as the nodes measure it, without the model server's time", t)

	b.WriteString("\n")
	if r.Cut != nil {
		line("The swarm was cut in two (%d and %d nodes) for %.0f s.", r.Cut.HalfA, r.Cut.HalfB, r.Cut.Seconds)
		for _, p := range r.Phases {
			if p.Name == phaseCut {
				line("  meanwhile half a admitted %s calls and half b %s, each from rights that it held", comma(p.Admitted["a"]), comma(p.Admitted["b"]))
			}
		}
		if r.Cut.Converged >= 0 {
			line("  %.1f s after the heal every node knew all that any node had spent until then", r.Cut.Converged)
		}
	}
	if r.Settling.Agreed >= 0 {
		line("%.1f s after the last call all nodes reported the same totals.", r.Settling.Agreed)
	}
	if r.Settling.Closed {
		line("At rest the books close: nothing is left reserved, every token issued is accounted for, no shares are lost.")
	}
	if n := len(r.Agree); n > 0 {
		same := 0
		for _, a := range r.Agree {
			if a.Nodes == a.Server {
				same++
			}
		}
		line("The nodes' books and the model server's count agree to the token on %d of %d comparable budgets.", same, n)
	}
	if len(r.Gossip) > 0 {
		sent, most := 0.0, 0.0
		for _, g := range r.Gossip {
			sent += g.Sent
			most = max(most, g.Sent)
		}
		line("Gossip: %s per node and second on average, %s at most.", bytesText(sent/float64(len(r.Gossip))), bytesText(most))
	}
	for _, n := range r.Notes {
		line("Note: %s", n)
	}
	b.WriteString("\n")
	if !r.OK {
		line("FAILED")
		for _, f := range r.Failures {
			line("  %s", strings.ReplaceAll(f, "\n", "\n  "))
		}
		return b.String()
	}
	hard := slices.DeleteFunc(slices.Clone(r.Audit), func(a BudgetAudit) bool { return !a.hard || a.Skipped != "" })
	line("OK: %d hard budgets, overspend 0.", len(hard))
	return b.String()
}

func bytesText(f float64) string { return humanize.Bytes(uint64(max(f, 0))) }
