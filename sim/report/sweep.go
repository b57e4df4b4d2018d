package report

import (
	"cmp"
	"fmt"
	"math"
	"slices"
	"strings"

	"gonum.org/v1/plot"

	"github.com/swarmpurse/swarmpurse/sim/result"
)

// Sweep is runs that differ in one value.
type Sweep struct {
	Scenario, Description string
	Over                  string   // the path of the value
	Values                []string // as they were given, one for each run
	Figures               []Choice
	Runs                  []*result.Result
}

// Choice is a figure, of one class if it names one.
type Choice struct {
	result.Figure
	Class string
}

// ParseChoice reads "goodput" or, for a figure that classes or budgets have, "wait_p99[batch]", as bounds do.
func ParseChoice(text string) (Choice, error) {
	name, class, of := strings.Cut(text, "[")
	f, ok := result.FigureNamed(name)
	if !ok {
		names := make([]string, len(result.Figures))
		for i, f := range result.Figures {
			names[i] = f.Name
		}
		return Choice{}, fmt.Errorf("no figure %q: choose from %s", name, strings.Join(names, ", "))
	}
	if !of && f.ByBudget() {
		return Choice{}, fmt.Errorf("figure %q is told of one budget: write its name in brackets, as in %s[gpu-pool]", name, name)
	}
	if !of {
		return Choice{Figure: f}, nil
	}
	class, closed := strings.CutSuffix(class, "]")
	switch {
	case !closed || class == "":
		return Choice{}, fmt.Errorf("figure %q: write a class in brackets, as in wait_p99[batch]", text)
	case !f.ByClass() && !f.ByBudget():
		return Choice{}, fmt.Errorf("figure %q is of all classes together: leave [%s] out", name, class)
	}
	return Choice{f, class}, nil
}

// title is the figure's, with its class.
func (c Choice) title() string {
	if c.Class == "" {
		return c.Title
	}
	return c.Title + " of " + c.Class
}

func (c Choice) of(s *result.System) float64 { return c.Of(s, c.Class) }

// Page shows the sweep.
func (s *Sweep) Page() *Page {
	p := &Page{Title: s.Scenario + ": sweep over " + s.Over, Lead: s.Description, OK: true, Glossary: glossary()}
	type point struct {
		Value string  `json:"value"`
		Run   jsonRun `json:"run"`
	}
	data := struct {
		Scenario string  `json:"scenario"`
		Over     string  `json:"over"`
		Passed   bool    `json:"passed"`
		Points   []point `json:"points"`
	}{Scenario: s.Scenario, Over: s.Over}
	if len(s.Runs) > 0 {
		r := s.Runs[0]
		p.Facts = []Fact{{"seed", fmt.Sprint(r.Seed)}, {"runs", fmt.Sprint(len(s.Runs))}}
	}
	runs := make([]*result.Result, len(s.Runs))
	for i, r := range s.Runs {
		named := *r
		named.Label = s.Over + "=" + s.Values[i]
		runs[i] = &named
		p.judge(named.Label, r)
		data.Points = append(data.Points, point{s.Values[i], runJSON(r, false)})
	}
	data.Passed = p.OK
	p.data = data
	p.Tables = append(p.Tables, s.table(result.Swarm))
	for _, name := range systemNames(s.Runs) {
		if name != result.Swarm {
			t := s.table(name)
			t.Detail = true
			p.Tables = append(p.Tables, t)
		}
	}
	if slices.ContainsFunc(s.Runs, func(r *result.Result) bool { return len(r.Bounds) > 0 }) {
		t := boundsTable(runs)
		t.Detail = true
		p.Tables = append(p.Tables, t)
	}
	for _, f := range s.Figures {
		p.Charts = append(p.Charts, s.chart(f))
	}
	p.sheets = append(p.sheets, s.sheet(), figuresSheet(runs))
	return p
}

// table has a row for each value.
func (s *Sweep) table(system string) Table {
	t := Table{Title: system, Columns: right(s.Over)}
	for _, f := range s.Figures {
		t.Columns = append(t.Columns, Column{f.title(), true})
	}
	if system == result.Swarm {
		t.Columns = append(t.Columns, Column{Head: "bounds"})
	}
	for i, r := range s.Runs {
		row := plain(s.Values[i])
		x := r.System(system)
		for _, f := range s.Figures {
			text := "-"
			if x != nil {
				text = f.Text(f.of(x))
			}
			row = append(row, Cell{Text: text})
		}
		if system == result.Swarm {
			row = append(row, passed(r))
		}
		t.Rows = append(t.Rows, row)
	}
	return t
}

func passed(r *result.Result) Cell {
	if r.Passed() {
		return Cell{"OK", 1}
	}
	return Cell{"FAIL", -1}
}

// chart draws one figure of all systems over the values.
func (s *Sweep) chart(f Choice) Chart {
	c := Chart{ID: "sweep-" + fileName(f.Name), Title: f.title(), xLabel: s.Over, unit: string(f.Unit)}
	if f.Class != "" {
		c.ID += "-" + fileName(f.Class)
	}
	at, log := parameters(s.Values)
	c.xLog = log
	order := make([]int, len(at))
	for i := range order {
		order[i] = i
	}
	slices.SortStableFunc(order, func(a, b int) int { return cmp.Compare(at[a], at[b]) })
	for n, name := range systemNames(s.Runs) {
		line := series{name: name, ink: inkLines[n%len(inkLines)], dash: n, points: true}
		for _, i := range order {
			line.x = append(line.x, at[i])
			if x := s.Runs[i].System(name); x != nil {
				line.upper = append(line.upper, f.of(x))
			} else {
				line.upper = append(line.upper, math.NaN())
			}
		}
		c.series = append(c.series, line)
	}
	c.span()
	free := math.Inf(-1) // where the next label may begin
	for _, i := range order {
		t := plot.Tick{Value: at[i]}
		place := (at[i] - c.from) / (c.to - c.from)
		if log {
			place = math.Log(at[i]/c.from) / math.Log(c.to/c.from)
		}
		style := letter(letters, nil)
		if half := float64(style.Width(s.Values[i])/plotWidth) / 2; place-half > free {
			t.Label, free = s.Values[i], place+half+0.02
		} else {
			t.Label = " " // a tick without a label would be a minor one
		}
		c.xTicks = append(c.xTicks, t)
	}
	return c
}

func (s *Sweep) sheet() sheet {
	head := []string{s.Over, "system"}
	for _, f := range s.Figures {
		h := f.Name
		if f.Class != "" {
			h += "[" + f.Class + "]"
		}
		head = append(head, h)
	}
	out := sheet{"sweep", [][]string{append(head, "passed")}}
	for i, r := range s.Runs {
		for k := range r.Systems {
			row := []string{s.Values[i], r.Systems[k].Name}
			for _, f := range s.Figures {
				row = append(row, number(f.of(&r.Systems[k])))
			}
			out.rows = append(out.rows, append(row, fmt.Sprint(r.Passed())))
		}
	}
	return out
}
