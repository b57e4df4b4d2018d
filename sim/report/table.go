package report

import (
	"math"
	"slices"
	"strconv"
	"strings"

	"github.com/dustin/go-humanize"

	"github.com/swarmpurse/swarmpurse/sim/result"
)

// Table is rows of texts.
type Table struct {
	Title   string
	Columns []Column
	Rows    [][]Cell
	// Detail is for the HTML page only: too long for a terminal.
	Detail bool
	// Turn says that the table is wide, and reads as well turned.
	Turn bool
}

// Turned makes columns of rows, so that a table of many figures fits on a phone or a narrow terminal.
func (t Table) Turned() Table {
	keys := 0
	for keys < len(t.Columns) && !t.Columns[keys].Number {
		keys++
	}
	out := Table{Title: t.Title, Columns: left(""), Detail: t.Detail}
	for _, r := range t.Rows {
		head := ""
		for _, c := range r[:keys] {
			if c.Text != "" {
				head += c.Text + " "
			}
		}
		out.Columns = append(out.Columns, Column{strings.TrimSpace(head), true})
	}
	for i := keys; i < len(t.Columns); i++ {
		row := plain(t.Columns[i].Head)
		for _, r := range t.Rows {
			row = append(row, r[i])
		}
		out.Rows = append(out.Rows, row)
	}
	return out
}

// Column has a head; Number columns are set to the right.
type Column struct {
	Head   string
	Number bool
}

// Cell is a text, good or bad or neither.
type Cell struct {
	Text string
	Mood int // 1 good, -1 bad
}

func left(heads ...string) []Column {
	c := make([]Column, len(heads))
	for i, h := range heads {
		c[i] = Column{Head: h}
	}
	return c
}

func right(heads ...string) []Column {
	c := left(heads...)
	for i := range c {
		c[i].Number = true
	}
	return c
}

func plain(texts ...string) []Cell {
	c := make([]Cell, len(texts))
	for i, t := range texts {
		c[i] = Cell{Text: t}
	}
	return c
}

// shown are the figures that tables of systems have; by class, those that tables of classes have.
var (
	shown = figures("offered", "admitted", "degraded", "deferred", "denied", "goodput", "overspend", "local", "asks_per_call", "jain",
		"bytes", "bytes_max", "price_amplitude", "price_settle", "converge", "staleness", "queue", "returns",
		"recover", "guard_bytes", "unheld", "successions", "dead", "back", "stuck", "frozen")
	byClass  = figures("offered", "admitted", "in_budget", "wait_p50", "wait_p99")
	byBudget = figures("issued", "minted", "rolled", "overdrawn", "spent", "decayed", "expired", "burned", "left")
	// unless zero everywhere these are left out
	rare = []string{"degraded", "refused", "price_amplitude", "price_settle", "returns", "guard_bytes", "unheld", "successions", "dead", "back", "stuck", "frozen"}
)

func figures(names ...string) []result.Figure {
	all := make([]result.Figure, len(names))
	for i, name := range names {
		f, ok := result.FigureNamed(name)
		if !ok {
			panic("BUG: no figure " + name)
		}
		all[i] = f
	}
	return all
}

// worthShowing leaves out rare figures that are nothing in all runs.
func worthShowing(runs []*result.Result) []result.Figure {
	return slices.DeleteFunc(slices.Clone(shown), func(f result.Figure) bool {
		if !slices.Contains(rare, f.Name) {
			return false
		}
		for _, r := range runs {
			for i := range r.Systems {
				if v := f.Of(&r.Systems[i], ""); v != 0 && !math.IsNaN(v) {
					return false
				}
			}
		}
		return true
	})
}

func heads(all []result.Figure) []string {
	h := make([]string, len(all))
	for i, f := range all {
		h[i] = f.Title
	}
	return h
}

func systemsTable(r *result.Result) Table {
	all := worthShowing([]*result.Result{r})
	t := Table{Title: "Systems", Columns: append(left("system"), right(heads(all)...)...), Turn: true}
	for i := range r.Systems {
		t.Rows = append(t.Rows, append(plain(r.Systems[i].Name), cells(all, &r.Systems[i], "")...))
	}
	return t
}

func cells(all []result.Figure, s *result.System, class string) []Cell {
	c := make([]Cell, len(all))
	for i, f := range all {
		c[i] = Cell{Text: f.Text(f.Of(s, class))}
		if f.Name == "overspend" && s.OverspendTokens > 0 {
			c[i].Mood = -1
		}
	}
	return c
}

func classesTable(r *result.Result) Table {
	t := Table{Title: "Classes: waits are of admitted calls", Columns: append(left("class", "system"), right(heads(byClass)...)...)}
	for _, class := range classNames([]*result.Result{r}) {
		name := class
		for i := range r.Systems {
			s := &r.Systems[i]
			if slices.ContainsFunc(s.Classes, func(c result.Class) bool { return c.Name == class }) {
				t.Rows = append(t.Rows, append(plain(name, s.Name), cells(byClass, s, class)...))
				name = ""
			}
		}
	}
	return t
}

// budgetsTable shows where the swarm's tokens went. What happened to no budget is left out.
func budgetsTable(r *result.Result) Table {
	t := Table{Title: "Budgets of " + result.Swarm + ", in tokens of their own"}
	s := r.System(result.Swarm)
	if s == nil {
		return t
	}
	some := slices.DeleteFunc(slices.Clone(byBudget), func(f result.Figure) bool {
		return !slices.ContainsFunc(s.Budgets, func(b result.Budget) bool { return f.Of(s, b.Name) != 0 })
	})
	t.Columns = append(left("budget", "token"), right(heads(some)...)...)
	for _, b := range s.Budgets {
		t.Rows = append(t.Rows, append(plain(b.Name, b.Token), cells(some, s, b.Name)...))
	}
	return t
}

// classNames are all classes, in the order in which they are first seen.
func classNames(runs []*result.Result) []string {
	var names []string
	for _, r := range runs {
		for _, s := range r.Systems {
			for _, c := range s.Classes {
				if !slices.Contains(names, c.Name) {
					names = append(names, c.Name)
				}
			}
		}
	}
	return names
}

const (
	fewTenants  = 8  // so many stand on the terminal too
	mostTenants = 50 // so many stand in the page; the CSV file has all
)

// tenantsTable shows how the swarm served tenants, those who asked for most first.
func tenantsTable(r *result.Result) Table {
	t := Table{Title: "Tenants of " + result.Swarm, Columns: append(left("tenant"),
		right("offered", "admitted", "offered tokens", "goodput tokens", "of demand")...)}
	s := r.System(result.Swarm)
	if s == nil || len(s.Tenants) < 2 {
		return t
	}
	all := slices.Clone(s.Tenants)
	slices.SortStableFunc(all, func(a, b result.Tenant) int { return int(b.OfferedTokens - a.OfferedTokens) })
	t.Detail = len(all) > fewTenants
	for i, x := range all {
		if i == mostTenants {
			t.Rows = append(t.Rows, plain("and "+strconv.Itoa(len(all)-i)+" more", "", "", "", "", ""))
			break
		}
		t.Rows = append(t.Rows, plain(x.Name, comma(x.Offered), comma(x.Admitted), comma(x.OfferedTokens), comma(x.GoodputTokens),
			result.Fraction.Text(ratio(x.GoodputTokens, x.OfferedTokens))))
	}
	return t
}

func ratio(part, whole int64) float64 {
	if whole == 0 {
		return math.NaN()
	}
	return float64(part) / float64(whole)
}

// boundsTable shows what each bound got in each run.
func boundsTable(runs []*result.Result) Table {
	t := Table{Title: "Bounds", Columns: left("bound")}
	var texts []string
	for i, r := range runs {
		got := "got"
		if len(runs) > 1 {
			got = label(runs, i)
		}
		t.Columns = append(t.Columns, Column{got, true}, Column{"", false})
		for _, b := range r.Bounds {
			if !slices.Contains(texts, b.Text) {
				texts = append(texts, b.Text)
			}
		}
	}
	for _, text := range texts {
		row := plain(text)
		for _, r := range runs {
			i := slices.IndexFunc(r.Bounds, func(b result.Bound) bool { return b.Text == text })
			switch {
			case i < 0:
				row = append(row, Cell{Text: "-"}, Cell{})
			case r.Bounds[i].Lacks != "":
				row = append(row, Cell{Text: "-"}, Cell{Text: "not judged without " + r.Bounds[i].Lacks})
			case r.Bounds[i].OK:
				row = append(row, Cell{Text: r.Bounds[i].Got}, Cell{"OK", 1})
			default:
				row = append(row, Cell{Text: r.Bounds[i].Got}, Cell{"FAIL", -1})
			}
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

const mostMarks = 200

func marksTable(r *result.Result) Table {
	t := Table{Title: "Faults", Columns: append(right("from", "until"), left("what")...), Detail: true}
	for i, m := range r.Marks {
		if i == mostMarks {
			t.Rows = append(t.Rows, plain("", "", "and "+strconv.Itoa(len(r.Marks)-i)+" more"))
			break
		}
		until, text := "", m.Text
		if m.Until > m.At {
			until = clock(m.Until, true)
		}
		if text == "" {
			text = m.Kind
		}
		t.Rows = append(t.Rows, plain(clock(m.At, true), until, text))
	}
	return t
}

// rolloutsTable tells what became of revisions that were tried, and whose word that was.
func rolloutsTable(r *result.Result) Table {
	t := Table{Title: "Revisions that were tried", Columns: append(right("revision", "from"), append(left("at", "on", "came to"), append(right("when", "everywhere"), left("by", "at", "why")...)...)...)}
	for i, x := range r.Rollouts {
		if i == mostMarks {
			t.Rows = append(t.Rows, plain("", "", "", "and "+strconv.Itoa(len(r.Rollouts)-i)+" more"))
			break
		}
		end, when, everywhere := x.End, clock(x.EndAt, true), "never"
		if x.Everywhere > 0 {
			everywhere = clock(x.Everywhere, true)
		}
		switch {
		case x.Refused != "":
			end, when, everywhere = "refused", "", ""
		case end == "":
			end, when, everywhere = "still tried", "", ""
		}
		t.Rows = append(t.Rows, plain(strconv.FormatInt(x.Revision, 10), clock(x.At, true), x.Node, x.How, end, when, everywhere, x.By, x.EndNode, x.Why+x.Refused))
	}
	return t
}

// label names a run among several.
func label(runs []*result.Result, i int) string {
	if l := runs[i].Label; l != "" {
		return l
	}
	return "run " + strconv.Itoa(i+1)
}

func comma(n int64) string { return humanize.Comma(n) }
