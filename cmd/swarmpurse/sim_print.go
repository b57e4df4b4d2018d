package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"golang.org/x/term"

	"github.com/swarmpurse/swarmpurse/cmd/swarmpurse/tables"
	simreport "github.com/swarmpurse/swarmpurse/sim/report"
)

// show prints a page, writes it to dir unless that is empty, and fails if the runs did.
func (a *app) show(p *simreport.Page, dir string) error {
	if dir != "" {
		if err := p.Write(dir); err != nil {
			return err
		}
	}
	width := terminalWidth(a.stdout)
	if err := a.print(p.Data(), func(w *strings.Builder) { pageText(w, p, width) }); err != nil {
		return err
	}
	if dir != "" {
		fmt.Fprintf(a.stderr, "swarmpurse: the report is %s\n", clean(filepath.Join(dir, simreport.PageName)))
	}
	if p.OK {
		return nil
	}
	if len(p.Notes) == 1 {
		return errors.New(p.Notes[0])
	}
	return fmt.Errorf("failed in %d ways, as the report says", len(p.Notes))
}

// pageText writes a page for a terminal of that width, 0 if there is none.
func pageText(w *strings.Builder, p *simreport.Page, width int) {
	w.WriteString(clean(p.Title))
	if p.Lead != "" {
		w.WriteString(": " + clean(p.Lead))
	}
	w.WriteByte('\n')
	var short []string
	var long []string // those that are lists themselves, as of runs that are compared
	for _, f := range p.Facts {
		if strings.Contains(f.Value, ", ") {
			long = append(long, clean(f.Name), clean(f.Value))
		} else {
			short = append(short, clean(f.Name)+" "+clean(f.Value))
		}
	}
	if len(short) > 0 {
		w.WriteString(strings.Join(short, ", ") + "\n")
	}
	fields(w, long...)
	for _, t := range p.Tables {
		if t.Detail {
			continue
		}
		text := tableText(t)
		if t.Turn && width > 0 && longest(text) > width {
			text = tableText(t.Turned())
		}
		w.WriteString("\n" + clean(t.Title) + "\n" + text + "\n")
	}
	for _, b := range p.Broken {
		fmt.Fprintf(w, "\nInvariant that did not hold: %s\n", clean(b.Title))
		var pairs []string
		for _, f := range b.Facts {
			pairs = append(pairs, "  "+f.Name, clean(f.Value))
		}
		fields(w, pairs...)
	}
	w.WriteByte('\n')
	if p.OK {
		w.WriteString("OK\n")
		return
	}
	w.WriteString("FAILED\n")
	for _, n := range p.Notes {
		w.WriteString("  " + clean(n) + "\n")
	}
}

func tableText(t simreport.Table) string {
	heads := make([]string, len(t.Columns))
	for i, c := range t.Columns {
		heads[i] = clean(c.Head)
		if c.Number {
			heads[i] = "→" + heads[i]
		}
	}
	out := tables.Indented(heads...)
	for _, r := range t.Rows {
		row := make(table.Row, len(r))
		for i, c := range r {
			row[i] = clean(c.Text)
		}
		out.AppendRow(row)
	}
	return out.Render()
}

func longest(text string) int {
	most := 0
	for line := range strings.Lines(text) {
		most = max(most, len([]rune(strings.TrimRight(line, "\n"))))
	}
	return most
}

// terminalWidth is 0 where there is no terminal.
func terminalWidth(w any) int {
	f, ok := w.(*os.File)
	if !ok {
		return 0
	}
	width, _, err := term.GetSize(int(f.Fd()))
	if err != nil {
		return 0
	}
	return width
}
