package report

import (
	"fmt"
	"time"

	"github.com/dustin/go-humanize"

	"github.com/swarmpurse/swarmpurse/sim/result"
)

// Page is what is shown of one or several runs.
type Page struct {
	Title  string
	Lead   string // what the scenario is about
	Facts  []Fact
	OK     bool
	Notes  []string // what failed, in sentences
	Broken []Broken
	Tables []Table
	Charts []Chart
	// Glossary says what the figures mean.
	Glossary []Fact

	data   any     // for JSON
	sheets []sheet // for CSV
}

// Fact is a name with a value.
type Fact struct{ Name, Value string }

// Broken is an invariant that did not hold, as facts.
type Broken struct {
	Title string
	Facts []Fact
}

// Verdict says in one line how it went.
func (p *Page) Verdict() string {
	switch n := len(p.Notes); {
	case p.OK:
		return "OK"
	case n == 1:
		return "FAILED: " + p.Notes[0]
	default:
		return fmt.Sprintf("FAILED in %d ways", n)
	}
}

// Run makes the page of one run.
func Run(r *result.Result) *Page {
	p := &Page{Title: r.Scenario, Lead: r.Description, Facts: facts(r), data: runJSON(r, true)}
	p.judge("", r)
	p.addTable(systemsTable(r))
	p.addTable(boundsTable([]*result.Result{r}))
	p.addTable(classesTable(r))
	p.addTable(budgetsTable(r))
	p.addTable(tenantsTable(r))
	p.addTable(rolloutsTable(r))
	p.addTable(marksTable(r))
	for i := range r.Panels {
		p.Charts = append(p.Charts, panelChart(&r.Panels[i], r.Marks))
		p.sheets = append(p.sheets, panelSheet("panel-"+fileName(r.Panels[i].ID), &r.Panels[i]))
	}
	p.sheets = append(p.sheets, figuresSheet([]*result.Result{r}), tenantsSheet([]*result.Result{r}))
	p.Glossary = glossary()
	return p
}

// judge takes over what failed in a run; label says which, if there are several.
func (p *Page) judge(label string, r *result.Result) {
	p.OK = len(p.Notes) == 0
	if label != "" {
		label += ": "
	}
	for _, b := range r.Bounds {
		if b.Failed() {
			p.OK = false
			p.Notes = append(p.Notes, fmt.Sprintf("%sbound %s, got %s", label, b.Text, b.Got))
		}
	}
	if v := r.Violation; v != nil {
		p.OK = false
		p.Notes = append(p.Notes, fmt.Sprintf("%sinvariant %q did not hold", label, v.Invariant))
		p.Broken = append(p.Broken, Broken{label + v.Invariant, []Fact{
			{"what", v.Detail},
			{"at", clock(v.At, true)},
			{"seed", fmt.Sprint(r.Seed)},
			{"event", fmt.Sprint(v.Event)},
			{"shortest prefix", v.Prefix},
			{"run it again", v.Command},
		}})
	}
}

func (p *Page) addTable(t Table) {
	if len(t.Rows) > 0 {
		p.Tables = append(p.Tables, t)
	}
}

func facts(r *result.Result) []Fact {
	f := []Fact{
		{"seed", fmt.Sprint(r.Seed)},
		{"nodes", humanize.Comma(int64(r.Nodes))},
		{"virtual time", duration(r.Duration)},
		{"events", humanize.Comma(int64(r.Events))},
		{"trace hash", r.TraceHash},
		{"took", result.Seconds.Text(r.Wall.Seconds())},
	}
	if s := r.Wall.Seconds(); s > 0 {
		f = append(f, Fact{"events/s", humanize.Comma(int64(float64(r.Events) / s))})
	}
	if r.Unsettled != "" {
		f = append(f, Fact{"rest not judged, as", r.Unsettled})
	}
	return f
}

func glossary() []Fact {
	g := make([]Fact, 0, len(result.Figures))
	for _, f := range result.Figures {
		g = append(g, Fact{f.Title, f.What})
	}
	return g
}

// duration writes 5m0s as 5m.
func duration(d time.Duration) string {
	s := d.String()
	for _, zero := range []string{"m0s", "h0m"} {
		if n := len(s) - len(zero); n > 0 && s[n:] == zero {
			s = s[:n+1]
		}
	}
	return s
}

// clock writes a time of the run as m:ss, from an hour on as h:mm:ss; exact adds milliseconds if there are any.
func clock(d time.Duration, exact bool) string {
	sign := ""
	if d < 0 {
		sign, d = "-", -d
	}
	unit := time.Second
	if exact {
		unit = time.Millisecond
	}
	d = d.Round(unit)
	h, m, s, ms := d/time.Hour, d/time.Minute%60, d/time.Second%60, d/time.Millisecond%1000
	text := fmt.Sprintf("%s%d:%02d", sign, m, s)
	if h > 0 {
		text = fmt.Sprintf("%s%d:%02d:%02d", sign, h, m, s)
	}
	if ms > 0 {
		text += fmt.Sprintf(".%03d", ms)
	}
	return text
}
