package document

import (
	"bytes"
	"errors"
	"fmt"
	"strings"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// Limits on documents. They bound what a document from elsewhere can cost.
const (
	MaxSource = 1 << 20 // bytes of a document
	MaxName   = 64      // bytes of a name

	MaxIgnored = 32 // fields of a newer version that are named

	maxVisits = 200_000 // nodes of the YAML tree, aliases followed
	maxDepth  = 24      // levels of the YAML tree, aliases followed
)

// Decoder walks the YAML tree of one document and collects every mistake on the way. Functions that
// read a node report their own mistakes and return whether the value can be used.
type Decoder struct {
	File  string   // for positions
	Noun  string   // what a document is called: "policy"
	Start string   // advice for an empty document: "start with apiVersion: swarmpurse/v1"
	Lines []string // of the document
	// Below and Right are added to the lines and columns of positions: the document is a part of a file.
	Below, Right int
	// Lenient passes over fields that this version does not know, instead of reporting them; Ignored lists them, the first
	// MaxIgnored of them. It is for documents that somebody has checked who knows more.
	Lenient bool
	Ignored []string

	errs Errors
}

// Open takes the text of a document: it checks its size and that it is text, and returns it in canonical form,
// that is without byte order mark and with lines ended by "\n", as a copy. The root is nil when there is nothing
// to walk; Err then says why.
func (d *Decoder) Open(src []byte) (canonical []byte, root *yaml.Node) {
	if len(src) > MaxSource {
		d.ErrAt(Pos{File: d.File}, "", "the document has %d bytes, at most %d are allowed", len(src), MaxSource)
		return nil, nil
	}
	src = Canonical(src)
	d.Lines = strings.Split(strings.TrimSuffix(string(src), "\n"), "\n")
	if line, column, ok := badUTF8(d.Lines); !ok {
		d.ErrAt(d.At(line, column), "save it as UTF-8", "the file is not UTF-8 text")
		return nil, nil
	}
	return src, d.load(src)
}

// Canonical removes what editors add and what means nothing: a byte order mark and carriage returns
// at the ends of lines.
func Canonical(src []byte) []byte {
	src = bytes.TrimPrefix(src, []byte("\xef\xbb\xbf"))
	return bytes.ReplaceAll(src, []byte("\r\n"), []byte("\n")) // always a copy
}

func badUTF8(lines []string) (line, column int, ok bool) {
	for i, l := range lines {
		if utf8.ValidString(l) {
			continue
		}
		for j, r := range l {
			if r == utf8.RuneError {
				if _, size := utf8.DecodeRuneInString(l[j:]); size == 1 {
					return i + 1, utf8.RuneCountInString(l[:j]) + 1, false
				}
			}
		}
	}
	return 0, 0, true
}

// Err is every mistake found, as an *Errors, or nil.
func (d *Decoder) Err() error { return d.errs.result() }

// At is the place of that line and column of the document.
func (d *Decoder) At(line, column int) Pos { return Pos{d.File, line + d.Below, column + d.Right} }

// Pos is the place of a node.
func (d *Decoder) Pos(n *yaml.Node) Pos { return d.At(n.Line, n.Column) }

// Report adds a mistake at a node.
func (d *Decoder) Report(n *yaml.Node, advice, format string, args ...any) {
	d.ErrAt(d.Pos(n), advice, format, args...)
}

// Add adds a mistake that something else has found, such as the reader of a part of this document.
func (d *Decoder) Add(e *Error) { d.errs.add(e) }

// ErrAt adds a mistake.
func (d *Decoder) ErrAt(p Pos, advice, format string, args ...any) {
	d.errs.add(&Error{Pos: p, Message: fmt.Sprintf(format, args...), Advice: advice})
}

// ScalarErr reports what a scalar's parser said. Its messages carry their advice already.
func (d *Decoder) ScalarErr(n *yaml.Node, field string, err error) {
	message, advice, _ := strings.Cut(err.Error(), "; ")
	d.Report(n, advice, "%s: %s", field, message)
}

// load reads the one document of src and checks the tree as such: its size with aliases followed, and
// that it uses nothing that documents have no use for. It returns nil when there is nothing to walk.
func (d *Decoder) load(src []byte) *yaml.Node {
	var doc yaml.Node
	if err := yaml.Load(src, &doc); err != nil {
		d.syntax(err)
		return nil
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		d.ErrAt(d.At(1, 1), d.Start, "the document is empty")
		return nil
	}
	visits := 0
	if !d.tree(doc.Content[0], 0, &visits) {
		return nil
	}
	return doc.Content[0]
}

func (d *Decoder) syntax(err error) {
	// The library reports "no document" and "several" as a list.
	var many *yaml.LoadErrors
	if errors.As(err, &many) {
		text := err.Error()
		p := d.At(1, 1)
		switch {
		case strings.Contains(text, "no documents"):
			d.ErrAt(p, d.Start, "the document is empty")
		case strings.Contains(text, "multiple"):
			p = d.secondDocument()
			d.ErrAt(p, "write one "+d.Noun+" per file", "the file holds more than one YAML document")
		default:
			d.ErrAt(p, "", "not valid YAML: %s", OneLine(text))
		}
		return
	}
	var one *yaml.LoadError
	if errors.As(err, &one) {
		p, advice := Pos{File: d.File, Line: one.Mark.Line, Column: one.Mark.Column}, ""
		if p.Line > len(d.Lines) { // the end of the file: point at where what is open began
			if one.ContextMark.Line > 0 {
				p.Line, p.Column = one.ContextMark.Line, one.ContextMark.Column
			} else {
				p.Line, p.Column = max(1, len(d.Lines)), 1
			}
		}
		if p.Line > 0 && p.Line <= len(d.Lines) && strings.HasPrefix(strings.TrimLeft(d.Lines[p.Line-1], " "), "\t") {
			advice = "indent with spaces, not tabs"
		}
		message := one.Message
		if one.ContextMsg != "" {
			message = one.ContextMsg + ": " + message
		}
		d.ErrAt(p, advice, "not valid YAML: %s", OneLine(message))
		return
	}
	d.ErrAt(d.At(1, 1), "", "not valid YAML: %s", OneLine(err.Error()))
}

func (d *Decoder) secondDocument() Pos {
	started := false
	for i, line := range d.Lines {
		if line == "---" || strings.HasPrefix(line, "--- ") {
			if started {
				return d.At(i+1, 1)
			}
		}
		if t := strings.TrimSpace(line); t != "" && t[0] != '#' && t[0] != '%' {
			started = true
		}
	}
	return d.At(1, 1)
}

// tree checks the whole tree before anything else looks at it, and reports whether it may be walked:
// a few lines of nested aliases can stand for billions of nodes, or for themselves.
func (d *Decoder) tree(n *yaml.Node, depth int, visits *int) bool {
	if *visits++; *visits > maxVisits {
		d.Report(n, "write the document with fewer aliases", "the document expands to more than %d values", maxVisits)
		return false
	}
	if depth > maxDepth {
		d.Report(n, "", "the document is nested more than %d deep", maxDepth)
		return false
	}
	switch n.Kind {
	case yaml.AliasNode:
		return d.tree(n.Alias, depth+1, visits)
	case yaml.MappingNode:
		for i := 0; i+1 < len(n.Content); i += 2 {
			if k := n.Content[i]; k.Kind == yaml.ScalarNode && k.ShortTag() == "!!merge" {
				d.Report(k, "write the fields out", "YAML merge keys (<<) are not supported")
			} else if k.Kind != yaml.ScalarNode {
				d.Report(k, "", "a field's name must be a plain word")
			}
		}
	}
	if n.Style&yaml.TaggedStyle != 0 {
		d.Report(n, "leave it out", "YAML tags (%s) are not supported", n.Tag)
	}
	for _, c := range n.Content {
		if !d.tree(c, depth+1, visits) {
			return false
		}
	}
	return true
}

// Deref follows aliases. tree has shown that they end.
func Deref(n *yaml.Node) *yaml.Node {
	for n.Kind == yaml.AliasNode {
		n = n.Alias
	}
	return n
}

// KindOf says what a node is, for messages of the form "expected X, found Y".
func KindOf(n *yaml.Node) string {
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

// Mapping reads a mapping of that shape: its known fields, by name. Unknown, repeated and missing ones
// are reported. It returns nil when n is not a mapping.
func (d *Decoder) Mapping(n *yaml.Node, s *Shape) map[string]*yaml.Node {
	n = Deref(n)
	if n.Kind != yaml.MappingNode {
		d.Report(n, "write its fields: "+strings.Join(s.Names(), ", "), "%s must be a mapping, not %s", s.Name, KindOf(n))
		return nil
	}
	found := make(map[string]*yaml.Node, len(n.Content)/2)
	meant := map[string]bool{} // fields that are there, but misspelt
	first := make(map[string]*yaml.Node, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key, value := Deref(n.Content[i]), n.Content[i+1]
		if key.Kind != yaml.ScalarNode || key.ShortTag() == "!!merge" {
			continue // tree has said it
		}
		if was, ok := first[key.Value]; ok {
			d.Report(key, "", "field %q is given twice, first on line %d", Clip(key.Value), was.Line)
			continue
		}
		first[key.Value] = key
		f, ok := s.Find(key.Value)
		switch {
		case d.Lenient && !ok:
			if len(d.Ignored) < MaxIgnored {
				d.Ignored = append(d.Ignored, fmt.Sprintf("%s: field %q of %s", d.Pos(key), Clip(key.Value), s.Name))
			}
		case !ok:
			d.Report(key, DidYouMean(key.Value, s.Names()), "unknown field %q in %s", Clip(key.Value), s.Name)
			meant[Nearest(key.Value, s.Names())] = true
		default:
			found[f.Name] = value
		}
	}
	for _, f := range s.Fields {
		if f.Required && first[f.Name] == nil && !meant[f.Name] {
			d.Report(n, "add "+f.Name+": "+LowerFirst(f.Doc), "%s lacks the field %q", s.Name, f.Name)
		}
	}
	return found
}

// Entry is one key of a mapping whose keys are names that users choose.
type Entry struct{ Key, Value *yaml.Node }

// Entries reads such a mapping, in order, without repeated keys.
func (d *Decoder) Entries(n *yaml.Node, what, advice string) []Entry {
	n = Deref(n)
	if n.Kind != yaml.MappingNode {
		d.Report(n, advice, "%s must be a mapping, not %s", what, KindOf(n))
		return nil
	}
	if len(n.Content) == 0 {
		d.Report(n, advice, "%s is empty", what)
	}
	var list []Entry
	first := make(map[string]*yaml.Node, len(n.Content)/2)
	for i := 0; i+1 < len(n.Content); i += 2 {
		key := Deref(n.Content[i])
		if key.Kind != yaml.ScalarNode || key.ShortTag() == "!!merge" {
			continue
		}
		if was, ok := first[key.Value]; ok {
			d.Report(key, "", "%q is given twice in %s, first on line %d", Clip(key.Value), what, was.Line)
			continue
		}
		first[key.Value] = key
		list = append(list, Entry{key, n.Content[i+1]})
	}
	return list
}

// Items reads a list of at most most items.
func (d *Decoder) Items(n *yaml.Node, what, advice string, most int) []*yaml.Node {
	n = Deref(n)
	if n.Kind != yaml.SequenceNode {
		d.Report(n, advice, "%s must be a list, not %s", what, KindOf(n))
		return nil
	}
	if len(n.Content) == 0 {
		d.Report(n, advice, "%s is empty", what)
	}
	if len(n.Content) > most {
		d.Report(n.Content[most], "", "%s has %d entries, at most %d are allowed", what, len(n.Content), most)
		return n.Content[:most]
	}
	return n.Content
}

// Scalar reads a plain value's text. Numbers are read as they are written, so that 10M and 5_000 keep
// their exact meaning whatever YAML makes of them.
func (d *Decoder) Scalar(n *yaml.Node, what, advice string) (string, bool) {
	n = Deref(n)
	if n.Kind != yaml.ScalarNode || n.ShortTag() == "!!null" {
		d.Report(n, advice, "%s must be a plain value, not %s", what, KindOf(n))
		return "", false
	}
	return n.Value, true
}

// Text reads a string. A number or a boolean where a string belongs is a mistake: quotes are missing.
func (d *Decoder) Text(n *yaml.Node, what string) (string, bool) {
	n = Deref(n)
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!str" {
		advice := ""
		if n.Kind == yaml.ScalarNode && n.ShortTag() != "!!null" {
			advice = fmt.Sprintf("write it in quotes: %.32q", n.Value)
		}
		d.Report(n, advice, "%s must be text, not %s", what, KindOf(n))
		return "", false
	}
	return n.Value, true
}

// Boolean reads true or false.
func (d *Decoder) Boolean(n *yaml.Node, what string) bool {
	n = Deref(n)
	if n.Kind != yaml.ScalarNode || n.ShortTag() != "!!bool" || n.Value != "true" && n.Value != "false" {
		d.Report(n, "", "%s must be true or false, not %s", what, KindOf(n))
		return false
	}
	return n.Value == "true"
}

// Name reads a name that the document gives to something.
func (d *Decoder) Name(n *yaml.Node, what string) (string, bool) {
	s, ok := d.Text(n, what)
	if !ok {
		return "", false
	}
	return s, d.NameOK(Deref(n), what, s)
}

// NameOK is Name for a name that was read already, at n.
func (d *Decoder) NameOK(n *yaml.Node, what, s string) bool {
	switch {
	case s == "":
		d.Report(n, "", "%s is empty", what)
	case len(s) > MaxName:
		d.Report(n, "", "%s has %d bytes, at most %d are allowed", what, len(s), MaxName)
	case !IsName(s):
		d.Report(n, "use letters, digits, '-', '_' and '.', with a letter or digit first", "%s cannot be %q", what, s)
	default:
		return true
	}
	return false
}

// IsName reports whether s has the form NameForm.
func IsName(s string) bool {
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

// LowerFirst makes a line of a shape's documentation part of a sentence.
func LowerFirst(doc string) string {
	doc = strings.TrimSuffix(doc, ".")
	return strings.ToLower(doc[:1]) + doc[1:]
}

// Clip shortens what a user wrote so that a message stays one.
func Clip(s string) string {
	if len(s) <= MaxName {
		return s
	}
	s = s[:MaxName]
	for !utf8.ValidString(s) {
		s = s[:len(s)-1]
	}
	return s + "…"
}

// OneLine is the first line of s.
func OneLine(s string) string {
	s, _, _ = strings.Cut(strings.TrimSpace(s), "\n")
	return s
}
