package policy

import (
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// decoder walks the YAML tree of one document and collects every mistake on the way. Functions that
// read a node report their own mistakes and return whether the value can be used.
type decoder struct {
	file  string
	lines []string
	errs  Errors
}

func (d *decoder) pos(n *yaml.Node) Pos { return Pos{d.file, n.Line, n.Column} }

func (d *decoder) errAt(p Pos, advice, format string, args ...any) {
	d.errs.add(&Error{Pos: p, Message: fmt.Sprintf(format, args...), Advice: advice})
}

func (d *decoder) err(n *yaml.Node, advice, format string, args ...any) {
	d.errAt(d.pos(n), advice, format, args...)
}

// scalarErr reports what a scalar's parser said. Its messages carry their advice already.
func (d *decoder) scalarErr(n *yaml.Node, field string, err error) {
	message, advice, _ := strings.Cut(err.Error(), "; ")
	d.err(n, advice, "%s: %s", field, message)
}

// load reads the one document of src and checks the tree as such: its size with aliases followed, and
// that it uses nothing that policies have no use for. It returns nil when there is nothing to walk.
func (d *decoder) load(src []byte) *yaml.Node {
	var doc yaml.Node
	if err := yaml.Load(src, &doc); err != nil {
		d.syntax(err)
		return nil
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		d.errAt(Pos{File: d.file, Line: 1, Column: 1}, startWith, "the document is empty")
		return nil
	}
	visits := 0
	if !d.tree(doc.Content[0], 0, &visits) {
		return nil
	}
	return doc.Content[0]
}

const startWith = "start with apiVersion: " + apiVersion

func (d *decoder) syntax(err error) {
	// The library reports "no document" and "several" as a list.
	var many *yaml.LoadErrors
	if errors.As(err, &many) {
		text := err.Error()
		p := Pos{File: d.file, Line: 1, Column: 1}
		switch {
		case strings.Contains(text, "no documents"):
			d.errAt(p, startWith, "the document is empty")
		case strings.Contains(text, "multiple"):
			p = d.secondDocument()
			d.errAt(p, "write one policy per file", "the file holds more than one YAML document")
		default:
			d.errAt(p, "", "not valid YAML: %s", oneLine(text))
		}
		return
	}
	var one *yaml.LoadError
	if errors.As(err, &one) {
		p, advice := Pos{File: d.file, Line: one.Mark.Line, Column: one.Mark.Column}, ""
		if p.Line > len(d.lines) { // the end of the file: point at where what is open began
			if one.ContextMark.Line > 0 {
				p.Line, p.Column = one.ContextMark.Line, one.ContextMark.Column
			} else {
				p.Line, p.Column = max(1, len(d.lines)), 1
			}
		}
		if p.Line > 0 && p.Line <= len(d.lines) && strings.HasPrefix(strings.TrimLeft(d.lines[p.Line-1], " "), "\t") {
			advice = "indent with spaces, not tabs"
		}
		message := one.Message
		if one.ContextMsg != "" {
			message = one.ContextMsg + ": " + message
		}
		d.errAt(p, advice, "not valid YAML: %s", oneLine(message))
		return
	}
	d.errAt(Pos{File: d.file, Line: 1, Column: 1}, "", "not valid YAML: %s", oneLine(err.Error()))
}

func (d *decoder) secondDocument() Pos {
	started := false
	for i, line := range d.lines {
		if line == "---" || strings.HasPrefix(line, "--- ") {
			if started {
				return Pos{d.file, i + 1, 1}
			}
		}
		if t := strings.TrimSpace(line); t != "" && t[0] != '#' && t[0] != '%' {
			started = true
		}
	}
	return Pos{d.file, 1, 1}
}

// tree checks the whole tree before anything else looks at it, and reports whether it may be walked:
// a few lines of nested aliases can stand for billions of nodes, or for themselves.
func (d *decoder) tree(n *yaml.Node, depth int, visits *int) bool {
	if *visits++; *visits > maxVisits {
		d.err(n, "write the document with fewer aliases", "the document expands to more than %d values", maxVisits)
		return false
	}
	if depth > maxDepth {
		d.err(n, "", "the document is nested more than %d deep", maxDepth)
		return false
	}
	switch n.Kind {
	case yaml.AliasNode:
		return d.tree(n.Alias, depth+1, visits)
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if k := n.Content[i]; k.Kind == yaml.ScalarNode && k.ShortTag() == "!!merge" {
				d.err(k, "write the fields out", "YAML merge keys (<<) are not supported")
			} else if k.Kind != yaml.ScalarNode {
				d.err(k, "", "a field's name must be a plain word")
			}
		}
	}
	if n.Style&yaml.TaggedStyle != 0 {
		d.err(n, "leave it out", "YAML tags (%s) are not supported", n.Tag)
	}
	for _, c := range n.Content {
		if !d.tree(c, depth+1, visits) {
			return false
		}
	}
	return true
}

// deref follows aliases. tree has shown that they end.
func deref(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// kindOf says what a node is, for messages of the form "expected X, found Y".
func kindOf(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "a mapping"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.ShortTag() {
	case "!!null":
		return "nothing"
	case "!!bool":
		return "the boolean " + n.Value
	case "!!int", "!!float":
		return fmt.Sprintf("the number %.32s", n.Value)
	}
	return fmt.Sprintf("the text %.32q", n.Value)
}

// fields reads a mapping of that shape: its known fields, by name. Unknown, repeated and missing ones
// are reported. It returns nil when n is not a mapping.
func (d *decoder) fields(n *yaml.Node, s *shape) map[string]*yaml.Node {
	n = deref(n)
	if n.Kind != yaml.MappingNode {
		d.err(n, "write its fields: "+strings.Join(s.names(), ", "), "%s must be a mapping, not %s", s.name, kindOf(n))
		return nil
	}
	found := make(map[string]*yaml.Node, len(n.Content)/2)
	meant := map[string]bool{} // fields that are there, but misspelt
	first := make(map[string]*yaml.Node, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := deref(n.Content[i]), n.Content[i+1]
		if key.Kind != yaml.ScalarNode || key.ShortTag() == "!!merge" {
			continue // tree has said it
		}
		if was, ok := first[key.Value]; ok {
			d.err(key, "", "field %q is given twice, first on line %d", clip(key.Value), was.Line)
			continue
		}
		first[key.Value] = key
		f, ok := s.find(key.Value)
		switch {
		case !ok:
			d.err(key, didYouMean(key.Value, s.names()), "unknown field %q in %s", clip(key.Value), s.name)
			meant[nearest(key.Value, s.names())] = true
		case f.later:
			d.err(key, "leave it out", "field %q of %s is not supported by this version", f.name, s.name)
		default:
			found[f.name] = value
		}
	}
	for _, f := range s.fields {
		if f.required && first[f.name] == nil && !meant[f.name] {
			d.err(n, "add "+f.name+": "+lowerFirst(f.doc), "%s lacks the field %q", s.name, f.name)
		}
	}
	return found
}

// entry is one key of a mapping whose keys are names that users choose.
type entry struct{ key, value *yaml.Node }

// entries reads such a mapping, in order, without repeated keys.
func (d *decoder) entries(n *yaml.Node, what, advice string) []entry {
	n = deref(n)
	if n.Kind != yaml.MappingNode {
		d.err(n, advice, "%s must be a mapping, not %s", what, kindOf(n))
		return nil
	}
	if len(n.Content) == 0 {
		d.err(n, advice, "%s is empty", what)
	}
	var list []entry
	first := make(map[string]*yaml.Node, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := deref(n.Content[i])
		if key.Kind != yaml.ScalarNode || key.ShortTag() == "!!merge" {
			continue
		}
		if was, ok := first[key.Value]; ok {
			d.err(key, "", "%q is given twice in %s, first on line %d", clip(key.Value), what, was.Line)
			continue
		}
		first[key.Value] = key
		list = append(list, entry{key, n.Content[i+1]})
	}
	return list
}

// items reads a list of at most most items.
func (d *decoder) items(n *yaml.Node, what, advice string, most int) []*yaml.Node {
	n = deref(n)
	if n.Kind != yaml.SequenceNode {
		d.err(n, advice, "%s must be a list, not %s", what, kindOf(n))
		return nil
	}
	if len(n.Content) == 0 {
		d.err(n, advice, "%s is empty", what)
	}
	if len(n.Content) > most {
		d.err(n.Content[most], "", "%s has %d entries, at most %d are allowed", what, len(n.Content), most)
		return n.Content[:most]
	}
	return n.Content
}

// scalar reads a plain value's text. Numbers are read as they are written, so that 10M and 5_000 keep
// their exact meaning whatever YAML makes of them.
func (d *decoder) scalar(n *yaml.Node, what, advice string) (string, bool) {
	n = deref(n)
	if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" {
		d.err(n, advice, "%s must be a plain value, not %s", what, kindOf(n))
		return "", false
	}
	return n.Value, true
}

// text reads a string. A number or a boolean where a string belongs is a mistake: quotes are missing.
func (d *decoder) text(n *yaml.Node, what string) (string, bool) {
	n = deref(n)
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" {
		advice := ""
		if n.Kind == yaml.ScalarNode && n.ShortTag() != "!!null" {
			advice = fmt.Sprintf("write it in quotes: %.32q", n.Value)
		}
		d.err(n, advice, "%s must be text, not %s", what, kindOf(n))
		return "", false
	}
	return n.Value, true
}

// boolean reads true or false.
func (d *decoder) boolean(n *yaml.Node, what string) bool {
	n = deref(n)
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" || n.Value != "true" && n.Value != "false" {
		d.err(n, "", "%s must be true or false, not %s", what, kindOf(n))
		return false
	}
	return n.Value == "true"
}

// name reads a name that the document gives to something.
func (d *decoder) name(n *yaml.Node, what string) (string, bool) {
	s, ok := d.text(n, what)
	if !ok {
		return "", false
	}
	return s, d.nameOK(deref(n), what, s)
}

func (d *decoder) nameOK(n *yaml.Node, what, s string) bool {
	switch {
	case s == "":
		d.err(n, "", "%s is empty", what)
	case len(s) > MaxName:
		d.err(n, "", "%s has %d bytes, at most %d are allowed", what, len(s), MaxName)
	case !isName(s):
		d.err(n, "use letters, digits, '-', '_' and '.', with a letter or digit first", "%s cannot be %q", what, s)
	default:
		return true
	}
	return false
}

// isName reports whether s has the form nameForm.
func isName(s string) bool {
	for i := range len(s) {
		c := s[i]
		switch {
		case c >= 'a' && c <= 'z', c >= 'A' && c <= 'Z', c >= '0' && c <= '9':
		case i > 0 && (c == '.' || c == '_' || c == '-'):
		default:
			return false
		}
	}
	return s != ""
}

// lowerFirst makes a line of a shape's documentation part of a sentence.
func lowerFirst(doc string) string {
	doc = strings.TrimSuffix(doc, ".")
	return strings.ToLower(doc[:1]) + doc[1:]
}

// clip shortens what a user wrote so that a message stays one.
func clip(s string) string {
	if len(s) <= MaxName {
		return s
	}
	s = s[:MaxName]
	for !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s + "…"
}

func oneLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return s
}
