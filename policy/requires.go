package policy

import (
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/swarmpurse/swarmpurse/policy/document"
)

// maxRequires bounds the fields that a document requires.
const maxRequires = 64

// Ignored names the fields of the document that this version does not know and that it does not require; nil for a document that
// Parse has read. The caller must not change it.
func (p *Policy) Ignored() []string { return p.ignored }

// requires checks that this version knows the fields that a document requires.
func (d *decoder) requires(n *yaml.Node) {
	for _, item := range d.Items(n, "requires", "write a list of fields, as in [rollout, budgets.fairness]", maxRequires) {
		s, ok := d.Text(item, "requires")
		if ok && !knows(documentShape, s) {
			d.Report(document.Deref(item), "upgrade it, or leave that out", "the document requires %q, which this version does not know", document.Clip(s))
		}
	}
}

// knows reports whether a shape has a field, by its path.
func knows(s *document.Shape, path string) bool {
	name, rest, deeper := strings.Cut(path, ".")
	f, ok := s.Find(name)
	if !ok {
		return false
	}
	if !deeper {
		return true
	}
	for _, in := range []*document.Schema{&f.Is, f.Is.Items, f.Is.Each, f.Is.Other} {
		if in == nil {
			continue
		}
		for _, shape := range []*document.Shape{in.List, in.One} {
			if shape != nil && knows(shape, rest) {
				return true
			}
		}
	}
	return false
}
