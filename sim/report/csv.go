package report

import (
	"bytes"
	"encoding/csv"
	"math"
	"strconv"

	"github.com/swarmpurse/swarmpurse/sim/result"
)

// sheet is a CSV file.
type sheet struct {
	name string // without .csv
	rows [][]string
}

func (s sheet) bytes() []byte {
	var b bytes.Buffer
	_ = csv.NewWriter(&b).WriteAll(s.rows) // a buffer takes everything
	return b.Bytes()
}

// number writes a value with all its digits; a spreadsheet shows NaN best as nothing.
func number(v float64) string {
	switch {
	case math.IsNaN(v):
		return ""
	case math.IsInf(v, 0):
		return "-1"
	}
	return strconv.FormatFloat(v, 'f', -1, 64)
}

// figuresSheet has one row for each figure, so that runs, systems and classes can be filtered and pivoted alike.
func figuresSheet(runs []*result.Result) sheet {
	s := sheet{"figures", [][]string{{"run", "system", "class", "figure", "unit", "value"}}}
	for i, r := range runs {
		for j := range r.Systems {
			x := &r.Systems[j]
			row := func(f result.Figure, class string) {
				s.rows = append(s.rows, []string{label(runs, i), x.Name, class, f.Name, string(f.Unit), number(f.Of(x, class))})
			}
			for _, f := range result.Figures {
				if !f.ByBudget() {
					row(f, "")
				}
			}
			for _, c := range x.Classes {
				for _, f := range result.Figures {
					if f.ByClass() {
						row(f, c.Name)
					}
				}
			}
			for _, b := range x.Budgets {
				for _, f := range result.Figures {
					if f.ByBudget() {
						row(f, b.Name)
					}
				}
			}
		}
	}
	return s
}

func tenantsSheet(runs []*result.Result) sheet {
	s := sheet{"tenants", [][]string{{"run", "system", "tenant", "offered", "admitted", "offered_tokens", "goodput_tokens"}}}
	for i, r := range runs {
		for _, x := range r.Systems {
			for _, t := range x.Tenants {
				n := func(v int64) string { return strconv.FormatInt(v, 10) }
				s.rows = append(s.rows, []string{label(runs, i), x.Name, t.Name, n(t.Offered), n(t.Admitted), n(t.OfferedTokens), n(t.GoodputTokens)})
			}
		}
	}
	return s
}

// panelSheet has a row for each moment and a column for each line.
func panelSheet(name string, p *result.Panel) sheet {
	head := []string{"at_s"}
	for _, l := range p.Lines {
		head = append(head, l.Name)
	}
	s := sheet{name, [][]string{head}}
	for i, at := range p.At {
		row := []string{number(at.Seconds())}
		for _, l := range p.Lines {
			row = append(row, number(valueAt(l, i)))
		}
		s.rows = append(s.rows, row)
	}
	return s
}

// valueAt is NaN past the end of a line.
func valueAt(l result.Line, i int) float64 {
	if i >= len(l.Values) {
		return math.NaN()
	}
	return l.Values[i]
}
