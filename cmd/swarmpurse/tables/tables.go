// Package tables makes the tables that the commands print: columns and nothing else, so that they read well
// on a terminal and cut well in a shell.
package tables

import (
	"strings"

	"github.com/jedib0t/go-pretty/v6/table"
	"github.com/jedib0t/go-pretty/v6/text"
)

// New starts a table with the given headers. A header that begins with → is of a column of numbers.
// Headers are in capitals.
func New(headers ...string) table.Writer { return build("", "  ", text.FormatUpper, headers) }

// Indented is a table that stands within a text: moved in by two columns, headers as they are given.
func Indented(headers ...string) table.Writer { return build("  ", "", text.FormatDefault, headers) }

func build(left, right string, header text.Format, headers []string) table.Writer {
	t := table.NewWriter()
	style := table.StyleDefault
	style.Options = table.OptionsNoBordersAndSeparators
	style.Box.PaddingLeft, style.Box.PaddingRight = left, right
	style.Format.Header = header
	t.SetStyle(style)
	t.SuppressTrailingSpaces()
	row, columns := make(table.Row, len(headers)), make([]table.ColumnConfig, len(headers))
	for i, h := range headers {
		columns[i] = table.ColumnConfig{Number: i + 1, Align: text.AlignLeft, AlignHeader: text.AlignLeft}
		if name, ok := strings.CutPrefix(h, "→"); ok {
			h = name
			columns[i].Align, columns[i].AlignHeader = text.AlignRight, text.AlignRight
		}
		row[i] = h
	}
	t.AppendHeader(row)
	t.SetColumnConfigs(columns)
	return t
}
