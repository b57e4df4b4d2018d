package report

import (
	"fmt"
	"math"
	"slices"

	"github.com/swarmpurse/swarmpurse/sim/result"
)

// Compare makes the page of several runs, at least one; each is compared with the first.
func Compare(runs []*result.Result) *Page {
	p := &Page{Title: "Comparison", OK: true, Glossary: glossary()}
	data := struct {
		Passed bool      `json:"passed"`
		Runs   []jsonRun `json:"runs"`
	}{Passed: true}
	for i, r := range runs {
		l := label(runs, i)
		p.Facts = append(p.Facts, Fact{l, fmt.Sprintf("%s, seed %d, nodes %s, %s, trace %s", r.Scenario, r.Seed, comma(int64(r.Nodes)), duration(r.Duration), r.TraceHash)})
		p.judge(l, r)
		data.Runs = append(data.Runs, runJSON(r, true))
		for k := range r.Panels {
			p.sheets = append(p.sheets, panelSheet(fmt.Sprintf("panel-%s-%d", fileName(r.Panels[k].ID), i+1), &r.Panels[k]))
		}
	}
	data.Passed = p.OK
	p.data = data
	if sameScenario(runs) {
		p.Title, p.Lead = runs[0].Scenario+": comparison", runs[0].Description
	}
	p.addTable(differences(runs))
	p.addTable(boundsTable(runs))
	p.addTable(classDifferences(runs))
	p.Charts = overlays(runs)
	p.sheets = append(p.sheets, figuresSheet(runs), tenantsSheet(runs))
	return p
}

func sameScenario(runs []*result.Result) bool {
	return !slices.ContainsFunc(runs, func(r *result.Result) bool { return r.Scenario != runs[0].Scenario })
}

// differences has a row for each run of a system, and one for each run's difference from the first.
func differences(runs []*result.Result) Table {
	all := worthShowing(runs)
	t := Table{Title: "Systems", Columns: append(left("system", "run"), right(heads(all)...)...), Turn: true}
	for _, name := range systemNames(runs) {
		t.Rows = append(t.Rows, differ(runs, name, "", name, all)...)
	}
	return t
}

func classDifferences(runs []*result.Result) Table {
	t := Table{Title: "Classes of " + result.Swarm + ": waits are of admitted calls", Columns: append(left("class", "run"), right(heads(byClass)...)...)}
	for _, class := range classNames(runs) {
		t.Rows = append(t.Rows, differ(runs, result.Swarm, class, class, byClass)...)
	}
	return t
}

func differ(runs []*result.Result, system, class, name string, all []result.Figure) (rows [][]Cell) {
	var first *result.System
	for i, r := range runs {
		s := r.System(system)
		if s == nil {
			continue
		}
		rows = append(rows, append(plain(name, label(runs, i)), cells(all, s, class)...))
		name = ""
		if first == nil {
			first = s
			continue
		}
		row := plain("", "difference")
		for _, f := range all {
			row = append(row, difference(f, f.Of(first, class), f.Of(s, class)))
		}
		rows = append(rows, row)
	}
	return rows
}

// difference writes b less a. Fractions differ by percentage points.
func difference(f result.Figure, a, b float64) Cell {
	d := b - a
	if !finite(d) {
		return Cell{Text: "-"}
	}
	text := f.Text(d)
	if f.Unit == result.Fraction {
		text = fmt.Sprintf("%.2f pp", 100*d)
		if math.Abs(d) < 5e-5 {
			text = "0"
		}
	}
	if d == 0 || text == "0" { // or too little to be told
		return Cell{Text: "0"}
	}
	if d > 0 {
		text = "+" + text
	}
	mood := f.Better
	if d < 0 {
		mood = -mood
	}
	return Cell{text, mood}
}

// systemNames are all systems, in the order in which they are first seen.
func systemNames(runs []*result.Result) []string {
	var names []string
	for _, r := range runs {
		for _, s := range r.Systems {
			if !slices.Contains(names, s.Name) {
				names = append(names, s.Name)
			}
		}
	}
	return names
}

// overlays draws each panel of all runs into one chart: a line has one colour in all runs, the first run's are
// solid and the others' dashed.
func overlays(runs []*result.Result) []Chart {
	var charts []Chart
	var seen []string
	for _, r := range runs {
		for k := range r.Panels {
			if id := r.Panels[k].ID; !slices.Contains(seen, id) {
				seen = append(seen, id)
				charts = append(charts, overlay(runs, id))
			}
		}
	}
	return charts
}

func overlay(runs []*result.Result, id string) Chart {
	c := Chart{ID: "panel-" + fileName(id)}
	var marks []result.Mark
	var names []string // of lines, each with its colour
	for i, r := range runs {
		k := slices.IndexFunc(r.Panels, func(p result.Panel) bool { return p.ID == id })
		if k < 0 {
			continue
		}
		p := r.Panels[k]
		c.Title, c.unit = p.Title, p.Unit
		for _, m := range r.Marks {
			if !slices.Contains(marks, m) {
				marks = append(marks, m)
			}
		}
		p.Stack = false // areas would cover each other
		for _, s := range seriesOf(&p) {
			if s.lower != nil && s.name != middle {
				continue
			}
			n := slices.Index(names, s.name)
			if n < 0 {
				n = len(names)
				names = append(names, s.name)
			}
			s.ink, s.dash = inkLines[n%len(inkLines)], i
			if len(p.Lines) > mostLines {
				s.ink = inkLines[i%len(inkLines)] // an area has no dashes
			}
			s.name = label(runs, i) + ": " + s.name
			c.series = append(c.series, s)
		}
	}
	c.overTime(marks)
	return c
}
