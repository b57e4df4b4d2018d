package scenario

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"

	"github.com/swarmpurse/swarmpurse/policy/document"
)

// Set changes one value in the text of a document and leaves the rest as it is, so that mistakes are still found
// at their places. A path is field names with points between, and for an entry of a list its number from 0 or the
// name that it has: "nodes", "network.loss", "workload.0.rate", "policy.budgets.gpu.supply.rate". Fields that are
// missing are added. value is YAML on one line; what is none is taken as text.
//
// Whether the fields exist, and can have that value, is for Parse to say.
func Set(src []byte, path, value string) ([]byte, error) {
	fail := func(format string, args ...any) ([]byte, error) {
		return nil, fmt.Errorf("%s: %s", document.Clip(path), fmt.Sprintf(format, args...))
	}
	value = strings.Trim(value, " \t")
	odd := func(r rune) bool { return !unicode.IsPrint(r) }
	if strings.ContainsFunc(value, odd) || !utf8.ValidString(value) || len(value) > maxSetValue {
		return fail("the value must be printable text on one line, of at most %d bytes", maxSetValue)
	}
	d := document.Decoder{Noun: "document", Start: "start with apiVersion: " + apiVersion}
	canonical, root := d.Open(src)
	if root == nil {
		return nil, d.Err()
	}
	e := editor{text: string(canonical)}
	node, rest, err := find(root, strings.Split(path, "."))
	if err != nil {
		return fail("%v", err)
	}
	// A value may need quotes only where it stands, as in {model: a,b}.
	for _, v := range []string{value, strconv.Quote(value)} {
		want, ok := flow(v)
		if !ok {
			continue
		}
		var text string
		if len(rest) == 0 {
			text, err = e.replace(node, v)
		} else {
			text, err = e.insert(node, rest, v)
		}
		if err != nil {
			return fail("%v", err)
		}
		again := document.Decoder{}
		if _, changed := again.Open([]byte(text)); changed != nil {
			if got, rest, err := find(changed, strings.Split(path, ".")); err == nil && len(rest) == 0 && same(got, want) {
				return []byte(text), nil
			}
		}
	}
	return fail("the value %q cannot stand there", document.Clip(value))
}

const maxSetValue = 4096

// flow reads a value that stands on one line: a scalar, or a list or mapping in brackets.
func flow(value string) (*yaml.Node, bool) {
	var doc yaml.Node
	if err := yaml.Load([]byte(value), &doc); err != nil || doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 ||
		doc.HeadComment != "" || doc.FootComment != "" {
		return nil, false
	}
	n := doc.Content[0]
	quoted := n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0
	if n.Kind == yaml.ScalarNode && !quoted && n.Value != value { // something was left out, like the mark of a tag
		return nil, false
	}
	return n, oneLine(n)
}

// oneLine reports whether the tree has only what a value on one line needs.
func oneLine(n *yaml.Node) bool {
	switch n.Kind {
	case yaml.ScalarNode:
		if n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) != 0 {
			return false
		}
	case yaml.MappingNode, yaml.SequenceNode:
		if n.Style&yaml.FlowStyle == 0 {
			return false
		}
	default:
		return false
	}
	return n.Anchor == "" && n.Style&yaml.TaggedStyle == 0 && n.HeadComment == "" && n.LineComment == "" && n.FootComment == "" &&
		!slices.ContainsFunc(n.Content, func(c *yaml.Node) bool { return !oneLine(c) })
}

// same reports whether two trees mean the same.
func same(a, b *yaml.Node) bool {
	return a.Kind == b.Kind && a.Value == b.Value && a.ShortTag() == b.ShortTag() && slices.EqualFunc(a.Content, b.Content, same)
}

// find walks along the path as far as the tree goes. rest are the fields that are missing below the node.
func find(n *yaml.Node, path []string) (node *yaml.Node, rest []string, err error) {
	for i, part := range path {
		if part == "" {
			return nil, nil, fmt.Errorf("write it as in network.loss or workload.0.rate")
		}
		so := strings.Join(path[:i], ".")
		switch n.Kind {
		case yaml.MappingNode:
			k := slices.IndexFunc(n.Content, func(k *yaml.Node) bool { return k.Kind == yaml.ScalarNode && k.Value == part })
			for k >= 0 && k%2 == 1 { // a value with the name of a field
				next := slices.IndexFunc(n.Content[k+1:], func(k *yaml.Node) bool { return k.Kind == yaml.ScalarNode && k.Value == part })
				if next < 0 {
					k = -1
				} else {
					k += 1 + next
				}
			}
			if k < 0 {
				return n, path[i:], nil
			}
			n = n.Content[k+1]
		case yaml.SequenceNode:
			k := entryOf(n, part)
			if k < 0 {
				return nil, nil, fmt.Errorf("%s has no entry %q; it has %d, counted from 0", so, document.Clip(part), len(n.Content))
			}
			n = n.Content[k]
		case yaml.AliasNode:
			return nil, nil, fmt.Errorf("%s is an alias (*%s), which cannot be changed here alone", so, n.Value)
		default:
			return nil, nil, fmt.Errorf("%s is %s and has no fields", so, document.KindOf(n))
		}
	}
	return n, nil, nil
}

// entryOf is the index of a list's entry by its number or else its name, or -1.
func entryOf(list *yaml.Node, part string) int {
	if i, err := strconv.Atoi(part); err == nil {
		if i >= 0 && i < len(list.Content) {
			return i
		}
		return -1
	}
	return slices.IndexFunc(list.Content, func(item *yaml.Node) bool {
		for i := 0; item.Kind == yaml.MappingNode && i+1 < len(item.Content); i += 2 {
			if item.Content[i].Value == "name" {
				return item.Content[i+1].Value == part
			}
		}
		return false
	})
}

// editor changes a text by the places of nodes.
type editor struct{ text string }

// offset is where a line and column are; columns count characters.
func (e editor) offset(line, column int) int {
	at := 0
	for range line - 1 {
		i := strings.IndexByte(e.text[at:], '\n')
		if i < 0 {
			return len(e.text)
		}
		at += i + 1
	}
	for range column - 1 {
		_, size := utf8.DecodeRuneInString(e.text[at:])
		at += size
	}
	return at
}

// replace puts the value in the place of a scalar or of what stands in brackets.
func (e editor) replace(n *yaml.Node, value string) (string, error) {
	at := e.offset(n.Line, n.Column)
	size := 0
	switch rest := e.text[at:]; {
	case n.Anchor != "":
		return "", fmt.Errorf("it has an anchor (&%s), so it cannot be changed here", n.Anchor)
	case n.Kind == yaml.AliasNode:
		size = len("*" + n.Value)
	case n.Kind == yaml.ScalarNode && n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) != 0:
		size = quoted(rest)
	case n.Kind == yaml.ScalarNode && n.Style&(yaml.LiteralStyle|yaml.FoldedStyle) == 0:
		if !strings.HasPrefix(rest, n.Value) {
			return "", fmt.Errorf("it goes over several lines: change it in the file")
		}
		size = len(n.Value)
	case n.Kind != yaml.ScalarNode && n.Style&yaml.FlowStyle != 0:
		size = bracketed(rest)
	default:
		return "", fmt.Errorf("it goes over several lines: set its parts, or change it in the file")
	}
	if size == 0 && n.Value == "" && n.Kind == yaml.ScalarNode { // a field without a value stands where the next thing does
		return "", fmt.Errorf("it is empty: write a value into the file")
	}
	return e.text[:at] + value + e.text[at+size:], nil
}

// quoted is the length of the quoted text that s begins with.
func quoted(s string) int {
	for i := 1; i < len(s); i++ {
		switch {
		case s[0] == '"' && s[i] == '\\':
			i++
		case s[i] == s[0]:
			if s[0] == '\'' && i+1 < len(s) && s[i+1] == '\'' {
				i++
				continue
			}
			return i + 1
		}
	}
	return len(s)
}

// bracketed is the length of the list or mapping in brackets that s begins with.
func bracketed(s string) int {
	depth, last := 0, -1 // last is where the last character stood that is no blank and in no comment
	for i := 0; i < len(s); i++ {
		before := byte(' ')
		if i > 0 {
			before = s[i-1]
		}
		switch c := s[i]; {
		case c == '[' || c == '{':
			depth++
		case c == ']' || c == '}':
			if depth--; depth == 0 {
				return i + 1
			}
		case (c == '"' || c == '\'') && quotes(s, i, last):
			i += quoted(s[i:]) - 1
		case c == '#' && (before == ' ' || before == '\n'):
			if n := strings.IndexByte(s[i:], '\n'); n >= 0 {
				i += n
			}
			continue
		}
		if i < len(s) && strings.IndexByte(" \t\n", s[i]) < 0 {
			last = i
		}
	}
	return len(s)
}

// quotes reports whether the quote s[i] begins a text: else it is an apostrophe in one without quotes. last is where the last character before it stands.
func quotes(s string, i, last int) bool {
	switch {
	case last < 0:
		return true
	case s[last] == ':':
		return last < i-1 || last > 0 && (s[last-1] == '"' || s[last-1] == '\'')
	}
	return strings.IndexByte(",[{", s[last]) >= 0
}

// insert adds the fields of the path, with the value, before the mapping's first.
func (e editor) insert(n *yaml.Node, path []string, value string) (string, error) {
	for _, part := range path {
		if !document.IsName(part) {
			return "", fmt.Errorf("%q is no field's name", document.Clip(part))
		}
		if _, err := strconv.Atoi(part); err == nil {
			return "", fmt.Errorf("there is no list that could have an entry %s", part)
		}
	}
	field := path[0] + ": "
	for _, part := range path[1:] {
		field += "{" + part + ": "
	}
	field += value + strings.Repeat("}", len(path)-1)
	at := e.offset(n.Line, n.Column)
	if n.Style&yaml.FlowStyle != 0 {
		if n.Anchor != "" || at >= len(e.text) || e.text[at] != '{' {
			return "", fmt.Errorf("%s cannot be added there: write it into the file", path[0])
		}
		if len(n.Content) > 0 {
			field += ", "
		}
		return e.text[:at+1] + field + e.text[at+1:], nil
	}
	first := n.Content[0]
	at = e.offset(first.Line, first.Column)
	return e.text[:at] + field + "\n" + strings.Repeat(" ", first.Column-1) + e.text[at:], nil
}
