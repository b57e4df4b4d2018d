package policy

import (
	"fmt"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"

	"github.com/swarmpurse/swarmpurse/policy/document"
)

// Change is one place where two documents differ. Old is "" where the first says nothing, New where the second does.
type Change struct {
	Where    string // budgets.gpu-pool.supply.rate
	Old, New string
}

// Diff lists where two documents differ, in the order of the first and then of the second: things that have names are compared by
// them, wherever they stand, and amounts, times and fractions by what they come to. What no document says is not compared, so a
// default that is written out shows.
func Diff(a, b *Policy) []Change {
	x, y := flatten(a), flatten(b)
	var list []Change
	for _, k := range x.keys {
		if v, ok := y.values[k]; !ok || !sameScalar(x.values[k], v) {
			list = append(list, Change{k, x.values[k], v})
		}
	}
	for _, k := range y.keys {
		if _, ok := x.values[k]; !ok {
			list = append(list, Change{k, "", y.values[k]})
		}
	}
	for _, k := range x.lists {
		old, now := common(x.order[k], y.order[k]), common(y.order[k], x.order[k])
		if !slices.Equal(old, now) {
			list = append(list, Change{k + " (order)", strings.Join(old, ", "), strings.Join(now, ", ")})
		}
	}
	return list
}

// common are the entries of a that are in b, too.
func common(a, b []string) (list []string) {
	for _, s := range a {
		if slices.Contains(b, s) {
			list = append(list, s)
		}
	}
	return list
}

// flat is a document as values by path.
type flat struct {
	keys   []string
	values map[string]string
	lists  []string            // of things with names
	order  map[string][]string // their names
}

func flatten(p *Policy) *flat {
	d := &decoder{Decoder: document.Decoder{File: p.file, Noun: "policy"}}
	_, root := d.Open(p.source)
	f := &flat{values: map[string]string{}, order: map[string][]string{}}
	if root != nil { // the built-in policy has a document, too
		f.walk("", root)
	}
	return f
}

func (f *flat) put(path, value string) {
	if _, ok := f.values[path]; !ok {
		f.keys = append(f.keys, path)
	}
	f.values[path] = value
}

func (f *flat) walk(path string, n *yaml.Node) {
	n = document.Deref(n)
	switch n.Kind {
	case yaml.MappingNode:
		if len(n.Content) == 0 {
			f.put(path, "{}")
		}
		for i := 0; i+1 < len(n.Content); i += 2 {
			f.walk(strings.TrimPrefix(path+"."+document.Deref(n.Content[i]).Value, "."), n.Content[i+1])
		}
	case yaml.SequenceNode:
		f.sequence(path, n)
	default:
		f.put(path, n.Value)
	}
}

// sequence compares mappings by their names, and all else as one value.
func (f *flat) sequence(path string, n *yaml.Node) {
	var words []string
	for i, item := range n.Content {
		item = document.Deref(item)
		if item.Kind != yaml.MappingNode {
			words = append(words, item.Value)
			continue
		}
		name := fmt.Sprint(i + 1)
		for _, key := range []string{"name", "level", "domain"} {
			if v := field(item, key); v != nil {
				name = v.Value
				break
			}
		}
		if f.order[path] == nil {
			f.lists = append(f.lists, path)
		}
		f.order[path] = append(f.order[path], name)
		f.walk(path+"."+name, item)
	}
	if len(words) > 0 || len(n.Content) == 0 {
		f.put(path, strings.Join(words, ", "))
	}
}

func field(n *yaml.Node, name string) *yaml.Node {
	for i := 0; i+1 < len(n.Content); i += 2 {
		if document.Deref(n.Content[i]).Value == name {
			if v := document.Deref(n.Content[i+1]); v.Kind == yaml.ScalarNode {
				return v
			}
		}
	}
	return nil
}

// sameScalar reports whether two scalars are written alike, or come to the same: 10M and 10000000, 60s and 1m.
func sameScalar(a, b string) bool {
	if a == b {
		return true
	}
	if x, per, ok := strings.Cut(a, "/"); ok { // rates
		y, other, ok := strings.Cut(b, "/")
		return ok && per == other && sameScalar(x, y)
	}
	if x, err := document.ParseAmount(a); err == nil {
		y, err := document.ParseAmount(b)
		return err == nil && x == y
	}
	if x, err := document.ParseDuration(a); err == nil {
		y, err := document.ParseDuration(b)
		return err == nil && x == y
	}
	if x, err := document.ParsePPM(a); err == nil {
		y, err := document.ParsePPM(b)
		return err == nil && x == y
	}
	return false
}
