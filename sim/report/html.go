package report

import (
	_ "embed"
	"html/template"
	"io"
)

//go:embed page.html.tmpl
var pageText string

var pageTemplate = template.Must(template.New("page").Funcs(template.FuncMap{
	"light": func() template.CSS { return template.CSS(cssVariables(false)) },
	"dark":  func() template.CSS { return template.CSS(cssVariables(true)) },
	"turned": func(t Table) Table {
		if t.Turn {
			return t.Turned()
		}
		return t
	},
	"mood": func(m int) string {
		return map[int]string{1: "good", -1: "bad"}[m]
	},
}).Parse(pageText))

// HTML writes the page as one document that needs no other file, no host and no script.
func (p *Page) HTML(w io.Writer) error { return pageTemplate.Execute(w, p) }
